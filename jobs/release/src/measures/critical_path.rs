//! The critical path of a case: which check determines when it is released, and what a change of a check does.
//!
//! A case goes on when the last of its checks is over. A change moves the end of a check or of the lodgement;
//! where that check is the last one, the release and all after it move by as much, but never before the goods
//! are there.

use serde::{Deserialize, Serialize};

use crate::calendar::HOUR;

/// A measure on single cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaseChange {
    /// Other agencies decide in half the time.
    PermitsInHalfTheTime,
    /// The laboratory takes half the time.
    LaboratoryInHalfTheTime,
    /// Declarations are lodged when the goods arrive, at the latest.
    LodgedByArrival,
    /// A fifth of the inspected cases is no longer inspected: from the red channel to the green.
    FifthOfRedToGreen,
}

/// What an activity is on the path of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The check of the documents.
    Documents,
    /// Another agency's permit.
    Permit,
    /// The inspection, for which the laboratory waits.
    Inspection,
    /// The laboratory's analysis.
    Laboratory,
    /// A step that all later ones wait for.
    Step,
}

impl Check {
    /// The check of an activity with this milestone; `None` where it is not known what waits for it.
    pub fn of(role: &str) -> Option<Self> {
        Some(match role {
            "document-check-start" | "document-check-end" => Self::Documents,
            "permit-request" | "permit-decision" => Self::Permit,
            "inspection-start" | "inspection-end" => Self::Inspection,
            "laboratory-start" | "laboratory-end" => Self::Laboratory,
            "lodgement" | "acceptance" | "selection" | "assessment" | "payment" | "release" => Self::Step,
            _ => return None,
        })
    }
}

/// A case of the headline stage; times in microseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Case {
    /// When the stage began.
    pub(super) from: i64,
    /// When the stage ended.
    pub(super) to: i64,
    pub(super) arrived: Option<i64>,
    pub(super) unloaded: Option<i64>,
    pub(super) lodged: Option<i64>,
    /// When it was accepted and the channel selected.
    pub(super) accepted: Option<i64>,
    /// The end of the document check.
    pub(super) documents: Option<i64>,
    /// Request and decision of another agency's permit.
    pub(super) permit: Option<(i64, i64)>,
    /// The end of the inspection.
    pub(super) inspected: Option<i64>,
    /// Beginning and end of the laboratory's analysis.
    pub(super) laboratory: Option<(i64, i64)>,
    /// Illicit items that the fraud model expects.
    pub(super) items: Option<f64>,
    /// Revenue that the fraud model expects of an inspection, national currency.
    pub(super) revenue: Option<f64>,
}

impl Case {
    /// Hours of the case.
    pub(super) fn hours(&self) -> f64 {
        (self.to - self.from) as f64 / HOUR
    }

    /// When the last check is over.
    fn ready(&self) -> Option<i64> {
        let ends = [
            self.accepted,
            self.documents,
            self.permit.map(|permit| permit.1),
            self.inspected,
            self.laboratory.map(|laboratory| laboratory.1),
        ];
        ends.into_iter().flatten().max()
    }

    /// Hours of the case with a measure; `None` where the measure does not concern it.
    pub(super) fn changed(&self, change: CaseChange) -> Option<f64> {
        let half = |(from, to): (i64, i64)| (from, from + (to - from) / 2);
        let after = match change {
            CaseChange::PermitsInHalfTheTime => Self { permit: Some(half(self.permit?)), ..*self },
            CaseChange::LaboratoryInHalfTheTime => Self { laboratory: Some(half(self.laboratory?)), ..*self },
            CaseChange::FifthOfRedToGreen => {
                self.inspected?;
                Self { inspected: None, laboratory: None, ..*self }
            }
            CaseChange::LodgedByArrival => {
                let late = self.lodged? - self.arrived?;
                return (late > 0).then(|| self.earlier(late));
            }
        };
        self.with_checks(&after)
    }

    /// Hours of the case if its checks ended as those of `other`; `None` where it has no checks.
    fn with_checks(&self, other: &Self) -> Option<f64> {
        let (before, after) = (self.ready()?, other.ready().unwrap_or(self.from));
        // What was released before its last check did not wait for it.
        Some(if before > self.to { self.hours() } else { self.earlier(before - after) })
    }

    /// Hours of the case if it went on so much earlier, but not before the goods are there.
    fn earlier(&self, microseconds: i64) -> f64 {
        let goods_are_there = self.unloaded.or(self.arrived).unwrap_or(self.from).min(self.to);
        ((self.to - microseconds).max(goods_are_there).max(self.from) - self.from) as f64 / HOUR
    }

    /// Hours of the case if a check ended so many microseconds later, or (without a number) did not take
    /// place; `None` where the case has no such check.
    pub(super) fn moved(&self, check: Check, by: Option<i64>) -> Option<f64> {
        let later = |end: i64| by.map(|by| end + by);
        let span = |(from, to): (i64, i64)| Some((from, later(to)?));
        let after = match check {
            Check::Documents => Self { documents: later(self.documents?), ..*self },
            Check::Permit => Self { permit: span(self.permit?), ..*self },
            Check::Laboratory => Self { laboratory: span(self.laboratory?), ..*self },
            Check::Inspection => {
                let inspected = self.inspected?;
                let laboratory = self.laboratory.and_then(|(from, to)| match from >= inspected {
                    true => Some((later(from)?, later(to)?)),
                    false => Some((from, to)),
                });
                Self { inspected: later(inspected), laboratory, ..*self }
            }
            Check::Step => return by.map(|by| self.earlier(-by)),
        };
        self.with_checks(&after)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const H: i64 = 3_600_000_000;

    /// Arrived at 0, unloaded at 2, lodged at 10, selected at 11, a permit from 11 to 31, inspected until 25,
    /// analysed from 25 to 41, released at 44.
    pub(in crate::measures) fn case() -> Case {
        Case {
            from: 0,
            to: 44 * H,
            arrived: Some(0),
            unloaded: Some(2 * H),
            lodged: Some(10 * H),
            accepted: Some(11 * H),
            documents: None,
            permit: Some((11 * H, 31 * H)),
            inspected: Some(25 * H),
            laboratory: Some((25 * H, 41 * H)),
            items: Some(0.5),
            revenue: Some(100.0),
        }
    }

    #[test]
    fn only_the_last_check_determines_the_release() {
        let case = case();
        // The laboratory is the last; at 33 it still is; without it the permit is, at 31.
        assert_eq!(case.changed(CaseChange::PermitsInHalfTheTime), Some(44.0));
        assert_eq!(case.changed(CaseChange::LaboratoryInHalfTheTime), Some(36.0));
        assert_eq!(case.changed(CaseChange::FifthOfRedToGreen), Some(34.0));
        assert_eq!(case.changed(CaseChange::LodgedByArrival), Some(34.0));
        let green = Case { inspected: None, laboratory: None, ..case };
        assert_eq!(green.changed(CaseChange::PermitsInHalfTheTime), Some(34.0));
        assert_eq!(green.changed(CaseChange::FifthOfRedToGreen), None);
        // Nothing is released before it is unloaded, and what did not wait for a check gains nothing by it.
        let quick = Case { to: 11 * H, accepted: Some(H), permit: None, ..green };
        assert_eq!(Case { lodged: Some(30 * H), ..quick }.changed(CaseChange::LodgedByArrival), Some(2.0));
        assert_eq!(
            Case { permit: Some((H, 20 * H)), ..quick }.changed(CaseChange::PermitsInHalfTheTime),
            Some(11.0)
        );
        assert_eq!(Case { lodged: Some(-H), ..quick }.changed(CaseChange::LodgedByArrival), None);
    }

    #[test]
    fn an_activity_moves_the_release_where_it_is_the_last_check() {
        // Inspected until 25, analysed from then to 41, a permit until 31, released at 44.
        let case = case();
        assert_eq!(case.moved(Check::Inspection, Some(-5 * H)), Some(39.0));
        assert_eq!(case.moved(Check::Inspection, Some(-15 * H)), Some(34.0), "the permit is the last");
        assert_eq!(case.moved(Check::Inspection, Some(3 * H)), Some(47.0), "later, too");
        assert_eq!(case.moved(Check::Inspection, None), Some(34.0), "no inspection, no laboratory");
        assert_eq!(case.moved(Check::Permit, Some(-5 * H)), Some(44.0));
        assert_eq!(case.moved(Check::Documents, Some(-H)), None, "its documents were not checked");
        assert_eq!(case.moved(Check::Step, Some(-4 * H)), Some(40.0));
        assert_eq!(case.moved(Check::Step, None), None);
        let sampled = Case { from: -20 * H, laboratory: Some((20 * H, 41 * H)), ..case };
        assert_eq!(sampled.moved(Check::Inspection, Some(-5 * H)), Some(64.0), "the laboratory did not wait");
    }

    #[test]
    fn checks_are_known_by_their_milestones() {
        assert_eq!(Check::of("inspection-end"), Some(Check::Inspection));
        assert_eq!(Check::of("payment"), Some(Check::Step));
        assert_eq!((Check::of("gate-out"), Check::of("")), (None, None));
    }
}
