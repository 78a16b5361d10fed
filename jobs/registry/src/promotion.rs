//! Publishes a job's model, and promotes it to champion if it is better.
//!
//! Each function may be repeated: a job that is resumed finds the version that it published, is compared with the
//! champion before it and not with itself, and promotes its version once. Start at [`standing`] and [`publish`].

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tidewaiter_core::{Error, ErrorKind, Period, Result, ResultExt, threads::on_cpu};

use crate::{Champion, Manifest, Promotion, Publication, Registry, Which, comparison::Against};

/// What a retrain meets in the registry; `C` is what it needs of a champion to evaluate it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing<C> {
    /// The champion of the same name before this job.
    pub champion: Option<Champion>,
    /// The champion, where the new model is compared with it.
    pub compared: Option<C>,
    /// How often the test months were looked at, this time included: see [`looks`].
    pub looks: u64,
}

/// A retrain that asks how its model stands.
#[derive(Debug, Clone)]
pub struct Retrain {
    /// The name of its model.
    pub name: String,
    /// The id of the job.
    pub job: String,
    /// What the new model must beat.
    pub against: Against,
    /// Its test months.
    pub test: Period,
}

/// Reads the champion of a retrain's model and checks its bytes and, if the new model is compared with it, that it did
/// not learn from the test months. `of_champion` gets how it was trained (the configuration in its manifest) and the path
/// of its bytes, and gives its training and validation months and what is needed to evaluate it.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] when it learned from the test months; [`tidewaiter_core::ErrorKind::Corrupt`] when
/// it is damaged; those of `of_champion`.
pub async fn standing<P: DeserializeOwned, C>(
    registry: &Registry,
    retrain: &Retrain,
    of_champion: impl FnOnce(P, String) -> Result<([Period; 2], C)>,
) -> Result<Standing<C>> {
    let Retrain { name, job, against, test } = retrain;
    let looks = looks(registry, name, job, test).await?;
    let champion = champion_before(registry, name, job).await?;
    let compared = match (&champion, against) {
        (Some(champion), Against::Champion) => {
            // Loading checks the champion's bytes before anything is promoted over it.
            let loaded = registry.load(name, Which::Version(champion.version)).await?;
            let of = format!("{name}@{}", champion.version);
            let path = registry.model_path(name, champion.version);
            let (learned, compared) = of_champion(trained(loaded.manifest.facts.config, &of)?, path)?;
            check_fairness(&of, learned, test)?;
            Some(compared)
        }
        _ => None,
    };
    Ok(Standing { champion, compared, looks })
}

/// How a model (`fraud-KR@3`) was trained, by the configuration in its manifest.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Corrupt`] when this version does not know its parameters.
pub fn trained<P: DeserializeOwned>(config: Value, model: &str) -> Result<P> {
    serde_json::from_value(config).context(|| {
        format!("read how {model} was trained; retrain with --compare nothing and promote the new version")
    })
}

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
