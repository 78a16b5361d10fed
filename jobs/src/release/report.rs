//! The study's page, in English and French.
//!
//! The order is that of a study that is read by those who decide: the answer, the three parts, the stages, who
//! compares how, where the time goes, and last the data and the method. Mean and median stand side by side
//! everywhere, because a few long cases make them tell different stories.

mod bottlenecks;
mod drivers;
mod help;
mod method;

use std::str::FromStr;

use maud::{Markup, html};

use super::{
    distribution::{CLASSES, Summary},
    process::Edge,
    stages::{Part, StageKind},
    study::{StageResult, Study},
};
use crate::{
    Error, Result,
    report::{
        chart::{
            bar::BarChart,
            line::{Axis, LineChart, Series},
            waterfall::{Fall, Waterfall},
        },
        format::{ENGLISH, FRENCH, Numbers},
        page::{Footer, Page, Section},
        table::{Cell, Kind, Table},
    },
};

/// Rows shown of a table that may be long.
const SHOWN: usize = 15;

/// The language of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// French.
    French,
}

impl FromStr for Language {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "en" => Ok(Self::English),
            "fr" => Ok(Self::French),
            _ => Err(Error::input(format!("the language {text:?} is neither en nor fr"))),
        }
    }
}

/// A moment in RFC 3339, as it is read.
fn instant(moment: &str) -> String {
    match (moment.get(..10), moment.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute} UTC"),
        _ => moment.to_owned(),
    }
}

/// A period, `2024-01..2024-03`, as it is read.
fn period(period: &str) -> String {
    match period.split_once("..") {
        Some((from, to)) if from != to => format!("{from} – {to}"),
        Some((only, _)) => only.to_owned(),
        None => period.to_owned(),
    }
}

/// Writes a study in a language.
struct Writer<'a> {
    study: &'a Study,
    language: Language,
}

impl Study {
    /// The report's HTML file; the footer says what made it.
    pub fn html(&self, language: Language, footer: Footer) -> String {
        Writer { study: self, language }.page(footer).render()
    }
}

impl Writer<'_> {
    fn say(&self, english: &'static str, french: &'static str) -> &'static str {
        match self.language {
            Language::English => english,
            Language::French => french,
        }
    }

    fn numbers(&self) -> Numbers {
        match self.language {
            Language::English => ENGLISH,
            Language::French => FRENCH,
        }
    }

    fn table(&self, caption: impl Into<String>, columns: &[(&str, Kind)]) -> Table {
        Table::new(caption, columns).with_numbers(self.numbers())
    }

    /// A p-value.
    fn p_value(&self, p: f64) -> String {
        match p {
            p if p < 0.001 => format!("< {}", self.numbers().ratio(0.001)),
            p => self.numbers().ratio(p),
        }
    }

    fn page(&self, footer: Footer) -> Page {
        let study = self.study;
        let mut sections = Vec::new();
        let mut add = |anchor, title: &str, body| {
            sections.push(Section { anchor, title: title.to_owned(), body });
        };
        add(
            "parts",
            self.say("Before, at and after customs", "Avant, pendant et après la douane"),
            self.parts(),
        );
        add("stages", self.say("Stages", "Étapes"), self.stages());
        add("distribution", self.say("Distribution", "Distribution"), self.distribution());
        add("publication", self.say("For publication", "Pour publication"), self.publication());
        if !study.strata.is_empty() {
            add("strata", self.say("By group", "Par groupe"), self.strata());
        }
        if study.compare.is_some() {
            add("comparison", self.say("Before and after", "Avant et après"), self.comparison());
        }
        add("bottlenecks", self.say("Bottlenecks", "Goulets d'étranglement"), self.bottlenecks());
        add("drivers", self.say("What drives long cases", "Ce qui allonge les dossiers"), self.drivers());
        if !study.stations.is_empty() || !study.measures.is_empty() {
            add("help", self.say("What would help", "Ce qui aiderait"), self.help());
        }
        add("map", self.say("Process map", "Carte du processus"), self.map());
        add("load", self.say("Load by weekday and hour", "Charge par jour et par heure"), self.load());
        add("ways", self.say("Ways of a case", "Parcours des dossiers"), self.ways());
        add("data", self.say("What was odd in the data", "Anomalies des données"), self.anomalies());
        add("method", self.say("Method", "Méthode"), self.method());
        Page {
            language: self.say("en", "fr").to_owned(),
            title: format!(
                "{} · {}",
                self.say("Time Release Study", "Étude du temps nécessaire à la mainlevée"),
                study.country
            ),
            subtitle: format!(
                "{} {}",
                self.say("Cases that began in", "Dossiers ouverts pendant"),
                period(&study.period)
            ),
            lead: self.lead(),
            facts: vec![
                (self.say("Cases", "Dossiers").to_owned(), self.numbers().count(study.cases as f64)),
                (self.say("Events", "Événements").to_owned(), self.numbers().count(study.events as f64)),
                (self.say("Variants", "Variantes").to_owned(), self.numbers().count(study.variants as f64)),
                (self.say("Known until", "Connu jusqu'au").to_owned(), instant(&study.cut_off)),
            ],
            sections,
            footer,
        }
    }

    fn name(&self, result: &StageResult) -> String {
        let french = result.stage.french.clone().filter(|_| self.language == Language::French);
        french.unwrap_or_else(|| result.stage.name.clone())
    }

    /// The answer in a few sentences.
    fn lead(&self) -> String {
        let Some(headline) = self.study.headline() else { return String::new() };
        let times = &headline.elapsed;
        let mut text = format!(
            "{} – {} {}, {} {}, {} {}.",
            self.name(headline),
            self.say("median", "médiane"),
            self.hours(times.median()),
            self.say("mean", "moyenne"),
            self.hours(times.mean),
            self.say("nine in ten within", "neuf sur dix en moins de"),
            self.hours(times.p90()),
        );
        if let (Some(share), Some(target)) = (times.within_target, headline.stage.target_hours) {
            let share = self.numbers().percent_short(share);
            let target = self.hours(target);
            text.push_str(&match self.language {
                Language::English => format!(" {share} meet the target of {target}."),
                Language::French => format!(" {share} respectent l'objectif de {target}."),
            });
        }
        if let Some((edge, share)) = self.worst_edge() {
            let (share, median) = (self.numbers().percent_short(share), self.hours(edge.median / 3600.0));
            text.push_str(&match self.language {
                Language::English => format!(
                    " {share} of all time lies between “{}” and “{}” (median {median}, mean {}).",
                    edge.source, edge.target, self.hours(edge.mean / 3600.0)
                ),
                Language::French => format!(
                    " {share} de tout le temps se situe entre «\u{a0}{}\u{a0}» et «\u{a0}{}\u{a0}» (médiane {median}, moyenne {}).",
                    edge.source, edge.target, self.hours(edge.mean / 3600.0)
                ),
            });
        }
        text
    }

    /// Hours as they are read: minutes below one, days above a hundred.
    fn hours(&self, hours: f64) -> String {
        match hours.abs() {
            size if size < 1.0 / 60.0 => format!("{}\u{a0}s", self.numbers().fixed(hours * 3600.0, 0)),
            size if size < 1.0 => format!("{}\u{a0}min", self.numbers().fixed(hours * 60.0, 0)),
            size if size < 100.0 => format!("{}\u{a0}h", self.numbers().fixed(hours, 1)),
            _ => format!("{}\u{a0}{}", self.numbers().fixed(hours / 24.0, 1), self.say("days", "jours")),
        }
    }

    fn total_seconds(&self) -> f64 {
        self.study.edges.iter().map(|edge| edge.sum.max(0.0)).sum()
    }

    fn worst_edge(&self) -> Option<(&Edge, f64)> {
        let total = self.total_seconds();
        self.study.edges.first().filter(|_| total > 0.0).map(|edge| (edge, edge.sum / total))
    }

    fn parts(&self) -> Markup {
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

    fn measured(&self) -> Vec<&StageResult> {
        self.study.stages.iter().filter(|result| result.complete + result.open > 0).collect()
    }

    fn stages(&self) -> Markup {
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

    fn distribution(&self) -> Markup {
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
    fn publication(&self) -> Markup {
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

    fn strata(&self) -> Markup {
        let Some(headline) = self.study.headline() else { return html! {} };
        let mut columns: Vec<&str> =
            self.study.strata.iter().map(|stratum| stratum.column.as_str()).collect();
        columns.dedup();
        html! {
            @for column in columns {
                @let groups: Vec<_> = self.study.strata.iter().filter(|stratum| stratum.column == column).filter_map(|stratum| {
                    let result = stratum.stages.iter().find(|result| result.stage == headline.stage)?;
                    (result.complete > 0).then_some((stratum.value.as_str(), result))
                }).collect();
                (self.stratum_table(column, &groups))
            }
        }
    }

    fn stratum_table(&self, column: &str, groups: &[(&str, &StageResult)]) -> Markup {
        let title = self.attribute(column);
        let columns = [
            (title.as_str(), Kind::Text),
            (self.say("Cases", "Dossiers"), Kind::Count),
            (self.say("Mean", "Moyenne"), Kind::Hours),
            (self.say("Median", "Médiane"), Kind::Hours),
            ("P90", Kind::Hours),
            (self.say("Within target", "Objectif atteint"), Kind::Percent),
            (self.say("Open", "Ouverts"), Kind::Count),
        ];
        let mut groups = groups.to_vec();
        groups.sort_by(|a, b| b.1.complete.cmp(&a.1.complete).then(a.0.cmp(b.0)));
        let caption = format!(
            "{} – {}",
            self.study.headline().map(|result| self.name(result)).unwrap_or_default(),
            self.say("hours", "heures")
        );
        let mut table = self.table(caption, &columns);
        for (value, result) in groups.into_iter().take(2 * SHOWN) {
            table.row(vec![
                Cell::Text(self.value(column, value)),
                result.complete.into(),
                result.elapsed.mean.into(),
                result.elapsed.median().into(),
                result.elapsed.p90().into(),
                result.elapsed.within_target.into(),
                result.open.into(),
            ]);
        }
        table.render()
    }

    fn comparison(&self) -> Markup {
        let columns = [
            (self.say("Stage", "Étape"), Kind::Text),
            (self.say("Cases before", "Dossiers avant"), Kind::Count),
            (self.say("after", "après"), Kind::Count),
            (self.say("Mean before", "Moyenne avant"), Kind::Hours),
            (self.say("after", "après"), Kind::Hours),
            (self.say("Median before", "Médiane avant"), Kind::Hours),
            (self.say("after", "après"), Kind::Hours),
            (self.say("P90 before", "P90 avant"), Kind::Hours),
            (self.say("after", "après"), Kind::Hours),
            (self.say("Chance of shorter", "Chance d'être plus court"), Kind::Percent),
            ("p (Holm)", Kind::Text),
        ];
        let caption = self.say(
            "Hours; the chance that a case of the study's period is shorter than one before, and the test of Mann and Whitney",
            "Heures\u{a0}; chance qu'un dossier de la période étudiée soit plus court qu'un d'avant, et test de Mann et Whitney",
        );
        let mut table = self.table(caption, &columns);
        for stage in &self.study.comparisons {
            let french = stage.stage.french.as_ref().filter(|_| self.language == Language::French);
            table.row(vec![
                Cell::Text(french.unwrap_or(&stage.stage.name).clone()),
                stage.before.count.into(),
                stage.after.count.into(),
                stage.before.mean.into(),
                stage.after.mean.into(),
                stage.before.median().into(),
                stage.after.median().into(),
                stage.before.p90().into(),
                stage.after.p90().into(),
                stage.test.shorter.into(),
                Cell::Text(self.p_value(stage.adjusted_p_value)),
            ]);
        }
        let compare = self.study.compare.as_deref().unwrap_or_default();
        html! {
            p { (self.say("Compared with the cases of ", "Comparé aux dossiers de ")) (period(compare)) "." }
            (table.render())
        }
    }
}
