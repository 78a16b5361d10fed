//! Publishes a job's model, and promotes it to champion if it is better.
//!
//! Each function may be repeated: a job that is resumed finds the version that it published, is compared with the
//! champion before it and not with itself, and promotes its version once. Start at [`publish`].

use tidewaiter_core::{ErrorKind, Period, Result};

use crate::{Champion, Manifest, Publication, Registry, Which};

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

/// Publishes a job's model once, copies its card to the reports, and promotes it if it `is_better` than `champion`, the
/// one with which it was compared. It is not promoted if another job promoted a model since that comparison.
///
/// # Errors
/// As [`Registry::publish`], [`Registry::of_job`] and [`Registry::load`].
pub async fn publish(
    registry: &Registry,
    name: &str,
    publication: Publication,
    champion: Option<&Champion>,
    is_better: bool,
) -> Result<Published> {
    let manifest = match registry.of_job(name, &publication.facts.job).await? {
        Some(published) => published,
        None => registry.publish(name, publication).await?,
    };
    let sequence = champion.map_or(0, |champion| champion.sequence);
    let promoted = is_better && promote(registry, name, manifest.version, sequence).await?;
    let champion = registry.champion(name).await?.map(|champion| champion.version);
    let overtaken_by = champion.filter(|champion| is_better && *champion != manifest.version);
    let report = format!("reports/{name}-{}.html", manifest.version);
    if let Some(card) = registry.load(name, Which::Version(manifest.version)).await?.card {
        registry.archive().put(&report, card).await?;
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
