//! `tidewaiter scheduler` and `tidewaiter executor`.

use tidewaiter_jobs::{Error, ErrorKind, Result};
use tidewaiter_scheduler::server;

use crate::{
    arguments::{Executor, Scheduler},
    progress::say,
};

pub(super) async fn scheduler(options: Scheduler) -> Result<()> {
    let listener = server::bind(options.bind).await?;
    say(&format!("scheduler listens on http://{}", listener.local_addr()?));
    server::serve(listener, server::no_stage_needs_a_gpu).await
}

pub(super) async fn executor(options: Executor) -> Result<()> {
    let wrong = || Error::input(format!("the scheduler {:?} is not http://host:port", options.scheduler));
    let address = options.scheduler.strip_prefix("http://").ok_or_else(wrong)?;
    let (host, port) = address.trim_end_matches('/').rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let name = options.name.unwrap_or_else(|| format!("{}-{}", options.port, std::process::id()));
    let options = tidewaiter_executor::Options {
        name,
        device: options.device,
        slots: options.slots,
        host: options.host,
        port: options.port,
        scheduler_host: host.to_owned(),
        scheduler_port: port,
        work_folder: options.work_folder,
        memory: options.memory_mib.map(|mib| mib << 20),
    };
    tidewaiter_executor::run(options).await.map_err(|error| {
        let kind = match error {
            tidewaiter_executor::Error::Options(_) => ErrorKind::Input,
            tidewaiter_executor::Error::Run { .. } => ErrorKind::Unavailable,
        };
        Error::new(kind, error.to_string()).with_source(error)
    })
}
