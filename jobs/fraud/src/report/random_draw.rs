//! What the pages say of a model's selection beside one that is drawn at random.

use tidewaiter_registry::comparison::Comparison;
use tidewaiter_report::words::Words;

use crate::evaluation::CAPACITY_PERCENT;

/// The figures of the comparison with a random draw.
pub(super) fn figures(words: &Words, comparison: &Comparison) -> String {
    let points = |share: f64| words.numbers().fixed(share * 100.0, 1);
    words.fill(
        "The riskiest {capacity} of the items with a known outcome hold {difference} percentage points more of the fraud \
         than as many drawn at random (95 % interval {low} to {high}).",
        &[
            ("capacity", &words.percent(CAPACITY_PERCENT / 100.0)),
            ("difference", &points(comparison.difference)),
            ("low", &points(comparison.low)),
            ("high", &points(comparison.high)),
        ],
    )
}

/// A warning with the figures; `None` where the selection is better beyond chance.
pub(super) fn warning(words: &Words, comparison: &Comparison) -> Option<String> {
    let said = words.say("This model is not shown to select better than a random draw.");
    (!comparison.is_better()).then(|| format!("{said} {}", figures(words, comparison)))
}
