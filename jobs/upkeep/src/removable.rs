//! Which objects of an archive may be deleted: a function of what is there, what the tables' logs name, and which jobs
//! are open.
//!
//! An object is kept when anything still reads it or may read it: the newest snapshot of its table, a snapshot that was
//! the newest within the given age or since the oldest open job began, a snapshot that is pinned, a job that is open, a
//! group of commits that is under way. It is also kept while it is younger than the given age. Of a job that ran in the
//! process of its command nobody knows for certain whether that process lives; it counts as open until it has written
//! nothing, its lease included, for a day and the given age.
//!
//! What is absent: anything but data files, uploads and work folders. Start at [`removable`].

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

/// The least time for which a job of a command's process is silent before it counts as dead.
const SILENCE_MS: i64 = 24 * 60 * 60 * 1000;

/// An object of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its path in the archive.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was written: milliseconds since 1970-01-01 UTC, by the store's clock.
    pub modified_ms: i64,
}

/// When a data file was part of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// The first version that has it.
    pub added: u64,
    /// The first version that no longer has it, and when that was committed; `None`: the newest one has it.
    pub removed: Option<(u64, i64)>,
}

/// A job whose end the archive does not know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenJob {
    /// Its id.
    pub id: String,
    /// When it wrote first, and last: milliseconds since 1970-01-01 UTC.
    pub begun_ms: i64,
    /// When it wrote last.
    pub last_ms: i64,
    /// Whether it runs in the process of its command.
    pub is_embedded: bool,
}

/// What there is in an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The objects.
    pub objects: Vec<Object>,
    /// Parts of objects whose upload has neither been finished nor given up.
    pub uploads: Vec<Object>,
    /// The tables, by their folders.
    pub tables: BTreeMap<String, Files>,
    /// Names of data files that belong to groups of commits that are under way.
    pub claimed: HashSet<String>,
    /// The open jobs.
    pub jobs: Vec<OpenJob>,
}

/// The data files that the log of a table names, and the versions that must stay readable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// The files, by their paths in the table's folder.
    pub lifetimes: HashMap<String, Lifetime>,
    /// Versions that must stay readable, whatever their age.
    pub pinned: Vec<u64>,
}

/// Why an object may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A data file that newer ones have replaced.
    Replaced,
    /// A data file that no commit names: of an attempt that failed.
    Orphan,
    /// A part of an upload that was never finished.
    Upload,
    /// In the work folder of a job that has ended.
    Work,
}

impl Reason {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Replaced => "replaced data files",
            Self::Orphan => "data files of failed attempts",
            Self::Upload => "unfinished uploads",
            Self::Work => "files of ended jobs",
        }
    }
}

/// An object that may be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Its path in the archive.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Why.
    pub reason: Reason,
}

/// The objects that may be deleted, in the order of their paths. Ages count from `now_ms`, which is in milliseconds since
/// 1970-01-01 UTC; what is younger than `age_ms` stays.
pub fn removable(facts: &Facts, now_ms: i64, age_ms: i64) -> Vec<Removal> {
    let alive: Vec<&OpenJob> = facts.jobs.iter().filter(|job| is_alive(job, now_ms, age_ms)).collect();
    let old = now_ms.saturating_sub(age_ms);
    // Whoever began before a file was replaced may still read it.
    let horizon = alive.iter().map(|job| job.begun_ms).fold(old, i64::min);
    let of_alive = |name: &str| alive.iter().any(|job| name.starts_with(job.id.as_str()));
    let reason = |object: &Object| {
        if object.modified_ms > old {
            return None;
        }
        if let Some(rest) = object.path.strip_prefix("work/") {
            return (!of_alive(rest)).then_some(Reason::Work);
        }
        let (files, path) = data_file(facts, &object.path)?;
        let name = path.rsplit('/').next()?;
        match files.lifetimes.get(path) {
            Some(Lifetime { removed: None, .. }) => None,
            Some(Lifetime { added, removed: Some((version, at_ms)) }) => {
                let is_pinned = files.pinned.iter().any(|pinned| (*added..*version).contains(pinned));
                (!is_pinned && *at_ms <= horizon).then_some(Reason::Replaced)
            }
            None => (!of_alive(name) && !facts.claimed.contains(name)).then_some(Reason::Orphan),
        }
    };
    let objects = facts.objects.iter().filter_map(|object| Some((object, reason(object)?)));
    let is_abandoned = |upload: &&Object| {
        let name = upload.path.rsplit('/').next().unwrap_or_default();
        upload.modified_ms <= old && !of_alive(name)
    };
    let uploads = facts.uploads.iter().filter(is_abandoned).map(|upload| (upload, Reason::Upload));
    let mut removals: Vec<Removal> = objects
        .chain(uploads)
        .map(|(object, reason)| Removal { path: object.path.clone(), bytes: object.bytes, reason })
        .collect();
    removals.sort_by(|a, b| a.path.cmp(&b.path));
    removals
}

fn is_alive(job: &OpenJob, now_ms: i64, age_ms: i64) -> bool {
    !job.is_embedded || now_ms.saturating_sub(job.last_ms) <= age_ms.max(SILENCE_MS)
}

/// The table of a data file and its path there; `None` for any other object.
fn data_file<'a>(facts: &'a Facts, path: &'a str) -> Option<(&'a Files, &'a str)> {
    let (table, _) = path.split_once("/country=")?;
    let files = facts.tables.get(table)?;
    path.ends_with(".parquet").then(|| (files, &path[table.len() + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = SILENCE_MS;
    const NOW: i64 = 1000 * DAY;

    fn object(path: &str, days_ago: i64) -> Object {
        Object { path: path.to_owned(), bytes: 1, modified_ms: NOW - days_ago * DAY }
    }

    fn job(id: &str, begun: i64, last: i64, is_embedded: bool) -> OpenJob {
        OpenJob { id: id.to_owned(), begun_ms: NOW - begun * DAY, last_ms: NOW - last * DAY, is_embedded }
    }

    fn paths(facts: &Facts, days: i64) -> Vec<(String, Reason)> {
        removable(facts, NOW, days * DAY).into_iter().map(|removal| (removal.path, removal.reason)).collect()
    }

    #[test]
    fn what_is_read_stays_and_the_rest_goes() {
        let month = "declarations/country=KR/year=2020/month=1";
        let file = |name: &str| format!("country=KR/year=2020/month=1/{name}");
        let removed = |days: i64| Some((5, NOW - days * DAY));
        let lifetimes = HashMap::from([
            (file("live.parquet"), Lifetime { added: 1, removed: None }),
            (file("replaced.parquet"), Lifetime { added: 2, removed: removed(20) }),
            (file("pinned.parquet"), Lifetime { added: 1, removed: removed(20) }),
            (file("fresh.parquet"), Lifetime { added: 2, removed: removed(3) }),
        ]);
        let mut facts = Facts {
            tables: BTreeMap::from([("declarations".to_owned(), Files { lifetimes, pinned: vec![1] })]),
            ..Facts::default()
        };
        let names = ["live", "replaced", "pinned", "fresh", "dead-0", "running-0", "crashed-0", "grouped-0"];
        facts.objects = names.iter().map(|name| object(&format!("{month}/{name}.parquet"), 30)).collect();
        facts.objects.extend([
            object(&format!("{month}/dead-1.parquet"), 2),
            object("work/dead/part-0.parquet", 30),
            object("work/running/part-0.parquet", 30),
            object("work/dead/part-1.parquet", 1),
            object("declarations/_delta_log/00000000000000000001.json", 30),
            object("quarantine/dead/a.parquet", 30),
            object("reports/old.html", 300),
            object("models/fraud/1/model.bin", 300),
        ]);
        facts.uploads = vec![
            object(&format!("{month}/dead-2.parquet#1"), 30),
            object(&format!("{month}/running-2.parquet#1"), 30),
        ];
        facts.claimed = HashSet::from(["grouped-0.parquet".to_owned()]);
        facts.jobs = vec![job("running", 10, 10, false), job("crashed", 30, 29, true)];
        let expected = |names: &[(&str, Reason)]| -> Vec<(String, Reason)> {
            let mut all: Vec<_> =
                names.iter().map(|(name, reason)| (name.replace('@', month), *reason)).collect();
            all.sort();
            all
        };
        use Reason::{Orphan, Replaced, Upload, Work};
        let gone = [
            ("@/crashed-0.parquet", Orphan),
            ("@/dead-0.parquet", Orphan),
            ("@/dead-2.parquet#1", Upload),
            ("@/replaced.parquet", Replaced),
            ("work/dead/part-0.parquet", Work),
        ];
        assert_eq!(paths(&facts, 7), expected(&gone));
        // A job that began before the replacement may read what was replaced.
        facts.jobs[0] = job("running", 21, 0, false);
        assert!(!paths(&facts, 7).iter().any(|(_, reason)| *reason == Replaced));
        // A command's process that was silent for less than a day may live, whatever the age.
        facts.jobs = vec![job("crashed", 30, 1, true)];
        assert!(!paths(&facts, 0).iter().any(|(path, _)| path.contains("crashed")));
    }

    fn any_facts() -> impl Strategy<Value = Facts> {
        let name = prop::sample::select(vec!["a-0", "a-1", "b-0", "c-0", "d-0", "e-7"]);
        let objects = prop::collection::vec((0_u8..3, name.clone(), 0_i64..20), 0..20);
        let lifetimes =
            prop::collection::vec((name.clone(), 0_u64..5, prop::option::of((0_u64..5, 0_i64..20))), 0..10);
        let jobs = prop::collection::vec(
            (prop::sample::select(vec!["a", "b", "c"]), 0_i64..20, 0_i64..20, any::<bool>()),
            0..4,
        );
        let claimed = prop::collection::hash_set(name.prop_map(|name| format!("{name}.parquet")), 0..2);
        let pinned = prop::collection::vec(0_u64..5, 0..2);
        (objects, lifetimes, jobs, claimed, pinned).prop_map(|(objects, lifetimes, jobs, claimed, pinned)| {
            let path = |name: &str| format!("country=KR/year=2020/month=1/{name}.parquet");
            let lifetime = |removed: Option<(u64, i64)>, added: u64| Lifetime {
                added,
                removed: removed.map(|(after, days)| (added + 1 + after, NOW - days * DAY)),
            };
            let lifetimes =
                lifetimes.into_iter().map(|(name, added, removed)| (path(name), lifetime(removed, added)));
            let files = Files { lifetimes: lifetimes.collect(), pinned };
            let (mut all, mut uploads) = (Vec::new(), Vec::new());
            for (kind, name, days) in objects {
                match kind {
                    0 => all.push(object(&format!("t/{}", path(name)), days)),
                    1 => all.push(object(&format!("work/{name}.parquet"), days)),
                    _ => uploads.push(object(&format!("t/{}#1", path(name)), days)),
                }
            }
            let jobs =
                jobs.into_iter().map(|(id, begun, last, embedded)| job(id, begun.max(last), last, embedded));
            Facts {
                objects: all,
                uploads,
                tables: BTreeMap::from([("t".to_owned(), files)]),
                claimed,
                jobs: jobs.collect(),
            }
        })
    }

    proptest! {
        #[test]
        fn nothing_goes_that_a_snapshot_or_a_job_may_read(facts in any_facts(), days in 0_i64..15) {
            let removals = removable(&facts, NOW, days * DAY);
            let alive: Vec<_> = facts.jobs.iter().filter(|job| is_alive(job, NOW, days * DAY)).collect();
            for removal in &removals {
                let objects = facts.objects.iter().chain(&facts.uploads);
                let found = objects.filter(|object| object.path == removal.path).map(|object| object.modified_ms);
                prop_assert!(found.min().is_some_and(|modified| modified <= NOW - days * DAY));
                let name = removal.path.rsplit('/').next().unwrap_or_default();
                let named = facts.tables["t"].lifetimes.get(removal.path.trim_start_matches("t/"));
                if let Some(lifetime) = named {
                    let (version, at_ms) = lifetime.removed.expect("the newest snapshot reads it");
                    prop_assert!(at_ms <= NOW - days * DAY);
                    prop_assert!(alive.iter().all(|job| job.begun_ms >= at_ms), "an open job may read it");
                    let pinned = &facts.tables["t"].pinned;
                    prop_assert!(pinned.iter().all(|pinned| *pinned < lifetime.added || *pinned >= version));
                } else {
                    prop_assert!(alive.iter().all(|job| !name.starts_with(&job.id)));
                    prop_assert!(removal.reason != Reason::Orphan || !facts.claimed.contains(name));
                }
            }
            // Without jobs, pins and groups, everything goes that is old enough and that the newest snapshot lacks.
            let mut quiet = facts.clone();
            (quiet.jobs, quiet.claimed) = (Vec::new(), HashSet::new());
            quiet.tables.get_mut("t").expect("there").pinned.clear();
            let gone: HashSet<_> = removable(&quiet, NOW, 0).into_iter().map(|removal| removal.path).collect();
            for object in quiet.objects.iter().chain(&quiet.uploads) {
                let named = quiet.tables["t"].lifetimes.get(object.path.trim_start_matches("t/"));
                let is_live = named.is_some_and(|lifetime| lifetime.removed.is_none());
                prop_assert_eq!(gone.contains(&object.path), !is_live);
            }
            prop_assert!(removals.iter().all(|removal| gone.contains(&removal.path)));
        }
    }
}
