//! The section "What would help": the measures, ranked by the hours that they save, and how well the queues
//! are explained.

use maud::{Markup, html};
use tidewaiter_report::table::{Cell, Kind};

use super::writer::Writer;
use crate::{
    language::Language,
    measures::{
        cases::CaseMeasure,
        critical_path::CaseChange,
        simulation::{Change, Queue, TOO_FAR},
    },
    statistics::replications::Changes,
};

/// Measures that are shown, at most.
const SHOWN_MEASURES: usize = 20;

/// Hours that a measure must save on a thousand cases to be shown.
const LEAST_SAVED: f64 = 0.5;

/// A row of the ranked list; hours.
struct Ranked {
    /// The measure.
    what: String,
    /// The stage or the queue whose hours they are.
    place: String,
    /// Hours saved on every thousand cases.
    saved: f64,
    /// The changes of the hours.
    hours: Changes,
    /// Whether the queue does not explain the waiting.
    is_doubtful: bool,
}

impl Writer<'_> {
    /// The section.
    pub(super) fn measures(&self) -> Markup {
        let ranked = self.ranked();
        let columns = [
            ("", Kind::Count),
            (self.say("Measure", "Mesure"), Kind::Text),
            (self.say("Time of", "Temps de"), Kind::Text),
            (self.say("Saved by 1,000 cases, h", "Gagné sur 1\u{202f}000 dossiers, h"), Kind::Count),
            (self.say("Mean, h", "Moyenne, h"), Kind::Text),
            (self.say("Median, h", "Médiane, h"), Kind::Text),
            ("P90, h", Kind::Text),
        ];
        let caption = self.say(
            "Change of the hours, with the middle 95 % of replications in brackets; below zero is shorter",
            "Changement des heures, avec les 95 % centraux des réplications entre crochets\u{a0}; moins que zéro est plus court",
        );
        let mut table = self.table(caption, &columns);
        let change = |(whole, low, high): (f64, f64, f64)| {
            let hours = |hours| self.numbers().fixed(hours, 2);
            Cell::Text(format!("{} [{}\u{a0}…\u{a0}{}]", hours(whole), hours(low), hours(high)))
        };
        for (rank, row) in (1_u64..).zip(ranked.iter().take(SHOWN_MEASURES)) {
            let mark = if row.is_doubtful { " *" } else { "" };
            table.row(vec![
                rank.into(),
                Cell::Text(format!("{}{mark}", row.what)),
                Cell::Text(row.place.clone()),
                row.saved.into(),
                change(row.hours.mean),
                change(row.hours.median),
                change(row.hours.p90),
            ]);
        }
        html! {
            (table.render())
            p { (self.say(
                "A measure on single cases moves the end of a check, and the release by as much where that check is the last; what it spares others in a queue is not counted. A measure at a station changes its queue, and each piece of work there is done earlier or later; the release moves by as much where that work is the last that it waits for. Where it is not known what waits for the work, the times are those of the station alone, from arrival there to done.",
                "Une mesure sur les dossiers avance la fin d'un contrôle, et la mainlevée d'autant si ce contrôle est le dernier\u{a0}; ce qu'elle épargne aux autres dans une file n'est pas compté. Une mesure à un poste change sa file, et chaque travail y finit plus tôt ou plus tard\u{a0}; la mainlevée suit d'autant si ce travail est le dernier qu'elle attend. Quand on ne sait pas ce qui attend le travail, les temps sont ceux du poste seul, de l'arrivée à la fin.",
            )) }
            (self.loss())
            @if !self.study.queues.is_empty() {
                h3 { (self.say("The queues", "Les files")) }
                (self.queues())
                p { (self.say(
                    "* The queue does not explain the waiting (distance of 0.2 or more): the work waits for something else than a server, so that these measures would help little.",
                    "* La file n'explique pas l'attente (distance de 0,2 ou plus)\u{a0}: le travail attend autre chose qu'un poste, et ces mesures aideraient peu.",
                )) }
            }
        }
    }

    /// All measures, those that save the most first; measures at queues that do not explain the waiting come
    /// last.
    fn ranked(&self) -> Vec<Ranked> {
        let headline = self.study.headline().map(|result| self.name(result)).unwrap_or_default();
        let mut ranked: Vec<Ranked> = self
            .study
            .measures
            .iter()
            .map(|measure| Ranked {
                what: self.case_change(measure.change).to_owned(),
                place: headline.clone(),
                saved: -measure.hours.mean.0 * 1000.0,
                hours: measure.hours,
                is_doubtful: false,
            })
            .collect();
        for queue in &self.study.queues {
            let share = queue.all as f64 / self.study.cases.max(1) as f64;
            ranked.extend(queue.measures.iter().map(|measure| {
                let (place, hours, share) = match &measure.release {
                    Some(effect) => (headline.clone(), effect.hours, 1.0),
                    None => (self.say("the station alone", "le poste seul").to_owned(), measure.hours, share),
                };
                Ranked {
                    what: format!("{} · {}", queue_name(queue), self.change(measure.change)),
                    place,
                    saved: -hours.mean.0 * 1000.0 * share,
                    hours,
                    is_doubtful: queue.distance >= TOO_FAR,
                }
            }));
        }
        ranked.retain(|row| row.saved >= LEAST_SAVED);
        ranked.sort_by(|a, b| a.is_doubtful.cmp(&b.is_doubtful).then(b.saved.total_cmp(&a.saved)));
        ranked
    }

    /// What fewer inspections would cost.
    fn loss(&self) -> Markup {
        let red = |measure: &&CaseMeasure| measure.change == CaseChange::FifthOfRedToGreen;
        let Some(red) = self.study.measures.iter().find(red) else { return html! {} };
        let touched = self.numbers().count(red.touched as f64);
        let text = match (&red.loss, self.language) {
            (Some(loss), language) => {
                let (items, predicted) =
                    (self.numbers().fixed(loss.items, 1), self.numbers().count(loss.predicted as f64));
                let revenue = loss.revenue.map(|revenue| self.numbers().money(revenue));
                match (language, revenue) {
                    (Language::English, Some(revenue)) => format!(
                        "From red to green: the {touched} inspected cases of which the fraud model expects the least would not be \
                         inspected. It expects {items} illicit items among them, and {revenue} of revenue (national currency) that would \
                         not be raised; {predicted} of the cases have a prediction."
                    ),
                    (Language::English, None) => format!(
                        "From red to green: the {touched} inspected cases of which the fraud model expects the least would not be \
                         inspected. It expects {items} illicit items among them; {predicted} of the cases have a prediction, and the \
                         model tells no revenue."
                    ),
                    (Language::French, Some(revenue)) => format!(
                        "Du rouge au vert\u{a0}: les {touched} dossiers visités dont le modèle de fraude attend le moins ne seraient pas \
                         visités. Il y attend {items} articles illicites et {revenue} de recettes (monnaie nationale) qui ne seraient \
                         pas perçues\u{a0}; {predicted} des dossiers ont une prévision."
                    ),
                    (Language::French, None) => format!(
                        "Du rouge au vert\u{a0}: les {touched} dossiers visités dont le modèle de fraude attend le moins ne seraient pas \
                         visités. Il y attend {items} articles illicites ; {predicted} des dossiers ont une prévision, et le modèle ne \
                         dit rien des recettes."
                    ),
                }
            }
            (None, Language::English) => format!(
                "From red to green: {touched} inspected cases, drawn by lot. What their fraud would cost is not known: {} \
                 `tidewaiter apply fraud` over the months of the study predicts it.",
                if self.study.predicted {
                    "the archive's predictions are of other declarations."
                } else {
                    "the archive has no predictions."
                }
            ),
            (None, Language::French) => format!(
                "Du rouge au vert\u{a0}: {touched} dossiers visités, tirés au sort. Le coût de leur fraude n'est pas connu\u{a0}: {} \
                 `tidewaiter apply fraud` sur les mois de l'étude le prévoit.",
                if self.study.predicted {
                    "les prévisions de l'archive portent sur d'autres déclarations."
                } else {
                    "l'archive n'a pas de prévisions."
                }
            ),
        };
        html! { p { (text) } }
    }

    /// How near each simulated queue is to the archive.
    fn queues(&self) -> Markup {
        let columns = [
            (self.say("Station", "Poste"), Kind::Text),
            (self.say("Work", "Travaux"), Kind::Count),
            (self.say("Servers", "Serveurs"), Kind::Count),
            (self.say("Distance", "Distance"), Kind::Ratio),
            (self.say("Median wait, archive", "Attente médiane, archive"), Kind::Hours),
            (self.say("queue", "file"), Kind::Hours),
            (self.say("P90 wait, archive", "Attente P90, archive"), Kind::Hours),
            (self.say("queue", "file"), Kind::Hours),
        ];
        let caption = self.say(
            "The queue of each station that is nearest to the archive (Kolmogorov and Smirnov's distance); hours",
            "La file de chaque poste la plus proche de l'archive (distance de Kolmogorov et Smirnov)\u{a0}; heures",
        );
        let mut table = self.table(caption, &columns);
        for queue in &self.study.queues {
            table.row(vec![
                Cell::Text(queue_name(queue)),
                queue.work.into(),
                queue.servers.into(),
                queue.distance.into(),
                queue.median_wait.0.into(),
                queue.median_wait.1.into(),
                queue.p90_wait.0.into(),
                queue.p90_wait.1.into(),
            ]);
        }
        table.render()
    }

    fn change(&self, change: Change) -> &'static str {
        match change {
            Change::OneMoreServer => self.say("one more server", "un serveur de plus"),
            Change::TwoMoreServers => self.say("two more servers", "deux serveurs de plus"),
            Change::FifthLessWork => self.say("a fifth less work", "un cinquième de travail en moins"),
            Change::FifthFaster => self.say("work a fifth faster", "travail un cinquième plus rapide"),
            Change::TwoHoursLonger => self.say("open two hours longer", "ouvert deux heures de plus"),
        }
    }

    fn case_change(&self, change: CaseChange) -> &'static str {
        match change {
            CaseChange::PermitsInHalfTheTime => {
                self.say("other agencies decide in half the time", "autres organismes deux fois plus rapides")
            }
            CaseChange::LaboratoryInHalfTheTime => {
                self.say("laboratory in half the time", "laboratoire deux fois plus rapide")
            }
            CaseChange::LodgedByArrival => self.say("lodged by arrival", "déclaration déposée à l'arrivée"),
            CaseChange::FifthOfRedToGreen => {
                self.say("a fifth of red to green", "un cinquième du rouge au vert")
            }
        }
    }
}

/// The activity and the office of a queue.
fn queue_name(queue: &Queue) -> String {
    match queue.office.as_str() {
        "" => queue.event.clone(),
        office => format!("{} · {office}", queue.event),
    }
}
