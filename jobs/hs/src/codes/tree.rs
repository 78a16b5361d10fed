//! The HS as a tree of classes: chapters, the headings in them, and the subheadings in those.
//!
//! A class is the number of a code among a level's codes in ascending order, so that the classes below a class are a
//! range of numbers. Start at [`CodeTree`].

use std::ops::Range;

use super::digits::{LEVELS, at_level};

/// The classes of each level and how they stand below each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CodeTree {
    /// Codes of each level, ascending.
    codes: [Vec<u32>; LEVELS],
    /// For each subheading, the classes of its chapter, its heading and itself.
    paths: Vec<[u32; LEVELS]>,
    /// Where the headings of each chapter and the subheadings of each heading begin, and where the last ones end.
    starts: [Vec<u32>; LEVELS - 1],
}

impl CodeTree {
    /// The tree of six-digit codes, which ascend and occur once.
    pub(crate) fn new(subheadings: Vec<u32>) -> Self {
        let mut codes: [Vec<u32>; LEVELS] = Default::default();
        let mut starts: [Vec<u32>; LEVELS - 1] = Default::default();
        let mut paths = Vec::with_capacity(subheadings.len());
        for code in subheadings {
            for level in 0..LEVELS {
                let own = at_level(code, level);
                if codes[level].last() != Some(&own) {
                    codes[level].push(own);
                    if let Some(starts) = starts.get_mut(level) {
                        starts.push(codes[level + 1].len() as u32);
                    }
                }
            }
            paths.push(std::array::from_fn(|level| codes[level].len() as u32 - 1));
        }
        for (level, starts) in starts.iter_mut().enumerate() {
            starts.push(codes[level + 1].len() as u32);
        }
        Self { codes, paths, starts }
    }

    /// The classes of the next level that stand below a class of a level.
    pub(crate) fn under(&self, level: usize, class: usize) -> Range<usize> {
        let starts = &self.starts[level];
        starts[class] as usize..starts[class + 1] as usize
    }

    /// The codes of a level, ascending.
    pub(crate) fn codes(&self, level: usize) -> &[u32] {
        &self.codes[level]
    }

    /// How many subheadings there are.
    pub(crate) fn len(&self) -> usize {
        self.paths.len()
    }

    /// The class of a level's code; `None` when the tree lacks it.
    pub(crate) fn number(&self, code: u32, level: usize) -> Option<usize> {
        self.codes[level].binary_search(&code).ok()
    }

    /// For each subheading, the classes of its chapter, its heading and itself.
    pub(crate) fn paths(&self) -> &[[u32; LEVELS]] {
        &self.paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_stand_under_their_headings_and_chapters() {
        let tree = CodeTree::new(vec![10_121, 10_129, 10_130, 851_712]);
        assert_eq!([0, 1, 2].map(|level| tree.codes(level).len()), [2, 2, 4]);
        assert_eq!(tree.paths()[2], [0, 0, 2]);
        assert_eq!(tree.paths()[3], [1, 1, 3]);
        assert_eq!([tree.under(0, 0), tree.under(1, 0), tree.under(1, 1)], [0..1, 0..3, 3..4]);
    }
}
