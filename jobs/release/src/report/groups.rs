//! The groups of cases and the two periods, side by side.

use maud::{Markup, html};
use tidewaiter_report::table::{Cell, Kind};

use super::writer::{SHOWN, Writer, period_of};
use crate::stages::StageResult;

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
            ("Cases", Kind::Count),
            ("Open", Kind::Count),
            ("Mean of the ended", Kind::Hours),
            ("Median", Kind::Hours),
            ("P90", Kind::Hours),
            ("Within target", Kind::Percent),
        ];
        let mut groups = groups.to_vec();
        groups.sort_by(|a, b| b.1.complete.cmp(&a.1.complete).then(a.0.cmp(b.0)));
        let caption = format!("{} – {}", self.headline_name(), self.say("hours"));
        let mut table = self.table(&caption, &columns);
        for (value, result) in groups.into_iter().take(2 * SHOWN) {
            table.row(vec![
                Cell::Text(self.value(column, value)),
                (result.complete + result.open).into(),
                result.open.into(),
                result.elapsed.mean.into(),
                result.median().into(),
                result.p90().into(),
                result.within_target().into(),
            ]);
        }
        table.render()
    }

    /// The stages of both periods.
    pub(super) fn comparison(&self) -> Markup {
        let columns = [
            ("Stage", Kind::Text),
            ("Cases before", Kind::Count),
            ("open", Kind::Count),
            ("Cases after", Kind::Count),
            ("open", Kind::Count),
            ("Follow-up, h", Kind::Count),
            ("Mean before", Kind::Hours),
            ("after", Kind::Hours),
            ("Median before", Kind::Hours),
            ("after", Kind::Hours),
            ("P90 before", Kind::Hours),
            ("after", Kind::Hours),
            ("Chance of shorter", Kind::Percent),
            ("p, ranks", Kind::Text),
            ("p, log-rank", Kind::Text),
        ];
        let mut table = self.table(
            "Hours. Means, and the chance that a case of the study's period is shorter than one before, are those within the follow-up; medians and P90 count open cases",
            &columns,
        );
        for stage in &self.study.comparisons {
            let (before, after) = (&stage.before, &stage.after);
            table.row(vec![
                Cell::Text(self.stage_name(&stage.stage)),
                before.cases.into(),
                before.open.into(),
                after.cases.into(),
                after.open.into(),
                stage.follow_up.into(),
                before.mean.into(),
                after.mean.into(),
                before.median.into(),
                after.median.into(),
                before.p90.into(),
                after.p90.into(),
                stage.test.shorter.into(),
                Cell::Text(self.p_value(stage.adjusted_p_value)),
                Cell::Text(self.p_value(stage.adjusted_log_rank)),
            ]);
        }
        let compare = period_of(self.study.compare.as_deref().unwrap_or_default());
        html! {
            p { (self.fill("Compared with the cases of {period}.", &[("period", &compare)])) }
            (table.render())
            p { (self.say("The later cases were followed for a shorter time, so that only the quick ones among them are over. Both periods are therefore compared over the same follow-up: of the cases that were followed for so many hours, with longer times cut there (rank test of Mann and Whitney). The log-rank test uses every case, open ones until the cut-off. All p-values are adjusted to the number of stages (Holm).")) }
        }
    }
}
