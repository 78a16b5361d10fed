//! Which description belongs to which image, by their names.
//!
//! Data sets keep images and their descriptions in parallel folders (`images/train/1.png`, `labels/train/1.txt`), in one
//! folder, or name images without folders. Names are compared as a whole, then without ending, and where one of both has no
//! folders then without them and without both; at each step only names that one image and one description have are taken,
//! so that nothing is guessed.
//! Start at [`assigned`].

use std::{collections::BTreeMap, path::Path};

/// Folders that say what is in them and not what it is about.
const FOLDERS: [&str; 5] = ["images", "labels", "annotations", "jpegimages", "xmls"];

/// What of a name is compared, and whether it is without folders.
type Form = (fn(&str) -> String, bool);

/// For each image the place of its description.
pub(super) fn assigned(images: &[&str], descriptions: &[&str]) -> Vec<Option<usize>> {
    let mut found = vec![None; images.len()];
    let mut is_taken = vec![false; descriptions.len()];
    let has_folders = |name: &str| whole(name).contains('/');
    let forms: [Form; 4] = [(whole, false), (without_ending, false), (file_name, true), (stem, true)];
    for (form, is_bare) in forms {
        let fit =
            |image: &str, description: &str| !(is_bare && has_folders(image) && has_folders(description));
        let mut places: BTreeMap<String, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for (place, name) in images.iter().enumerate().filter(|(place, _)| found[*place].is_none()) {
            places.entry(form(name)).or_default().0.push(place);
        }
        for (place, name) in descriptions.iter().enumerate().filter(|(place, _)| !is_taken[*place]) {
            places.entry(form(name)).or_default().1.push(place);
        }
        for (of_images, of_descriptions) in places.into_values() {
            if let ([image], [description]) = (of_images.as_slice(), of_descriptions.as_slice())
                && fit(images[*image], descriptions[*description])
            {
                found[*image] = Some(*description);
                is_taken[*description] = true;
            }
        }
    }
    found
}

fn whole(name: &str) -> String {
    let parts: Vec<&str> = name.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".").collect();
    let last = parts.len().saturating_sub(1);
    let parts = parts.iter().enumerate();
    let kept = parts
        .filter(|(place, part)| *place == last || !FOLDERS.contains(&part.to_ascii_lowercase().as_str()));
    kept.map(|(_, part)| *part).collect::<Vec<_>>().join("/")
}

fn without_ending(name: &str) -> String {
    Path::new(&whole(name)).with_extension("").display().to_string()
}

fn file_name(name: &str) -> String {
    whole(name).rsplit('/').next().unwrap_or_default().to_owned()
}

fn stem(name: &str) -> String {
    without_ending(name).rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_from_the_whole_to_the_stem() {
        let images = ["images/train/1.png", "images/test/1.png", "a/2.png", "3.png", "3.jpg", "x/4.png"];
        let descriptions = ["labels/train/1.txt", "labels/test/1.txt", "2.png", "3.jpg", "4.xml", "9.xml"];
        assert_eq!(assigned(&images, &descriptions), [Some(0), Some(1), Some(2), None, Some(3), Some(4)]);
    }

    #[test]
    fn nothing_is_guessed() {
        assert_eq!(assigned(&["a/1.png", "b/1.png"], &["1.xml"]), [None, None]);
        assert_eq!(assigned(&["1.png"], &["a/1.xml", "b/1.xml"]), [None]);
        assert_eq!(assigned(&["1.png", "1.jpg"], &["1.xml"]), [None, None]);
        assert_eq!(assigned(&["train/1.png"], &["test/1.xml"]), [None]);
    }
}
