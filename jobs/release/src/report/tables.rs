//! The tables of a study as Arrow batches, which are written beside the page. All columns are flat, so that
//! each table fits a CSV file.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};
use tidewaiter_core::Result;
use tidewaiter_report::data::{batch, count_column, curves, number_column, text_column};

use crate::{
    measures::{cases::CaseMeasure, simulation::Queue},
    process::GapTimes,
    results::Study,
    stages::{StageComparison, StageResult},
    statistics::{distribution::CLASSES, replications::Changes},
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
            ("resources", self.resources_batch()?),
            ("hours", self.hours_batch()?),
            ("comparisons", self.comparisons_batch()?),
            ("time_shares", self.time_shares_batch()?),
            ("survival", self.survival_batch()?),
            ("histograms", self.histograms_batch()?),
            ("queues", self.queues_batch()?),
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
        let of = |number: fn(&StageResult) -> f64| number_column(rows.iter().map(|row| number(row.2)));
        let maybe = |number: &dyn Fn(&StageResult) -> Option<f64>| -> ArrayRef {
            Arc::new(rows.iter().map(|row| number(row.2)).collect::<Float64Array>())
        };
        let count = |number: fn(&StageResult) -> u64| count_column(rows.iter().map(|row| number(row.2)));
        let working =
            |place: usize| maybe(&move |r: &StageResult| Some(r.working.as_ref()?.quantiles[place]));
        batch(vec![
            ("column", text_column(rows.iter().map(|row| row.0))),
            ("value", text_column(rows.iter().map(|row| row.1))),
            ("stage", text_column(rows.iter().map(|row| row.2.stage.name.as_str()))),
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
            ("followed_for_target", maybe(&|r| Some(r.target?.cases as f64))),
            ("within_target", maybe(&StageResult::within_target)),
            ("working_mean", maybe(&|r| Some(r.working.as_ref()?.mean))),
            ("working_median", working(2)),
            ("working_p90", working(4)),
            ("median_of_all", maybe(&StageResult::median)),
            ("median_of_all_low", maybe(&|r| r.median_interval().0)),
            ("median_of_all_high", maybe(&|r| r.median_interval().1)),
            ("p90_of_all", maybe(&StageResult::p90)),
            ("p90_of_all_low", maybe(&|r| r.p90_interval().0)),
            ("p90_of_all_high", maybe(&|r| r.p90_interval().1)),
        ])
    }

    fn drivers_batch(&self) -> Result<RecordBatch> {
        let rows = self.drivers.as_ref().map_or(&[][..], |drivers| &drivers.attributes);
        batch(vec![
            ("attribute", text_column(rows.iter().map(|row| row.attribute.as_str()))),
            ("gain_alone", number_column(rows.iter().map(|row| row.alone))),
            ("gain_in_tree", number_column(rows.iter().map(|row| row.in_tree))),
            ("p_value", number_column(rows.iter().map(|row| row.p_value))),
        ])
    }

    /// The tree's nodes; `parent` is the place of the node above, null for that of all cases.
    fn tree_batch(&self) -> Result<RecordBatch> {
        let nodes = self.drivers.as_ref().map_or(&[][..], |drivers| &drivers.nodes);
        let values: Vec<String> = nodes.iter().map(|node| node.values.join(" | ")).collect();
        let parents = nodes.iter().map(|node| node.parent.map(|parent| parent as u64));
        batch(vec![
            ("node", count_column((0_u64..).zip(nodes).map(|(place, _)| place))),
            ("parent", Arc::new(parents.collect::<UInt64Array>())),
            ("attribute", text_column(nodes.iter().map(|node| node.attribute.as_str()))),
            ("values", text_column(values.iter().map(String::as_str))),
            ("cases", count_column(nodes.iter().map(|node| node.cases))),
            ("long", count_column(nodes.iter().map(|node| node.long))),
            ("gain", Arc::new(nodes.iter().map(|node| node.gain).collect::<Float64Array>())),
        ])
    }

    fn edges_batch(&self) -> Result<RecordBatch> {
        let edges = &self.edges;
        let working = |of: fn(&GapTimes) -> f64| -> ArrayRef {
            Arc::new(edges.iter().map(|edge| edge.working.as_ref().map(of)).collect::<Float64Array>())
        };
        batch(vec![
            ("source", text_column(edges.iter().map(|edge| edge.source.as_str()))),
            ("target", text_column(edges.iter().map(|edge| edge.target.as_str()))),
            ("count", count_column(edges.iter().map(|edge| edge.count))),
            ("mean_seconds", number_column(edges.iter().map(|edge| edge.mean))),
            ("median_seconds", number_column(edges.iter().map(|edge| edge.median))),
            ("sum_seconds", number_column(edges.iter().map(|edge| edge.sum))),
            ("working_mean_seconds", working(|times| times.mean)),
            ("working_median_seconds", working(|times| times.median)),
            ("working_sum_seconds", working(|times| times.sum)),
        ])
    }

    fn activities_batch(&self) -> Result<RecordBatch> {
        let rows = &self.activities;
        batch(vec![
            ("event", text_column(rows.iter().map(|row| row.event.as_str()))),
            ("role", text_column(rows.iter().map(|row| row.role.as_deref().unwrap_or_default()))),
            ("events", count_column(rows.iter().map(|row| row.events))),
            ("cases", count_column(rows.iter().map(|row| row.cases))),
        ])
    }

    fn variants_batch(&self) -> Result<RecordBatch> {
        let variants = &self.frequent_variants;
        let names: Vec<String> = variants.iter().map(|variant| variant.events.join(" > ")).collect();
        batch(vec![
            ("variant", text_column(names.iter().map(String::as_str))),
            ("cases", count_column(variants.iter().map(|variant| variant.cases))),
            ("mean", number_column(variants.iter().map(|variant| variant.mean))),
            ("median", number_column(variants.iter().map(|variant| variant.median))),
        ])
    }

    fn resources_batch(&self) -> Result<RecordBatch> {
        let rows = &self.resources;
        batch(vec![
            ("column", text_column(rows.iter().map(|row| row.column.as_str()))),
            ("name", text_column(rows.iter().map(|row| row.name.as_str()))),
            ("events", count_column(rows.iter().map(|row| row.events))),
            ("waiting", number_column(rows.iter().map(|row| row.waiting))),
            ("working", number_column(rows.iter().map(|row| row.working))),
        ])
    }

    fn hours_batch(&self) -> Result<RecordBatch> {
        let cells = || {
            (0_u64..)
                .zip(&self.hours)
                .flat_map(|(day, hours)| (0_u64..).zip(hours).map(move |cell| (day, cell)))
        };
        batch(vec![
            ("weekday_from_monday", count_column(cells().map(|(day, _)| day))),
            ("hour", count_column(cells().map(|(_, (hour, _))| hour))),
            ("events", count_column(cells().map(|(_, (_, events))| *events))),
            ("cases_under_way", number_column(self.backlog.iter().flatten().copied())),
        ])
    }

    fn comparisons_batch(&self) -> Result<RecordBatch> {
        let rows = &self.comparisons;
        let of = |number: fn(&StageComparison) -> f64| number_column(rows.iter().map(number));
        let maybe = |number: fn(&StageComparison) -> Option<f64>| -> ArrayRef {
            Arc::new(rows.iter().map(number).collect::<Float64Array>())
        };
        let count = |number: fn(&StageComparison) -> u64| count_column(rows.iter().map(number));
        batch(vec![
            ("stage", text_column(rows.iter().map(|row| row.stage.name.as_str()))),
            ("cases_before", count(|row| row.before.cases)),
            ("open_before", count(|row| row.before.open)),
            ("cases_after", count(|row| row.after.cases)),
            ("open_after", count(|row| row.after.open)),
            ("follow_up_hours", of(|row| row.follow_up)),
            ("followed_before", count(|row| row.before.followed)),
            ("followed_after", count(|row| row.after.followed)),
            ("mean_before", of(|row| row.before.mean)),
            ("mean_after", of(|row| row.after.mean)),
            ("median_before", maybe(|row| row.before.median)),
            ("median_after", maybe(|row| row.after.median)),
            ("p90_before", maybe(|row| row.before.p90)),
            ("p90_after", maybe(|row| row.after.p90)),
            ("u", of(|row| row.test.u)),
            ("p_value", of(|row| row.test.p_value)),
            ("adjusted_p_value", of(|row| row.adjusted_p_value)),
            ("chance_of_shorter", of(|row| row.test.shorter)),
            ("cliffs_delta", of(|row| row.test.delta)),
            ("log_rank_chi_square", of(|row| row.log_rank.chi_square)),
            ("log_rank_p_value", of(|row| row.log_rank.p_value)),
            ("adjusted_log_rank_p_value", of(|row| row.adjusted_log_rank)),
        ])
    }

    /// How the time of the headline is divided over the steps; an empty stage stands for no step.
    fn time_shares_batch(&self) -> Result<RecordBatch> {
        let rows = &self.time_shares;
        let names = rows.iter().map(|share| share.stage.as_ref().map_or("", |stage| stage.name.as_str()));
        batch(vec![("stage", text_column(names)), ("hours", number_column(rows.iter().map(|row| row.hours)))])
    }

    /// The survival curves of all stages: the share of cases that take longer.
    fn survival_batch(&self) -> Result<RecordBatch> {
        let stages: Vec<(&str, &[(f64, f64)])> = self
            .stages
            .iter()
            .map(|result| (result.stage.name.as_str(), result.survival.curve.as_slice()))
            .collect();
        curves(["hours", "share_longer"], &stages)
    }

    /// The cases of each stage that ended, by classes of hours.
    fn histograms_batch(&self) -> Result<RecordBatch> {
        let rows = || {
            self.stages.iter().flat_map(|result| {
                CLASSES.iter().zip(result.elapsed.histogram).map(move |(from, count)| (result, *from, count))
            })
        };
        batch(vec![
            ("stage", text_column(rows().map(|row| row.0.stage.name.as_str()))),
            ("from_hours", number_column(rows().map(|row| row.1))),
            ("ended", count_column(rows().map(|row| row.2))),
        ])
    }

    /// The simulated queues against the archive; waits in hours.
    fn queues_batch(&self) -> Result<RecordBatch> {
        let rows = &self.queues;
        let of = |number: fn(&Queue) -> f64| number_column(rows.iter().map(number));
        batch(vec![
            ("activity", text_column(rows.iter().map(|row| row.event.as_str()))),
            ("office", text_column(rows.iter().map(|row| row.office.as_str()))),
            ("work", count_column(rows.iter().map(|row| row.work))),
            ("inspectors", count_column(rows.iter().map(|row| row.servers))),
            ("distance", of(|row| row.distance)),
            ("median_wait", of(|row| row.median_wait.0)),
            ("median_wait_simulated", of(|row| row.median_wait.1)),
            ("p90_wait", of(|row| row.p90_wait.0)),
            ("p90_wait_simulated", of(|row| row.p90_wait.1)),
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
            ("activity", text_column(rows.iter().map(|row| row.0.event.as_str()))),
            ("office", text_column(rows.iter().map(|row| row.0.office.as_str()))),
            ("work", count_column(rows.iter().map(|row| row.0.work))),
            ("inspectors", count_column(rows.iter().map(|row| row.0.servers))),
            ("distance", number_column(rows.iter().map(|row| row.0.distance))),
            ("change", text_column(changes.iter().map(String::as_str))),
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
            ("change", text_column(changes.iter().map(String::as_str))),
            ("touched", count_column(rows.iter().map(|row| row.touched))),
            ("cases", count_column(rows.iter().map(|row| row.cases))),
        ];
        columns.extend(CHANGES.into_iter().zip(changes_of(rows.iter().map(|row| Some(row.hours)))));
        columns.push(("expected_illicit_items", lost(|row| Some(row.loss?.items))));
        columns.push(("expected_revenue", lost(|row| row.loss?.revenue)));
        batch(columns)
    }

    fn anomalies_batch(&self) -> Result<RecordBatch> {
        batch(vec![
            ("anomaly", text_column(self.anomalies.iter().map(|anomaly| anomaly.name.as_str()))),
            ("count", count_column(self.anomalies.iter().map(|anomaly| anomaly.count))),
        ])
    }

    fn longest_batch(&self) -> Result<RecordBatch> {
        batch(vec![
            ("case_id", text_column(self.longest.iter().map(|case| case.0.as_str()))),
            ("hours", number_column(self.longest.iter().map(|case| case.1))),
        ])
    }
}
