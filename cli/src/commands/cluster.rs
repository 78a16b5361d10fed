//! `tidewaiter cluster`: the executors of a scheduler.

use serde_json::json;
use tidewaiter_core::{Error, Result};
use tidewaiter_job::remote;
use tidewaiter_proto::v1::{ClusterExecutor, ExecutorsRequest, cluster_service_client::ClusterServiceClient};

use super::{
    sources::now_ms,
    times::{length, time},
};
use crate::{
    arguments::{Output, Place},
    output::write,
};

/// Lists the executors.
pub(super) async fn run(place: &Place, output: Output) -> Result<()> {
    let url = place.scheduler.as_deref();
    let url = url
        .ok_or_else(|| Error::input("say which scheduler's executors, with --scheduler http://host:port"))?;
    let mut client = ClusterServiceClient::new(remote::connect(url).await?);
    let executors = client.executors(ExecutorsRequest {}).await?.into_inner().executors;
    let documents = executors.iter().map(|executor| {
        json!({
            "executor": executor.executor, "device": executor.device, "slots": executor.slots,
            "memory_bytes": (executor.memory_bytes > 0).then_some(executor.memory_bytes),
            "address": executor.address, "queries": executor.queries,
            "heard_ms": (executor.heard_ms > 0).then_some(executor.heard_ms), "silent": executor.silent,
            "gone": executor.gone,
        })
    });
    write(output, &documents.collect(), || lines(&executors, now_ms()))
}

fn lines(executors: &[ClusterExecutor], now_ms: i64) -> Vec<String> {
    let line = |cells: [&str; 7]| {
        let [executor, device, slots, memory, queries, address, heard] = cells;
        format!("{executor:<28} {device:<7} {slots:>5} {memory:>12} {queries:>8}  {address:<24} {heard}")
    };
    let head = ["executor", "device", "slots", "memory", "queries", "address", "last heard"];
    let mut lines = vec![line(head)];
    for executor in executors {
        let memory = match executor.memory_bytes {
            0 => "-".to_owned(),
            bytes => format!("{} MiB", bytes >> 20),
        };
        let heard = match executor.heard_ms {
            0 => time(0),
            heard_ms => format!("{} ago", length(now_ms - heard_ms)),
        };
        let heard = match (executor.gone, executor.silent) {
            (true, _) => format!("{heard}, gone"),
            (_, true) => format!("{heard}, silent"),
            _ => heard,
        };
        // Of one that is gone nobody knows any more.
        let known = |count: u32| if executor.gone { "-".to_owned() } else { count.to_string() };
        let (slots, queries) = (known(executor.slots), known(executor.queries));
        let cells =
            [&executor.executor, &executor.device, &slots, &memory, &queries, &executor.address, &heard];
        lines.push(line(cells.map(String::as_str)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executor_is_listed_with_what_it_has_and_when_it_was_heard() {
        let executor = ClusterExecutor {
            executor: "gpu-one".to_owned(),
            device: "gpu".to_owned(),
            slots: 4,
            memory_bytes: 512 << 20,
            address: "127.0.0.1:50051".to_owned(),
            heard_ms: 10_000,
            queries: 2,
            silent: false,
            gone: false,
        };
        let silent = ClusterExecutor { silent: true, ..executor.clone() };
        let gone = ClusterExecutor { gone: true, slots: 0, queries: 0, ..executor.clone() };
        let lines = lines(&[executor, ClusterExecutor::default(), silent, gone], 12_500);
        for words in ["gpu-one", "512 MiB", "127.0.0.1:50051", "2.5 s ago"] {
            assert!(lines[1].contains(words), "{}", lines[1]);
        }
        assert!(lines[2].ends_with('-'), "{}", lines[2]);
        assert!(lines[3].ends_with("2.5 s ago, silent"), "{}", lines[3]);
        assert!(lines[4].ends_with("2.5 s ago, gone") && lines[4].contains(" - "), "{}", lines[4]);
    }
}
