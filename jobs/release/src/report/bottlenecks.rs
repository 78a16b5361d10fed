//! Where the time goes: the edges, the resources, the process map and the load of the hours.

use maud::{Markup, html};
use tidewaiter_report::{
    chart::{
        heat::HeatMap,
        process::{Arrow, ProcessMap},
    },
    table::{Cell, Kind},
};

use super::writer::{SHOWN, Writer};
use crate::process::usual_order;

impl Writer<'_> {
    /// The section "Bottlenecks": edges, resources and the longest cases.
    pub(super) fn bottlenecks(&self) -> Markup {
        let total = self.total_seconds().max(f64::MIN_POSITIVE);
        let working = self.study.edges.iter().any(|edge| edge.working.is_some());
        let mut columns = vec![
            ("From", Kind::Text),
            ("To", Kind::Text),
            ("Times", Kind::Count),
            ("Share of the time from first to last event", Kind::Percent),
            ("Total, h", Kind::Count),
            ("Mean", Kind::Text),
            ("Median", Kind::Text),
        ];
        if working {
            columns.push(("Mean, open hours", Kind::Text));
            columns.push(("Median, open hours", Kind::Text));
        }
        let caption = "Events that follow each other directly, by the total time between them";
        let mut table = self.table(caption, &columns);
        for edge in self.study.edges.iter().take(SHOWN) {
            let time = |seconds: f64| Cell::Text(self.hours(seconds / 3600.0));
            let mut cells = vec![
                edge.source.as_str().into(),
                edge.target.as_str().into(),
                edge.count.into(),
                (edge.sum / total).into(),
                (edge.sum / 3600.0).into(),
                time(edge.mean),
                time(edge.median),
            ];
            if working {
                let times = edge.working.as_ref();
                cells.push(times.map_or(Cell::Absent, |times| time(times.mean)));
                cells.push(times.map_or(Cell::Absent, |times| time(times.median)));
            }
            table.row(cells);
        }
        html! {
            p { (self.say("Ranked by total time: the longest mean may be rare, and where mean and median differ widely, a few cases account for most of the time.")) }
            (table.render())
            @for (column, title) in [
                ("agency", self.say("Agencies")),
                ("office", self.say("Offices")),
                ("actor", self.say("Actors")),
            ] { (self.resources(column, title)) }
            (self.longest())
        }
    }

    /// The resources of a column.
    fn resources(&self, column: &str, title: &str) -> Markup {
        let resources: Vec<_> =
            self.study.resources.iter().filter(|resource| resource.column == column).collect();
        let all: f64 = resources.iter().map(|resource| resource.waiting.max(0.0)).sum();
        let columns = [
            (title, Kind::Text),
            ("Events", Kind::Count),
            ("Waiting before them, h", Kind::Count),
            ("Share", Kind::Percent),
            ("Work, h", Kind::Count),
        ];
        let caption = "By the time that cases wait before their events";
        let mut table = self.table(caption, &columns);
        for resource in resources.iter().take(SHOWN) {
            table.row(vec![
                resource.name.as_str().into(),
                resource.events.into(),
                resource.waiting.into(),
                (all > 0.0).then(|| resource.waiting / all).into(),
                (resource.working > 0.0).then_some(resource.working).into(),
            ]);
        }
        html! { @if !resources.is_empty() { (table.render()) } }
    }

    /// The longest cases.
    fn longest(&self) -> Markup {
        let columns = [("Case", Kind::Text), ("Hours", Kind::Hours)];
        let mut table = self.table(self.say("The longest cases"), &columns);
        for (case, hours) in self.study.longest.iter().take(10) {
            table.row(vec![case.as_str().into(), (*hours).into()]);
        }
        table.render()
    }

    /// The process map.
    pub(super) fn map(&self) -> Markup {
        let mut events: Vec<_> = self.study.activities.iter().take(9).collect();
        let names: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
        let order = usual_order(&names, &self.study.frequent_variants);
        events.sort_by_key(|event| order.iter().position(|name| *name == event.event));
        let total = self.total_seconds().max(f64::MIN_POSITIVE);
        let row = |name: &str| events.iter().position(|event| event.event == name);
        let mut arrows: Vec<Arrow> = Vec::new();
        for edge in &self.study.edges {
            if let (Some(from), Some(to)) = (row(&edge.source), row(&edge.target)) {
                let label = format!(
                    "{} × {}",
                    self.numbers().count(edge.count as f64),
                    self.hours(edge.mean / 3600.0)
                );
                arrows.push(Arrow { from, to, count: edge.count as f64, share: edge.sum / total, label });
            }
        }
        arrows.sort_by(|a, b| b.count.total_cmp(&a.count).then((a.from, a.to).cmp(&(b.from, b.to))));
        arrows.truncate(14);
        // A box without an arrow is left out, and the others move together.
        let met: Vec<usize> =
            (0..events.len()).filter(|row| arrows.iter().any(|a| a.from == *row || a.to == *row)).collect();
        for arrow in &mut arrows {
            let rank = |row: usize| met.binary_search(&row).unwrap_or(row);
            (arrow.from, arrow.to) = (rank(arrow.from), rank(arrow.to));
        }
        let events: Vec<_> = met.iter().map(|row| events[*row]).collect();
        let boxes = events.iter().map(|event| {
            let number = format!("{} {}", self.numbers().count(event.events as f64), self.say("events"));
            (event.event.clone(), number)
        });
        ProcessMap {
            title: self
                .say("The most frequent events and what follows them: times × mean; arrows on the left go back against the usual order, those in the second colour account for 5 % of the time from first to last event or more")
                .to_owned(),
            boxes: boxes.collect(),
            arrows,
        }
        .render()
    }

    /// The load by weekday and hour.
    pub(super) fn load(&self) -> Markup {
        let heat = |title: &str, kind, values| {
            let columns = (0..24).map(|hour| hour.to_string()).collect();
            let rows = self.weekdays().map(str::to_owned).to_vec();
            HeatMap { title: title.to_owned(), kind, numbers: self.numbers(), rows, columns, values }.render()
        };
        let waiting = format!("{} – {}", self.headline_name(), self.say("cases under way, on average"));
        let events = self.study.hours.iter().map(|day| day.iter().map(|count| *count as f64).collect());
        html! {
            (heat(
                self.say("Events by weekday and hour, by the local clock"),
                Kind::Count,
                events.collect(),
            ))
            (heat(&waiting, Kind::Number, self.study.backlog.iter().map(|day| day.to_vec()).collect()))
        }
    }
}
