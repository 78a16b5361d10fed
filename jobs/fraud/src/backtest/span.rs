//! The declarations of a country in the archive: a snapshot, its rows and its days.

use arrow::datatypes::DataType;
use datafusion::{
    functions_aggregate::expr_fn::{count, max, min, sum},
    prelude::{DataFrame, SessionContext, cast, col, lit},
};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{Archive, provider::snapshot_provider, table::Table};
use tidewaiter_core::{Error, Result, answers};
use tidewaiter_declarations::DECLARATIONS;
use tidewaiter_job::Job;

use super::{parameters::Parameters, strategy::Strategy, training::one_sided};
use crate::calendar::{date_literal, date_of};

/// The declarations of a country in the archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Span {
    /// The snapshot of the table.
    pub(super) version: u64,
    /// Goods items.
    pub(super) rows: u64,
    /// First and last day of acceptance, as days since 1970-01-01.
    pub(super) first: i32,
    pub(super) last: i32,
    /// The months of which outcomes are known when the backtest begins, in order.
    pub(super) known: Vec<MonthOutcomes>,
    /// Items of the backtest's months whose outcome the archive knows.
    pub(super) own_outcomes: u64,
}

/// The outcomes of one month that are known when the backtest begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MonthOutcomes {
    /// Year and month, `2020-04`.
    pub(super) month: String,
    /// Items with a known outcome.
    pub(super) known: u64,
    /// Illicit ones among them.
    pub(super) illicit: u64,
}

impl Span {
    /// Checks that there are declarations before the first day of the backtest, and in its last month.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when there are none.
    pub(super) fn check(&self, parameters: &Parameters, days: (i32, i32)) -> Result<()> {
        let Parameters { country, from, to, .. } = parameters;
        if self.rows == 0 {
            return Err(Error::input(format!(
                "the archive has no declarations of {country}; `tidewaiter archive tables` shows what there is"
            )));
        }
        if days.0 <= self.first {
            return Err(Error::input(format!(
                "the backtest begins with {from}, but the archive's first declarations of {country} are of {}; \
                 begin later, so that there is a past to learn from",
                date_of(self.first)
            )));
        }
        if *to.days().start() > self.last {
            return Err(Error::input(format!(
                "the backtest ends with {to}, but the archive's last declarations of {country} are of {}",
                date_of(self.last)
            )));
        }
        self.check_outcomes(parameters, days)
    }

    /// Checks that there are outcomes to evaluate by, and outcomes of both kinds among those that a first model would
    /// learn from: the newest ones, by whole months.
    fn check_outcomes(&self, parameters: &Parameters, days: (i32, i32)) -> Result<()> {
        let Parameters { country, from, to, .. } = parameters;
        if let Some(strategy) = parameters.strategies.iter().find(|strategy| strategy.needs_model()) {
            self.check_first_training(strategy, parameters, days.0)?;
        }
        if parameters.truth.is_empty() && self.own_outcomes == 0 {
            return Err(Error::input(format!(
                "no item of {country} from {from} to {to} has a known outcome; give files of the truth with --truth, or \
                 choose other months"
            )));
        }
        Ok(())
    }

    fn check_first_training(
        &self,
        strategy: &Strategy,
        parameters: &Parameters,
        first_day: i32,
    ) -> Result<()> {
        let (mut known, mut illicit, mut first) = (0, 0, None);
        for month in self.known.iter().rev() {
            if known >= parameters.training_rows as u64 {
                break;
            }
            (known, illicit) = (known + month.known, illicit + month.illicit);
            first = Some(&month.month);
        }
        if illicit > 0 && illicit < known {
            return Ok(());
        }
        let months = match (first, self.known.last()) {
            (Some(first), Some(last)) => format!("of the months {first} to {}", last.month),
            _ => "of earlier months".to_owned(),
        };
        let day = date_of(first_day);
        let when = format!("{strategy} learns from outcomes {months} when the backtest begins on {day}");
        Err(one_sided(known, illicit, &when))
    }
}

/// Reads the span of the newest snapshot.
pub(super) fn span<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    days: (i32, i32),
) -> impl Future<Output = Result<Span>> + use<'a> {
    let (archive, session) = (job.archive, job.session("span"));
    async move {
        let version = Table::open(archive, DECLARATIONS).await?.version().await?;
        let rows = declarations(&session?, archive, version, parameters).await?;
        let day = cast(col("acceptance_date"), DataType::Int32);
        let aggregates =
            vec![count(lit(1)).alias("rows"), min(day.clone()).alias("first"), max(day).alias("last")];
        let counted = answers::one_batch(rows.clone().aggregate(vec![], aggregates)?).await?;
        let outcomes = vec![
            count(col("illicit")).alias("known"),
            sum(cast(col("illicit"), DataType::Int64)).alias("illicit"),
        ];
        let day = |day: i32| lit(date_literal(date_of(day)));
        let date = || col("acceptance_date");
        let known_by = days.0 - parameters.features.label_delay_days as i32;
        let before = rows.clone().filter(date().lt_eq(day(known_by)))?;
        let before = before.aggregate(vec![col("year"), col("month")], outcomes.clone())?;
        let before = before.sort(vec![col("year").sort(true, false), col("month").sort(true, false)])?;
        let before = answers::one_batch(before).await?;
        let month = |row: usize| {
            let number = |name: &str| answers::count(&before, name, row);
            Ok(MonthOutcomes {
                month: format!("{:04}-{:02}", number("year")?, number("month")?),
                known: number("known")?,
                illicit: number("illicit")?,
            })
        };
        let within = rows.filter(date().between(day(days.0), day(days.1)))?.aggregate(vec![], outcomes)?;
        let within = answers::one_batch(within).await?;
        Ok(Span {
            version,
            known: answers::rows(&before).map(month).collect::<Result<_>>()?,
            own_outcomes: answers::count(&within, "known", 0)?,
            rows: answers::count(&counted, "rows", 0)?,
            first: answers::number(&counted, "first", 0)? as i32,
            last: answers::number(&counted, "last", 0)? as i32,
        })
    }
}

/// The country's rows in a snapshot.
async fn declarations(
    session: &SessionContext,
    archive: &Archive,
    version: u64,
    parameters: &Parameters,
) -> Result<DataFrame> {
    let provider = snapshot_provider(archive, DECLARATIONS, Some(version)).await?;
    let wanted = col("country").eq(lit(parameters.country.as_str()));
    Ok(session.read_table(provider)?.filter(wanted)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(strategy: &str, training_rows: usize, truth: &str) -> Parameters {
        let text = format!(
            r#"{{"country":"TW","from":"2020-06","to":"2020-08","strategies":["{strategy}"],
            "training_rows":{training_rows},"truth":{truth}}}"#
        );
        serde_json::from_str(&text).expect("parameters")
    }

    /// All illicit items are of January.
    fn span() -> Span {
        let month = |month: &str, known, illicit| MonthOutcomes { month: month.to_owned(), known, illicit };
        let known = vec![month("2020-01", 500, 40), month("2020-02", 400, 0), month("2020-05", 300, 0)];
        Span { version: 1, rows: 9000, first: 18_262, last: 18_500, known, own_outcomes: 7 }
    }

    #[test]
    fn the_newest_outcomes_must_be_of_both_kinds_and_their_months_are_named() {
        let days = (18_414, 18_505);
        span().check(&parameters("gbdt", 10_000, "[]"), days).expect("January is among them");
        span().check(&parameters("random", 100, "[]"), days).expect("it learns nothing");
        let error =
            span().check(&parameters("gbdt", 500, "[]"), days).expect_err("February and May are licit");
        assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Input);
        let text = error.to_string();
        for part in [
            "gbdt",
            "of the months 2020-02 to 2020-05",
            "2020-06-01",
            "700 outcomes are known, 0 of them illicit",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }

    #[test]
    fn months_without_an_outcome_are_told_before_anything_runs() {
        let blind = Span { own_outcomes: 0, ..span() };
        let error = blind.check(&parameters("random", 100, "[]"), (18_414, 18_505)).expect_err("refused");
        assert!(error.to_string().contains("--truth"), "{error}");
        blind.check(&parameters("random", 100, r#"["truth.parquet"]"#), (18_414, 18_505)).expect("files say");
    }
}
