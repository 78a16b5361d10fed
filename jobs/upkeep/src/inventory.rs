//! What there is in an archive, for [`crate::removable`]: read in an order in which nothing is missed.
//!
//! Objects are listed first, then jobs, then the tables' logs. An object of the list was written by a job that is open
//! when the jobs are read, or has ended and made its commits by then. What is written later is not in the list. Start at
//! [`facts`].

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use tidewaiter_archive::{
    Archive, Table,
    table::{LoggedCommit, list_tables},
};
use tidewaiter_core::{ErrorKind, Result};
use tidewaiter_registry::Registry;

use crate::removable::{Facts, Files, Lifetime, Object, OpenJob};

/// The folders of the jobs that a scheduler runs, and of those in the process of their command, as long as they are
/// open: one folder for each job, and in a folder beside it one object for each that has ended.
const LEDGERS: [(&str, bool); 2] = [("ledger", false), ("ledger-embedded", true)];

/// The folder of leases, which a process that runs a job renews while it lives: one folder for each job.
const LEASES: &str = "leases";

/// The folder of the markers of groups of commits that are under way.
const MARKERS: &str = "commits";

/// The folder of work folders.
const WORK: &str = "work";

/// Tables and markers that are read at the same time.
const REQUESTS: usize = 4;

/// What there is in an archive.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when a table's log or a model's manifest is damaged; those of the store.
pub async fn facts(archive: &Archive) -> Result<Facts> {
    let tables = list_tables(archive).await?;
    let (mut objects, mut uploads) = (Vec::new(), Vec::new());
    for folder in tables.iter().map(String::as_str).chain([WORK]) {
        objects.extend(objects_in(archive, folder).await?);
        let unfinished = archive.unfinished_uploads(folder).await?.into_iter();
        uploads.extend(unfinished.map(|upload| Object {
            path: upload.path,
            bytes: upload.bytes,
            modified_ms: upload.modified_ms,
        }));
    }
    let mut jobs: Vec<OpenJob> = Vec::new();
    for (folder, is_embedded) in LEDGERS {
        let objects = objects_in(archive, folder).await?;
        // Of a job that ended just now the folder may be there still.
        let ended = objects_in(archive, &format!("{folder}-ended")).await?;
        let ended: HashSet<&str> = ended.iter().filter_map(|object| name_of(&object.path)).collect();
        let open = open_jobs(&objects, folder, is_embedded).into_iter();
        jobs.extend(open.filter(|job| !ended.contains(job.id.as_str())));
    }
    let alive = open_jobs(&objects_in(archive, LEASES).await?, LEASES, true);
    for job in &mut jobs {
        let renewed = alive.iter().filter(|lease| lease.id == job.id).map(|lease| lease.last_ms);
        job.last_ms = renewed.fold(job.last_ms, i64::max);
    }
    let claimed = claimed(archive).await?;
    let pins = pins(archive).await?;
    let read = tables.into_iter().map(|table| {
        let pinned = pins.get(&table).cloned().unwrap_or_default();
        async move {
            let commits = Table::open(archive, &table).await?.commits().await?;
            Ok::<_, tidewaiter_core::Error>((table, Files { lifetimes: lifetimes(&commits), pinned }))
        }
    });
    let read: Vec<_> = read.collect();
    let tables: BTreeMap<_, _> = stream::iter(read).buffered(REQUESTS).try_collect().await?;
    Ok(Facts { objects, uploads, tables, claimed, jobs })
}

async fn objects_in(archive: &Archive, folder: &str) -> Result<Vec<Object>> {
    let listed = archive.list(folder).await?;
    let object = |meta: &object_store::ObjectMeta| {
        let path = archive.relative(&meta.location)?;
        Some(Object { path, bytes: meta.size, modified_ms: meta.last_modified.timestamp_millis() })
    };
    Ok(listed.iter().filter_map(object).collect())
}

/// The name of a JSON object, without its folder and its ending.
fn name_of(path: &str) -> Option<&str> {
    path.rsplit('/').next()?.strip_suffix(".json")
}

/// The open jobs, by the objects of their folders.
fn open_jobs(objects: &[Object], folder: &str, is_embedded: bool) -> Vec<OpenJob> {
    let mut jobs: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for object in objects {
        let inside = object.path.strip_prefix(folder).and_then(|path| path.strip_prefix('/'));
        if let Some((id, _)) = inside.and_then(|path| path.split_once('/')) {
            let times = jobs.entry(id).or_insert((object.modified_ms, object.modified_ms));
            *times = (times.0.min(object.modified_ms), times.1.max(object.modified_ms));
        }
    }
    let job =
        |(id, (begun_ms, last_ms)): (&str, _)| OpenJob { id: id.to_owned(), begun_ms, last_ms, is_embedded };
    jobs.into_iter().map(job).collect()
}

/// The names of the data files of which the markers of groups of commits speak.
async fn claimed(archive: &Archive) -> Result<HashSet<String>> {
    let mut claimed = HashSet::new();
    for marker in objects_in(archive, MARKERS).await? {
        match archive.get(&marker.path).await {
            Ok(text) => names(&serde_json::from_slice(&text)?, &mut claimed),
            // Its group is whole meanwhile, and the tables' logs name its files.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(claimed)
}

/// The last parts of all paths of Parquet files in a document.
fn names(document: &Value, found: &mut HashSet<String>) {
    match document {
        Value::String(path) if path.ends_with(".parquet") => {
            found.extend(path.rsplit('/').next().map(str::to_owned));
        }
        Value::Array(parts) => parts.iter().for_each(|part| names(part, found)),
        Value::Object(fields) => fields.values().for_each(|field| names(field, found)),
        _ => {}
    }
}

/// The snapshots, by table, on which the champions were trained.
async fn pins(archive: &Archive) -> Result<HashMap<String, Vec<u64>>> {
    let registry = Registry::new(archive);
    let manifests = registry.list(None).await?;
    let names: HashSet<&str> = manifests.iter().map(|manifest| manifest.name.as_str()).collect();
    let mut pins: HashMap<String, Vec<u64>> = HashMap::new();
    for name in names {
        let champion = registry.champion(name).await?.map(|champion| champion.version);
        let trained = manifests.iter().filter(|manifest| manifest.name == name);
        let snapshots = trained.filter(|manifest| Some(manifest.version) == champion);
        for snapshot in snapshots.filter_map(|manifest| manifest.facts.snapshot.as_ref()) {
            pins.entry(snapshot.table.clone()).or_default().push(snapshot.version);
        }
    }
    Ok(pins)
}

/// When each data file was part of the table.
fn lifetimes(commits: &[LoggedCommit]) -> HashMap<String, Lifetime> {
    let mut lifetimes = HashMap::new();
    for commit in commits {
        for path in &commit.removes {
            if let Some(Lifetime { removed, .. }) = lifetimes.get_mut(path) {
                *removed = Some((commit.version, commit.committed_ms));
            }
        }
        for file in &commit.adds {
            // One that was removed and comes back counts from its first version on.
            lifetimes
                .entry(file.path.clone())
                .and_modify(|lifetime: &mut Lifetime| lifetime.removed = None)
                .or_insert(Lifetime { added: commit.version, removed: None });
        }
    }
    lifetimes
}
