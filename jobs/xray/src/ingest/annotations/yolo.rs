//! YOLO's text: a line for each object, of its class's number, its centre and its extents as shares of the image.

use std::path::Path;

use tidewaiter_core::{Result, ResultExt};
use tidewaiter_job::Roots;

use super::{super::source::Refusal, collected::OfImage};
use crate::{boxes::Rectangle, table::Annotated};

/// The files that name classes.
const LISTS: [&str; 3] = ["classes.txt", "obj.names", "data.yaml"];

/// Whether a file names classes instead of objects.
pub(super) fn names_classes(file: &Path) -> bool {
    file.file_name().is_some_and(|name| LISTS.iter().any(|list| name == *list))
}

/// The names of classes by their numbers, of a folder's lists or those of the folder around it, where the roots let a job
/// read them; none where there is no list.
pub(super) fn classes_of(folder: &Path, roots: &Roots) -> Result<Vec<String>> {
    for folder in [Some(folder), folder.parent()].into_iter().flatten() {
        for list in LISTS {
            let path = folder.join(list);
            if !path.exists() || roots.resolve(&path.display().to_string()).is_err() {
                continue;
            }
            let text = std::fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
            return Ok(if list.ends_with("yaml") { of_yaml(&text) } else { of_lines(&text) });
        }
    }
    Ok(Vec::new())
}

fn of_lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// The value of `names`, a list or numbered lines.
fn of_yaml(text: &str) -> Vec<String> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("names:"));
    let first = lines.next().map_or("", |line| line["names:".len()..].trim());
    let bare = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    if let Some(list) = first.strip_prefix('[') {
        // The list may go on in the next lines.
        let list: String = std::iter::once(list).chain(lines).collect();
        let list = list.split(']').next().unwrap_or_default();
        return list.split(',').map(bare).filter(|name| !name.is_empty()).collect();
    }
    let items = lines.take_while(|line| line.starts_with([' ', '-']) || line.trim().is_empty());
    let items = items.map(str::trim).filter(|line| !line.is_empty());
    items
        .map(|line| match line.strip_prefix('-') {
            Some(name) => bare(name),
            None => line.split_once(':').map_or_else(String::new, |(_, name)| bare(name)),
        })
        .collect()
}

/// The objects of a file; an empty one is a clean image.
pub(super) fn read(text: &str, classes: &[String], file: &str, refused: &mut Vec<Refusal>) -> OfImage {
    let mut of_image = OfImage { is_relative: true, ..OfImage::default() };
    for (line, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        match object(text, classes) {
            Ok(object) => of_image.objects.push(object),
            Err(rule) => {
                refused.push(Refusal::new(file, rule, format!("line {}: {}", line + 1, text.trim())));
                of_image.is_partial = true;
            }
        }
    }
    of_image
}

fn object(text: &str, classes: &[String]) -> Result<Annotated, &'static str> {
    let mut words = text.split_whitespace();
    let class = words.next().and_then(|word| word.parse::<usize>().ok());
    let class = class.ok_or("annotation: it does not begin with the number of its class")?;
    let class = classes.get(class).ok_or("annotation: its class has no name")?;
    let numbers: Result<Vec<f32>, _> = words.map(str::parse).collect();
    let [x, y, width, height] = numbers.unwrap_or_default()[..] else {
        return Err("annotation: it does not have four numbers, the centre and the extents");
    };
    let rectangle = Rectangle { left: x - width / 2.0, top: y - height / 2.0, width, height };
    Ok(Annotated { class: class.clone(), rectangle, is_crowd: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_no_objects_are_refused_by_themselves() {
        let classes = ["gun".to_owned()];
        let mut refused = Vec::new();
        let text =
            "0 0.5 0.5 0.5 0.5\n\n1 0.5 0.5 0.5 0.5\ngun 1 2 3 4\n0 0.1 0.2 0.3\n0 1 2 3 4 5 6\n0 a b c d\n";
        let of_image = read(text, &classes, "a.txt", &mut refused);
        assert_eq!(of_image.objects.len(), 1);
        assert!(of_image.is_partial);
        let lines: Vec<_> = refused.iter().map(|refusal| refusal.value.split(':').next()).collect();
        assert_eq!(lines, [Some("line 3"), Some("line 4"), Some("line 5"), Some("line 6"), Some("line 7")]);
    }

    #[test]
    fn names_of_classes_are_read_from_every_form() {
        let names = ["gun", "razor blade"];
        for text in [
            "nc: 2\nnames: ['gun', \"razor blade\"]\n",
            "names:\n  0: gun\n  1: razor blade\npath: x\n",
            "names:\n- gun\n- razor blade\ntrain: y\n",
            "names: [gun,\n  razor blade]\n",
        ] {
            assert_eq!(of_yaml(text), names, "{text}");
        }
        assert_eq!(of_lines("gun\n razor blade\n\n"), names);
    }
}
