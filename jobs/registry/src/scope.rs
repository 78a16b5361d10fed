//! The scope of a model: the country, or the set of countries, that it was trained for.
//!
//! Models of different scopes are different models: the scope is part of the name in the registry (`fraud-KR`, and
//! `fraud-KR-TW` for a regional model), so that each has versions and a champion of its own and is never compared with
//! another. Start at [`Scope::model`].

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};

/// One reporting country or several, ISO 3166-1 alpha-2, as users write them: `KR`, or `KR,TW`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope {
    /// In ascending order, each once; at least one.
    countries: Vec<String>,
}

impl Scope {
    /// The countries, in ascending order.
    pub fn countries(&self) -> &[String] {
        &self.countries
    }

    /// Whether models of this scope are for a country.
    pub fn contains(&self, country: &str) -> bool {
        self.countries.iter().any(|own| own == country)
    }

    /// The countries of the model that is applied to a country: those named, or that country alone.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when `country` is none, or not among those named.
    pub fn applied_to(country: &str, named: Option<&Self>) -> Result<Self> {
        let Some(scope) = named else { return country.parse() };
        if scope.contains(country) {
            return Ok(scope.clone());
        }
        Err(Error::input(format!(
            "the model of {scope} is not for {country}; name a --scope with it, or none for its own model"
        )))
    }

    /// The name in the registry of a kind of model of this scope: `fraud-KR-TW`.
    pub fn model(&self, kind: &str) -> String {
        format!("{kind}-{}", self.countries.join("-"))
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut countries: Vec<String> = text.split(',').map(|country| country.trim().to_owned()).collect();
        let is_country =
            |country: &String| country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        if let Some(wrong) = countries.iter().find(|country| !is_country(country)) {
            return Err(Error::input(format!(
                "{wrong:?} is not a country; write two capital letters (ISO 3166-1 alpha-2), such as KR, or several as \
                 KR,TW"
            )));
        }
        countries.sort_unstable();
        countries.dedup();
        Ok(Self { countries })
    }
}

impl TryFrom<String> for Scope {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.countries.join(","))
    }
}

#[cfg(test)]
mod tests {
    use tidewaiter_core::ErrorKind;

    use super::*;

    #[test]
    fn a_set_of_countries_has_one_name() {
        let one: Scope = "KR".parse().expect("a country");
        assert_eq!((one.model("fraud").as_str(), one.to_string().as_str()), ("fraud-KR", "KR"));
        let several: Scope = "TW, KR,TW".parse().expect("countries");
        assert_eq!((several.model("hs").as_str(), several.to_string().as_str()), ("hs-KR-TW", "KR,TW"));
        assert!(several.contains("TW") && !several.contains("ZA") && !one.contains("TW"));
        let json = serde_json::to_string(&several).expect("JSON");
        assert_eq!(serde_json::from_str::<Scope>(&json).expect("reads"), several);
    }

    #[test]
    fn what_is_no_country_is_refused() {
        for text in ["", "kr", "KOR", "KR,", "K-"] {
            assert_eq!(text.parse::<Scope>().expect_err(text).kind(), ErrorKind::Input);
        }
    }
}
