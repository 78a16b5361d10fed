//! Which texts each classifier of the HS tree is trained on.
//!
//! A chapter's classifier is trained on all texts, that of a heading or a subheading on the texts of its chapter only,
//! so that most of them learn from few texts. Source: Prabhu et al., "Parabel", WWW 2018, section 4, with the customs
//! nomenclature in the place of their learned tree. In that paper a leaf is told from its siblings only; here also from
//! the subheadings of the chapter's other headings, whose texts are often as similar. Start at [`problem`].

use std::ops::Range;

use tidewaiter_core::{Error, Result};

use crate::codes::{
    digits::{DIVISORS, LEVELS},
    tree::CodeTree,
};

/// A problem of two classes: rows of a list of texts that is ordered by code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BinaryProblem {
    /// Rows that the classifier is trained on.
    pub(crate) scope: Range<usize>,
    /// Rows of the class, within the scope; the others of the scope are not of the class.
    pub(crate) positives: Range<usize>,
}

impl BinaryProblem {
    /// Whether all rows of the scope are of the class, so that nothing can be learned.
    pub(crate) fn has_one_class(&self) -> bool {
        self.scope == self.positives
    }
}

/// The number of classifiers of a tree: one for each class, chapters first, then headings, then subheadings.
pub(crate) fn classifier_count(tree: &CodeTree) -> usize {
    (0..LEVELS).map(|level| tree.codes(level).len()).sum()
}

/// The problem of a classifier, by its number, where the texts have these codes in ascending order.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the tree has no such classifier.
pub(crate) fn problem(tree: &CodeTree, classifier: usize, codes: &[u32]) -> Result<BinaryProblem> {
    let mut class = classifier;
    for (level, divisor) in DIVISORS.iter().enumerate().take(LEVELS) {
        let of_level = tree.codes(level);
        if let Some(code) = of_level.get(class) {
            let scope = match level {
                0 => 0..codes.len(),
                _ => rows_of(code * divisor / DIVISORS[0], 0, codes),
            };
            return Ok(BinaryProblem { scope, positives: rows_of(*code, level, codes) });
        }
        class -= of_level.len();
    }
    Err(Error::internal(format!("there is no classifier {classifier}")))
}

/// The rows below a code of a level.
fn rows_of(code: u32, level: usize, codes: &[u32]) -> Range<usize> {
    let divisor = DIVISORS[level];
    codes.partition_point(|row| row / divisor < code)..codes.partition_point(|row| row / divisor <= code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_all_texts_for_chapters_and_the_chapter_for_what_is_below() {
        let rows = [10_121, 10_121, 10_130, 20_110, 851_712];
        let tree = CodeTree::new(vec![10_121, 10_130, 20_110, 851_712]);
        assert_eq!(classifier_count(&tree), 3 + 3 + 4);
        let chapter = problem(&tree, 0, &rows).expect("a chapter");
        assert_eq!(chapter, BinaryProblem { scope: 0..5, positives: 0..3 });
        let heading = problem(&tree, 4, &rows).expect("a heading");
        assert_eq!(heading, BinaryProblem { scope: 3..4, positives: 3..4 });
        assert!(heading.has_one_class() && !chapter.has_one_class());
        let subheading = problem(&tree, 7, &rows).expect("a subheading");
        assert_eq!(subheading, BinaryProblem { scope: 0..3, positives: 2..3 });
        let rows = [10_121, 10_130, 10_221, 20_110];
        let tree = CodeTree::new(rows.to_vec());
        let subheading = problem(&tree, 2 + 3, &rows).expect("the first subheading");
        assert_eq!(subheading, BinaryProblem { scope: 0..3, positives: 0..1 });
        assert!(problem(&tree, 10, &rows).is_err());
    }
}
