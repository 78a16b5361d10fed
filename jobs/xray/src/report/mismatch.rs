//! Images whose goods look like another HS section than the declared one.

use std::collections::BTreeMap;

use maud::{Markup, html};
use tidewaiter_report::{
    table::{Cell, Kind},
    words::Words,
};

use crate::{features::sections::numeral, predict::rows::ScoredImage};

/// Images that are listed.
const LISTED: usize = 20;

/// The images that fit their declarations worst, the worst first.
pub fn worst_mismatches(images: &[ScoredImage]) -> Vec<ScoredImage> {
    let mut all: Vec<&ScoredImage> = images.iter().filter(|image| image.mismatch.is_some()).collect();
    let score = |image: &ScoredImage| image.mismatch.unwrap_or_default();
    all.sort_by(|a, b| score(b).total_cmp(&score(a)).then_with(|| a.image.cmp(&b.image)));
    all.into_iter().take(LISTED).cloned().collect()
}

/// The table of the worst mismatches, with the fraud model's probability for the declaration where there is one.
pub(super) fn mismatches(words: &Words, images: &[ScoredImage], fraud: &BTreeMap<String, f64>) -> Markup {
    let worst = worst_mismatches(images);
    if worst.is_empty() {
        return html! {};
    }
    let columns = [
        ("Declaration", Kind::Text),
        ("Image", Kind::Text),
        ("Declared section", Kind::Text),
        ("Section it looks like", Kind::Text),
        ("Probability of that section", Kind::Percent),
        ("Mismatch", Kind::Percent),
        ("Probability of something illicit", Kind::Percent),
        ("Fraud model's probability", Kind::Percent),
    ];
    let mut table = words.table("Images that fit their declarations worst", &columns);
    for image in &worst {
        let likely = image.likely;
        table.row(vec![
            image.declaration.as_str().into(),
            image.image.as_str().into(),
            Cell::Text(image.declared.map(numeral).unwrap_or_default()),
            Cell::Text(likely.map(|likely| numeral(likely.0)).unwrap_or_default()),
            likely.map(|likely| likely.1).into(),
            image.mismatch.into(),
            image.illicit.into(),
            fraud.get(&image.declaration).copied().into(),
        ]);
    }
    html! {
        p {
            (words.say(
                "A section of the Harmonized System is what the goods look like as a whole. The mismatch is the probability \
                 of all sections but the declared one; it says where to look, and is no proof.",
            ))
        }
        (table.render())
    }
}
