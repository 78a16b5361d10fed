//! The tables of a study as Arrow batches, which are written beside the page. All columns are flat, so that
//! each table fits a CSV file.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};
use tidewaiter_core::Result;
use tidewaiter_report::data::{batch, counts, numbers, texts};

use crate::{
    measures::cases::CaseMeasure, process::GapTimes, results::Study, stages::StageResult,
    statistics::replications::Changes,
};

/// The columns of changes and their intervals.
const CHANGES: [&str; 9] =
    ["mean", "mean_low", "mean_high", "median", "median_low", "median_high", "p90", "p90_low", "p90_high"];

/// The columns of the changes of the headline's cases.
const RELEASE_CHANGES: [&str; 9] = [
    "release_mean",
    "release_mean_low",
    "release_mean_high",
    "release_median",
    "release_median_low",
    "release_median_high",
    "release_p90",
    "release_p90_low",
    "release_p90_high",
];

/// The values of those columns.
fn changes_of(rows: impl Iterator<Item = Option<Changes>>) -> Vec<ArrayRef> {
    let rows: Vec<_> = rows
        .map(|row| {
            row.map(|Changes { mean, median, p90 }| {
                [mean, median, p90].map(|(whole, low, high)| [whole, low, high]).concat()
            })
        })
        .collect();
    let column = |place: usize| {
        let values = rows.iter().map(|row| row.as_ref().map(|row| row[place]));
        Arc::new(values.collect::<Float64Array>()) as ArrayRef
    };
    (0..9).map(column).collect()
}

impl Study {
    /// Every table with its name. Times are in hours; those of edges are in seconds.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`], which would be a bug of this function.
    pub fn tables(&self) -> Result<Vec<(&'static str, RecordBatch)>> {
        Ok(vec![
            ("stages", self.stages_batch()?),
            ("drivers", self.drivers_batch()?),
            ("tree", self.tree_batch()?),
            ("edges", self.edges_batch()?),
            ("activities", self.activities_batch()?),
            ("variants", self.variants_batch()?),
            ("holders", self.resources_batch()?),
            ("hours", self.hours_batch()?),
            ("comparisons", self.comparisons_batch()?),
            ("measures", self.measures_batch()?),
            ("case_measures", self.case_measures_batch()?),
            ("anomalies", self.anomalies_batch()?),
            ("longest", self.longest_batch()?),
        ])
    }

    /// The stages of all cases (`column` empty) and of each stratum.
    fn stages_batch(&self) -> Result<RecordBatch> {
        let all = self.stages.iter().map(|result| ("", "", result));
        let strata = self.strata.iter().flat_map(|stratum| {
            stratum.stages.iter().map(|result| (stratum.column.as_str(), stratum.value.as_str(), result))
        });
        let rows: Vec<(&str, &str, &StageResult)> = all.chain(strata).collect();
        let of = |number: fn(&StageResult) -> f64| numbers(rows.iter().map(|row| number(row.2)));
        let maybe = |number: &dyn Fn(&StageResult) -> Option<f64>| -> ArrayRef {
            Arc::new(rows.iter().map(|row| number(row.2)).collect::<Float64Array>())
        };
        let count = |number: fn(&StageResult) -> u64| counts(rows.iter().map(|row| number(row.2)));
        let working =
            |place: usize| maybe(&move |r: &StageResult| Some(r.working.as_ref()?.quantiles[place]));
        let survival = |place: usize| maybe(&move |r: &StageResult| r.survival.quantiles[place]);
        batch(vec![
            ("column", texts(rows.iter().map(|row| row.0))),
            ("value", texts(rows.iter().map(|row| row.1))),
            ("stage", texts(rows.iter().map(|row| row.2.stage.name.as_str()))),
            ("complete", count(|r| r.complete)),
            ("open", count(|r| r.open)),
            ("missing", count(|r| r.missing)),
            ("negative", count(|r| r.negative)),
            ("mean", of(|r| r.elapsed.mean)),
            ("trimmed_mean", of(|r| r.elapsed.trimmed_mean)),
            ("deviation", of(|r| r.elapsed.deviation)),
            ("p10", of(|r| r.elapsed.quantiles[0])),
            ("p25", of(|r| r.elapsed.quantiles[1])),
            ("median", of(|r| r.elapsed.quantiles[2])),
            ("p75", of(|r| r.elapsed.quantiles[3])),
            ("p90", of(|r| r.elapsed.quantiles[4])),
            ("p99", of(|r| r.elapsed.quantiles[5])),
            ("median_low", maybe(&|r| Some(r.elapsed.median_interval?.0))),
            ("median_high", maybe(&|r| Some(r.elapsed.median_interval?.1))),
            ("p90_low", maybe(&|r| Some(r.elapsed.p90_interval?.0))),
            ("p90_high", maybe(&|r| Some(r.elapsed.p90_interval?.1))),
            ("target", maybe(&|r| r.stage.target_hours)),
            ("within_target", maybe(&|r| r.elapsed.within_target)),
            ("working_mean", maybe(&|r| Some(r.working.as_ref()?.mean))),
            ("working_median", working(2)),
            ("working_p90", working(4)),
            ("survival_median", survival(2)),
            ("survival_p90", survival(4)),
        ])
    }

    fn drivers_batch(&self) -> Result<RecordBatch> {
        let rows = self.drivers.as_ref().map_or(&[][..], |drivers| &drivers.attributes);
        batch(vec![
            ("attribute", texts(rows.iter().map(|row| row.attribute.as_str()))),
            ("gain_alone", numbers(rows.iter().map(|row| row.alone))),
            ("gain_in_tree", numbers(rows.iter().map(|row| row.in_tree))),
            ("p_value", numbers(rows.iter().map(|row| row.p_value))),
        ])
    }

    /// The tree's nodes; `parent` is the place of the node above, null for that of all cases.
    fn tree_batch(&self) -> Result<RecordBatch> {
        let nodes = self.drivers.as_ref().map_or(&[][..], |drivers| &drivers.nodes);
        let values: Vec<String> = nodes.iter().map(|node| node.values.join(" | ")).collect();
        let parents = nodes.iter().map(|node| node.parent.map(|parent| parent as u64));
        batch(vec![
            ("node", counts((0_u64..).zip(nodes).map(|(place, _)| place))),
            ("parent", Arc::new(parents.collect::<UInt64Array>())),
            ("attribute", texts(nodes.iter().map(|node| node.attribute.as_str()))),
            ("values", texts(values.iter().map(String::as_str))),
            ("cases", counts(nodes.iter().map(|node| node.cases))),
            ("long", counts(nodes.iter().map(|node| node.long))),
            ("gain", Arc::new(nodes.iter().map(|node| node.gain).collect::<Float64Array>())),
        ])
    }

    fn edges_batch(&self) -> Result<RecordBatch> {
        let edges = &self.edges;
        let working = |of: fn(&GapTimes) -> f64| -> ArrayRef {
            Arc::new(edges.iter().map(|edge| edge.working.as_ref().map(of)).collect::<Float64Array>())
        };
        batch(vec![
            ("source", texts(edges.iter().map(|edge| edge.source.as_str()))),
            ("target", texts(edges.iter().map(|edge| edge.target.as_str()))),
            ("count", counts(edges.iter().map(|edge| edge.count))),
            ("mean_seconds", numbers(edges.iter().map(|edge| edge.mean))),
            ("median_seconds", numbers(edges.iter().map(|edge| edge.median))),
            ("sum_seconds", numbers(edges.iter().map(|edge| edge.sum))),
            ("working_mean_seconds", working(|times| times.mean)),
            ("working_median_seconds", working(|times| times.median)),
            ("working_sum_seconds", working(|times| times.sum)),
        ])
    }

    fn activities_batch(&self) -> Result<RecordBatch> {
        let rows = &self.activities;
        batch(vec![
            ("event", texts(rows.iter().map(|row| row.event.as_str()))),
            ("role", texts(rows.iter().map(|row| row.role.as_deref().unwrap_or_default()))),
            ("events", counts(rows.iter().map(|row| row.events))),
            ("cases", counts(rows.iter().map(|row| row.cases))),
        ])
    }

    fn variants_batch(&self) -> Result<RecordBatch> {
        let variants = &self.frequent_variants;
        let names: Vec<String> = variants.iter().map(|variant| variant.events.join(" > ")).collect();
        batch(vec![
            ("variant", texts(names.iter().map(String::as_str))),
            ("cases", counts(variants.iter().map(|variant| variant.cases))),
            ("mean", numbers(variants.iter().map(|variant| variant.mean))),
            ("median", numbers(variants.iter().map(|variant| variant.median))),
        ])
    }

    fn resources_batch(&self) -> Result<RecordBatch> {
        let rows = &self.resources;
        batch(vec![
            ("column", texts(rows.iter().map(|row| row.column.as_str()))),
            ("name", texts(rows.iter().map(|row| row.name.as_str()))),
            ("events", counts(rows.iter().map(|row| row.events))),
            ("waiting", numbers(rows.iter().map(|row| row.waiting))),
            ("working", numbers(rows.iter().map(|row| row.working))),
        ])
    }

    fn hours_batch(&self) -> Result<RecordBatch> {
        let cells = || {
            (0_u64..)
                .zip(&self.hours)
                .flat_map(|(day, hours)| (0_u64..).zip(hours).map(move |cell| (day, cell)))
        };
        batch(vec![
            ("weekday_from_monday", counts(cells().map(|(day, _)| day))),
            ("hour", counts(cells().map(|(_, (hour, _))| hour))),
            ("events", counts(cells().map(|(_, (_, events))| *events))),
            ("cases_under_way", numbers(self.backlog.iter().flatten().copied())),
        ])
    }

    fn comparisons_batch(&self) -> Result<RecordBatch> {
        let rows = &self.comparisons;
        batch(vec![
            ("stage", texts(rows.iter().map(|row| row.stage.name.as_str()))),
            ("cases_before", counts(rows.iter().map(|row| row.before.count))),
            ("cases_after", counts(rows.iter().map(|row| row.after.count))),
            ("mean_before", numbers(rows.iter().map(|row| row.before.mean))),
            ("mean_after", numbers(rows.iter().map(|row| row.after.mean))),
            ("median_before", numbers(rows.iter().map(|row| row.before.median()))),
            ("median_after", numbers(rows.iter().map(|row| row.after.median()))),
            ("p90_before", numbers(rows.iter().map(|row| row.before.p90()))),
            ("p90_after", numbers(rows.iter().map(|row| row.after.p90()))),
            ("u", numbers(rows.iter().map(|row| row.test.u))),
            ("p_value", numbers(rows.iter().map(|row| row.test.p_value))),
            ("adjusted_p_value", numbers(rows.iter().map(|row| row.adjusted_p_value))),
            ("chance_of_shorter", numbers(rows.iter().map(|row| row.test.shorter))),
            ("cliffs_delta", numbers(rows.iter().map(|row| row.test.delta))),
        ])
    }

    /// The changes of the hours by each measure at each queue, with intervals: from arrival to done, and of
    /// the cases of the headline.
    fn measures_batch(&self) -> Result<RecordBatch> {
        let rows: Vec<_> =
            self.queues.iter().flat_map(|queue| queue.measures.iter().map(move |row| (queue, row))).collect();
        let changes: Vec<String> = rows.iter().map(|row| format!("{:?}", row.1.change)).collect();
        let touched = rows.iter().map(|row| Some(row.1.release.as_ref()?.touched));
        let mut columns = vec![
            ("station", texts(rows.iter().map(|row| row.0.event.as_str()))),
            ("office", texts(rows.iter().map(|row| row.0.office.as_str()))),
            ("work", counts(rows.iter().map(|row| row.0.work))),
            ("servers", counts(rows.iter().map(|row| row.0.servers))),
            ("distance", numbers(rows.iter().map(|row| row.0.distance))),
            ("change", texts(changes.iter().map(String::as_str))),
        ];
        columns.extend(CHANGES.into_iter().zip(changes_of(rows.iter().map(|row| Some(row.1.hours)))));
        columns.push(("release_cases_touched", Arc::new(touched.collect::<UInt64Array>())));
        let effects = rows.iter().map(|row| Some(row.1.release.as_ref()?.hours));
        columns.extend(RELEASE_CHANGES.into_iter().zip(changes_of(effects)));
        batch(columns)
    }

    /// The changes of the headline's hours by each measure on single cases, and what the fraud model expects
    /// to lose.
    fn case_measures_batch(&self) -> Result<RecordBatch> {
        let rows = &self.measures;
        let changes: Vec<String> = rows.iter().map(|row| format!("{:?}", row.change)).collect();
        let lost = |of: fn(&CaseMeasure) -> Option<f64>| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<Float64Array>())
        };
        let mut columns = vec![
            ("change", texts(changes.iter().map(String::as_str))),
            ("touched", counts(rows.iter().map(|row| row.touched))),
            ("cases", counts(rows.iter().map(|row| row.cases))),
        ];
        columns.extend(CHANGES.into_iter().zip(changes_of(rows.iter().map(|row| Some(row.hours)))));
        columns.push(("expected_illicit_items", lost(|row| Some(row.loss?.items))));
        columns.push(("expected_revenue", lost(|row| row.loss?.revenue)));
        batch(columns)
    }

    fn anomalies_batch(&self) -> Result<RecordBatch> {
        batch(vec![
            ("anomaly", texts(self.anomalies.iter().map(|anomaly| anomaly.name.as_str()))),
            ("count", counts(self.anomalies.iter().map(|anomaly| anomaly.count))),
        ])
    }

    fn longest_batch(&self) -> Result<RecordBatch> {
        batch(vec![
            ("case_id", texts(self.longest.iter().map(|case| case.0.as_str()))),
            ("hours", numbers(self.longest.iter().map(|case| case.1))),
        ])
    }
}
