//! The page of a study, in English, French and Spanish, and its tables.
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

use tidewaiter_report::{
    format::period,
    page::{Footer, Page, Section},
    words::{Language, Words},
};

use self::writer::{WORDS, Writer, time_of};
use crate::{results::Study, stages::StageResult};

impl Study {
    /// The report's HTML file; the footer says what made it.
    pub fn html(&self, language: Language, footer: Footer) -> String {
        Writer { study: self, words: Words::new(language, &[WORDS]) }.page(footer).render()
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
        add("parts", self.say("Before, at and after customs"), self.parts());
        add("stages", self.say("Stages"), self.stages());
        add("distribution", self.say("Distribution"), self.distribution());
        add("publication", self.say("For publication"), self.publication());
        if !study.strata.is_empty() {
            add("strata", self.say("By group"), self.strata());
        }
        if study.compare.is_some() {
            add("comparison", self.say("Before and after"), self.comparison());
        }
        add("bottlenecks", self.say("Bottlenecks"), self.bottlenecks());
        add("drivers", self.say("What drives long cases"), self.drivers());
        if !study.queues.is_empty() || !study.measures.is_empty() {
            add("help", self.say("Measures that would shorten releases"), self.measures());
        }
        add("map", self.say("Process map"), self.map());
        add("load", self.say("Load by weekday and hour"), self.load());
        add("variants", self.say("Variants"), self.variants());
        add("data", self.say("Anomalies of the data"), self.anomalies());
        add("method", self.say("Method"), self.method());
        Page {
            language: self.words.language(),
            title: format!(
                "{} · {} · {}",
                self.say("Time Release Study"),
                study.country,
                period(&study.period)
            ),
            subtitle: self.fill("Cases that began in {period}", &[("period", &period(&study.period))]),
            lead: self.lead(),
            facts: vec![
                (self.say("Cases").to_owned(), self.numbers().count(study.cases as f64)),
                (self.say("Events").to_owned(), self.numbers().count(study.events as f64)),
                (self.say("Variants").to_owned(), self.numbers().count(study.variants as f64)),
                (self.say("Cut-off").to_owned(), time_of(&study.cut_off)),
            ],
            sections,
            footer,
        }
    }

    /// The answer in a few sentences.
    fn lead(&self) -> String {
        let Some(headline) = self.study.headline() else { return String::new() };
        let (median, p90) = (headline.median().map(|hours| self.hours(hours)), headline.p90());
        let p90 = p90.map(|hours| self.hours(hours));
        let name = self.name(headline);
        let stage = ("stage", name.as_str());
        let mut text = match (&median, &p90) {
            (Some(median), Some(p90)) => self.fill(
                "{stage}: half of the cases take up to {median}, nine in ten up to {p90}.",
                &[stage, ("median", median), ("p90", p90)],
            ),
            (Some(median), None) => self.fill(
                "{stage}: half of the cases take up to {median}; the tenth that takes longest is not over.",
                &[stage, ("median", median)],
            ),
            (None, _) => self.fill("{stage}: fewer than half of the cases are over.", &[stage]),
        };
        let mean = self.hours(headline.elapsed.mean);
        text.push(' ');
        text.push_str(&match headline.open {
            0 => self.fill("The mean is {mean}.", &[("mean", &mean)]),
            open => self.fill(
                "{open} cases are open and counted; the mean of those that ended is {mean}.",
                &[("open", &self.words.count(open)), ("mean", &mean)],
            ),
        });
        if let (Some(share), Some(target)) = (headline.within_target(), headline.stage.target_hours) {
            text.push(' ');
            text.push_str(&self.fill(
                "{share} of the cases that were followed for so long meet the target of {target}.",
                &[("share", &self.words.percent(share)), ("target", &self.hours(target))],
            ));
        }
        if let Some(said) = self.where_it_goes(headline) {
            text.push(' ');
            text.push_str(&said);
        }
        text
    }

    /// Where most of the headline's time goes. A share of other time would be taken for a cause of it.
    fn where_it_goes(&self, headline: &StageResult) -> Option<String> {
        let is_whole = headline.stage.from.is_empty();
        match is_whole {
            true => self.worst_edge().map(|(edge, share)| self.fill(
                "Of the time from the first to the last event of all cases, {share} lies between “{from}” and “{to}” directly \
                 after it (median {median}, mean {mean}).",
                &[
                    ("share", &self.words.percent(share)),
                    ("from", &edge.source),
                    ("to", &edge.target),
                    ("median", &self.hours(edge.median / 3600.0)),
                    ("mean", &self.hours(edge.mean / 3600.0)),
                ],
            )),
            false => self.longest_step().map(|(step, hours, share)| self.fill(
                "Of the mean of the cases that ended, {hours} ({share}) are in “{step}”, more than in any other step.",
                &[
                    ("hours", &self.hours(hours / headline.complete as f64)),
                    ("share", &self.words.percent(share)),
                    ("step", &self.stage_name(step)),
                ],
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tidewaiter_report::words::testing;

    use super::*;
    use crate::{
        process::Edge,
        stage_file::{DEFAULT, StageFile},
        stages::{StageResult, TargetResult, TimeShare},
        statistics::{distribution::Summary, survival::SurvivalSummary},
    };

    #[test]
    fn every_text_is_in_the_list_of_words() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report");
        assert_eq!(testing::gaps(&sources, WORDS).expect("is read"), Vec::<String>::new());
    }

    /// A study of ten cases of the first stage, of which four are open: three of these past the target of 20 hours.
    fn study(target: Option<f64>) -> Study {
        let mut stage = StageFile::parse(DEFAULT).expect("is right").stages[0].clone();
        stage.target_hours = target;
        let elapsed = Summary { count: 6, mean: 10.0, quantiles: [8.0; 6], ..Summary::default() };
        let survival = SurvivalSummary {
            complete: 6,
            open: 4,
            quantiles: [Some(5.0), Some(7.0), Some(12.0), None, None, None],
            ..SurvivalSummary::default()
        };
        let result = StageResult {
            stage,
            complete: 6,
            open: 4,
            missing: 0,
            negative: 0,
            elapsed,
            working: None,
            survival,
            target: target.map(|_| TargetResult { cases: 9, within: 6 }),
        };
        let first = StageResult { complete: 0, open: 0, ..result.clone() };
        Study { country: "UG".to_owned(), stages: vec![first, result], cases: 10, ..Study::default() }
    }

    fn lead(study: &Study, language: Language) -> String {
        let writer = Writer { study, words: Words::new(language, &[WORDS]) };
        writer.lead().replace(['\u{a0}', '\u{202f}'], " ")
    }

    #[test]
    fn the_lead_counts_open_cases_and_knows_no_target_that_nobody_set() {
        assert_eq!(
            lead(&study(Some(20.0)), Language::English),
            "Arrival to release: half of the cases take up to 12.0 h; the tenth that takes longest is not over. 4 cases are \
             open and counted; the mean of those that ended is 10.0 h. 66.7 % of the cases that were followed for so long \
             meet the target of 20.0 h."
        );
        assert!(!lead(&study(None), Language::English).contains("target"));
        assert!(!lead(&study(None), Language::English).contains("any other step"));
        assert!(lead(&study(Some(20.0)), Language::Spanish).contains("10,0 h"));
        let html = study(None).html(Language::French, Footer::default());
        let (_, body) = html.split_once("</style>").expect("a page");
        assert!(html.contains("lang=\"fr\"") && !body.contains('{'), "no value is left out");
    }

    /// After the release most time goes by, but the sentence is about the time from arrival to release.
    #[test]
    fn the_lead_names_a_step_of_its_own_stage_and_no_time_beside_it() {
        let mut study = study(None);
        let step = |at: usize| StageFile::parse(DEFAULT).expect("is right").stages.swap_remove(at);
        let share = |stage, hours| TimeShare { stage, hours };
        study.time_shares = vec![share(Some(step(5)), 12.0), share(Some(step(6)), 45.0), share(None, 3.0)];
        study.edges = vec![Edge {
            source: "release".to_owned(),
            target: "gate-out".to_owned(),
            count: 10,
            mean: 9e8,
            median: 9e8,
            sum: 9e9,
            working: None,
        }];
        let said = lead(&study, Language::English);
        let name = step(6).name;
        let expected = format!(
            "Of the mean of the cases that ended, 7.5 h (75 %) are in “{name}”, more than in any other step."
        );
        assert!(said.ends_with(&expected), "{said}");
        assert!(!said.contains("gate-out"), "{said}");
        assert!(lead(&study, Language::French).contains("plus que dans toute autre étape"));
    }
}
