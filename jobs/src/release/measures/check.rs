//! How far a measure at a station reaches the release: the work of a case is done earlier or later than before, and the
//! release with it where it is the last check that the case waits for.

use super::{Case, Sample, drawn, effect};
use crate::release::replications::Figures;

/// What the work of a station is to a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The check of the documents.
    Documents,
    /// Another agency's permit.
    Permit,
    /// The inspection; the laboratory waits for it.
    Inspection,
    /// The laboratory's analysis.
    Laboratory,
    /// A step that all later ones wait for.
    Step,
}

impl Check {
    /// That of work with a milestone; `None` where it is not known what waits for it.
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

impl Case {
    /// Hours of the case when a check is over so much later, or falls away; `None` where the case has no such check.
    fn moved(&self, check: Check, by: Option<i64>) -> Option<f64> {
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

impl Sample {
    /// The cases that a station's work moves, and the change of the hours of all: `places` are the cases of the work,
    /// `moves` by how many microseconds later it is done, if it is. With a seed the cases are drawn anew.
    pub(in crate::release) fn carried(
        &self,
        check: Check,
        places: &[Option<usize>],
        moves: &[Option<i64>],
        seed: Option<u64>,
    ) -> (u64, Figures) {
        let mut pairs: Vec<(f64, f64)> = self.cases.iter().map(|case| (case.hours(), case.hours())).collect();
        let mut touched = 0;
        for (place, by) in places.iter().zip(moves) {
            let Some(place) = *place else { continue };
            let (Some(pair), Some(case)) = (pairs.get_mut(place), self.cases.get(place)) else { continue };
            if let Some(hours) = case.moved(check, *by) {
                pair.1 = hours;
                touched += 1;
            }
        }
        let figures = match seed {
            Some(seed) => effect(&drawn(&pairs, seed)),
            None => effect(&pairs),
        };
        (touched, figures)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::case, *};

    const H: i64 = 3_600_000_000;

    #[test]
    fn work_moves_the_release_where_it_is_the_last_check() {
        // Inspected until 25, analysed from then to 41, a permit until 31, released at 44.
        let case = case();
        assert_eq!(case.moved(Check::Inspection, Some(-5 * H)), Some(39.0));
        assert_eq!(case.moved(Check::Inspection, Some(-15 * H)), Some(34.0), "the permit is the last");
        assert_eq!(case.moved(Check::Inspection, Some(3 * H)), Some(47.0), "later, too");
        assert_eq!(case.moved(Check::Inspection, None), Some(34.0), "no inspection, no laboratory");
        assert_eq!(case.moved(Check::Permit, Some(-5 * H)), Some(44.0));
        assert_eq!(case.moved(Check::Documents, Some(-H)), None, "its papers were not checked");
        assert_eq!(case.moved(Check::Step, Some(-4 * H)), Some(40.0));
        assert_eq!(case.moved(Check::Step, None), None);
        let sampled = Case { from: -20 * H, laboratory: Some((20 * H, 41 * H)), ..case };
        assert_eq!(sampled.moved(Check::Inspection, Some(-5 * H)), Some(64.0), "the laboratory did not wait");
    }

    #[test]
    fn what_is_carried_is_told_of_all_cases() {
        let sample = Sample { cases: vec![case(); 4], ..Sample::default() };
        let places = [Some(0), None, Some(2)];
        let moves = [Some(-5 * H), Some(-5 * H), None];
        let (touched, figures) = sample.carried(Check::Inspection, &places, &moves, None);
        // 44, 44, 39 and 34 hours.
        let wanted = crate::release::replications::figures(vec![39.0, 44.0, 34.0, 44.0]);
        let before = crate::release::replications::figures(vec![44.0; 4]);
        assert_eq!((touched, figures), (2, wanted.less(before)));
        let again = |seed| sample.carried(Check::Inspection, &places, &moves, Some(seed));
        assert_eq!(again(3), again(3));
    }

    #[test]
    fn checks_are_known_by_their_milestones() {
        assert_eq!(Check::of("inspection-end"), Some(Check::Inspection));
        assert_eq!(Check::of("payment"), Some(Check::Step));
        assert_eq!((Check::of("gate-out"), Check::of("")), (None, None));
    }
}
