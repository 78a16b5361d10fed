//! The times of stages: the three parts, the stages, the distribution of the headline, and the table for
//! publication.

use maud::{Markup, html};
use tidewaiter_report::{
    chart::{
        bar::BarChart,
        line::{Axis, LineChart, Series},
        waterfall::{Fall, Waterfall},
    },
    table::{Cell, Kind},
};

use super::writer::Writer;
use crate::{
    language::Language,
    stage_file::{Part, StageKind},
    stages::StageResult,
    statistics::distribution::{CLASSES, Summary},
};

impl Writer<'_> {
    /// The three parts: before, at and after customs.
    pub(super) fn parts(&self) -> Markup {
        let names = [
            (Part::PreCustoms, self.say("before customs", "avant la douane")),
            (Part::Customs, self.say("at customs", "à la douane")),
            (Part::PostCustoms, self.say("after customs", "après la douane")),
        ];
        let found: Vec<_> =
            names.iter().filter_map(|(part, name)| Some((*part, *name, self.study.part(*part)?))).collect();
        let missing: Vec<&str> = names
            .iter()
            .filter(|(part, _)| self.study.part(*part).is_none())
            .map(|(_, name)| *name)
            .collect();
        let falls = found.iter().enumerate().map(|(series, (_, name, result))| Fall {
            name: (*name).to_owned(),
            length: result.elapsed.mean,
            mark: Some(result.elapsed.median()),
            series,
        });
        let chart = Waterfall {
            title: self
                .say(
                    "Mean hours of each part; the line marks the median",
                    "Heures moyennes de chaque partie\u{a0}; le trait marque la médiane",
                )
                .to_owned(),
            kind: Kind::Hours,
            numbers: self.numbers(),
            falls: falls.collect(),
        };
        let results: Vec<&StageResult> = found.iter().map(|(.., result)| *result).collect();
        html! {
            @if !found.is_empty() { (chart.render()) (self.times_table(&results, Self::elapsed)) }
            @if !missing.is_empty() {
                p {
                    (self.say("The events say nothing of the time ", "Les événements ne disent rien du temps "))
                    (missing.join(", "))
                    (self.say(": the milestones are not in the data.", "\u{a0}: les jalons manquent dans les données."))
                }
            }
        }
    }

    /// The elapsed times of a stage.
    fn elapsed(result: &StageResult) -> Option<&Summary> {
        Some(&result.elapsed)
    }

    /// Mean, quantiles and the share in the target of some stages.
    fn times_table(&self, results: &[&StageResult], of: fn(&StageResult) -> Option<&Summary>) -> Markup {
        let columns = [
            (self.say("Stage", "Étape"), Kind::Text),
            (self.say("Cases", "Dossiers"), Kind::Count),
            (self.say("Mean", "Moyenne"), Kind::Hours),
            (self.say("Trimmed", "Tronquée"), Kind::Hours),
            ("P10", Kind::Hours),
            ("P25", Kind::Hours),
            (self.say("Median", "Médiane"), Kind::Hours),
            ("P75", Kind::Hours),
            ("P90", Kind::Hours),
            ("P99", Kind::Hours),
            (self.say("Target", "Objectif"), Kind::Number),
            (self.say("Within", "Atteint"), Kind::Percent),
        ];
        let caption = self.say(
            "Hours; the trimmed mean leaves out a twentieth at each end",
            "Heures\u{a0}; la moyenne tronquée écarte un vingtième à chaque bout",
        );
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
            cells.extend([result.stage.target_hours.into(), times.within_target.into()]);
            table.row(cells);
        }
        table.render()
    }

    /// The stages that any case has.
    fn measured(&self) -> Vec<&StageResult> {
        self.study.stages.iter().filter(|result| result.complete + result.open > 0).collect()
    }

    /// All stages.
    pub(super) fn stages(&self) -> Markup {
        let measured = self.measured();
        let steps =
            measured.iter().filter(|result| result.stage.kind == StageKind::Step && result.complete > 0);
        let cases = self.study.cases.max(1) as f64;
        let series = |part: Option<Part>| part.map_or(3, |part| part as usize);
        let falls: Vec<Fall> = steps
            .map(|result| Fall {
                name: self.name(result),
                length: result.elapsed.sum / cases,
                mark: None,
                series: series(result.stage.part),
            })
            .collect();
        let chart = Waterfall {
            title: self
                .say(
                    "Where a case's time goes: mean hours over all cases",
                    "Où va le temps d'un dossier\u{a0}: heures moyennes sur tous les dossiers",
                )
                .to_owned(),
            kind: Kind::Hours,
            numbers: self.numbers(),
            falls,
        };
        let absent: Vec<String> = self
            .study
            .stages
            .iter()
            .filter(|result| result.complete + result.open + result.missing + result.negative == 0)
            .map(|result| self.name(result))
            .collect();
        let working = measured.iter().any(|result| result.working.is_some());
        html! {
            @if !chart.falls.is_empty() { (chart.render()) }
            (self.times_table(&measured, Self::elapsed))
            @if working {
                h3 { (self.say("In working hours", "En heures ouvrées")) }
                (self.times_table(&measured, |result| result.working.as_ref()))
            }
            h3 { (self.say("Cases that are not over", "Dossiers non terminés")) }
            (self.censoring(&measured))
            @if !absent.is_empty() {
                p { (self.say("Not in the data: ", "Absents des données\u{a0}: ")) (absent.join("; ")) "." }
            }
        }
    }

    /// Complete and open cases of each stage.
    fn censoring(&self, measured: &[&StageResult]) -> Markup {
        let columns = [
            (self.say("Stage", "Étape"), Kind::Text),
            (self.say("Over", "Terminés"), Kind::Count),
            (self.say("Open", "Ouverts"), Kind::Count),
            (self.say("End missing", "Fin absente"), Kind::Count),
            (self.say("Negative", "Négatifs"), Kind::Count),
            (self.say("Median of the over", "Médiane des terminés"), Kind::Hours),
            (self.say("Median of all", "Médiane de tous"), Kind::Hours),
            (self.say("P90 of the over", "P90 des terminés"), Kind::Hours),
            (self.say("P90 of all", "P90 de tous"), Kind::Hours),
        ];
        let caption = self.say(
            "Hours; “of all” uses the open cases too (Kaplan and Meier), a dash where it is not reached",
            "Heures\u{a0}; «\u{a0}de tous\u{a0}» compte aussi les dossiers ouverts (Kaplan et Meier), un tiret si non atteint",
        );
        let mut table = self.table(caption, &columns);
        for result in measured.iter().filter(|result| !result.stage.from.is_empty()) {
            let over = |value: f64| (result.complete > 0).then_some(value);
            table.row(vec![
                Cell::Text(self.name(result)),
                result.complete.into(),
                result.open.into(),
                result.missing.into(),
                result.negative.into(),
                over(result.elapsed.median()).into(),
                result.survival.quantiles[2].into(),
                over(result.elapsed.p90()).into(),
                result.survival.quantiles[4].into(),
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
            title: format!("{} – {}", self.name(headline), self.say("cases by hours", "dossiers par durée")),
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
            title: self
                .say(
                    "Share of cases that take longer, open cases counted",
                    "Part des dossiers plus longs, dossiers ouverts compris",
                )
                .to_owned(),
            x: Axis { title: self.say("hours", "heures").to_owned(), ..Axis::default() },
            y: Axis {
                title: self.say("cases, % of all", "dossiers, % du total").to_owned(),
                share: true,
                covers: vec![0.0, 1.0],
            },
            series: vec![Series {
                name: self.say("all cases", "tous").to_owned(),
                points: steps(&headline.survival.curve),
            }],
            numbers: self.numbers(),
            mark: headline
                .stage
                .target_hours
                .map(|target| (target, self.say("target", "objectif").to_owned())),
            ..LineChart::default()
        };
        html! { (histogram.render()) (chart.render()) }
    }

    /// The table of average release times, with what an average alone would hide.
    pub(super) fn publication(&self) -> Markup {
        let columns = [
            (self.say("Measured", "Mesure"), Kind::Text),
            (self.say("Cases", "Dossiers"), Kind::Count),
            (self.say("Average, h", "Moyenne, h"), Kind::Hours),
            (self.say("Median, h", "Médiane, h"), Kind::Hours),
            (self.say("95 % interval", "Intervalle à 95 %"), Kind::Text),
            ("P90, h", Kind::Hours),
            (self.say("95 % interval", "Intervalle à 95 %"), Kind::Text),
            (self.say("Target, h", "Objectif, h"), Kind::Number),
            (self.say("Within target", "Objectif atteint"), Kind::Percent),
        ];
        let caption = match self.language {
            Language::English => format!(
                "Average release times, {}, {} (WTO Trade Facilitation Agreement, article 7.6)",
                self.study.country, self.study.period
            ),
            Language::French => format!(
                "Temps moyens de mainlevée, {}, {} (Accord de l'OMC sur la facilitation des échanges, article 7.6)",
                self.study.country, self.study.period
            ),
        };
        let mut table = self.table(caption, &columns);
        let interval = |interval: Option<(f64, f64)>| match interval {
            Some((low, high)) => {
                Cell::Text(format!("{} – {}", self.numbers().fixed(low, 2), self.numbers().fixed(high, 2)))
            }
            None => Cell::Absent,
        };
        for result in self.measured().into_iter().filter(|result| result.stage.kind != StageKind::Step) {
            let times = &result.elapsed;
            if times.count == 0 {
                continue;
            }
            table.row(vec![
                Cell::Text(self.name(result)),
                times.count.into(),
                times.mean.into(),
                times.median().into(),
                interval(times.median_interval),
                times.p90().into(),
                interval(times.p90_interval),
                result.stage.target_hours.into(),
                times.within_target.into(),
            ]);
        }
        table.render()
    }
}
