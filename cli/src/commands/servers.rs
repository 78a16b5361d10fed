//! `tidewaiter scheduler` and `tidewaiter executor`.

use tidewaiter_archive::Archive;
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_core::{Error, ErrorKind, Result};
use tidewaiter_scheduler::{driver::Sources, server};

use super::jobs::{new_id, now_ms};
use crate::{
    arguments::{Executor, Place, Scheduler},
    progress::say,
};

/// Where an executor looks for its scheduler unless it is told.
const DEFAULT_SCHEDULER: &str = "http://127.0.0.1:50050";

pub(super) async fn scheduler(archive: Archive, options: Scheduler) -> Result<()> {
    let listener = server::bind(options.bind).await?;
    say(&format!("scheduler listens on http://{}", listener.local_addr()?));
    let (sources, catalogue) = (Sources { now_ms, new_id }, CATALOGUE);
    let (advertise, needs) = (options.advertise, server::needs_of_plan);
    server::serve(listener, server::Options { archive, advertise, needs, sources, catalogue }).await
}

pub(super) async fn executor(place: Place, options: Executor) -> Result<()> {
    let scheduler = place.scheduler.as_deref().unwrap_or(DEFAULT_SCHEDULER);
    let wrong = || Error::input(format!("the scheduler {scheduler:?} is not http://host:port"));
    let address = scheduler.strip_prefix("http://").ok_or_else(wrong)?;
    let (host, port) = address.trim_end_matches('/').rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let name = options.name.unwrap_or_else(|| format!("{}-{}", options.port, std::process::id()));
    let options = tidewaiter_executor::Options {
        catalogue: CATALOGUE,
        name,
        device: options.device,
        slots: options.slots,
        host: options.host,
        port: options.port,
        scheduler_host: host.to_owned(),
        scheduler_port: port,
        work_folder: options.work_folder,
        memory: Some((place.memory_mib as u64) << 20),
    };
    tidewaiter_executor::run(options).await.map_err(|error| {
        let kind = match error {
            tidewaiter_executor::Error::Options(_) | tidewaiter_executor::Error::Listen { .. } => {
                ErrorKind::Input
            }
            tidewaiter_executor::Error::Run { .. } => ErrorKind::Unavailable,
        };
        Error::new(kind, error.to_string()).with_source(error)
    })
}
