//! The groups of cases and the two periods, side by side.

use maud::{Markup, html};
use tidewaiter_report::{
    format::period,
    table::{Cell, Kind},
};

use super::writer::{SHOWN, Writer};
use crate::stages::{PeriodTimes, StageResult};

/// Fewest cases of a group whose median and P90 are shown.
const LEAST_CASES: u64 = 10;

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
                    (result.complete + result.open > 0).then_some((stratum.value.as_str(), result))
                }).collect();
                (self.stratum_table(column, &groups))
            }
        }
    }

    fn stratum_table(&self, column: &str, groups: &[(&str, &StageResult)]) -> Markup {
        let title = self.attribute(column);
        let mut columns = vec![
            (title.as_str(), Kind::Text),
            ("Cases", Kind::Count),
            ("Open", Kind::Count),
            ("Mean of the ended", Kind::Hours),
            ("Median", Kind::Hours),
            ("95 % interval", Kind::Text),
            ("P90", Kind::Hours),
        ];
        let has_target = groups.iter().any(|(_, result)| result.stage.target_hours.is_some());
        if has_target {
            columns.push(("Within target", Kind::Percent));
        }
        let mut groups = groups.to_vec();
        let cases = |result: &StageResult| result.complete + result.open;
        groups.sort_by(|a, b| cases(b.1).cmp(&cases(a.1)).then(a.0.cmp(b.0)));
        let of =
            self.fill("hours; median and P90 from {n} cases on", &[("n", &self.words.count(LEAST_CASES))]);
        let caption = format!("{} – {of}", self.headline_name());
        let mut table = self.table(&caption, &columns);
        for (value, result) in groups.into_iter().take(2 * SHOWN) {
            let has_enough = cases(result) >= LEAST_CASES;
            let mut cells = vec![
                Cell::Text(self.value(column, value)),
                cases(result).into(),
                result.open.into(),
                (result.complete > 0).then_some(result.elapsed.mean).into(),
                result.median().filter(|_| has_enough).into(),
                if has_enough { self.interval(result.median_interval()) } else { Cell::Absent },
                result.p90().filter(|_| has_enough).into(),
            ];
            if has_target {
                cells.push(result.within_target().into());
            }
            table.row(cells);
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
            ("Follow-up, h (cases before, after)", Kind::Text),
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
        let has_ended = |times: &PeriodTimes| times.cases > times.open;
        for stage in &self.study.comparisons {
            let (before, after) = (&stage.before, &stage.after);
            // Where no case ended, the means are the follow-up.
            if !has_ended(before) && !has_ended(after) {
                continue;
            }
            table.row(vec![
                Cell::Text(self.stage_name(&stage.stage)),
                before.cases.into(),
                before.open.into(),
                after.cases.into(),
                after.open.into(),
                Cell::Text(format!(
                    "{} ({}; {})",
                    self.numbers().count(stage.follow_up),
                    self.words.count(before.followed),
                    self.words.count(after.followed)
                )),
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
        let compare = period(self.study.compare.as_deref().unwrap_or_default());
        html! {
            p { (self.fill("Compared with the cases of {period}.", &[("period", &compare)])) }
            (table.render())
            p { (self.say("The later cases were followed for a shorter time, so that only the quick ones among them are over. Both periods are therefore compared over the same follow-up: of the cases that were followed for so many hours, with longer times cut there (rank test of Mann and Whitney). The log-rank test uses every case, open ones until the cut-off. All p-values are adjusted to the number of stages (Holm).")) }
        }
    }
}
