//! The loop against a small API server.

use std::sync::Mutex;

use serde_json::json;

use super::*;
use crate::{controller::fake::Api, settings::Pool};

/// Jobs that a test sets.
#[derive(Default)]
struct Jobs {
    look: Mutex<Look>,
    notes: Mutex<BTreeMap<String, String>>,
    now_ms: Mutex<i64>,
}

impl Jobs {
    fn need(&self, tasks: &[(&str, Device, usize)]) {
        let mut look = self.look.lock().expect("not poisoned");
        look.live = tasks.iter().map(|(job, ..)| (*job).to_owned()).collect();
        look.tasks = tasks.iter().map(|(job, device, tasks)| ((*job).to_owned(), *device, *tasks)).collect();
    }

    fn note(&self, job: &str) -> String {
        self.notes.lock().expect("not poisoned").get(job).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl Queue for Jobs {
    async fn look(&self, _: &BTreeSet<String>) -> Option<Look> {
        Some(self.look.lock().expect("not poisoned").clone())
    }

    fn explain(&self, notes: BTreeMap<String, String>) {
        *self.notes.lock().expect("not poisoned") = notes;
    }

    fn now_ms(&self) -> i64 {
        *self.now_ms.lock().expect("not poisoned")
    }
}

fn settings(api: &Api) -> Settings {
    let pool = |device, slots| Pool {
        device,
        slots,
        most: 8,
        idle_seconds: 300,
        longest_seconds: 600,
        template: json!({ "spec": { "containers": [{ "name": "executor", "image": "i" }] } }),
    };
    Settings {
        release: "tidewaiter".to_owned(),
        namespace: "customs".to_owned(),
        tenant: "kr".to_owned(),
        owner: "tidewaiter-scheduler".to_owned(),
        most: 20,
        pools: [("cpu".to_owned(), pool(Device::Cpu, 4)), ("gpu".to_owned(), pool(Device::Gpu, 1))].into(),
        api: Some(api.url()),
    }
}

async fn started() -> (Api, Controller, Jobs) {
    let api = Api::start().await;
    let settings = settings(&api);
    let client = Client::new(&settings).expect("a client");
    (api, Controller::new(settings, client), Jobs::default())
}

#[tokio::test]
async fn a_job_gets_its_pool_and_the_pool_goes_with_it() {
    let (api, mut controller, jobs) = started().await;
    jobs.need(&[("01JOB", Device::Gpu, 8)]);
    controller.step(&jobs).await;
    let pods = api.pods();
    assert_eq!(pods.len(), 8);
    for pod in &pods {
        let meta = &pod["metadata"];
        assert_eq!(
            (&meta["labels"]["tidewaiter/pool"], &meta["labels"]["tidewaiter/tenant"]),
            (&json!("gpu"), &json!("kr"))
        );
        assert_eq!(meta["annotations"]["tidewaiter/job"], "01JOB");
        assert_eq!(meta["ownerReferences"][0]["uid"], "uid-of-tidewaiter-scheduler");
        assert_eq!(pod["spec"]["activeDeadlineSeconds"], 600);
    }
    api.set_phases("Running");
    let made = api.count("POST");
    for _ in 0..3 {
        controller.step(&jobs).await;
    }
    assert_eq!((api.count("POST"), api.count("DELETE")), (made, 0), "it is at rest");
    assert_eq!(jobs.note("01JOB"), "");

    jobs.need(&[]);
    controller.step(&jobs).await;
    assert!(
        api.pods().iter().all(|pod| pod["metadata"]["deletionTimestamp"].is_string()),
        "they finish their tasks"
    );
    api.end_those_that_leave();
    controller.step(&jobs).await;
    assert_eq!((api.pods().len(), api.count("DELETE")), (0, 8));
}

#[tokio::test]
async fn a_process_that_starts_anew_makes_no_second_pod_and_sweeps_those_of_ended_jobs() {
    let (api, mut first, jobs) = started().await;
    jobs.need(&[("ended", Device::Gpu, 2), ("goes-on", Device::Gpu, 3)]);
    first.step(&jobs).await;
    drop(first);
    let settings = settings(&api);
    let mut second = Controller::new(settings.clone(), Client::new(&settings).expect("a client"));
    jobs.need(&[("goes-on", Device::Gpu, 3)]);
    second.step(&jobs).await;
    api.end_those_that_leave();
    let jobs_of_pods: Vec<_> =
        api.pods().iter().map(|pod| pod["metadata"]["annotations"]["tidewaiter/job"].clone()).collect();
    assert_eq!(jobs_of_pods, ["goes-on", "goes-on", "goes-on"]);
    assert_eq!(api.count("POST"), 5);
}

#[tokio::test]
async fn a_pod_that_the_list_does_not_show_yet_is_not_made_twice() {
    let (api, mut controller, jobs) = started().await;
    jobs.need(&[("job", Device::Gpu, 2)]);
    api.hide(true);
    controller.step(&jobs).await;
    controller.step(&jobs).await;
    assert_eq!(api.count("POST"), 4, "asked again, and answered 409");
    api.hide(false);
    controller.step(&jobs).await;
    assert_eq!((api.pods().len(), api.count("POST")), (2, 4));
}

#[tokio::test]
async fn who_waits_hears_of_quotas_nodes_and_missing_rights() {
    let (api, mut controller, jobs) = started().await;
    api.set_quota(Some(3));
    jobs.need(&[("job", Device::Gpu, 5)]);
    controller.step(&jobs).await;
    assert_eq!(api.pods().len(), 3);
    let note = jobs.note("job");
    assert!(
        note.contains("the pool gpu: Kubernetes answers 403") && note.contains("exceeded quota"),
        "{note}"
    );
    assert!(note.contains("raise the quota of the namespace"), "{note}");
    let asked = api.count("POST");
    controller.step(&jobs).await;
    assert_eq!(api.count("POST"), asked, "the pool rests");

    api.set_unschedulable("0/4 nodes are available: 4 Insufficient nvidia.com/gpu.");
    controller.step(&jobs).await;
    let note = jobs.note("job");
    assert!(note.contains("a pod of the pool gpu cannot be scheduled: 0/4 nodes are available"), "{note}");

    let (api, mut controller, jobs) = started().await;
    api.refuse_next(1, 403, "pods is forbidden: User \"x\" cannot list resource \"pods\"", None);
    jobs.need(&[("job", Device::Gpu, 1)]);
    controller.step(&jobs).await;
    let note = jobs.note("job");
    assert!(note.contains("pods cannot be asked for") && note.contains("cannot list resource"), "{note}");
}

#[tokio::test]
async fn throttling_and_restarts_of_the_api_cost_time_and_nothing_else() {
    let (api, mut controller, jobs) = started().await;
    jobs.need(&[("job", Device::Gpu, 4)]);
    // The list and the owner are answered, and then nothing for a moment.
    controller.step(&Jobs::default()).await;
    api.refuse_after(2, 1, 429, "Too many requests", Some(0));
    controller.step(&jobs).await;
    assert_eq!(api.pods().len(), 1, "the first is made, the second throttled, and the rest not asked for");
    controller.step(&jobs).await;
    assert_eq!(api.pods().len(), 4);

    api.refuse_next(1, 503, "etcdserver: leader changed", Some(60));
    controller.step(&jobs).await;
    let asked = api.requests();
    controller.step(&jobs).await;
    assert_eq!(api.requests(), asked, "nothing is asked before the minute is over");
    assert!(jobs.note("job").contains("leader changed"), "{}", jobs.note("job"));

    let (api, mut controller, jobs) = started().await;
    jobs.need(&[("job", Device::Gpu, 1)]);
    api.close_next(1);
    controller.step(&jobs).await;
    assert!(jobs.note("job").contains("Kubernetes does not answer"), "{}", jobs.note("job"));
}

#[tokio::test]
async fn work_for_processors_and_for_gpus_is_asked_for_apart() {
    let (api, mut controller, jobs) = started().await;
    jobs.need(&[("a", Device::Cpu, 5), ("b", Device::Gpu, 1)]);
    controller.step(&jobs).await;
    let pools = |pool: &str| {
        api.pods().iter().filter(|pod| pod["metadata"]["labels"]["tidewaiter/pool"] == pool).count()
    };
    assert_eq!((pools("cpu"), pools("gpu")), (2, 1));
}

#[tokio::test]
async fn a_pod_that_was_killed_has_a_successor_after_its_pause() {
    let (api, mut controller, jobs) = started().await;
    jobs.need(&[("job", Device::Gpu, 1)]);
    controller.step(&jobs).await;
    api.kill_all("OOMKilled", 137, "1970-01-01T00:00:00Z");
    controller.step(&jobs).await;
    assert!(jobs.note("job").contains("OOMKilled, exit status 137"), "{}", jobs.note("job"));
    assert_eq!(api.count("DELETE"), 0);
    *jobs.now_ms.lock().expect("not poisoned") = 10_000;
    controller.step(&jobs).await;
    let pods = api.pods();
    assert_eq!((pods.len(), &pods[0]["metadata"]["labels"]["tidewaiter/attempt"]), (1, &json!("1")));
}
