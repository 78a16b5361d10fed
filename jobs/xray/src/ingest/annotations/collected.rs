//! The annotations of many images, and whose they are.
//!
//! Start at [`Annotations::add`] and [`Annotations::of`].

use std::{collections::BTreeSet, path::Path};

use serde::{Deserialize, Serialize};

use super::super::{matching::assigned, source::Refusal};
use crate::table::Annotated;

/// The annotation of one image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OfImage {
    pub(crate) objects: Vec<Annotated>,
    /// Whether rectangles are shares of the image's width and height.
    pub(crate) is_relative: bool,
    /// The width and height of the image that was annotated, where they are known.
    pub(crate) of_size: Option<(u64, u64)>,
    /// Whether some of its objects were refused, so that an image without others is not known to be clean.
    pub(crate) is_partial: bool,
}

/// The annotations of many images.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    /// The names of images, or of the files of annotations.
    names: Vec<String>,
    of_images: Vec<OfImage>,
    known: BTreeSet<String>,
    pub(crate) refused: Vec<Refusal>,
}

impl Annotations {
    /// Whether nothing was read, not even what was refused.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.refused.is_empty()
    }

    /// Adds the annotation of an image by its name, or by that of its own file.
    pub(super) fn add(&mut self, name: &str, of_image: OfImage) {
        // Of files of annotations the ending says nothing about the image.
        let key = match ending(Path::new(name)).as_str() {
            "xml" | "txt" => Path::new(name).with_extension("").display().to_string(),
            _ => name.to_owned(),
        };
        if self.known.insert(key) {
            self.names.push(name.to_owned());
            self.of_images.push(of_image);
        } else {
            let rule = "annotation: its image has another one, which is kept";
            self.refused.push(Refusal::new(name, rule, ""));
        }
    }

    /// The annotation of each image, by its name, and those that no image has.
    pub(crate) fn of(mut self, images: &[&str]) -> (Vec<Option<OfImage>>, Vec<Refusal>) {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let places = assigned(images, &names);
        let mut of_images: Vec<Option<OfImage>> = self.of_images.into_iter().map(Some).collect();
        let found: Vec<_> = places.iter().map(|place| of_images[(*place)?].take()).collect();
        let left = names.iter().zip(of_images).filter(|(_, of_image)| of_image.is_some());
        let rule = "annotation: no image among the files is its own";
        self.refused.extend(left.map(|(name, _)| Refusal::new(*name, rule, "")));
        (found, self.refused)
    }
}

/// The ending of a file's name, in small letters.
pub(super) fn ending(path: &Path) -> String {
    path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}
