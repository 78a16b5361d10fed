//! What would help: the measures at each station, ranked, with how far their queue is to be trusted.

use maud::{Markup, html};

use super::Writer;
use crate::{
    release::simulation::{Change, Measure, Station, TOO_FAR},
    report::{
        format,
        table::{Cell, Kind, Table},
    },
};

impl Writer<'_> {
    pub(super) fn help(&self) -> Markup {
        let mut ranked: Vec<(&Station, &Measure)> = Vec::new();
        for station in &self.study.stations {
            ranked.extend(station.measures.iter().map(|measure| (station, measure)));
        }
        // By the hours saved over all work, those of queues that explain the waiting first.
        let saved = |pair: &(&Station, &Measure)| pair.1.mean.0 * pair.0.work as f64;
        ranked.sort_by(|a, b| {
            let far = |pair: &(&Station, &Measure)| pair.0.distance >= TOO_FAR;
            far(a).cmp(&far(b)).then(saved(a).total_cmp(&saved(b)))
        });
        let columns = [
            (self.say("Measure", "Mesure"), Kind::Text),
            (self.say("Where", "Où"), Kind::Text),
            (self.say("Mean, h", "Moyenne, h"), Kind::Text),
            (self.say("95 % of replications", "95 % des réplications"), Kind::Text),
            (self.say("Median, h", "Médiane, h"), Kind::Text),
            ("P90, h", Kind::Text),
        ];
        let caption = self.say(
            "Change of the hours from arrival at the station to done, by simulation; below zero is shorter",
            "Changement des heures de l'arrivée au poste à la fin, par simulation ; moins que zéro est plus court",
        );
        let mut table = Table::new(caption, &columns);
        for (station, measure) in ranked {
            let (mean, low, high) = measure.mean;
            let mark = if station.distance >= TOO_FAR { " *" } else { "" };
            table.row(vec![
                self.change(measure.change).into(),
                Cell::Text(format!("{}{mark}", station.event)),
                Cell::Text(format::fixed(mean, 2)),
                Cell::Text(format!("{} … {}", format::fixed(low, 2), format::fixed(high, 2))),
                Cell::Text(format::fixed(measure.median.0, 2)),
                Cell::Text(format::fixed(measure.p90.0, 2)),
            ]);
        }
        html! {
            (self.stations())
            (table.render())
            p { (self.say(
                "* The queue does not explain the waiting (distance of 0.2 or more): the work waits for something else than a server, so that these measures would help little.",
                "* La file n'explique pas l'attente (distance de 0,2 ou plus) : le travail attend autre chose qu'un poste, et ces mesures aideraient peu.",
            )) }
        }
    }

    /// How near each station's queue is to the archive.
    fn stations(&self) -> Markup {
        let columns = [
            (self.say("Station", "Poste"), Kind::Text),
            (self.say("Work", "Travaux"), Kind::Count),
            (self.say("Servers", "Serveurs"), Kind::Count),
            (self.say("Distance", "Distance"), Kind::Ratio),
            (self.say("Median wait, archive", "Attente médiane, archive"), Kind::Number),
            (self.say("queue", "file"), Kind::Number),
            (self.say("P90 wait, archive", "Attente P90, archive"), Kind::Number),
            (self.say("queue", "file"), Kind::Number),
        ];
        let caption = self.say(
            "The queue of each station that is nearest to the archive (Kolmogorov and Smirnov's distance); hours",
            "La file de chaque poste la plus proche de l'archive (distance de Kolmogorov et Smirnov) ; heures",
        );
        let mut table = Table::new(caption, &columns);
        for station in &self.study.stations {
            table.row(vec![
                station.event.as_str().into(),
                station.work.into(),
                station.servers.into(),
                station.distance.into(),
                station.median_wait.0.into(),
                station.median_wait.1.into(),
                station.p90_wait.0.into(),
                station.p90_wait.1.into(),
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
}
