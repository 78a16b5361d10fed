//! The model that answers: that of the countries that are named, or the only one that there is. Start at [`model_name`].

use tidewaiter_core::{Error, Result};
use tidewaiter_registry::{Registry, scope::Scope};

use crate::parameters::MODEL;

/// The name of the model of some countries, such as `KR` or `KR,TW`; without countries (empty) that of the archive's only
/// HS model with a champion.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for what is no country, and where there are several models to choose from;
/// [`tidewaiter_core::ErrorKind::NotFound`] where there is none.
pub(crate) async fn model_name(registry: &Registry, countries: &str) -> Result<String> {
    if !countries.is_empty() {
        return Ok(countries.parse::<Scope>()?.model(MODEL));
    }
    let mut names = Vec::new();
    for name in registry.archive().folders("models").await? {
        if name.starts_with(&format!("{MODEL}-")) && registry.champion(&name).await?.is_some() {
            names.push(name);
        }
    }
    match names.as_slice() {
        [name] => Ok(name.clone()),
        [] => Err(Error::not_found(
            "the archive has no HS model in use; train one with `tidewaiter retrain hs`, or promote a version",
        )),
        _ => Err(Error::input(format!(
            "the archive has the HS models {}; name the countries of one with --country, such as {}",
            names.join(", "),
            names[0].trim_start_matches(&format!("{MODEL}-")).replace('-', ",")
        ))),
    }
}
