//! The section "What would help": the measures, ranked by the hours that they save, and how well the queues
//! are explained.

use maud::{Markup, html};
use tidewaiter_report::table::{Cell, Kind};

use super::writer::Writer;
use crate::{
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
            ("Measure", Kind::Text),
            ("Time of", Kind::Text),
            ("Saved by 1,000 cases, h", Kind::Count),
            ("Mean, h", Kind::Text),
            ("Median, h", Kind::Text),
            ("P90, h", Kind::Text),
        ];
        let caption =
            "Change of the hours, with the middle 95 % of replications in brackets; below zero is shorter";
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
            p { (self.say("All of these are estimates. A measure on single cases assumes that the release moves as the end of a check moves, where that check is the last one, and that all after it stays as it was; what the measure spares others in a queue is not counted. Lodging by arrival assumes that everything after the lodgement moves with it, though never before the goods are unloaded. A measure at an office changes its queue, and the release moves where that work is the last that it waits for; where it is not known what waits for the work, the times are those of the queue alone, from arrival to done.")) }
            (self.loss())
            @if !self.study.queues.is_empty() {
                h3 { (self.say("The queues")) }
                (self.queues())
                p { (self.say("* The queue does not explain the waiting (distance of 0.2 or more): the work waits for something else than an inspector, so that these measures would help little.")) }
            }
        }
    }

    /// All measures, those that save the most first; measures at queues that do not explain the waiting come
    /// last.
    fn ranked(&self) -> Vec<Ranked> {
        let headline = self.headline_name();
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
                    None => (self.say("the queue alone").to_owned(), measure.hours, share),
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
        let touched = self.words.count(red.touched);
        let text = match &red.loss {
            Some(loss) => {
                let (items, predicted) =
                    (self.numbers().fixed(loss.items, 1), self.words.count(loss.predicted));
                let revenue = loss.revenue.map(|revenue| self.numbers().money(revenue));
                let values = [
                    ("touched", touched.as_str()),
                    ("items", &items),
                    ("predicted", &predicted),
                    ("revenue", revenue.as_deref().unwrap_or_default()),
                ];
                match revenue {
                    Some(_) => self.fill(
                        "From red to green: the {touched} inspected cases of which the fraud model expects the least would \
                         not be inspected. It expects {items} illicit items among them, and {revenue} of revenue (national \
                         currency) that would not be raised; {predicted} of the cases have a prediction.",
                        &values,
                    ),
                    None => self.fill(
                        "From red to green: the {touched} inspected cases of which the fraud model expects the fewest \
                         illicit items would not be inspected. It expects {items} illicit items among them; {predicted} of \
                         the cases have a prediction, and the model does not estimate revenue.",
                        &values,
                    ),
                }
            }
            None if self.study.predicted => self.fill(
                "From red to green: {touched} inspected cases, drawn at random. What their fraud would cost is not known: \
                 the archive's predictions are of other declarations. `tidewaiter apply fraud` over the months of the study \
                 predicts it.",
                &[("touched", &touched)],
            ),
            None => self.fill(
                "From red to green: {touched} inspected cases, drawn at random. What their fraud would cost is not known: \
                 the archive has no predictions. `tidewaiter apply fraud` over the months of the study predicts it.",
                &[("touched", &touched)],
            ),
        };
        html! { p { (text) } }
    }

    /// How near each simulated queue is to the archive.
    fn queues(&self) -> Markup {
        let columns = [
            ("Activity and office", Kind::Text),
            ("Pieces of work", Kind::Count),
            ("Inspectors", Kind::Count),
            ("Distance", Kind::Ratio),
            ("Median wait, archive", Kind::Hours),
            ("simulated", Kind::Hours),
            ("P90 wait, archive", Kind::Hours),
            ("simulated", Kind::Hours),
        ];
        let caption = "The simulated queue of each activity that is nearest to the archive (Kolmogorov and Smirnov's distance); hours";
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

    fn change(&self, change: Change) -> &str {
        match change {
            Change::OneMoreInspector => self.say("one more inspector"),
            Change::TwoMoreInspectors => self.say("two more inspectors"),
            Change::FifthLessWork => self.say("a fifth less work"),
            Change::FifthFaster => self.say("each piece of work a fifth faster"),
            Change::TwoHoursLonger => self.say("open two hours longer each day"),
        }
    }

    fn case_change(&self, change: CaseChange) -> &str {
        match change {
            CaseChange::PermitsInHalfTheTime => self.say("other agencies decide in half the time"),
            CaseChange::LaboratoryInHalfTheTime => self.say("the laboratory takes half the time"),
            CaseChange::LodgedByArrival => self.say("lodged by arrival"),
            CaseChange::FifthOfRedToGreen => self.say("a fifth of the inspections moved from red to green"),
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
