//! Publishes a job's model, and promotes it to champion if it is better.
//!
//! Each function may be repeated: a job that is resumed finds the version that it published, is compared with the
//! champion before it and not with itself, and promotes its version once. Start at [`publish`].

use std::sync::Arc;

use tidewaiter_core::{Error, ErrorKind, Period, Result, threads::on_cpu};

use crate::{Champion, Manifest, Promotion, Publication, Registry};

/// The champion with which a job's model is compared: when the step is repeated and the job's own model is champion by
/// now, the one before it. `None` when there is none.
///
/// # Errors
/// As [`Registry::champion`] and [`Registry::of_job`].
pub async fn champion_before(registry: &Registry, name: &str, job: &str) -> Result<Option<Champion>> {
    let Some(champion) = registry.champion(name).await? else { return Ok(None) };
    let own = registry.of_job(name, job).await?.is_some_and(|own| own.version == champion.version);
    if !own {
        return Ok(Some(champion));
    }
    registry.champion_before(name, champion.sequence).await
}

/// How often test months were looked at: the versions of a model, of other jobs than this one, whose test months (`test`
/// in their configuration) share a month with these, and this job's own look. Months that are looked at often choose
/// models by their chance, so that their figures become too good.
///
/// # Errors
/// As [`Registry::of_job`].
pub async fn looks(registry: &Registry, name: &str, job: &str, test: &Period) -> Result<u64> {
    let manifests = registry.list(Some(name)).await?;
    let others = manifests.iter().filter(|manifest| manifest.facts.job != job);
    let periods = others.filter_map(|manifest| manifest.facts.config.get("test")?.as_str()?.parse().ok());
    let overlaps = |period: &Period| !(period.is_before(test) || test.is_before(period));
    Ok(1 + periods.filter(overlaps).count() as u64)
}

/// Checks that a champion learned (trained and validated) from months before the test months only: else its figures there
/// would not be those of new months.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`], naming the champion (`name`) and the months.
pub fn check_fairness(name: &str, learned: [Period; 2], test: &Period) -> Result<()> {
    match learned.iter().find(|period| !period.is_before(test)) {
        None => Ok(()),
        Some(period) => Err(Error::input(format!(
            "the champion {name} learned from {period}, which is not before the test months {test}: its figures there \
             would not be those of new months; choose later test months, or --compare nothing and promote by hand"
        ))),
    }
}

/// What became of a job's model.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its manifest.
    pub manifest: Manifest,
    /// Whether it was made the champion.
    pub promoted: bool,
    /// The version that is the champion instead, though this one was better than the champion with which it was
    /// compared: another job or a user promoted it since.
    pub overtaken_by: Option<u64>,
    /// Path of its report in the archive.
    pub report: String,
}

/// Publishes a job's model once, promotes it if it `is_better` than `champion`, the one with which it was compared, and
/// writes its card, which then says what became of the promotion, to the reports. The model is not promoted if another
/// job promoted one since that comparison.
///
/// # Errors
/// As [`Registry::publish`] and [`Registry::of_job`].
pub async fn publish(
    registry: &Registry,
    name: &str,
    publication: Publication,
    champion: Option<&Champion>,
    is_better: bool,
) -> Result<Published> {
    let card = publication.card.clone();
    let manifest = match registry.of_job(name, &publication.facts.job).await? {
        Some(published) => published,
        None => registry.publish(name, publication).await?,
    };
    let sequence = champion.map_or(0, |champion| champion.sequence);
    let promoted = is_better && promote(registry, name, manifest.version, sequence).await?;
    let champion = registry.champion(name).await?.map(|champion| champion.version);
    let overtaken_by = champion.filter(|champion| is_better && *champion != manifest.version);
    let report = format!("reports/{name}-{}.html", manifest.version);
    if let Some(card) = card {
        let promotion = match (overtaken_by, is_better) {
            (Some(version), _) => Promotion::OvertakenBy(version),
            (None, true) => Promotion::Champion,
            (None, false) => Promotion::NotBetter,
        };
        let (card, version) = (Arc::clone(&card), manifest.version);
        registry.archive().put(&report, on_cpu(move || card(version, promotion)).await?).await?;
    }
    Ok(Published { manifest, promoted, overtaken_by, report })
}

/// Makes a version the champion and says whether it was made so; `false` when another version was promoted since the
/// promotion with the number `sequence`.
async fn promote(registry: &Registry, name: &str, version: u64, sequence: u64) -> Result<bool> {
    if registry.champion(name).await?.is_some_and(|champion| champion.version == version) {
        return Ok(true);
    }
    match registry.promote(name, version, sequence).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
        Err(error) => Err(error),
    }
}
