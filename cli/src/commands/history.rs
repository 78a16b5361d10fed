//! What became of jobs: a line for each in a list, and all of one.

use serde_json::{Value, json};
use tidewaiter_job::{Outcome, summary::grouped};
use tidewaiter_proto::v1::{Job, JobStatus, Progress};

use super::{
    summary,
    times::{length, time},
};

/// Characters of an error that a line of a list has.
const ERROR_LENGTH: usize = 80;

/// Characters of a parameter that a job's page has.
const PARAMETER_LENGTH: usize = 100;

/// A status as it is written.
pub(super) fn status(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Unspecified => "damaged",
        JobStatus::Queued => "queued",
        JobStatus::Running => "running",
        JobStatus::Succeeded => "succeeded",
        JobStatus::Failed => "failed",
        JobStatus::Cancelled => "cancelled",
    }
}

/// How a job stands, as it is written.
fn standing(job: &Job) -> &'static str {
    match job.status() {
        JobStatus::Queued | JobStatus::Running if !job.waits_for.is_empty() => "waiting",
        standing => status(standing),
    }
}

/// A list of jobs, of which `older` were left out.
pub(super) fn list(jobs: &[Job], older: u32, now_ms: i64) -> Vec<String> {
    let line = |job: &str, kind: &str, status: &str, begin: &str, length: &str, what: &str| {
        format!("{job:<28} {kind:<14} {status:<10} {begin:<20} {length:<12} {what}").trim_end().to_owned()
    };
    let mut lines = vec![line("job", "kind", "status", "begin (UTC)", "length", "progress or error")];
    lines.extend(jobs.iter().map(|job| {
        let what = match job.error.lines().next() {
            Some(error) => shortened(error, ERROR_LENGTH),
            None if !job.waits_for.is_empty() => format!("waits for {}", job.waits_for),
            None => progress(job),
        };
        let (begin, length) = (time(job.begun_ms), length_of(job, now_ms));
        line(&job.job, &job.kind, standing(job), &begin, &length, &what)
    }));
    if older > 0 {
        lines.push(format!("and {} older; --limit 0 shows all", grouped(u64::from(older))));
    }
    lines
}

/// The document of a job in a list.
pub(super) fn list_document(job: &Job) -> Value {
    json!({
        "job": job.job, "kind": job.kind, "status": standing(job), "step": job.step,
        "waits_for": (!job.waits_for.is_empty()).then_some(&job.waits_for),
        "submitted_ms": job.submitted_ms, "begun_ms": known(job.begun_ms), "ended_ms": known(job.ended_ms),
        "progress": job.progress.as_ref().map(progress_document),
        "error": (!job.error.is_empty()).then_some(&job.error),
        "can_be_retried": job.can_be_retried,
    })
}

/// The document of a job.
pub(super) fn document(job: &Job) -> Value {
    let parse = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    let steps = job.steps.iter().map(|step| {
        json!({"name": step.name, "begun_ms": step.begun_ms, "ended_ms": known(step.ended_ms), "tries": step.tries})
    });
    let retries = job.retries.iter().map(|retry| {
        json!({"step": retry.step, "error": retry.error, "at_ms": retry.at_ms, "pause_ms": retry.pause_ms})
    });
    let notes =
        job.notes.iter().map(|note| json!({"step": note.step, "text": note.text, "at_ms": note.at_ms}));
    let mut document = list_document(job);
    document["steps"] = steps.collect();
    document["retries"] = retries.collect();
    document["notes"] = notes.collect();
    document["specification"] = parse(&job.specification);
    document["outcome"] = parse(&job.outcome);
    document
}

/// All of one job, for people: what happened, what came of it, what was asked.
pub(super) fn show(job: &Job, now_ms: i64) -> Vec<String> {
    let mut lines = vec![
        format!("job        {}", job.job),
        format!("kind       {}", job.kind),
        format!("status     {}", standing(job)),
        format!("submitted  {} UTC", time(job.submitted_ms)),
    ];
    if job.begun_ms > 0 {
        lines.push(format!("begun      {} UTC", time(job.begun_ms)));
    }
    if job.ended_ms > 0 {
        lines.push(format!("ended      {} UTC", time(job.ended_ms)));
    }
    lines.push(format!("length     {}", length_of(job, now_ms)));
    if !progress(job).is_empty() {
        lines.push(format!("progress   {}", progress(job)));
    }
    if !job.waits_for.is_empty() {
        lines.push(format!("waits for  {}", job.waits_for));
    }
    if !job.error.is_empty() {
        lines.push(format!("error      {}", job.error));
    }
    if job.can_be_retried {
        let id = &job.job;
        lines.push(format!(
            "           `tidewaiter jobs retry {id}` goes on from its last finished step; `jobs cancel {id}` gives it up"
        ));
    }
    steps(job, &mut lines);
    for retry in &job.retries {
        let pause = length(i64::try_from(retry.pause_ms).unwrap_or(i64::MAX));
        let step = under_way(&retry.step);
        lines.push(format!("retry      {} {step}, after {pause}: {}", time(retry.at_ms), retry.error));
    }
    for note in &job.notes {
        lines.push(format!("note       {} {}: {}", time(note.at_ms), under_way(&note.step), note.text));
    }
    if let Ok(outcome) = serde_json::from_str::<Outcome>(&job.outcome) {
        lines.push(String::new());
        lines.extend(summary::lines(&outcome));
    }
    if let Ok(Value::Object(parameters)) = serde_json::from_str::<Value>(&job.specification) {
        lines.push(String::new());
        lines.push("specification (--output json has the whole)".to_owned());
        lines.extend(
            parameters.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| {
                format!("  {name} = {}", shortened(&value.to_string(), PARAMETER_LENGTH))
            }),
        );
    }
    lines
}

/// The step in which something happened.
fn under_way(step: &str) -> &str {
    if step.is_empty() { "between steps" } else { step }
}

fn steps(job: &Job, lines: &mut Vec<String>) {
    if job.steps.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push(format!("{:<32} {:<20} {:<12} times begun", "step", "begin (UTC)", "length"));
    lines.extend(job.steps.iter().map(|step| {
        let length =
            if step.ended_ms > 0 { length(step.ended_ms - step.begun_ms) } else { "not finished".to_owned() };
        format!("{:<32} {:<20} {length:<12} {}", step.name, time(step.begun_ms), step.tries)
    }));
}

/// From a job's first step to its end, or to now.
fn length_of(job: &Job, now_ms: i64) -> String {
    match (job.begun_ms, job.ended_ms) {
        (0, _) => "-".to_owned(),
        (begun_ms, 0) => length(now_ms - begun_ms),
        (begun_ms, ended_ms) => length(ended_ms - begun_ms),
    }
}

/// How far a job is, as far as it is known.
fn progress(job: &Job) -> String {
    match &job.progress {
        Some(Progress { step, done, total: 0, unit, .. }) => format!("{step} {} {unit}", grouped(*done)),
        Some(Progress { step, done, total, unit, .. }) => {
            format!("{step} {}/{} {unit}", grouped(*done), grouped(*total))
        }
        None => job.step.clone(),
    }
}

fn progress_document(progress: &Progress) -> Value {
    json!({"step": progress.step, "done": progress.done, "total": progress.total, "unit": progress.unit,
           "note": progress.note})
}

fn known(ms: i64) -> Option<i64> {
    (ms > 0).then_some(ms)
}

/// The first so many characters of a text.
fn shortened(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tidewaiter_proto::v1::{JobNote, JobRetry, JobStep};

    use super::*;

    fn job() -> Job {
        Job {
            job: "01A".to_owned(),
            kind: "retrain".to_owned(),
            status: JobStatus::Running.into(),
            step: "fit".to_owned(),
            submitted_ms: 1_772_000_000_000,
            begun_ms: 1_772_000_000_000,
            specification: json!({"kind": "retrain", "seed": null, "trees": {"names": "x".repeat(300)}})
                .to_string(),
            progress: Some(Progress {
                step: "fit".to_owned(),
                done: 1200,
                total: 4000,
                unit: "trees".to_owned(),
                note: String::new(),
            }),
            steps: vec![JobStep {
                name: "fit".to_owned(),
                begun_ms: 1_772_000_000_000,
                ended_ms: 0,
                tries: 2,
            }],
            retries: vec![JobRetry {
                step: "fit".to_owned(),
                error: "the store cannot be reached".to_owned(),
                at_ms: 1_772_000_001_000,
                pause_ms: 2000,
            }],
            notes: vec![JobNote {
                step: "fit".to_owned(),
                text: "the executor cpu-one was lost".to_owned(),
                at_ms: 1_772_000_002_000,
            }],
            ..Job::default()
        }
    }

    #[test]
    fn a_list_has_begin_length_progress_and_error() {
        let failed = Job {
            status: JobStatus::Failed.into(),
            ended_ms: 1_772_000_065_000,
            error: format!("{} end", "ä".repeat(ERROR_LENGTH)),
            progress: None,
            ..job()
        };
        let lines = list(&[job(), failed], 3, 1_772_000_002_000);
        assert_eq!(lines.len(), 4);
        assert!(lines[1].contains("2026-02-25 06:13:20") && lines[1].contains("2.0 s"), "{}", lines[1]);
        assert!(lines[1].ends_with("fit 1,200/4,000 trees"), "{}", lines[1]);
        assert!(lines[2].contains("1 min 05 s") && lines[2].ends_with("ä…"), "{}", lines[2]);
        assert!(lines[3].contains("3 older"), "{}", lines[3]);
    }

    #[test]
    fn a_job_that_waits_says_what_for() {
        let waiting = Job { waits_for: "an executor: none is connected".to_owned(), ..job() };
        let lines = list(std::slice::from_ref(&waiting), 0, 1_772_000_002_000);
        assert!(
            lines[1].contains("waiting") && lines[1].ends_with("waits for an executor: none is connected")
        );
        let text = show(&waiting, 1_772_000_002_000).join("\n");
        assert!(text.contains("status     waiting") && text.contains("waits for  an executor"), "{text}");
        assert_eq!(document(&waiting)["waits_for"], "an executor: none is connected");
        assert_eq!(document(&job())["waits_for"], Value::Null);
        let ended = Job { status: JobStatus::Failed.into(), ..waiting };
        assert_eq!(standing(&ended), "failed");
    }

    #[test]
    fn a_job_shows_its_steps_retries_and_what_was_asked() {
        let text = show(&job(), 1_772_000_002_000).join("\n");
        for words in [
            "status     running",
            "not finished",
            "after 2.0 s: the store cannot",
            "note       2026-02-25 06:13:22 fit: the executor cpu-one was lost",
            "  kind = \"retrain\"",
        ] {
            assert!(text.contains(words), "{words:?} is missing in:\n{text}");
        }
        assert!(!text.contains("seed") && text.lines().all(|line| line.chars().count() < 120), "{text}");
        assert_eq!(document(&job())["notes"][0]["step"], "fit");
        assert_eq!(document(&job())["steps"][0]["tries"], 2);
        assert_eq!(document(&job())["ended_ms"], Value::Null);
    }
}
