//! The parameters of the quality job.

use clap::Args;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};
use tidewaiter_report::words::Language;

use crate::results::{DIMENSIONS, Threshold};

/// The parameters of a profile of the declarations.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Scores that the data should reach, such as completeness=0.95,validity=0.99; what is below is named first.
    #[arg(long, value_delimiter = ',')]
    pub thresholds: Vec<String>,
    /// Language of the report; default: en.
    #[arg(long, value_enum, required = false)]
    pub language: Language,
}

impl Parameters {
    /// The thresholds.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a score that there is not, or a share outside 0..=1.
    pub fn read(&self) -> Result<Vec<Threshold>> {
        self.thresholds
            .iter()
            .map(|text| {
                let wrong = || {
                    Error::input(format!(
                        "{text:?} is no threshold; write one of {} and a share from 0 to 1, such as completeness=0.95",
                        DIMENSIONS.join(", ")
                    ))
                };
                let (name, least) = text.split_once('=').ok_or_else(wrong)?;
                let least: f64 = least.trim().parse().map_err(|_| wrong())?;
                let dimension = DIMENSIONS.iter().find(|dimension| **dimension == name.trim());
                match dimension.filter(|_| (0.0..=1.0).contains(&least)) {
                    Some(dimension) => Ok(Threshold { dimension: (*dimension).to_owned(), least }),
                    None => Err(wrong()),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_shares_of_scores() {
        let read =
            |text: &str| Parameters { thresholds: vec![text.to_owned()], ..Parameters::default() }.read();
        assert_eq!(
            read("validity=0.99").expect("is right"),
            [Threshold { dimension: "validity".to_owned(), least: 0.99 }]
        );
        for wrong in ["validity", "beauty=0.5", "validity=95", "validity=x"] {
            let error = read(wrong).expect_err("is none");
            assert!(
                error.chain().contains(wrong) && error.chain().contains("completeness"),
                "{}",
                error.chain()
            );
        }
    }
}
