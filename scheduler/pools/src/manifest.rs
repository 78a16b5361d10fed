//! The pod that is made: the pool's template with name, labels, owner and time limit.

use serde_json::{Value, json};

use crate::{
    pod::{ATTEMPT, JOB, NUMBER, POOL, TENANT},
    settings::{Owner, Pool, RELEASE, Settings},
};

/// The name of a pod: the same for the same release, pool, job, number and attempt.
pub fn name(release: &str, pool: &str, job: &str, number: usize, attempt: u32) -> String {
    let head: String = format!("{release}-{pool}").chars().take(36).collect();
    let head = head.trim_end_matches('-');
    // A job's id may have capitals, and be as long as a name.
    format!("{head}-{:08x}-{number}-{attempt}", fnv(job) as u32)
}

/// The pod of a pool for a job.
pub fn pod(
    settings: &Settings,
    owner: Option<&Owner>,
    (pool_name, pool): (&str, &Pool),
    job: &str,
    (number, attempt): (usize, u32),
) -> Value {
    let mut pod = pool.template.clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    let release = settings.release.as_str();
    let meta = &mut pod["metadata"];
    meta["name"] = json!(name(release, pool_name, job, number, attempt));
    meta["namespace"] = json!(settings.namespace);
    let labels = [
        (RELEASE, release.to_owned()),
        (POOL, pool_name.to_owned()),
        (JOB, label(job)),
        (TENANT, label(&settings.tenant)),
        (NUMBER, number.to_string()),
        (ATTEMPT, attempt.to_string()),
    ];
    for (key, value) in labels {
        meta["labels"][key] = json!(value);
    }
    meta["annotations"][JOB] = json!(job);
    if let Some(owner) = owner {
        meta["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "Deployment", "name": owner.name, "uid": owner.uid
        }]);
    }
    let spec = &mut pod["spec"];
    // One that ends is replaced by whoever knows whether it is wanted.
    spec["restartPolicy"] = json!("Never");
    spec["activeDeadlineSeconds"] = json!(pool.longest_seconds);
    pod
}

/// A text as the value of a label.
fn label(text: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let text: String =
        text.chars().map(|letter| if allowed(letter) { letter } else { '-' }).take(63).collect();
    text.trim_matches(|letter: char| !letter.is_ascii_alphanumeric()).to_owned()
}

/// The hash FNV-1a, of 64 bits.
fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::settings::Device;

    #[test]
    fn a_pod_is_the_template_with_name_labels_owner_and_limit() {
        let template = json!({
            "metadata": { "labels": { "app": "tidewaiter" } },
            "spec": { "containers": [{ "name": "executor", "image": "i" }], "restartPolicy": "Always" }
        });
        let pool =
            Pool { device: Device::Cpu, slots: 2, most: 3, idle_seconds: 1, longest_seconds: 600, template };
        let settings = Settings {
            release: "tidewaiter".to_owned(),
            namespace: "customs".to_owned(),
            tenant: "Kenya / KRA".to_owned(),
            owner: String::new(),
            most: 3,
            pools: BTreeMap::new(),
            api: None,
        };
        let owner = Owner { name: "tidewaiter-scheduler".to_owned(), uid: "u-1".to_owned() };
        let pod = pod(&settings, Some(&owner), ("cpu", &pool), "01JOB", (2, 1));
        let meta = &pod["metadata"];
        assert_eq!(meta["name"], name("tidewaiter", "cpu", "01JOB", 2, 1));
        assert_eq!(meta["labels"]["app"], "tidewaiter");
        assert_eq!(meta["labels"][TENANT], "Kenya---KRA");
        assert_eq!(meta["annotations"][JOB], "01JOB");
        assert_eq!(meta["ownerReferences"][0]["uid"], "u-1");
        assert_eq!(
            (&pod["spec"]["restartPolicy"], &pod["spec"]["activeDeadlineSeconds"]),
            (&json!("Never"), &json!(600))
        );
        assert_eq!(pod["spec"]["containers"][0]["image"], "i");
    }

    #[test]
    fn names_are_short_and_differ() {
        let long = name(&"r".repeat(40), &"p".repeat(40), &"J".repeat(64), 99_999, 99);
        assert!(long.len() <= 63, "{long}");
        let names = [
            name("r", "p", "a", 0, 0),
            name("r", "p", "b", 0, 0),
            name("r", "q", "a", 0, 0),
            name("r", "p", "a", 1, 0),
            name("r", "p", "a", 0, 1),
        ];
        let different: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert!(names.iter().all(|name| !name.chars().any(char::is_uppercase)));
    }
}
