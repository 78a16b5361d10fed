//! Re-identification: the raw identifiers of a pseudonym, by the key and for a written reason.
//!
//! The reason is on record before anything is shown, and what is shown goes to the terminal alone, not to a ledger. Start at
//! [`run`].

use clap::{ArgMatches, Args, Command, FromArgMatches as _};
use datafusion::prelude::{SessionContext, col, lit};
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;
use tidewaiter_archive::{Archive, Table, provider::snapshot_provider, table::Change};
use tidewaiter_core::{Error, Result, answers, plan::Meter};
use tidewaiter_job::{
    catalogue::{Answer, Surroundings},
    engine::{Engine as _, Local},
};

use super::{
    audit::{self, Entry},
    key::{self, Key},
};
use crate::table::{AUDIT, IDENTITIES, MESSAGES};

/// The fewest letters of a reason.
const REASON: usize = 12;

/// Identifiers that are shown at most.
const SHOWN: usize = 1000;

/// Whom to name, and why.
#[derive(Debug, Clone, Args)]
struct Options {
    /// A pseudonym (a column that ends in _key), or a traveller_id or booking_id.
    pseudonym: String,
    /// Why, in words: it is kept in passengers/audit.
    #[arg(long)]
    reason: String,
    /// Where the key of the pseudonyms is: a file, or env:NAME; default: env:TIDEWAITER_PASSENGERS_KEY.
    #[arg(long)]
    key: Option<String>,
}

/// Adds the command's help and options.
pub(crate) fn arguments(command: Command) -> Command {
    Options::augment_args(command)
        .about("Name whom a pseudonym stands for, by the key and for a written reason, which is kept")
        .long_about(None)
}

/// Runs the command. It reads the archive itself, whether or not there is a scheduler.
pub(crate) fn run(surroundings: Surroundings, matches: ArgMatches) -> BoxFuture<'static, Result<Answer>> {
    async move {
        let options = Options::from_arg_matches(&matches).map_err(|error| Error::input(error.to_string()))?;
        #[allow(clippy::disallowed_methods, reason = "the time of the record enters here")]
        let now_ms = chrono::Utc::now().timestamp_millis();
        reidentify(&surroundings.archive, &options, now_ms).await
    }
    .boxed()
}

/// Holds that a key is that of the archive's pseudonyms; one without messages has none.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for another key.
pub(super) async fn check_key(
    session: &SessionContext,
    archive: &Archive,
    fingerprint: &str,
    place: &str,
) -> Result<()> {
    Table::open_or_create(archive, MESSAGES.table, &(MESSAGES.schema)()).await?;
    let messages = session.read_table(snapshot_provider(archive, MESSAGES.table, None).await?)?;
    let first = answers::one_batch(messages.select_columns(&["key"])?.limit(0, Some(1))?).await?;
    if first.num_rows() > 0 && answers::text(&first, "key", 0)?.as_deref() != Some(fingerprint) {
        return Err(Error::input(format!(
            "the key in {place} is not that of the archive's pseudonyms; give the same"
        )));
    }
    Ok(())
}

async fn reidentify(archive: &Archive, options: &Options, now_ms: i64) -> Result<Answer> {
    let reason = options.reason.trim();
    if reason.chars().filter(|letter| letter.is_alphabetic()).count() < REASON {
        return Err(Error::input(format!(
            "{reason:?} is no reason that others understand; write a sentence"
        )));
    }
    let place = options.key.as_deref().unwrap_or(key::DEFAULT);
    let key = Key::read(place)?;
    let session = Local::new(1, 256 << 20)?.session("reidentify", Meter::new(|_| ()))?;
    check_key(&session, archive, key.fingerprint(), place).await?;
    let rows = session.read_table(snapshot_provider(archive, IDENTITIES.table, None).await?)?;
    let asked = || lit(options.pseudonym.as_str());
    let wanted = col("key").eq(asked()).or(col("owner_id").eq(asked()));
    let columns = ["kind", "value", "given", "birth", "sealed", "country"];
    let rows = rows.filter(wanted)?.select_columns(&columns)?.distinct()?.limit(0, Some(SHOWN))?;
    let found = answers::one_batch(rows).await?;
    if found.num_rows() == 0 {
        return Err(Error::not_found(format!("nobody has the pseudonym {}", options.pseudonym)));
    }
    let country = answers::text(&found, "country", 0)?.unwrap_or_default();
    record(archive, options, reason, &country, found.num_rows() as u64, now_ms).await?;
    let mut shown: Vec<[String; 4]> = Vec::new();
    for row in answers::rows(&found) {
        let text = |name: &str| answers::text(&found, name, row);
        let kind = text("kind")?.unwrap_or_default();
        let [value, given, birth] = match text("sealed")? {
            Some(sealed) => serde_json::from_str(&key.open(&sealed)?)?,
            None => [text("value")?, text("given")?, text("birth")?],
        };
        shown.push([kind, value.unwrap_or_default(), given.unwrap_or_default(), birth.unwrap_or_default()]);
    }
    shown.sort();
    shown.dedup();
    let lines = shown.iter().map(|parts| {
        let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        parts.join("  ")
    });
    let document = shown.iter().map(
        |[kind, value, given, birth]| json!({ "kind": kind, "value": value, "given": given, "birth": birth }),
    );
    Ok(Answer {
        lines: lines.collect(),
        document: document.collect(),
        remarks: vec![format!("the reason is kept in {}", AUDIT.table)],
    })
}

async fn record(
    archive: &Archive,
    options: &Options,
    reason: &str,
    country: &str,
    rows: u64,
    now_ms: i64,
) -> Result<()> {
    let name = format!("reidentify-{now_ms}");
    let entry = Entry {
        action: "reidentify",
        job: &name,
        reason,
        cutoff: None,
        table: IDENTITIES.table,
        rows,
        key: &options.pseudonym,
    };
    let table = Table::open_or_create(archive, AUDIT.table, &(AUDIT.schema)()).await?;
    let adds =
        audit::write(archive, &[entry], country, &format!("{name}-{}", short(&options.pseudonym)), now_ms)
            .await?;
    let operation = "passengers reidentify".to_owned();
    table.change(&Change { adds, operation, changes_rows: true, ..Change::default() }).await?;
    Ok(())
}

/// A text as a part of a file's name.
fn short(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).take(16).collect()
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Names whom a pseudonym stands for.
    pub(in crate::privacy) async fn named(
        archive: &Archive,
        pseudonym: &str,
        reason: &str,
        key: &str,
    ) -> Result<Vec<String>> {
        let options =
            Options { pseudonym: pseudonym.to_owned(), reason: reason.to_owned(), key: Some(key.to_owned()) };
        Ok(reidentify(archive, &options, 1_700_000_000_000).await?.lines)
    }
}
