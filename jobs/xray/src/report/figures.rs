//! Sections on accuracy: classes, operating points, curves, calibration.

use maud::{Markup, html};
use tidewaiter_report::{
    chart::line::{Axis, LineChart, Series},
    table::{Cell, Kind},
    words::Words,
};

use super::facts::ModelFacts;
use crate::metrics::figures::{Evaluated, FALSE_ALARMS};

/// Points of a curve, at most.
const POINTS: usize = 200;

/// Bins of the calibration curve.
const BINS: usize = 10;

/// False boxes an image up to which the free-response curve is drawn.
const MOST_FALSE_BOXES: f64 = 5.0;

fn axis(title: &str, share: bool) -> Axis {
    Axis { title: title.to_owned(), share, covers: if share { vec![0.0, 1.0] } else { vec![0.0] } }
}

/// Every so many points of a curve, and the last.
pub(super) fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let stride = points.len().div_ceil(POINTS).max(1);
    let last = points.last().copied();
    let mut kept: Vec<(f64, f64)> = points.into_iter().step_by(stride).collect();
    if kept.last() != last.as_ref() {
        kept.extend(last);
    }
    kept
}

pub(super) fn classes(words: &Words, facts: &ModelFacts) -> Markup {
    let mut columns = vec![
        ("Class", Kind::Text),
        ("Objects", Kind::Count),
        ("AP, overlap 0.5", Kind::Ratio),
        ("AP, overlaps 0.5 to 0.95", Kind::Ratio),
        ("Found", Kind::Percent),
        ("95 % interval", Kind::Text),
        ("False boxes", Kind::Count),
    ];
    let champion = facts.champion_figures.as_ref();
    if champion.is_some() {
        columns.push(("AP of the champion, overlap 0.5", Kind::Ratio));
    }
    let mut table = words.table("Objects of the test months, by class", &columns);
    for class in &facts.figures.classes {
        let (low, high) = class.interval;
        let interval = match class.objects {
            0 => Cell::Absent,
            _ => Cell::Text(format!("{} – {}", words.percent(low), words.percent(high))),
        };
        let mut cells: Vec<Cell> = vec![
            class.class.as_str().into(),
            class.objects.into(),
            class.ap50.into(),
            class.ap.into(),
            class.recall.into(),
            interval,
            class.false_boxes.into(),
        ];
        if let Some(champion) = champion {
            let own = champion.classes.iter().find(|own| own.class == class.class);
            cells.push(own.and_then(|own| own.ap50).into());
        }
        table.row(cells);
    }
    let mut all: Vec<Cell> = vec![
        words.say("all classes").into(),
        facts.figures.classes.iter().map(|class| class.objects).sum::<u64>().into(),
        facts.figures.map50.into(),
        facts.figures.map.into(),
        Cell::Absent,
        Cell::Absent,
        facts.figures.classes.iter().map(|class| class.false_boxes).sum::<u64>().into(),
    ];
    if let Some(champion) = champion {
        all.push(champion.map50.into());
    }
    table.row(all);
    html! {
        (table.render())
        p {
            (words.fill(
                "Average precision by COCO's rules; the mean is over the classes that have objects. A box counts as found \
                 from a score of {threshold} on, which has the highest F1 on the validation months. An average hides a class \
                 that is missed: read each row.",
                &[("threshold", &words.numbers().fixed(f64::from(facts.head.object_threshold), 3))],
            ))
        }
    }
}

pub(super) fn operating(words: &Words, evaluated: &Evaluated, facts: &ModelFacts) -> Markup {
    if facts.figures.area.is_none() {
        return html! {
            p {
                (words.say(
                    "The test months do not have both clean and illicit images: without them there is no share of false \
                     alarms, and no ROC curve.",
                ))
            }
        };
    }
    let columns = [
        ("False alarms allowed", Kind::Percent),
        ("Threshold", Kind::Ratio),
        ("False alarms", Kind::Percent),
        ("Detected", Kind::Percent),
        ("95 % interval", Kind::Text),
        ("Alarms a day", Kind::Number),
        ("Detected at exactly this rate", Kind::Percent),
    ];
    let mut table = words.table("Thresholds of the validation months on the test months", &columns);
    for point in &facts.figures.points {
        let (low, high) = point.interval;
        let exact = facts.figures.detected.get(&format!("detected@{}", point.allowed * 100.0));
        table.row(vec![
            point.allowed.into(),
            point.threshold.map_or_else(|| words.say("not reached by any image").into(), Cell::Number),
            point.false_alarms.into(),
            point.detected.into(),
            Cell::Text(format!("{} – {}", words.percent(low), words.percent(high))),
            point.alarms_a_day.into(),
            exact.copied().into(),
        ]);
    }
    let chart = LineChart {
        title: words.say("Illicit images that alarm, by the share of clean images that do (ROC)").to_owned(),
        x: axis(words.say("clean images that alarm, %"), true),
        y: axis(words.say("illicit images that alarm, %"), true),
        series: vec![Series {
            name: words.say("this model").to_owned(),
            points: thinned(evaluated.roc().points()),
        }],
        reference: Some(Series {
            name: words.say("by chance").to_owned(),
            points: vec![(0.0, 0.0), (1.0, 1.0)],
        }),
        numbers: words.numbers(),
        ..LineChart::default()
    };
    let rate = |share: f64| {
        let exact = facts.figures.detected.get(&format!("detected@{}", share * 100.0));
        exact.map_or_else(|| "–".to_owned(), |rate| words.percent(*rate))
    };
    let [one, five, ten] = FALSE_ALARMS.map(rate);
    html! {
        (table.render())
        (chart.render())
        p {
            (words.fill(
                "An image alarms when its probability reaches the threshold. Thresholds are chosen on the validation months, \
                 so that false alarms on the test months show how far they hold. With thresholds that fit the test months \
                 exactly, {one}, {five} and {ten} would be detected at 1, 5 and 10 % false alarms.",
                &[("one", &one), ("five", &five), ("ten", &ten)],
            ))
        }
    }
}

/// The points of the free-response curve that are drawn.
pub(super) fn free_response_points(evaluated: &Evaluated) -> Vec<(f64, f64)> {
    thinned(evaluated.free_response().into_iter().filter(|point| point.0 <= MOST_FALSE_BOXES).collect())
}

pub(super) fn free_response(words: &Words, evaluated: &Evaluated) -> Markup {
    let chart = LineChart {
        title: words.say("Objects found, by false boxes an image (FROC)").to_owned(),
        x: axis(words.say("false boxes an image"), false),
        y: axis(words.say("objects found, %"), true),
        series: vec![Series {
            name: words.say("this model").to_owned(),
            points: free_response_points(evaluated),
        }],
        numbers: words.numbers(),
        ..LineChart::default()
    };
    chart.render()
}

/// Images of similar probability.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bin {
    /// The sum of their probabilities.
    predicted: f64,
    /// Illicit ones.
    illicit: f64,
    /// All.
    pub(super) images: u64,
}

impl Bin {
    /// The mean probability and the share that is illicit.
    pub(super) fn point(&self) -> (f64, f64) {
        let images = self.images as f64;
        (self.predicted / images, self.illicit / images)
    }
}

/// The images in bins of ten percent; those without an image are left out.
pub(super) fn bins(evaluated: &Evaluated) -> Vec<Bin> {
    let mut bins = vec![Bin::default(); BINS];
    for image in &evaluated.images {
        let bin = &mut bins[((image.illicit * BINS as f64) as usize).min(BINS - 1)];
        bin.predicted += image.illicit;
        bin.illicit += f64::from(u8::from(image.is_illicit() == Some(true)));
        bin.images += 1;
    }
    bins.retain(|bin| bin.images > 0);
    bins
}

pub(super) fn calibration(words: &Words, evaluated: &Evaluated) -> Markup {
    let bins = bins(evaluated);
    let all = evaluated.images.len().max(1) as f64;
    let error: f64 = bins.iter().map(|bin| (bin.predicted - bin.illicit).abs() / all).sum();
    let chart = LineChart {
        title: words.say("Images by their probability, in bins of ten percent").to_owned(),
        x: axis(words.say("predicted probability, %"), true),
        y: axis(words.say("illicit among them, %"), true),
        series: vec![Series {
            name: words.say("this model").to_owned(),
            points: bins.iter().map(Bin::point).collect(),
        }],
        reference: Some(Series {
            name: words.say("perfect").to_owned(),
            points: vec![(0.0, 0.0), (1.0, 1.0)],
        }),
        numbers: words.numbers(),
        ..LineChart::default()
    };
    html! {
        (chart.render())
        p {
            (words.fill(
                "On average the predicted probability differs by {error} from the share that is illicit.",
                &[("error", &words.numbers().percent(error))],
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidewaiter_report::words::Language;

    use super::*;
    use crate::{
        metrics::figures::{Figures, Point},
        model::{detector::Head, image_score::ImageScore},
        report::{model_tables, texts::WORDS},
    };

    #[test]
    fn a_threshold_that_no_image_reaches_is_said_to_be_so() {
        let point = Point {
            allowed: 0.01,
            threshold: None,
            false_alarms: 0.0,
            detected: 0.0,
            interval: (0.0, 0.1),
            alarms_a_day: 0.0,
        };
        let head = Head {
            side: 32,
            width: 8,
            tile: 0,
            classes: vec!["knife".to_owned()],
            sections: Vec::new(),
            image_score: ImageScore::default(),
            object_threshold: 0.5,
            thresholds: Vec::new(),
        };
        let facts = ModelFacts {
            language: Language::English,
            champion: None,
            country: "KR".to_owned(),
            periods: ["2021-01", "2021-02", "2021-03"].map(str::to_owned),
            counts: [[0; 3]; 3],
            seed: 1,
            snapshot: "images@1".to_owned(),
            figures: Figures { area: Some(0.5), points: vec![point], ..Figures::default() },
            champion_figures: None,
            comparison: None,
            head,
            backbone: None,
            fraud: BTreeMap::new(),
        };
        let evaluated = Evaluated::new(Vec::new(), &facts.head);
        let page = operating(&Words::new(facts.language, &[WORDS]), &evaluated, &facts).into_string();
        assert!(page.contains("not reached by any image"), "{page}");
        let one_kind = ModelFacts { figures: Figures::default(), ..facts.clone() };
        let page = operating(&Words::new(facts.language, &[WORDS]), &evaluated, &one_kind).into_string();
        assert!(page.contains("no ROC curve") && !page.contains("<svg"), "{page}");
        let tables = model_tables(&evaluated, &facts).expect("tables");
        let (_, thresholds) = tables.iter().find(|(name, _)| *name == "thresholds").expect("is there");
        assert_eq!(thresholds.column_by_name("threshold").map(|column| column.null_count()), Some(1));
    }
}
