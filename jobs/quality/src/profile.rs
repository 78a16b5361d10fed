//! The queries of a profile: aggregates over the columns of a table of declarations.
//!
//! Start at [`profile`].

use std::{collections::BTreeMap, fmt::Write as _};

use arrow::array::RecordBatch;
use datafusion::{common::TableReference, prelude::SessionContext};
use tidewaiter_archive::schema::{Column, Kind};
use tidewaiter_core::{
    Error, Result, ResultExt,
    answers::{self, count, number, rows, text},
    query::Plan as _,
};
use tidewaiter_declarations::COLUMNS;

use crate::{
    results::{
        ColumnProfile, ColumnUse, CountryScores, MonthProfile, NumberSummary, QualityReport, QuarantineCount,
        RuleCount, Scores,
    },
    rules::{Dimension, LEADING_ZERO, RULES, Rule},
};

/// Keys that are shown of each broken rule, at most.
const EXAMPLES: usize = 5;

/// The columns of the key.
const KEY: &str = "country, declaration_id, item_number";

/// Columns that may rightly be empty: what they hold is not there for every item, or is known of few.
pub const OPTIONAL: [&str; 10] = [
    "goods_use",
    "carrier",
    "origin_marking",
    "preference",
    "quantity",
    "quantity_unit",
    "illicit",
    "additional_revenue",
    "random_inspection",
    "version",
];

/// Profiles a registered table of declarations with its partition columns.
///
/// `quarantine` has the counts of what ingest refused, where they are known. Columns that the table lacks are
/// left out, and so are the rules that read them.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] when the table is not registered or lacks its key or partition
/// columns; those of the queries.
pub async fn profile(
    session: &SessionContext,
    table: &str,
    quarantine: &[QuarantineCount],
) -> Result<QualityReport> {
    let schema = session.whole_table(table).await.context(|| format!("profile the table {table}"))?;
    let has = |name: &str| schema.schema().has_column_with_unqualified_name(name);
    for needed in ["declaration_id", "item_number", "country", "year", "month"] {
        if !has(needed) {
            return Err(Error::input(format!(
                "the table {table} has no column {needed}; profile a table of declarations"
            )));
        }
    }
    let columns: Vec<&Column> = COLUMNS.iter().filter(|column| has(column.name)).collect();
    let from = TableReference::from(table).to_quoted_string();
    let odd = if has("hs_code") { odd_countries(session, &from).await? } else { Vec::new() };
    let rules = RULES.iter().filter(|rule| rule.columns.iter().all(|column| has(column)));
    let rules: Vec<Rule> =
        rules.map(|rule| if rule.name == LEADING_ZERO { rule.except(&odd) } else { rule.clone() }).collect();
    let rules: Vec<&Rule> = rules.iter().collect();

    let whole = query(session, &whole_query(&columns, &rules, &from)).await?;
    let rows = count(&whole, "rows", 0)?;
    let profiles: Vec<ColumnProfile> =
        columns.iter().map(|column| column_profile(column, &whole, rows)).collect::<Result<_>>()?;
    let mut counts = Vec::with_capacity(rules.len() + 1);
    for rule in &rules {
        let broken = count(&whole, &format!("broken_{}", rule.name), 0)?;
        counts.push(RuleCount {
            rule: rule.name.to_owned(),
            meaning: rule.meaning.to_owned(),
            dimension: rule.dimension,
            checked: count(&whole, &format!("checked_{}", rule.name), 0)?,
            broken,
            examples: match broken {
                0 => Vec::new(),
                _ => keys(session, &format!("SELECT {KEY} FROM {from} WHERE {}", rule.broken())).await?,
            },
        });
    }
    let repeated = format!("SELECT {KEY}, count(*) AS n FROM {from} GROUP BY {KEY} HAVING count(*) > 1");
    let repeats = repeats(session, &repeated).await?;
    let surplus: u64 = repeats.values().sum();
    counts.push(RuleCount {
        rule: "duplicate_key".to_owned(),
        meaning: "a declaration and item number occur once in a country".to_owned(),
        dimension: Dimension::Uniqueness,
        checked: rows,
        broken: surplus,
        examples: if surplus == 0 { Vec::new() } else { keys(session, &repeated).await? },
    });

    let months = months(session, &columns, &rules, &from).await?;
    let mut countries = BTreeMap::<&str, Counted>::new();
    for month in &months {
        countries.entry(&month.country).or_default().add(month);
    }
    for refused in quarantine {
        countries.entry(&refused.country).or_default().quarantined += refused.rows;
    }
    for (country, surplus) in &repeats {
        countries.entry(country).or_default().surplus += surplus;
    }
    let counted = |counts: &Counted| counts.counted(&columns);
    let mut all = Counted::default();
    let mut filled = (0, 0);
    for counts in countries.values() {
        all.join(counts);
        let own = counts.cells(&counted(counts));
        filled = (filled.0 + own.0, filled.1 + own.1);
    }
    let scores = all.scores(filled);
    let of_countries = countries.iter().map(|(country, counts)| CountryScores {
        country: (*country).to_owned(),
        rows: counts.rows,
        quarantined: counts.quarantined,
        scores: counts.scores(counts.cells(&counted(counts))),
    });
    let of_months = months.iter().map(|month| {
        let columns = countries.get(month.country.as_str()).map(counted).unwrap_or_default();
        month.profile(&columns)
    });
    Ok(QualityReport {
        table: table.to_owned(),
        rows,
        quarantined: all.quarantined,
        scores,
        countries: of_countries.collect(),
        thresholds: Vec::new(),
        columns: profiles,
        months: of_months.collect(),
        rules: counts,
        quarantine: quarantine.to_vec(),
    })
}

/// What is counted of a month of a country.
struct MonthCounts {
    country: String,
    year: i32,
    month: i32,
    rows: u64,
    invalid: u64,
    inconsistent: u64,
    /// Rows with a value, by column.
    filled: Vec<u64>,
}

impl MonthCounts {
    /// The month's profile by the places of the columns that count.
    fn profile(&self, columns: &[usize]) -> MonthProfile {
        let filled: u64 = columns.iter().map(|place| self.filled[*place]).sum();
        let good = |bad: u64| share(self.rows.saturating_sub(bad), self.rows);
        MonthProfile {
            country: self.country.clone(),
            year: self.year,
            month: self.month,
            rows: self.rows,
            completeness: share(filled, self.rows * columns.len() as u64),
            validity: good(self.invalid),
            consistency: good(self.inconsistent),
        }
    }
}

/// What is counted of a country, or of all.
#[derive(Default)]
struct Counted {
    rows: u64,
    quarantined: u64,
    surplus: u64,
    invalid: u64,
    inconsistent: u64,
    filled: Vec<u64>,
}

impl Counted {
    fn add(&mut self, month: &MonthCounts) {
        self.rows += month.rows;
        self.invalid += month.invalid;
        self.inconsistent += month.inconsistent;
        self.filled.resize(month.filled.len(), 0);
        self.filled.iter_mut().zip(&month.filled).for_each(|(sum, filled)| *sum += filled);
    }

    fn join(&mut self, other: &Self) {
        self.rows += other.rows;
        self.quarantined += other.quarantined;
        self.surplus += other.surplus;
        self.invalid += other.invalid;
        self.inconsistent += other.inconsistent;
    }

    /// The places of the columns that count: those that some row fills and that may not be empty.
    fn counted(&self, columns: &[&Column]) -> Vec<usize> {
        let is_counted = |place: &usize| {
            self.filled.get(*place).is_some_and(|filled| *filled > 0)
                && !OPTIONAL.contains(&columns[*place].name)
        };
        (0..columns.len()).filter(is_counted).collect()
    }

    /// The filled cells and all cells of columns.
    fn cells(&self, columns: &[usize]) -> (u64, u64) {
        (columns.iter().map(|place| self.filled[*place]).sum(), self.rows * columns.len() as u64)
    }

    fn scores(&self, (filled, cells): (u64, u64)) -> Scores {
        let good = |bad: u64| share(self.rows.saturating_sub(bad), self.rows);
        Scores {
            completeness: share(filled, cells),
            validity: share(self.rows.saturating_sub(self.invalid), self.rows + self.quarantined),
            uniqueness: good(self.surplus),
            consistency: good(self.inconsistent),
            timeliness: None,
        }
    }
}

/// A share; 1 of nothing.
fn share(good: u64, all: u64) -> f64 {
    if all == 0 { 1.0 } else { good as f64 / all as f64 }
}

/// The countries most of whose HS codes have an odd number of digits, as their nomenclature has it.
async fn odd_countries(session: &SessionContext, from: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT country FROM {from} WHERE hs_code IS NOT NULL GROUP BY country \
         HAVING 2 * count(*) FILTER (WHERE character_length(hs_code) % 2 = 1) > count(*) ORDER BY country"
    );
    let answer = query(session, &sql).await?;
    rows(&answer).map(|row| Ok(text(&answer, "country", row)?.unwrap_or_default())).collect()
}

/// The rows of each country that repeat the key of another; `repeated` is the query of the repeated keys.
async fn repeats(session: &SessionContext, repeated: &str) -> Result<BTreeMap<String, u64>> {
    let sql = format!("SELECT country, sum(n - 1) AS surplus FROM ({repeated}) GROUP BY country");
    let answer = query(session, &sql).await?;
    rows(&answer)
        .map(|row| Ok((text(&answer, "country", row)?.unwrap_or_default(), count(&answer, "surplus", row)?)))
        .collect()
}

/// The SQL of the rows that break a rule of a dimension.
fn breaks(rules: &[&Rule], dimension: Dimension) -> String {
    let broken: Vec<String> =
        rules.iter().filter(|rule| rule.dimension == dimension).map(|rule| rule.broken()).collect();
    if broken.is_empty() { "false".to_owned() } else { broken.join(" OR ") }
}

/// Every aggregate over the whole table, in one pass.
fn whole_query(columns: &[&Column], rules: &[&Rule], from: &str) -> String {
    let mut sql = "SELECT count(*) AS rows".to_owned();
    for Column { name, kind, .. } in columns {
        let _ = write!(sql, ", count({name}) AS n_{name}");
        let _ = match kind {
            Kind::Flag => write!(
                sql,
                ", max(CASE WHEN {name} THEN 1 ELSE 0 END) + max(CASE WHEN {name} THEN 0 WHEN NOT {name} \
                 THEN 1 ELSE 0 END) AS distinct_{name}, CAST(bool_and({name}) AS VARCHAR) AS min_{name}, \
                 CAST(bool_or({name}) AS VARCHAR) AS max_{name}"
            ),
            // The sketch hashes texts and whole numbers only, so other types are counted by their text.
            _ => write!(
                sql,
                ", approx_distinct(CAST({name} AS VARCHAR)) AS distinct_{name}, CAST(min({name}) AS VARCHAR) AS \
                 min_{name}, CAST(max({name}) AS VARCHAR) AS max_{name}"
            ),
        };
        if matches!(kind, Kind::Number | Kind::Integer) {
            let _ = write!(sql, ", avg({name}) AS mean_{name}");
            for percent in [25, 50, 75] {
                let _ = write!(
                    sql,
                    ", approx_percentile_cont(CAST({name} AS DOUBLE), {}) AS p{percent}_{name}",
                    f64::from(percent) / 100.0
                );
            }
        }
    }
    for rule in rules {
        let name = rule.name;
        let _ = write!(
            sql,
            ", count(*) FILTER (WHERE {}) AS checked_{name}, count(*) FILTER (WHERE {}) AS broken_{name}",
            rule.checked(),
            rule.broken()
        );
    }
    let _ = write!(sql, " FROM {from}");
    sql
}

/// The profile of a column, from the aggregates over the whole table.
fn column_profile(column: &Column, whole: &RecordBatch, rows: u64) -> Result<ColumnProfile> {
    let name = column.name;
    let filled = number(whole, &format!("n_{name}"), 0)?;
    let of = |part: &str| number(whole, &format!("{part}_{name}"), 0);
    let numbers = match column.kind {
        Kind::Number | Kind::Integer if filled > 0.0 => Some(NumberSummary {
            min: of("min")?,
            p25: of("p25")?,
            median: of("p50")?,
            p75: of("p75")?,
            max: of("max")?,
            mean: of("mean")?,
        }),
        _ => None,
    };
    Ok(ColumnProfile {
        name: name.to_owned(),
        meaning: column.meaning.to_owned(),
        counts_as: match filled {
            0.0 => ColumnUse::Unmapped,
            _ if OPTIONAL.contains(&name) => ColumnUse::Optional,
            _ => ColumnUse::Counted,
        },
        completeness: if rows == 0 { 1.0 } else { filled / rows as f64 },
        // The sketch may count a few more than there are.
        distinct: count(whole, &format!("distinct_{name}"), 0)?.min(filled as u64),
        min: text(whole, &format!("min_{name}"), 0)?,
        max: text(whole, &format!("max_{name}"), 0)?,
        numbers,
    })
}

/// The counts of each month of each country.
async fn months(
    session: &SessionContext,
    columns: &[&Column],
    rules: &[&Rule],
    from: &str,
) -> Result<Vec<MonthCounts>> {
    let filled: Vec<String> =
        columns.iter().map(|Column { name, .. }| format!("count({name}) AS n_{name}")).collect();
    let sql = format!(
        "SELECT country, year, month, count(*) AS rows, count(*) FILTER (WHERE {}) AS invalid, \
         count(*) FILTER (WHERE {}) AS inconsistent, {} FROM {from} GROUP BY country, year, month \
         ORDER BY country, year, month",
        breaks(rules, Dimension::Validity),
        breaks(rules, Dimension::Consistency),
        filled.join(", ")
    );
    let batch = query(session, &sql).await?;
    rows(&batch)
        .map(|row| {
            let filled = columns.iter().map(|column| count(&batch, &format!("n_{}", column.name), row));
            Ok(MonthCounts {
                country: text(&batch, "country", row)?.unwrap_or_default(),
                year: number(&batch, "year", row)? as i32,
                month: number(&batch, "month", row)? as i32,
                rows: count(&batch, "rows", row)?,
                invalid: count(&batch, "invalid", row)?,
                inconsistent: count(&batch, "inconsistent", row)?,
                filled: filled.collect::<Result<_>>()?,
            })
        })
        .collect()
}

/// The first keys of a query, in their order.
async fn keys(session: &SessionContext, sql: &str) -> Result<Vec<String>> {
    let batch = query(session, &format!("SELECT {KEY} FROM ({sql}) ORDER BY {KEY} LIMIT {EXAMPLES}")).await?;
    rows(&batch)
        .map(|row| {
            let part = |name: &str| Ok::<_, Error>(text(&batch, name, row)?.unwrap_or_default());
            Ok(format!("{} {}/{}", part("country")?, part("declaration_id")?, part("item_number")?))
        })
        .collect()
}

/// The whole answer of a query of few rows.
async fn query(session: &SessionContext, sql: &str) -> Result<RecordBatch> {
    let query = session.query(sql).await.context(|| "plan a quality query")?;
    answers::one_batch(query).await.context(|| "count the quality of a table")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, StringArray, new_null_array,
    };
    use datafusion::datasource::MemTable;
    use tidewaiter_archive::schema;
    use tidewaiter_core::query::Run as _;
    use tidewaiter_report::{page::Footer, words::Language};

    use super::*;
    use crate::{report::words, results::Threshold};

    /// Five rows: the second repeats the first's key; the third breaks mass, HS length and month; the fourth's
    /// duty is wrong; the fifth has neither masses nor duty.
    fn session() -> SessionContext {
        let schema = schema::with_partitions(&tidewaiter_declarations::schema());
        // 2021-04-01 is day 18718.
        let given: Vec<(&str, ArrayRef)> = vec![
            ("declaration_id", Arc::new(StringArray::from(vec!["A", "A", "B", "C", "<script>"]))),
            ("item_number", Arc::new(Int32Array::from(vec![1, 1, 1, 2, 1]))),
            ("acceptance_date", Arc::new(Date32Array::from(vec![18718, 18719, 18650, 18747, 18749]))),
            ("hs_code", Arc::new(StringArray::from(vec!["010121", "010121", "0101", "85171300", "010121"]))),
            (
                "net_mass",
                Arc::new(Float64Array::from(vec![Some(1.0), Some(2.0), Some(9.0), Some(4.0), None])),
            ),
            (
                "gross_mass",
                Arc::new(Float64Array::from(vec![Some(2.0), Some(2.0), Some(8.0), Some(5.0), None])),
            ),
            ("customs_value", Arc::new(Float64Array::from(vec![1000.0; 5]))),
            ("duty_rate", Arc::new(Float64Array::from(vec![8.0; 5]))),
            (
                "duty_amount",
                Arc::new(Float64Array::from(vec![Some(80.0), Some(81.0), Some(80.5), Some(90.0), None])),
            ),
            ("illicit", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, None, None]))),
            ("country", Arc::new(StringArray::from(vec!["KR"; 5]))),
            ("year", Arc::new(Int32Array::from(vec![2021; 5]))),
            ("month", Arc::new(Int32Array::from(vec![4, 4, 4, 4, 5]))),
        ];
        let columns = schema.fields().iter().map(|field| {
            let found = given.iter().find(|(name, _)| name == field.name());
            found.map_or_else(|| new_null_array(field.data_type(), 5), |(_, array)| Arc::clone(array))
        });
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("a batch");
        let parts = vec![vec![batch.slice(0, 2)], vec![batch.slice(2, 3)]];
        let table = MemTable::try_new(schema, parts).expect("a table");
        let session = SessionContext::new();
        session.register_table("declarations", Arc::new(table)).expect("registered");
        session
    }

    #[tokio::test]
    async fn five_rows_counted_by_hand() {
        let refused = QuarantineCount {
            country: "KR".to_owned(),
            rule: "country".to_owned(),
            column: "origin".to_owned(),
            rows: 5,
        };
        let report = profile(&session(), "declarations", &[refused]).await.expect("profiled");
        assert_eq!((report.rows, report.quarantined), (5, 5));
        let broken = |name: &str| {
            let rule = report.rules.iter().find(|rule| rule.rule == name).expect("the rule");
            (rule.checked, rule.broken, rule.examples.join(" "))
        };
        assert_eq!(broken("net_within_gross"), (4, 1, "KR B/1".to_owned()));
        assert_eq!(broken("hs_code_length"), (5, 1, "KR B/1".to_owned()));
        assert_eq!(broken("accepted_in_its_month"), (5, 1, "KR B/1".to_owned()));
        assert_eq!(broken("duty_is_value_times_rate"), (4, 1, "KR C/2".to_owned()));
        assert_eq!(broken("customs_value_not_negative"), (5, 0, String::new()));
        assert_eq!(broken("illicit_was_inspected"), (0, 0, String::new()));
        assert_eq!(broken("duplicate_key"), (5, 1, "KR A/1".to_owned()));
        // One invalid of five archived and five refused; two inconsistent rows; one repeated key.
        let scores = &report.scores;
        assert_eq!((scores.validity, scores.uniqueness, scores.consistency), (0.4, 0.8, 0.6));
        assert_eq!(scores.timeliness, None);
        // Of the ten mapped columns the outcome is optional: six are full, and three lack one value. 30 + 12 of 45 cells.
        assert!((scores.completeness - 42.0 / 45.0).abs() < 1e-12, "{}", scores.completeness);
        assert_eq!(report.countries.len(), 1);
        assert_eq!((report.countries[0].quarantined, &report.countries[0].scores), (5, scores));
        let of = |name: &str| report.columns.iter().find(|column| column.name == name).expect("the column");
        assert_eq!((of("hs_code").distinct, of("hs_code").completeness), (3, 1.0));
        assert_eq!((of("illicit").distinct, of("illicit").completeness), (2, 0.4));
        assert_eq!((of("channel").distinct, of("channel").completeness), (0, 0.0));
        let uses = ["hs_code", "illicit", "channel"].map(|name| of(name).counts_as);
        assert_eq!(uses, [ColumnUse::Counted, ColumnUse::Optional, ColumnUse::Unmapped]);
        assert_eq!(of("acceptance_date").min.as_deref(), Some("2021-01-23"));
        let mass = of("net_mass").numbers.as_ref().expect("numbers");
        assert_eq!((mass.min, mass.max, mass.mean), (1.0, 9.0, 4.0));
        let months: Vec<_> = report.months.iter().map(|month| (month.month, month.rows)).collect();
        assert_eq!(months, [(4, 4), (5, 1)]);
        // April has all of its nine times four cells; of May's nine, masses and duty are empty. One of April is invalid.
        assert_eq!((report.months[0].completeness, report.months[1].completeness), (1.0, 6.0 / 9.0));
        assert_eq!((report.months[0].validity, report.months[0].consistency), (0.75, 0.5));
        let html = report.html(Language::English, Footer::default());
        assert!(!html.contains("<script") && !html.contains("http://") && !html.contains("https://"));
        assert!(html.contains("not measurable from this table"));
        let said = |report: &QualityReport| report.headline(&words(Language::English)).replace('\u{a0}', " ");
        insta::assert_snapshot!(said(&report), @"93.3 % of the cells of 9 mapped columns are filled (columns not mapped: 26, optional: 1; they do not count). 40 % of all rows with those refused at ingest are valid, and 60 % of the archived ones are consistent. 5 rows were refused at ingest. The rule broken most often (1 row): a declaration and item number occur once in a country.");
        let mut strict = report.clone();
        strict.thresholds = vec![
            Threshold { dimension: "completeness".to_owned(), least: 0.9 },
            Threshold { dimension: "validity".to_owned(), least: 0.95 },
        ];
        assert!(
            said(&strict).starts_with("Below the threshold: validity, 40 % of at least 95 %. "),
            "{}",
            said(&strict)
        );
        tidewaiter_report::keep("quality.html", &html).expect("the folder can be written");
        let json = serde_json::to_string(&report).expect("serialises");
        let parsed: QualityReport = serde_json::from_str(&json).expect("parses");
        assert_eq!(parsed.html(Language::English, Footer::default()), html);
    }

    #[tokio::test]
    async fn countries_have_scores_of_their_own() {
        // Of TW's two rows one has no office, and three more were refused; KR maps no office.
        let schema = schema::with_partitions(&tidewaiter_declarations::schema());
        let given: Vec<(&str, ArrayRef)> = vec![
            ("declaration_id", Arc::new(StringArray::from(vec!["A", "B", "C"]))),
            ("item_number", Arc::new(Int32Array::from(vec![1, 1, 1]))),
            ("acceptance_date", Arc::new(Date32Array::from(vec![18718, 18718, 18718]))),
            ("hs_code", Arc::new(StringArray::from(vec!["010121"; 3]))),
            ("office", Arc::new(StringArray::from(vec![None, Some("N"), None]))),
            ("country", Arc::new(StringArray::from(vec!["KR", "TW", "TW"]))),
            ("year", Arc::new(Int32Array::from(vec![2021; 3]))),
            ("month", Arc::new(Int32Array::from(vec![4; 3]))),
        ];
        let columns = schema.fields().iter().map(|field| {
            let found = given.iter().find(|(name, _)| name == field.name());
            found.map_or_else(|| new_null_array(field.data_type(), 3), |(_, array)| Arc::clone(array))
        });
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("a batch");
        let session = SessionContext::new();
        session.register_batch("declarations", batch).expect("registered");
        let refused = QuarantineCount {
            country: "TW".to_owned(),
            rule: "date".to_owned(),
            column: "acceptance_date".to_owned(),
            rows: 3,
        };
        let report = profile(&session, "declarations", &[refused]).await.expect("profiled");
        let scores: Vec<_> = report
            .countries
            .iter()
            .map(|one| (one.country.as_str(), one.scores.completeness, one.scores.validity))
            .collect();
        assert_eq!(scores, [("KR", 1.0, 1.0), ("TW", 9.0 / 10.0, 2.0 / 5.0)]);
        assert_eq!((report.scores.completeness, report.scores.validity), (13.0 / 14.0, 3.0 / 6.0));
    }

    #[tokio::test]
    async fn codes_that_lost_a_zero_are_named_except_where_codes_are_odd() {
        let session = SessionContext::new();
        let rows = "VALUES ('A', 1, '9011100', 'KR', 2021, 4), ('B', 1, '0901110000', 'KR', 2021, 4), \
                    ('C', 1, '8471300000', 'KR', 2021, 4), ('D', 1, '847130000', 'JP', 2021, 4), \
                    ('E', 1, '090111000', 'JP', 2021, 4), ('F', 1, '85171300', 'JP', 2021, 4)";
        let names = "(declaration_id, item_number, hs_code, country, year, month)";
        let make = format!("CREATE TABLE declarations AS SELECT * FROM ({rows}) AS t {names}");
        session.query(&make).await.expect("planned").batches().await.expect("made");
        let report = profile(&session, "declarations", &[]).await.expect("profiled");
        let rule = report.rules.iter().find(|rule| rule.rule == LEADING_ZERO).expect("the rule");
        assert_eq!((rule.checked, rule.broken), (6, 1));
        assert_eq!(rule.examples, ["KR A/1"]);
        assert_eq!(report.scores.validity, 5.0 / 6.0);
    }

    #[tokio::test]
    async fn a_table_without_the_key_is_an_error_of_the_input() {
        let session = SessionContext::new();
        session
            .query("CREATE TABLE t AS SELECT 1 AS a")
            .await
            .expect("planned")
            .batches()
            .await
            .expect("made");
        let error = profile(&session, "t", &[]).await.expect_err("no key");
        assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Input);
    }
}
