//! What a scheduler shows to whoever reads its metrics, beside what is counted.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tidewaiter_metrics::{Kind, Page, Source};

use crate::{ballista::Ballista, driver::Driver, placement::Device};

/// A scheduler, seen from outside.
pub(crate) struct Observed {
    pub(crate) driver: Driver,
    pub(crate) ballista: Ballista,
}

/// The executors of a device.
#[derive(Debug, Default)]
struct Executors {
    present: usize,
    silent: usize,
    slots: usize,
    devices: u64,
    memory_bytes: u64,
}

#[async_trait]
impl Source for Observed {
    async fn write(&self, page: &mut Page) {
        page.family("tidewaiter_build_info", "The program; always 1.", Kind::Gauge);
        let build = [("version", env!("CARGO_PKG_VERSION")), ("part", "scheduler")];
        page.sample("tidewaiter_build_info", &build, 1.0);
        self.jobs(page);
        self.executors(page).await;
        self.tasks(page);
    }
}

impl Observed {
    fn jobs(&self, page: &mut Page) {
        let waiting = self.driver.cluster().waiting();
        let mut jobs = BTreeMap::<(String, &str), usize>::new();
        for job in self.driver.driven() {
            let status = match (job.has_begun, waiting.lack(&job.id)) {
                (_, Some(_)) => "waiting",
                (true, None) => "running",
                (false, None) => "queued",
            };
            *jobs.entry((job.kind, status)).or_default() += 1;
        }
        let name = "tidewaiter_jobs";
        page.family(
            name,
            "Jobs that have not ended: queued, waiting for executors or slots, running.",
            Kind::Gauge,
        );
        for ((kind, status), count) in &jobs {
            page.sample(name, &[("kind", kind), ("status", status)], *count as f64);
        }
        let name = "tidewaiter_scheduler_ready";
        let ready = f64::from(u8::from(self.driver.has_taken_up()));
        page.gauge(name, "1 when the jobs that were unfinished at the start have been taken up.", ready);
    }

    async fn executors(&self, page: &mut Page) {
        let known = self.ballista.executors().get_executors_state().await.unwrap_or_default();
        let mut of_device: BTreeMap<&str, Executors> =
            [("cpu", Executors::default()), ("gpu", Executors::default())].into();
        for (executor, ..) in &known {
            let said = self.driver.cluster().executors().said_by(&executor.id);
            let device = match Device::of_executor(&executor.id) {
                Device::Cpu => "cpu",
                Device::Gpu => "gpu",
            };
            let sum = of_device.entry(device).or_default();
            if said.is_silent() {
                sum.silent += 1;
                continue;
            }
            sum.present += 1;
            sum.slots += executor.specification.vcores as usize;
            sum.devices += said.surroundings.as_ref().map_or(0, |it| u64::from(it.gpus));
            sum.memory_bytes += said.memory_bytes;
        }
        type Value = fn(&Executors) -> f64;
        let families: [(&str, &str, Value); 5] = [
            ("tidewaiter_executors", "Executors that report.", |it| it.present as f64),
            ("tidewaiter_executors_silent", "Executors whose reports are missing.", |it| it.silent as f64),
            ("tidewaiter_slots", "Tasks that the executors can run at once.", |it| it.slots as f64),
            ("tidewaiter_devices", "NVIDIA devices that the executors declare.", |it| it.devices as f64),
            (
                "tidewaiter_executors_memory_bytes",
                "Bytes that the tasks of all executors may reserve for sorts and buffers.",
                |it| it.memory_bytes as f64,
            ),
        ];
        for (name, help, value) in families {
            page.family(name, help, Kind::Gauge);
            for (device, sum) in &of_device {
                page.sample(name, &[("device", device)], value(sum));
            }
        }
    }

    fn tasks(&self, page: &mut Page) {
        let tasks = self.driver.cluster().waiting().tasks();
        let name = "tidewaiter_tasks";
        page.family(name, "Tasks of the queries that run: running, or waiting for a slot.", Kind::Gauge);
        let running: usize = tasks.values().map(|tasks| tasks.running).sum();
        let waiting: usize = tasks.values().map(|tasks| tasks.waiting).sum();
        for (status, count) in [("running", running), ("waiting", waiting)] {
            page.sample(name, &[("status", status)], count as f64);
        }
        page.gauge("tidewaiter_queries", "Queries that run.", self.ballista.running().len() as f64);
    }
}
