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

impl Writer<'_> {
    /// The section "Bottlenecks": edges, resources and the longest cases.
    pub(super) fn bottlenecks(&self) -> Markup {
        let total = self.total_seconds().max(f64::MIN_POSITIVE);
        let working = self.study.edges.iter().any(|edge| edge.working.is_some());
        let mut columns = vec![
            (self.say("From", "De"), Kind::Text),
            (self.say("To", "À"), Kind::Text),
            (self.say("Times", "Fois"), Kind::Count),
            (self.say("Share of all time", "Part du temps total"), Kind::Percent),
            (self.say("Total, h", "Total, h"), Kind::Count),
            (self.say("Mean", "Moyenne"), Kind::Text),
            (self.say("Median", "Médiane"), Kind::Text),
        ];
        if working {
            columns.push((self.say("Mean, open hours", "Moyenne, heures ouvrées"), Kind::Text));
            columns.push((self.say("Median, open hours", "Médiane, heures ouvrées"), Kind::Text));
        }
        let caption = self.say(
            "Events that follow each other directly, by the total time between them",
            "Événements qui se suivent directement, par temps total entre eux",
        );
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
            p { (self.say(
                "Ranked by total time: the longest mean may be rare, and where mean and median differ widely a few cases hold the time.",
                "Classés par temps total\u{a0}: la moyenne la plus longue peut être rare, et un grand écart entre moyenne et médiane veut dire que peu de dossiers tiennent le temps.",
            )) }
            (table.render())
            @for (column, title) in [
                ("agency", self.say("Agencies", "Organismes")),
                ("office", self.say("Offices", "Bureaux")),
                ("actor", self.say("Who acts", "Intervenants")),
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
            (self.say("Events", "Événements"), Kind::Count),
            (self.say("Time before them, h", "Temps avant, h"), Kind::Count),
            (self.say("Share", "Part"), Kind::Percent),
            (self.say("Time at work, h", "Temps de travail, h"), Kind::Count),
        ];
        let caption = self
            .say("By the time that passes before their events", "Par temps écoulé avant leurs événements");
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
        let columns = [(self.say("Case", "Dossier"), Kind::Text), (self.say("Hours", "Heures"), Kind::Hours)];
        let mut table = self.table(self.say("The longest cases", "Les dossiers les plus longs"), &columns);
        for (case, hours) in self.study.longest.iter().take(10) {
            table.row(vec![case.as_str().into(), (*hours).into()]);
        }
        table.render()
    }

    /// The process map.
    pub(super) fn map(&self) -> Markup {
        let mut events: Vec<_> = self.study.activities.iter().take(9).collect();
        // In the order of their mean place in a case.
        let place = |event: &str| {
            let (mut sum, mut count) = (0.0, 0.0);
            for variant in &self.study.frequent_variants {
                for (place, _) in variant.events.iter().enumerate().filter(|(_, other)| *other == event) {
                    sum += (place as f64) * variant.cases as f64;
                    count += variant.cases as f64;
                }
            }
            if count > 0.0 { sum / count } else { f64::MAX }
        };
        events.sort_by(|a, b| place(&a.event).total_cmp(&place(&b.event)));
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
            let number =
                format!("{} {}", self.numbers().count(event.events as f64), self.say("events", "événements"));
            (event.event.clone(), number)
        });
        ProcessMap {
            title: self
                .say(
                    "The most frequent events and what follows them: times × mean; arrows on the left go back in the usual order, the second colour holds 5 % of all time or more",
                    "Les événements les plus fréquents et leurs suites\u{a0}: fois × moyenne\u{a0}; les flèches de gauche remontent l'ordre usuel, la seconde couleur tient 5 % du temps ou plus",
                )
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
        let headline = self.study.headline().map(|result| self.name(result)).unwrap_or_default();
        let waiting = format!(
            "{headline} – {}",
            self.say("cases under way, on average", "dossiers en cours, en moyenne")
        );
        let events = self.study.hours.iter().map(|day| day.iter().map(|count| *count as f64).collect());
        html! {
            (heat(
                self.say(
                    "Events by weekday and hour, by the local clock",
                    "Événements par jour et par heure, à l'heure locale",
                ),
                Kind::Count,
                events.collect(),
            ))
            (heat(&waiting, Kind::Number, self.study.backlog.iter().map(|day| day.to_vec()).collect()))
        }
    }
}
