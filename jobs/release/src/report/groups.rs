//! The groups of cases and the two periods, side by side.

use maud::{Markup, html};
use tidewaiter_report::table::{Cell, Kind};

use super::writer::{SHOWN, Writer, period_of};
use crate::{language::Language, stages::StageResult};

impl Writer<'_> {
    /// The headline by the values of each requested column.
    pub(super) fn strata(&self) -> Markup {
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

    /// The stages of both periods.
    pub(super) fn comparison(&self) -> Markup {
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
            p { (self.say("Compared with the cases of ", "Comparé aux dossiers de ")) (period_of(compare)) "." }
            (table.render())
        }
    }
}
