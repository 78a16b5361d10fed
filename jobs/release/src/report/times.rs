//! The times of stages: the three parts, the stages, the distribution of the headline, and the table for
//! publication.

use maud::{Markup, html};
use tidewaiter_report::{
    chart::{
        bar::BarChart,
        line::{Axis, LineChart, Series},
        waterfall::{Step, Waterfall},
    },
    format,
    table::{Cell, Kind},
};

use super::writer::Writer;
use crate::{
    stage_file::{Holder, Part, StageKind},
    stages::StageResult,
    statistics::distribution::{CLASSES, Summary},
};

impl Writer<'_> {
    /// The three parts: before, at and after customs.
    pub(super) fn parts(&self) -> Markup {
        let names = [
            (Part::PreCustoms, self.say("before customs")),
            (Part::Customs, self.say("at customs")),
            (Part::PostCustoms, self.say("after customs")),
        ];
        let found: Vec<_> =
            names.iter().filter_map(|(part, name)| Some((*part, *name, self.study.part(*part)?))).collect();
        let missing: Vec<&str> = names
            .iter()
            .filter(|(part, _)| self.study.part(*part).is_none())
            .map(|(_, name)| *name)
            .collect();
        let steps = found.iter().enumerate().map(|(series, (_, name, result))| Step {
            name: (*name).to_owned(),
            length: result.elapsed.mean,
            mark: Some(result.elapsed.median()),
            series: Some(series),
        });
        let chart = Waterfall {
            title: self
                .say("Mean hours of each part, of the cases that ended; the line marks their median")
                .to_owned(),
            kind: Kind::Hours,
            numbers: self.numbers(),
            steps: steps.collect(),
        };
        let results: Vec<&StageResult> = found.iter().map(|(.., result)| *result).collect();
        html! {
            @if !found.is_empty() { (chart.render()) (self.times_table(&results, Self::elapsed)) }
            @if !missing.is_empty() {
                p {
                    (self.fill(
                        "The events tell nothing about the time {parts}: the milestones are not in the data.",
                        &[("parts", &missing.join(", "))],
                    ))
                }
            }
        }
    }

    /// The elapsed times of a stage.
    fn elapsed(result: &StageResult) -> Option<&Summary> {
        Some(&result.elapsed)
    }

    /// Mean and quantiles of the cases of some stages that ended.
    fn times_table(&self, results: &[&StageResult], of: fn(&StageResult) -> Option<&Summary>) -> Markup {
        let columns = [
            ("Stage", Kind::Text),
            ("Ended", Kind::Count),
            ("Mean", Kind::Hours),
            ("Trimmed mean", Kind::Hours),
            ("P10", Kind::Hours),
            ("P25", Kind::Hours),
            ("Median", Kind::Hours),
            ("P75", Kind::Hours),
            ("P90", Kind::Hours),
            ("P99", Kind::Hours),
        ];
        let caption = "Hours of the cases that ended; the trimmed mean leaves out a twentieth at each end";
        let mut table = self.table(caption, &columns);
        for result in results {
            let Some(times) = of(result).filter(|times| times.count > 0) else { continue };
            let mut cells: Vec<Cell> = vec![
                Cell::Text(self.name(result)),
                times.count.into(),
                times.mean.into(),
                times.trimmed_mean.into(),
            ];
            cells.extend(times.quantiles.map(Cell::Number));
            table.row(cells);
        }
        table.render()
    }

    /// The stages that any case has ended: without an end in the data every case would be open.
    fn measured(&self) -> Vec<&StageResult> {
        self.study.stages.iter().filter(|result| result.complete > 0).collect()
    }

    /// All stages.
    pub(super) fn stages(&self) -> Markup {
        let measured = self.measured();
        let absent: Vec<String> = self
            .study
            .stages
            .iter()
            .filter(|result| result.complete + result.missing + result.negative == 0)
            .map(|result| self.name(result))
            .collect();
        let working = measured.iter().any(|result| result.working.is_some());
        html! {
            (self.time_shares())
            (self.times_table(&measured, Self::elapsed))
            @if working {
                h3 { (self.say("In working hours")) }
                (self.times_table(&measured, |result| result.working.as_ref()))
            }
            h3 { (self.say("Open cases")) }
            (self.open_cases(&measured))
            @if !absent.is_empty() {
                p { (self.fill("Not in the data, or ended by no case: {stages}.", &[("stages", &absent.join("; "))])) }
            }
        }
    }

    /// Where the time of the headline goes: the steps, and the time that no step holds; and who holds the goods.
    fn time_shares(&self) -> Markup {
        let Some(headline) = self.study.headline().filter(|result| result.complete > 0) else {
            return html! {};
        };
        let cases = headline.complete as f64;
        let shares = || self.study.time_shares.iter().filter(|share| share.hours > 0.0);
        if shares().all(|share| share.stage.is_none()) {
            return html! {};
        }
        let steps = shares().map(|share| Step {
            name: match &share.stage {
                Some(stage) => self.stage_name(stage),
                None => self.say("in no stage").to_owned(),
            },
            length: share.hours / cases,
            mark: None,
            series: share.stage.as_ref().and_then(|stage| stage.held_by).map(|holder| holder as usize),
        });
        let chart = Waterfall {
            title: self.fill(
                "Where the time of “{stage}” goes: mean hours of the cases that ended; stages that run side by side share \
                 their time, so that all bars add up to the mean of {mean}",
                &[("stage", &self.name(headline)), ("mean", &self.hours(headline.elapsed.mean))],
            ),
            kind: Kind::Hours,
            numbers: self.numbers(),
            steps: steps.collect(),
        };
        let holders = [
            (Some(Holder::Customs), self.say("customs")),
            (Some(Holder::Agency), self.say("other agencies")),
            (Some(Holder::Trader), self.say("the trader or the broker")),
            (Some(Holder::Port), self.say("the port or the carrier")),
            (None, self.say("not known")),
        ];
        let mut table = self.table(
            "Who has to act next, by the stage file",
            &[("Held by", Kind::Text), ("Mean, h", Kind::Hours), ("Share", Kind::Percent)],
        );
        let all: f64 = shares().map(|share| share.hours).sum();
        for (holder, name) in holders {
            let own = shares().filter(|share| share.stage.as_ref().and_then(|stage| stage.held_by) == holder);
            let hours: f64 = own.map(|share| share.hours).sum();
            if hours > 0.0 {
                table.row(vec![name.into(), (hours / cases).into(), (hours / all).into()]);
            }
        }
        html! { (chart.render()) (table.render()) }
    }

    /// Ended and open cases of each stage.
    fn open_cases(&self, measured: &[&StageResult]) -> Markup {
        let columns = [
            ("Stage", Kind::Text),
            ("Ended", Kind::Count),
            ("Open", Kind::Count),
            ("End missing", Kind::Count),
            ("Negative", Kind::Count),
            ("Median of the ended", Kind::Hours),
            ("Median of all", Kind::Hours),
            ("P90 of the ended", Kind::Hours),
            ("P90 of all", Kind::Hours),
        ];
        let caption =
            "Hours; “of all” counts open cases too (Kaplan and Meier), with a dash where it is not reached";
        let mut table = self.table(caption, &columns);
        for result in measured.iter().filter(|result| !result.stage.from.is_empty()) {
            let ended = |value: f64| (result.complete > 0).then_some(value);
            table.row(vec![
                Cell::Text(self.name(result)),
                result.complete.into(),
                result.open.into(),
                result.missing.into(),
                result.negative.into(),
                ended(result.elapsed.median()).into(),
                result.median().into(),
                ended(result.elapsed.p90()).into(),
                result.p90().into(),
            ]);
        }
        html! { (table.render()) (self.targets(measured)) }
    }

    /// The stages with a target, if any.
    fn targets(&self, measured: &[&StageResult]) -> Markup {
        let columns = [
            ("Stage", Kind::Text),
            ("Target, h", Kind::Number),
            ("Followed for so long", Kind::Count),
            ("Within target", Kind::Percent),
        ];
        let mut table = self.table("Targets, judged on the cases that were followed for as long", &columns);
        let with_target: Vec<_> =
            measured.iter().filter_map(|result| Some((result, result.stage.target_hours?))).collect();
        if with_target.is_empty() {
            return html! {};
        }
        for (result, hours) in with_target {
            table.row(vec![
                Cell::Text(self.name(result)),
                hours.into(),
                result.target.map(|target| target.cases).into(),
                result.within_target().into(),
            ]);
        }
        table.render()
    }

    /// The distribution of the headline.
    pub(super) fn distribution(&self) -> Markup {
        let Some(headline) = self.study.headline() else { return html! {} };
        let class = |place: usize| match CLASSES.get(place + 1) {
            Some(end) => {
                format!("{} – {}\u{a0}h", self.numbers().number(CLASSES[place]), self.numbers().number(*end))
            }
            None => format!("> {}\u{a0}h", self.numbers().number(CLASSES[place])),
        };
        let last = headline.elapsed.histogram.iter().rposition(|count| *count > 0).unwrap_or_default();
        let bars = headline.elapsed.histogram.iter().enumerate().take(last + 1);
        let histogram = BarChart {
            title: format!("{} – {}", self.name(headline), self.say("ended cases by hours")),
            kind: Kind::Count,
            numbers: self.numbers(),
            bars: bars.map(|(place, count)| (class(place), *count as f64)).collect(),
        };
        let limit = headline.elapsed.quantiles[5].max(1.0);
        let steps = |curve: &[(f64, f64)]| {
            let mut points: Vec<(f64, f64)> = Vec::new();
            for (time, share) in curve.iter().filter(|point| point.0 <= limit) {
                if let Some(last) = points.last() {
                    points.push((*time, last.1));
                }
                points.push((*time, *share));
            }
            points
        };
        let chart = LineChart {
            title: self.say("Share of cases that take longer, open cases counted").to_owned(),
            x: Axis { title: self.say("hours").to_owned(), ..Axis::default() },
            y: Axis { title: self.say("cases, % of all").to_owned(), share: true, covers: vec![0.0, 1.0] },
            series: vec![Series {
                name: self.say("all cases").to_owned(),
                points: steps(&headline.survival.curve),
            }],
            numbers: self.numbers(),
            mark: headline.stage.target_hours.map(|target| (target, self.say("target").to_owned())),
            ..LineChart::default()
        };
        html! { (histogram.render()) (chart.render()) }
    }

    /// An interval of hours; an end that is not reached is an ellipsis.
    pub(super) fn interval(&self, interval: (Option<f64>, Option<f64>)) -> Cell {
        let end = |end: Option<f64>| end.map_or("…".to_owned(), |hours| self.numbers().fixed(hours, 2));
        match interval {
            (None, None) => Cell::Absent,
            (low, high) => Cell::Text(format!("{} – {}", end(low), end(high))),
        }
    }

    /// The table of average release times, with what an average alone would hide.
    pub(super) fn publication(&self) -> Markup {
        let mut columns = vec![
            ("Stage", Kind::Text),
            ("Cases", Kind::Count),
            ("Open", Kind::Count),
            ("Average of the ended, h", Kind::Hours),
            ("Median, h", Kind::Hours),
            ("95 % interval", Kind::Text),
            ("P90, h", Kind::Hours),
            ("95 % interval", Kind::Text),
        ];
        // From the first event to the last no case is open: it is published where there is nothing else.
        let is_only = self.study.headline().is_some_and(|headline| headline.stage.from.is_empty());
        let mut published = self.measured();
        published.retain(|it| it.stage.kind != StageKind::Step && (is_only || !it.stage.from.is_empty()));
        let has_target = published.iter().any(|result| result.stage.target_hours.is_some());
        if has_target {
            columns.extend([("Target, h", Kind::Number), ("Within target", Kind::Percent)]);
        }
        let period = format::period(&self.study.period);
        let values = [("country", self.study.country.as_str()), ("period", period.as_str())];
        let caption = match has_target {
            true => self.fill(
                "Average release times, {country}, {period} (WTO Trade Facilitation Agreement, article 7.6); medians, P90 and \
                 the share within a target count open cases",
                &values,
            ),
            false => self.fill(
                "Average release times, {country}, {period} (WTO Trade Facilitation Agreement, article 7.6); medians and P90 \
                 count open cases",
                &values,
            ),
        };
        let mut table = self.table(&caption, &columns);
        for result in published {
            let mut cells = vec![
                Cell::Text(self.name(result)),
                (result.complete + result.open).into(),
                result.open.into(),
                (result.complete > 0).then_some(result.elapsed.mean).into(),
                result.median().into(),
                self.interval(result.median_interval()),
                result.p90().into(),
                self.interval(result.p90_interval()),
            ];
            if has_target {
                cells.extend([result.stage.target_hours.into(), result.within_target().into()]);
            }
            table.row(cells);
        }
        table.render()
    }
}
