//! Fits the weights with which a model joins its inputs, on texts of the validation months.
//!
//! The weights of a description's inputs come first. Those of attributes are fitted afterwards and change no other
//! weight, so that a description alone is scored as if there were no attributes. Start at [`fit_fusion`].

use super::loglinear::Case;
use crate::{
    codes::digits::LEVELS,
    model::{
        fusion::{ATTRIBUTES_ONLY, Fusion, INPUTS, Selection},
        scorer::Scorer,
    },
};

/// The case of a text with a known code, given its embedding (empty without an encoder), under the attributes that the
/// scorer has; `None` when the model lacks the code.
pub(crate) fn case_of(
    scorer: &mut Scorer<'_>,
    description: &str,
    embedding: &[f32],
    code: u32,
) -> Option<Case<INPUTS>> {
    let right = scorer.subheading(code)?;
    scorer.score_within(description, embedding, f32::INFINITY);
    let prior = f64::from(scorer.training_share(right));
    Some(Case::of(scorer.probabilities(LEVELS - 1), right, prior, |class| scorer.inputs(class)))
}

/// The weights and label noise of maximum likelihood, given the cases of so many texts; inputs that are not used keep
/// the weight 0.
pub(crate) fn fit_fusion(cases: &[Case<INPUTS>], texts: usize, used: Selection) -> Fusion {
    let mut fusion = Fusion::initial(used);
    fusion.maximise_likelihood(cases, &indices(used), Some(texts));
    fusion
}

/// The same model with the attributes' weights of maximum likelihood.
pub(crate) fn fit_attributes(mut fusion: Fusion, cases: &[Case<INPUTS>]) -> Fusion {
    fusion.maximise_likelihood(cases, &indices(ATTRIBUTES_ONLY), None);
    fusion
}

/// The indices of the selected inputs.
fn indices(selection: Selection) -> Vec<usize> {
    (0..INPUTS).filter(|input| selection[*input]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fit::loglinear::Candidate,
        model::fusion::{ATTRIBUTES, DESCRIPTION, FAST, MARGINS},
    };

    #[test]
    fn unused_inputs_have_no_weight_and_attributes_change_no_other() {
        let number = |seed: u64| (tidewaiter_core::chance::mix(seed) >> 40) as f64 / (1_u64 << 24) as f64;
        let case = |case: u64| {
            let candidates: Vec<_> = (0..5)
                .map(|at| Candidate {
                    inputs: std::array::from_fn(|input| number(case * 1000 + at * 100 + input as u64)),
                    stands_for: 1.0,
                })
                .collect();
            let score = |at: &usize| candidates[*at].inputs[0] + candidates[*at].inputs[ATTRIBUTES];
            let right = (0..5).max_by(|one, other| score(one).total_cmp(&score(other))).expect("five");
            Case { candidates, right, prior: 0.01 }
        };
        let cases: Vec<Case<INPUTS>> = (0..200).map(case).collect();
        let fast = fit_fusion(&cases, cases.len(), FAST);
        assert!(!fast.uses_precedents() && !fast.uses_nomenclature() && !fast.uses_encoder());
        assert!(fast.weights[MARGINS] > 1.0, "{fast:?}");
        let all = fit_fusion(&cases, cases.len(), DESCRIPTION);
        assert!(all.uses_precedents() && all.uses_nomenclature() && all.uses_encoder());
        let fitted = fit_attributes(fast, &cases);
        assert_eq!(
            (&fitted.weights[..ATTRIBUTES], fitted.label_noise),
            (&fast.weights[..ATTRIBUTES], fast.label_noise)
        );
        assert!(fitted.weights[ATTRIBUTES] > 1.0, "{fitted:?}");
    }
}
