//! What an executor says of itself: to its scheduler with each report, and to whoever reads its metrics.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use async_trait::async_trait;
use tidewaiter_metrics::{Kind, Page, Source};
use tidewaiter_proto::v1::Surroundings;

use crate::{load::Load, machine};

/// What an executor says of itself and where, and how long it goes on without anybody to say it to.
#[derive(Debug, Clone)]
pub struct About {
    /// Where its metrics are read; port 0 takes a free one.
    pub metrics: Option<SocketAddr>,
    /// Milliseconds since 1970; 0: it does not know the time.
    pub now_ms: fn() -> i64,
    /// Whether this program was built for NVIDIA's devices.
    pub cuda: bool,
    /// How long it waits for a scheduler that does not answer any more before it ends; absent: for good.
    pub leave_after: Option<Duration>,
    /// Hears what it serves and whom, as soon as its scheduler has taken it.
    pub joined: fn(&str),
}

impl Default for About {
    fn default() -> Self {
        Self { metrics: None, now_ms: || 0, cuda: false, leave_after: None, joined: |_| () }
    }
}

/// The port at which metrics are read.
#[derive(Debug)]
pub(crate) struct MetricsPort {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
}

impl MetricsPort {
    pub(crate) fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    /// The same port for the runtime.
    pub(crate) fn into_listener(self) -> std::io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.listener)
    }
}

/// What an executor is and has.
#[derive(Clone)]
pub(crate) struct Observed {
    pub(crate) about: About,
    pub(crate) executor: String,
    pub(crate) slots: usize,
    /// Devices that it declares.
    pub(crate) gpus: usize,
    /// Bytes that its tasks may reserve.
    pub(crate) memory: Option<u64>,
    pub(crate) work_folder: PathBuf,
    pub(crate) load: Load,
}

impl Observed {
    /// What a report says of the process and its machine.
    pub(crate) fn surroundings(&self) -> Surroundings {
        let space = machine::space(&self.work_folder).unwrap_or_default();
        Surroundings {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            clock_ms: (self.about.now_ms)(),
            memory_limit_bytes: machine::memory_limit().unwrap_or(0),
            disk_free_bytes: space.free,
            disk_bytes: space.total,
            work_folder: self.work_folder.display().to_string(),
            gpus: u32::try_from(self.gpus).unwrap_or(u32::MAX),
            gpus_found: u32::try_from(machine::gpus()).unwrap_or(u32::MAX),
            cuda: self.about.cuda,
        }
    }
}

#[async_trait]
impl Source for Observed {
    async fn write(&self, page: &mut Page) {
        page.family("tidewaiter_build_info", "The program; always 1.", Kind::Gauge);
        let build =
            [("version", env!("CARGO_PKG_VERSION")), ("part", "executor"), ("executor", &self.executor)];
        page.sample("tidewaiter_build_info", &build, 1.0);
        let gauges = [
            ("slots", "Tasks that may run at once.", self.slots as f64),
            ("tasks_running", "Tasks that run.", self.load.running() as f64),
            ("devices", "NVIDIA devices that tasks share.", self.gpus as f64),
            (
                "memory_bytes",
                "Bytes that tasks may reserve for sorts and buffers; 0: not known.",
                self.memory.unwrap_or(0) as f64,
            ),
            (
                "memory_reserved_bytes",
                "Bytes that tasks have reserved for sorts and buffers.",
                self.load.reserved() as f64,
            ),
        ];
        for (name, help, value) in gauges {
            page.gauge(&format!("tidewaiter_executor_{name}"), help, value);
        }
        if let Some(space) = machine::space(&self.work_folder) {
            let name = "tidewaiter_executor_disk_free_bytes";
            page.gauge(name, "Free space of the work folder's file system.", space.free as f64);
        }
    }
}
