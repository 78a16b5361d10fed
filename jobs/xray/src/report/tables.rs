//! The tables and curves of both pages as Arrow batches, which are written beside them as CSV, Parquet and JSON. Shares and
//! probabilities are in 0..=1; what is unknown is null, or an empty name. Start at [`model_tables`] and
//! [`selection_tables`].

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};
use tidewaiter_core::Result;
use tidewaiter_report::data::{batch, count_column, curves, number_column, text_column};

use super::{
    facts::ModelFacts,
    figures::{Bin, bins, free_response_points, thinned},
    images::{Group, grouped, month},
    mismatch::worst_mismatches,
    selection_page::{AlarmCount, SelectionFacts, alarm_counts, class_counts},
};
use crate::{metrics::figures::Evaluated, predict::rows::ScoredImage};

/// Every table of a detector's card with its name: `classes`, `thresholds`, `roc`, `froc`, `scanners`, `sites`,
/// `calibration`, `months`, `mismatches`, `data`.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`], which would be a bug of this function.
pub fn model_tables(evaluated: &Evaluated, facts: &ModelFacts) -> Result<Vec<(&'static str, RecordBatch)>> {
    let by = |key: &dyn Fn(&ScoredImage) -> String| groups(&grouped(evaluated, &facts.head, key));
    let bins = bins(evaluated);
    let parts = || ["train", "validation", "test"].into_iter().zip(facts.counts);
    Ok(vec![
        ("classes", classes(facts)?),
        ("thresholds", thresholds(facts)?),
        ("roc", curves(["false_alarms", "detected"], &[("model", &thinned(evaluated.roc().points()))])?),
        ("froc", curves(["false_boxes_an_image", "found"], &[("model", &free_response_points(evaluated))])?),
        ("scanners", by(&|image| image.scanner.clone())?),
        ("sites", by(&|image| image.site.clone())?),
        (
            "calibration",
            batch(vec![
                ("predicted", number_column(bins.iter().map(|bin| bin.point().0))),
                ("observed", number_column(bins.iter().map(|bin| bin.point().1))),
                ("images", count_column(bins.iter().map(|bin: &Bin| bin.images))),
            ])?,
        ),
        ("months", by(&|image| month(image.day))?),
        ("mismatches", mismatches(&evaluated.images, &facts.fraud)?),
        (
            "data",
            batch(vec![
                ("part", text_column(parts().map(|(part, _)| part))),
                ("images", count_column(parts().map(|(_, counts)| counts[0]))),
                ("annotated", count_column(parts().map(|(_, counts)| counts[1]))),
                ("illicit", count_column(parts().map(|(_, counts)| counts[2]))),
            ])?,
        ),
    ])
}

/// Every table of the page of a selection with its name: `alarms`, `classes`, `scanners`, `sites`, `months`, `mismatches`,
/// `unreadable`. Those of images list all of them, the most suspect first.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`], which would be a bug of this function.
pub fn selection_tables(
    found: &[ScoredImage],
    facts: &SelectionFacts,
) -> Result<Vec<(&'static str, RecordBatch)>> {
    let by = |key: &dyn Fn(&ScoredImage) -> String| alarms_by_group(&alarm_counts(found, facts, key));
    let classes = class_counts(found, facts);
    let unreadable = || found.iter().filter(|image| !image.unreadable.is_empty());
    Ok(vec![
        ("alarms", alarms(found, facts)?),
        (
            "classes",
            batch(vec![
                ("class", text_column(classes.iter().map(|count| count.class))),
                ("alarms", count_column(classes.iter().map(|count| count.alarms))),
                ("surest", count_column(classes.iter().map(|count| count.surest))),
            ])?,
        ),
        ("scanners", by(&|image| image.scanner.clone())?),
        ("sites", by(&|image| image.site.clone())?),
        ("months", by(&|image| month(image.day))?),
        ("mismatches", mismatches(found, &facts.fraud)?),
        (
            "unreadable",
            batch(vec![
                ("image_id", text_column(unreadable().map(|image| image.image.as_str()))),
                ("reason", text_column(unreadable().map(|image| image.unreadable.as_str()))),
            ])?,
        ),
    ])
}

/// Numbers of which some are unknown.
fn optional(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.collect::<Float64Array>())
}

fn classes(facts: &ModelFacts) -> Result<RecordBatch> {
    let classes = &facts.figures.classes;
    let champion = |class: &str| {
        let known = facts.champion_figures.as_ref()?.classes.iter().find(|known| known.class == class)?;
        known.ap50
    };
    batch(vec![
        ("class", text_column(classes.iter().map(|class| class.class.as_str()))),
        ("objects", count_column(classes.iter().map(|class| class.objects))),
        ("ap50", optional(classes.iter().map(|class| class.ap50))),
        ("ap50_95", optional(classes.iter().map(|class| class.ap))),
        ("found", optional(classes.iter().map(|class| class.recall))),
        ("found_low", number_column(classes.iter().map(|class| class.interval.0))),
        ("found_high", number_column(classes.iter().map(|class| class.interval.1))),
        ("false_boxes", count_column(classes.iter().map(|class| class.false_boxes))),
        ("champion_ap50", optional(classes.iter().map(|class| champion(&class.class)))),
    ])
}

fn thresholds(facts: &ModelFacts) -> Result<RecordBatch> {
    let points = &facts.figures.points;
    let exact = |allowed: f64| facts.figures.detected.get(&format!("detected@{}", allowed * 100.0)).copied();
    batch(vec![
        ("allowed", number_column(points.iter().map(|point| point.allowed))),
        ("threshold", optional(points.iter().map(|point| point.threshold))),
        ("false_alarms", number_column(points.iter().map(|point| point.false_alarms))),
        ("detected", number_column(points.iter().map(|point| point.detected))),
        ("detected_low", number_column(points.iter().map(|point| point.interval.0))),
        ("detected_high", number_column(points.iter().map(|point| point.interval.1))),
        ("alarms_a_day", number_column(points.iter().map(|point| point.alarms_a_day))),
        ("detected_at_exactly_this_rate", optional(points.iter().map(|point| exact(point.allowed)))),
    ])
}

fn groups(groups: &[Group]) -> Result<RecordBatch> {
    batch(vec![
        ("group", text_column(groups.iter().map(|group| group.name.as_str()))),
        ("images", count_column(groups.iter().map(|group| group.images))),
        ("illicit", count_column(groups.iter().map(|group| group.illicit))),
        ("auc", optional(groups.iter().map(|group| group.area))),
        ("detected", optional(groups.iter().map(|group| group.detected))),
        ("false_alarms", optional(groups.iter().map(|group| group.false_alarms))),
        ("objects_found", optional(groups.iter().map(|group| group.found))),
        ("false_boxes_an_image", number_column(groups.iter().map(|group| group.false_boxes))),
        ("mean_probability", number_column(groups.iter().map(|group| group.mean))),
    ])
}

fn mismatches(images: &[ScoredImage], fraud: &BTreeMap<String, f64>) -> Result<RecordBatch> {
    let rows = worst_mismatches(images);
    let section = |of: fn(&ScoredImage) -> Option<u32>| -> ArrayRef {
        Arc::new(rows.iter().map(|image| of(image).map(u64::from)).collect::<UInt64Array>())
    };
    batch(vec![
        ("declaration_id", text_column(rows.iter().map(|image| image.declaration.as_str()))),
        ("image_id", text_column(rows.iter().map(|image| image.image.as_str()))),
        ("declared_section", section(|image| image.declared)),
        ("likely_section", section(|image| image.likely.map(|likely| likely.0))),
        ("likely_probability", optional(rows.iter().map(|image| image.likely.map(|likely| likely.1)))),
        ("mismatch", optional(rows.iter().map(|image| image.mismatch))),
        ("illicit", number_column(rows.iter().map(|image| image.illicit))),
        ("fraud_probability", optional(rows.iter().map(|image| fraud.get(&image.declaration).copied()))),
    ])
}

fn alarms(found: &[ScoredImage], facts: &SelectionFacts) -> Result<RecordBatch> {
    let mut rows: Vec<&ScoredImage> = found.iter().filter(|image| facts.alarms(image)).collect();
    rows.sort_by(|a, b| b.illicit.total_cmp(&a.illicit).then_with(|| a.image.cmp(&b.image)));
    let best = |image: &ScoredImage| image.found.first().map(|best| best.class.clone()).unwrap_or_default();
    let classes: Vec<String> = rows.iter().map(|image| best(image)).collect();
    let months: Vec<String> = rows.iter().map(|image| month(image.day)).collect();
    let text = |of: fn(&ScoredImage) -> &str| text_column(rows.iter().map(move |image| of(image)));
    batch(vec![
        ("image_id", text(|image| &image.image)),
        ("month", text_column(months.iter().map(String::as_str))),
        ("site", text(|image| &image.site)),
        ("scanner", text(|image| &image.scanner)),
        ("declaration_id", text(|image| &image.declaration)),
        ("illicit", number_column(rows.iter().map(|image| image.illicit))),
        ("surest_class", text_column(classes.iter().map(String::as_str))),
        ("surest_score", number_column(rows.iter().map(|image| image.best))),
    ])
}

fn alarms_by_group(groups: &[AlarmCount]) -> Result<RecordBatch> {
    batch(vec![
        ("group", text_column(groups.iter().map(|group| group.name.as_str()))),
        ("images", count_column(groups.iter().map(|group| group.images))),
        ("alarms", count_column(groups.iter().map(|group| group.alarms))),
        ("mean_probability", number_column(groups.iter().map(|group| group.mean))),
    ])
}
