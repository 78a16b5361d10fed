//! Where images come from: the number of their source, which is a folder, an archive or a file that was named, and their
//! own number in it.
//!
//! All images of a job are numbered in the order in which they are listed, so that those of a source follow each other.
//! Start at [`Lineage::of`].

/// The numbers of sources and of images in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lineage {
    /// The number of the first source in the archive.
    pub(super) first_source: i32,
    /// For each source the number of its first image among all of the job, from 0.
    pub(super) begins: Vec<u64>,
}

impl Lineage {
    /// The place of an image's source among those that were named, from 0.
    pub(super) fn place(&self, image: u64) -> usize {
        // A source without images begins where the next one does.
        self.begins.partition_point(|begin| *begin <= image).saturating_sub(1)
    }

    /// The number in the archive of the source at a place.
    pub(super) fn source(&self, place: usize) -> i32 {
        self.first_source.saturating_add(i32::try_from(place).unwrap_or(i32::MAX))
    }

    /// The number of an image's source, and that of the image in it, from 1.
    pub(super) fn of(&self, image: u64) -> (i32, i64) {
        let place = self.place(image);
        let begin = self.begins.get(place).copied().unwrap_or(0);
        let number = i64::try_from(image.saturating_sub(begin)).unwrap_or(i64::MAX).saturating_add(1);
        (self.source(place), number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_numbered_in_their_source() {
        // The second source and the last one have no images.
        let lineage = Lineage { first_source: 7, begins: vec![0, 3, 3, 5] };
        let found: Vec<_> = (0..5).map(|image| lineage.of(image)).collect();
        assert_eq!(found, [(7, 1), (7, 2), (7, 3), (9, 1), (9, 2)]);
        assert_eq!((lineage.place(2), lineage.place(3), lineage.source(3)), (0, 2, 10));
    }
}
