//! The page of a study, in English and French, and its tables.
//!
//! The order of the page is that of a study which is read by those who decide: the answer, the three parts,
//! the stages, who compares how, where the time goes, and last the data and the method. Mean and median stand
//! side by side everywhere, because a few long cases pull them apart.
//!
//! Start at [`Study::html`]; the sections are methods of [`Writer`], one file each for those that belong
//! together.

mod bottlenecks;
mod drivers;
mod groups;
mod measures;
mod method;
mod tables;
mod times;
mod writer;

use tidewaiter_report::page::{Footer, Page, Section};

use self::writer::{Writer, period_of, time_of};
use crate::{language::Language, results::Study};

impl Study {
    /// The report's HTML file; the footer says what made it.
    pub fn html(&self, language: Language, footer: Footer) -> String {
        Writer { study: self, language }.page(footer).render()
    }
}

impl Writer<'_> {
    /// The page.
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
        if !study.queues.is_empty() || !study.measures.is_empty() {
            add("help", self.say("What would help", "Ce qui aiderait"), self.measures());
        }
        add("map", self.say("Process map", "Carte du processus"), self.map());
        add("load", self.say("Load by weekday and hour", "Charge par jour et par heure"), self.load());
        add("ways", self.say("Ways of a case", "Parcours des dossiers"), self.variants());
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
                period_of(&study.period)
            ),
            lead: self.lead(),
            facts: vec![
                (self.say("Cases", "Dossiers").to_owned(), self.numbers().count(study.cases as f64)),
                (self.say("Events", "Événements").to_owned(), self.numbers().count(study.events as f64)),
                (self.say("Variants", "Variantes").to_owned(), self.numbers().count(study.variants as f64)),
                (self.say("Known until", "Connu jusqu'au").to_owned(), time_of(&study.cut_off)),
            ],
            sections,
            footer,
        }
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
}
