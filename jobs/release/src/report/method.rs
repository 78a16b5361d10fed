//! The last sections of the page: the variants, the anomalies with their rules, and the method.

use maud::{Markup, html};
use tidewaiter_report::table::{Cell, Kind};

use super::writer::{SHOWN, Writer};
use crate::language::Language;

/// Each anomaly: its name in the document, what it is and how it is treated, in English and in French.
const ANOMALIES: [(&str, [&str; 2], [&str; 2]); 9] = [
    (
        "unknown_event_names",
        ["Events whose name the mapping gives no role", "Événements dont le nom n'a pas de rôle"],
        ["kept in the process, in no stage", "gardés dans le processus, dans aucune étape"],
    ),
    (
        "missing_events",
        [
            "Stages whose end is missing although the case went on",
            "Étapes sans fin alors que le dossier a continué",
        ],
        ["counted, not measured", "comptées, non mesurées"],
    ),
    (
        "negative_times",
        ["Times that end before they begin", "Temps qui finissent avant de commencer"],
        ["counted, not measured", "comptés, non mesurés"],
    ),
    (
        "unfinished_stages",
        ["Stages that were not over at the cut-off", "Étapes non terminées à la date d'arrêt"],
        [
            "counted as open: in the figures “of all”",
            "comptées comme ouvertes\u{a0}: dans les chiffres «\u{a0}de tous\u{a0}»",
        ],
    ),
    (
        "unfinished_work",
        ["Events that were started and never completed", "Événements commencés et jamais achevés"],
        ["end when they begin", "finissent quand ils commencent"],
    ),
    (
        "duplicate_events",
        [
            "Events that repeat another of their case at the same time",
            "Événements qui en répètent un autre au même moment",
        ],
        ["kept and counted", "gardés et comptés"],
    ),
    (
        "out_of_order_in_the_file",
        [
            "Events that stand in the file after a later one",
            "Événements placés dans le fichier après un plus tardif",
        ],
        ["put in the order of time", "remis dans l'ordre du temps"],
    ),
    (
        "cases_with_mixed_offsets",
        [
            "Cases whose clocks differ: daylight saving, or several zones",
            "Dossiers dont les horloges diffèrent\u{a0}: heure d'été ou plusieurs fuseaux",
        ],
        ["compared in UTC", "comparés en UTC"],
    ),
    (
        "cases_with_repeated_events",
        ["Cases in which an event comes more than once", "Dossiers où un événement revient"],
        ["of a milestone the first counts", "d'un jalon, le premier compte"],
    ),
];

impl Writer<'_> {
    /// The most frequent variants.
    pub(super) fn variants(&self) -> Markup {
        let columns = [
            (self.say("Way", "Parcours"), Kind::Text),
            (self.say("Cases", "Dossiers"), Kind::Count),
            (self.say("Share", "Part"), Kind::Percent),
            (self.say("Mean, h", "Moyenne, h"), Kind::Hours),
            (self.say("Median, h", "Médiane, h"), Kind::Hours),
        ];
        let caption = match self.language {
            Language::English => {
                format!("The most frequent of {} ways", self.numbers().count(self.study.variants as f64))
            }
            Language::French => {
                format!("Les plus fréquents de {} parcours", self.numbers().count(self.study.variants as f64))
            }
        };
        let mut table = self.table(caption, &columns);
        for variant in self.study.frequent_variants.iter().take(SHOWN) {
            table.row(vec![
                Cell::Text(variant.events.join(" → ")),
                variant.cases.into(),
                (variant.cases as f64 / self.study.cases.max(1) as f64).into(),
                variant.mean.into(),
                variant.median.into(),
            ]);
        }
        table.render()
    }

    /// The anomalies.
    pub(super) fn anomalies(&self) -> Markup {
        let columns = [
            (self.say("What", "Quoi"), Kind::Text),
            (self.say("Count", "Nombre"), Kind::Count),
            (self.say("Rule", "Règle"), Kind::Text),
        ];
        let caption = self.say(
            "Nothing is dropped silently; records that ingest refused lie in the archive's quarantine",
            "Rien n'est écarté en silence\u{a0}; les lignes refusées à l'entrée sont dans la quarantaine de l'archive",
        );
        let mut table = self.table(caption, &columns);
        let place = usize::from(self.language == Language::French);
        for anomaly in &self.study.anomalies {
            let known = ANOMALIES.iter().find(|known| known.0 == anomaly.name);
            let (what, rule) =
                known.map_or((anomaly.name.as_str(), ""), |known| (known.1[place], known.2[place]));
            table.row(vec![what.into(), anomaly.count.into(), rule.into()]);
        }
        table.render()
    }

    /// The method.
    pub(super) fn method(&self) -> Markup {
        let paragraphs = match self.language {
            Language::English => [
                "A case belongs to the period in which its first event lies, by that event's local clock; all of its events up to the cut-off count. Its events are in the order of time, then of the file. A stage goes from the first time of a milestone to the first time of another, as the stage file says.",
                "Quantiles are exact, with linear interpolation. The intervals of medians and 90th percentiles are those of order statistics by the binomial law: they would hold the figure of all such cases in 95 of 100 studies. Cases that were not over are used by the estimate of Kaplan and Meier. Periods are compared by the rank test of Mann and Whitney, its p-values held to the number of stages by Holm's rule.",
                "The stages follow customs practice, are the administration's to edit, and do not claim to reproduce the WCO's guide.",
            ],
            Language::French => [
                "Un dossier appartient à la période de son premier événement, à l'heure locale de celui-ci\u{a0}; tous ses événements jusqu'à la date d'arrêt comptent. Ses événements sont dans l'ordre du temps, puis du fichier. Une étape va du premier passage d'un jalon au premier passage d'un autre, selon le fichier des étapes.",
                "Les quantiles sont exacts, avec interpolation linéaire. Les intervalles des médianes et des 90es centiles sont ceux des statistiques d'ordre selon la loi binomiale\u{a0}: ils contiendraient le chiffre de tous ces dossiers dans 95 études sur 100. Les dossiers non terminés servent à l'estimation de Kaplan et Meier. Les périodes sont comparées par le test des rangs de Mann et Whitney, ses valeurs p corrigées selon Holm pour le nombre d'étapes.",
                "Les étapes suivent la pratique douanière, l'administration peut les modifier, et elles ne prétendent pas reproduire le guide de l'OMD.",
            ],
        };
        html! {
            @for paragraph in paragraphs { p { (paragraph) } }
            (self.sampling())
        }
    }

    /// How many cases a study by hand would need, by the deviation that this study found.
    fn sampling(&self) -> Markup {
        let Some(headline) = self.study.headline().filter(|result| result.elapsed.count > 1) else {
            return html! {};
        };
        let (cases, times) = (self.study.cases as f64, &headline.elapsed);
        let finite = |sample: f64| (sample / (1.0 + (sample - 1.0) / cases)).ceil().min(cases);
        let columns = [
            (self.say("To know", "Pour connaître"), Kind::Text),
            (self.say("Within", "À"), Kind::Text),
            (self.say("Cases to sample", "Dossiers à tirer"), Kind::Count),
        ];
        let caption = self.say(
            "A sample for a study by hand in a period like this one, drawn at random, with 95 % confidence",
            "Échantillon d'une étude manuelle sur une période semblable, tiré au hasard, avec 95 % de confiance",
        );
        let mut table = self.table(caption, &columns);
        for share in [0.05, 0.1, 0.2] {
            let sample = finite((1.96 * times.deviation / (share * times.mean)).powi(2));
            table.row(vec![
                self.say("the mean", "la moyenne").into(),
                Cell::Text(format!("± {}", self.numbers().percent_short(share))),
                sample.into(),
            ]);
        }
        for points in [0.03, 0.05] {
            let sample = finite(0.25 * (1.96_f64 / points).powi(2));
            table.row(vec![
                self.say("the share within a target", "la part dans l'objectif").into(),
                Cell::Text(format!("± {} {}", points * 100.0, self.say("points", "points"))),
                sample.into(),
            ]);
        }
        table.render()
    }
}
