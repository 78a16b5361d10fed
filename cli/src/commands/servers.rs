//! `tidewaiter scheduler` and `tidewaiter executor`.

use std::time::Duration;

use tidewaiter_archive::Archive;
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt};
use tidewaiter_job::Roots;
use tidewaiter_scheduler::{
    driver::{Retries, Sources},
    lease::Lease,
    server::{self, Patience},
};
use tokio::net::TcpListener;

use super::sources::{new_id, now_ms};
use crate::{
    arguments::{Executor, Exposure, Place, Scheduler},
    progress::say,
};

/// Where an executor looks for its scheduler unless it is told.
const DEFAULT_SCHEDULER: &str = "http://127.0.0.1:50050";

pub(super) async fn scheduler(archive: Archive, options: Scheduler) -> Result<()> {
    refuse_exposure(&options.bind.ip().to_string(), &options.exposure).await?;
    let exports = Roots::below(&options.exports)?;
    let (sources, catalogue) = (Sources { now_ms, new_id }, CATALOGUE);
    let (listener, url, lease) = listen(&archive, &options, sources).await?;
    let ended = server::termination();
    say(&format!("scheduler listens on http://{}", listener.local_addr()?));
    let needs = server::needs_of_plan;
    let retries = Retries::new(options.retries, Duration::from_secs(options.retry_for));
    let gpu_wait = Duration::from_secs(options.gpu_wait);
    let patience = Patience {
        silence: Duration::from_secs(options.executor_timeout),
        replacement: Duration::from_secs(options.executor_wait),
    };
    let lease = Some(lease);
    let options = server::Options {
        archive,
        url,
        needs,
        gpu_wait,
        sources,
        catalogue,
        exports,
        retries,
        patience,
        lease,
    };
    server::serve(listener, options, ended).await
}

/// Listens as soon as no other scheduler has the archive.
async fn listen(
    archive: &Archive,
    options: &Scheduler,
    sources: Sources,
) -> Result<(TcpListener, String, Lease)> {
    let claim = server::claim(archive, sources, Duration::from_secs(options.takeover));
    let place = archive.display("");
    loop {
        let vacancy = claim.vacancy(|holder| {
            say(&format!(
                "the archive {place} is driven by {holder}; this scheduler waits, and takes its place when that one ends \
                 or is silent"
            ));
        });
        let vacancy = vacancy.await?;
        let listener = server::bind(options.bind).await?;
        let url = server::url(&listener, options.advertise.as_deref())?;
        if let Some(lease) = vacancy.take(&format!("the scheduler at {url}")).await? {
            return Ok((listener, url, lease));
        }
    }
}

/// Refuses a host that other machines reach, unless the operator accepts what that means.
async fn refuse_exposure(host: &str, exposure: &Exposure) -> Result<()> {
    if exposure.insecure {
        return Ok(());
    }
    let addresses = tokio::net::lookup_host((host, 0)).await;
    let mut addresses = addresses.context(|| format!("look up {host}"))?;
    if addresses.all(|address| address.ip().is_loopback()) {
        return Ok(());
    }
    Err(Error::input(format!(
        "other machines reach {host}, and there is no TLS and no access control: whoever does could run jobs here, and \
         read and change the archive; listen on 127.0.0.1, or in a network that you protect add --insecure"
    )))
}

pub(super) async fn executor(place: Place, options: Executor) -> Result<()> {
    refuse_exposure(&options.host, &options.exposure).await?;
    let scheduler = place.scheduler.as_deref().unwrap_or(DEFAULT_SCHEDULER);
    let wrong = || Error::input(format!("the scheduler {scheduler:?} is not http://host:port"));
    let address = scheduler.strip_prefix("http://").ok_or_else(wrong)?;
    let (host, port) = address.trim_end_matches('/').rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let options = tidewaiter_executor::Options {
        catalogue: CATALOGUE,
        name: options.name,
        process: new_id(),
        device: options.device,
        gpus: options.gpus,
        slots: options.slots,
        host: options.host,
        port: options.port,
        scheduler_host: host.to_owned(),
        scheduler_port: port,
        work_folder: options.work_folder,
        memory: place.memory_mib.map(|mib| (mib as u64) << 20),
    };
    let executor = tidewaiter_executor::Executor::bind(options).map_err(of_executor)?;
    say(&executor.to_string());
    executor.run().await.map_err(of_executor)
}

fn of_executor(error: tidewaiter_executor::Error) -> Error {
    let kind = match error {
        tidewaiter_executor::Error::Options(_)
        | tidewaiter_executor::Error::Listen { .. }
        | tidewaiter_executor::Error::Name(_) => ErrorKind::Input,
        tidewaiter_executor::Error::Scheduler { .. } | tidewaiter_executor::Error::Run { .. } => {
            ErrorKind::Unavailable
        }
    };
    Error::new(kind, error.to_string()).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_who_says_insecure_listens_beyond_loopback() {
        for host in ["127.0.0.1", "127.0.0.2", "::1"] {
            refuse_exposure(host, &Exposure { insecure: false }).await.expect("it is loopback");
        }
        for host in ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1"] {
            let error = refuse_exposure(host, &Exposure { insecure: false }).await.expect_err(host);
            assert_eq!(error.kind(), ErrorKind::Input);
            assert!(error.chain().contains("--insecure"), "{}", error.chain());
            refuse_exposure(host, &Exposure { insecure: true }).await.expect("as the operator says");
        }
    }
}
