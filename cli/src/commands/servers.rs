//! `tidewaiter scheduler` and `tidewaiter executor`.

use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::json;
use tidewaiter_archive::Archive;
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt};
use tidewaiter_executor::{About, machine};
use tidewaiter_job::Roots;
use tidewaiter_pools::Settings;
use tidewaiter_scheduler::{
    driver::{Retries, Sources},
    lease::Lease,
    routine::Routine,
    server::{self, Patience},
    standby::Standby,
};
use tokio::net::TcpListener;

use super::sources::{new_id, now_ms};
use crate::{
    arguments::{Executor, Exposure, Place, Scheduler},
    progress::say,
};

/// Where an executor looks for its scheduler unless it is told.
const DEFAULT_SCHEDULER: &str = "http://127.0.0.1:50050";

/// The age up to which a vacuum at intervals deletes nothing, unless it is told.
const VACUUM_AGE: &str = "7d";

pub(super) async fn scheduler(archive: Archive, options: Scheduler) -> Result<()> {
    // The first process of a container is not ended by a signal that it does not take itself.
    let mut ended = server::termination();
    refuse_exposure(&options.bind.ip().to_string(), &options.exposure).await?;
    if let Some(metrics) = options.metrics {
        refuse_exposure(&metrics.ip().to_string(), &options.exposure).await?;
    }
    let exports = Roots::below(&options.exports)?;
    let pools = options.pods.as_deref().map(Settings::read).transpose()?;
    let (sources, catalogue) = (Sources { now_ms, new_id }, CATALOGUE);
    let Some(listening) = listen(&archive, &options, sources, &mut ended).await? else { return Ok(()) };
    let (listener, url, lease) = listening;
    say(&format!("scheduler listens on http://{}", listener.local_addr()?));
    let needs = server::needs_of_plan;
    let retries = Retries::new(options.retries, Duration::from_secs(options.retry_for));
    let gpu_wait = Duration::from_secs(options.gpu_wait);
    let jobs_at_once = options.jobs_at_once;
    let patience = Patience {
        silence: Duration::from_secs(options.executor_timeout),
        replacement: Duration::from_secs(options.executor_wait),
        query: Duration::from_secs(options.query_wait),
    };
    let metrics = match options.metrics {
        Some(address) => {
            let listener = server::bind(address).await?;
            say(&format!("metrics on http://{}/metrics", listener.local_addr()?));
            Some(listener)
        }
        None => None,
    };
    let routine = options.vacuum_every.map(|every| vacuum(every, options.vacuum_older_than.as_deref()));
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
        jobs_at_once,
        patience,
        metrics,
        pools,
        routine,
        lease,
    };
    server::serve(listener, options, ended).await
}

/// A clean-up of the archive at intervals. A user's own counts, too; one that only says what it would do does not.
fn vacuum(every: Duration, older_than: Option<&str>) -> Routine {
    let older_than = older_than.unwrap_or(VACUUM_AGE);
    Routine {
        every,
        kind: "archive",
        specification: json!({"kind": "archive", "action": "vacuum", "older_than": older_than}).to_string(),
        is_one: |job| job["kind"] == "archive" && job["action"] == "vacuum" && job["dry_run"] != true,
    }
}

/// Listens as soon as no other scheduler has the archive; until then only the health is served ([`Standby`]). `None` when
/// the process is asked to end before that.
async fn listen(
    archive: &Archive,
    options: &Scheduler,
    sources: Sources,
    ended: &mut BoxFuture<'static, ()>,
) -> Result<Option<(TcpListener, String, Lease)>> {
    let claim = server::claim(archive, sources, Duration::from_secs(options.takeover));
    let place = archive.display("");
    // The port may be the other scheduler's, which ends before this one needs it.
    let mut bound = server::bind(options.bind).await.ok();
    loop {
        let address = bound.as_ref().and_then(|listener| listener.local_addr().ok());
        let waits = address.map_or("waits".to_owned(), |address| format!("waits on http://{address}"));
        let standby = bound.take().map(Standby::begin).transpose()?;
        let vacancy = claim.vacancy(|holder| {
            say(&format!(
                "the archive {place} is driven by {holder}; this scheduler {waits}, and takes its place when that one ends \
                 or is silent"
            ));
        });
        let vacancy = tokio::select! {
            vacancy = vacancy => vacancy?,
            () = &mut *ended => return Ok(None),
        };
        let listener = match standby {
            Some(standby) => standby.end().await?,
            None => server::bind(options.bind).await?,
        };
        let url = server::url(&listener, options.advertise.as_deref())?;
        if let Some(lease) = vacancy.take(&format!("the scheduler at {url}")).await? {
            return Ok(Some((listener, url, lease)));
        }
        bound = Some(listener);
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

/// How long an executor may take to start. Asked to end meanwhile it ends at once; later it ends its tasks first.
const STARTS_WITHIN: Duration = Duration::from_secs(15);

/// Ends when the process is asked to end while it starts.
async fn asked_at_start() {
    // The first process of a container is not ended by a signal that it does not take itself.
    let ended = server::termination();
    if tokio::time::timeout(STARTS_WITHIN, ended).await.is_err() {
        std::future::pending().await
    }
}

pub(super) async fn executor(place: Place, options: Executor) -> Result<()> {
    refuse_exposure(&options.host, &options.exposure).await?;
    if let Some(metrics) = options.metrics {
        refuse_exposure(&metrics.ip().to_string(), &options.exposure).await?;
    }
    if !options.assume_device {
        refuse_missing_devices(&options.device, options.gpus, machine::gpus())?;
    }
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
        about: About {
            metrics: options.metrics,
            now_ms,
            cuda: cfg!(feature = "cuda"),
            leave_after: options.leave_after.map(Duration::from_secs),
            joined: say,
        },
    };
    let executor = tidewaiter_executor::Executor::bind(options).map_err(of_executor)?;
    tokio::select! {
        ran = executor.run() => ran.map_err(of_executor),
        () = asked_at_start() => Ok(()),
    }
}

/// Refuses to declare devices that the machine does not have: work that needs one would be sent here, and find none.
fn refuse_missing_devices(device: &str, gpus: usize, found: usize) -> Result<()> {
    if device != "gpu" || found >= gpus.max(1) {
        return Ok(());
    }
    let declared = gpus.max(1);
    Err(Error::input(format!(
        "{declared} GPU declared, and {found} found (/dev/nvidia0 and so on): look whether nvidia-smi lists them and, in a \
         container, whether it was given them (nvidia.com/gpu, --gpus); or declare what is there, by --device and --gpus"
    )))
}

fn of_executor(error: tidewaiter_executor::Error) -> Error {
    let kind = match error {
        tidewaiter_executor::Error::Options(_)
        | tidewaiter_executor::Error::Metrics { .. }
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

    #[test]
    fn a_device_that_is_declared_and_not_there_is_refused() {
        for (device, gpus, found, is_taken) in [
            ("cpu", 0, 0, true),
            ("gpu", 0, 1, true),
            ("gpu", 2, 2, true),
            ("gpu", 0, 0, false),
            ("gpu", 2, 1, false),
        ] {
            let answer = refuse_missing_devices(device, gpus, found);
            assert_eq!(answer.is_ok(), is_taken, "{device} {gpus} {found}");
            assert!(answer.err().is_none_or(|error| error.kind() == ErrorKind::Input));
        }
    }

    #[test]
    fn a_vacuum_at_intervals_is_a_job_that_the_catalogue_reads_and_that_counts_as_one() {
        for (older_than, wanted) in [(None, "7d"), (Some("30d"), "30d")] {
            let routine = vacuum(Duration::from_secs(1), older_than);
            let read = CATALOGUE.read(&routine.specification).expect("it is a job");
            let mut written = read.to_json().expect("writes");
            assert_eq!((read.kind(), &written["older_than"]), (routine.kind, &wanted.into()));
            assert!((routine.is_one)(&written), "{written}");
            written["dry_run"] = true.into();
            assert!(!(routine.is_one)(&written), "{written}");
        }
        let verify = CATALOGUE.read(r#"{"kind": "archive", "action": "verify"}"#).expect("it is a job");
        let is_one = vacuum(Duration::from_secs(1), None).is_one;
        assert!(!is_one(&verify.to_json().expect("writes")));
    }

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
