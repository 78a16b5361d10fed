//! Annotated objects of images: COCO JSON, Pascal VOC XML, YOLO text.
//!
//! Sources: the COCO data format (cocodataset.org), the VOC 2012 development kit, the text format of darknet. An
//! annotation that cannot be right (an unknown class, no area, outside of the image) is refused with its reason, and the
//! image is kept. Start at [`Annotations::read`].

mod coco;
mod collected;
mod voc;
mod yolo;

use std::path::{Path, PathBuf};

use tidewaiter_core::{Error, Result, ResultExt};
use tidewaiter_job::Roots;

use self::collected::ending;
pub(super) use self::collected::{Annotations, OfImage};
use super::source::Refusal;
use crate::{boxes::Rectangle, table::Annotated};

impl Annotations {
    /// Reads a COCO file (`.json`), a VOC (`.xml`) or YOLO (`.txt`) file, or a folder of the latter two with its folders.
    /// `classes` are the names of YOLO's numbers; without them those of `classes.txt` or `data.yaml` of the folder.
    ///
    /// # Errors
    /// When the path cannot be read or holds no annotations.
    pub(super) fn read(path: &str, classes: &[String], roots: &Roots) -> Result<Self> {
        let mut annotations = Self::default();
        let place = Path::new(path);
        let doing = || format!("read the annotations {path}");
        if place.is_dir() {
            let classes = match classes {
                [] => yolo::classes_of(place, roots).context(doing)?,
                given => given.to_vec(),
            };
            annotations.folder(place, place, &classes).context(doing)?;
        } else if ending(place) == "json" {
            let text = std::fs::read_to_string(place).context(doing)?;
            coco::read(&text, &mut annotations).context(doing)?;
        } else {
            let folder = place.parent().unwrap_or(Path::new("."));
            annotations.file(folder, place, classes).context(doing)?;
        }
        if annotations.is_empty() {
            let what = "holds no annotations; give COCO JSON, or VOC XML or YOLO text";
            return Err(Error::input(format!("{path} {what}")));
        }
        Ok(annotations)
    }

    fn folder(&mut self, whole: &Path, folder: &Path, classes: &[String]) -> Result<()> {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        entries.sort();
        for entry in entries {
            if entry.is_symlink() {
                continue;
            }
            if entry.is_dir() {
                self.folder(whole, &entry, classes)?;
            } else if !yolo::names_classes(&entry) {
                self.file(whole, &entry, classes)?;
            }
        }
        Ok(())
    }

    /// Reads a file of one image's annotation; others are passed over.
    fn file(&mut self, whole: &Path, file: &Path, classes: &[String]) -> Result<()> {
        let name = file.strip_prefix(whole).unwrap_or(file).display().to_string();
        let ending = ending(file);
        if !matches!(ending.as_str(), "xml" | "txt") {
            return Ok(());
        }
        let bytes = std::fs::read(file).context(|| format!("read {}", file.display()))?;
        let text = String::from_utf8(bytes).map_err(|_| Error::input("it is not UTF-8"));
        let mut refused = Vec::new();
        let read = text.and_then(|text| match ending.as_str() {
            "xml" => voc::read(&text),
            _ => Ok(yolo::read(&text, classes, &name, &mut refused)),
        });
        self.refused.append(&mut refused);
        match read {
            Ok(of_image) => self.add(&name, of_image),
            Err(error) => {
                self.refused.push(Refusal::new(name, "annotation: it cannot be read", error.chain()))
            }
        }
        Ok(())
    }
}

/// What of an annotation is kept.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Kept {
    /// The objects; `None` where nothing is known, because those that there were are refused.
    pub(super) objects: Option<Vec<Annotated>>,
    /// Rules and particulars of what is refused.
    pub(super) refused: Vec<(String, String)>,
    /// Rectangles that are cut at the image's edge by more than a pixel.
    pub(super) cut: u64,
}

/// The objects on an image of `width` × `height` pixels, and why others are refused.
pub(super) fn on_image(annotation: &OfImage, width: usize, height: usize) -> Kept {
    let mut kept = Kept::default();
    if let Some(size) = annotation.of_size.filter(|size| *size != (width as u64, height as u64)) {
        let value = format!("{} × {} pixels, and the image has {width} × {height}", size.0, size.1);
        kept.refused.push(("annotation: it is of an image of another size".to_owned(), value));
        return kept;
    }
    let (width, height) = (width as f32, height as f32);
    let mut objects = Vec::new();
    for object in &annotation.objects {
        let Rectangle { left, top, width: across, height: down } = object.rectangle;
        let rectangle = if annotation.is_relative {
            Rectangle { left: left * width, top: top * height, width: across * width, height: down * height }
        } else {
            object.rectangle
        };
        let numbers = [rectangle.left, rectangle.top, rectangle.width, rectangle.height];
        let inside = rectangle.clipped(width, height);
        let rule = if numbers.iter().any(|number| !number.is_finite()) {
            Some("annotation: its place is not of numbers")
        } else if rectangle.width <= 0.0 || rectangle.height <= 0.0 {
            Some("annotation: it has no area")
        } else if inside.area() <= 0.0 {
            Some("annotation: it lies outside of the image")
        } else {
            None
        };
        match rule {
            None => {
                let before = (-rectangle.left).max(-rectangle.top);
                let behind = (rectangle.right() - width).max(rectangle.bottom() - height);
                kept.cut += u64::from(before.max(behind) > 1.0);
                objects.push(Annotated { rectangle: inside, ..object.clone() });
            }
            Some(rule) => kept.refused.push((rule.to_owned(), format!("{} at {numbers:?}", object.class))),
        }
    }
    let is_partial = annotation.is_partial || !kept.refused.is_empty();
    kept.objects = Some(objects).filter(|objects| !(is_partial && objects.is_empty()));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(left: f32, top: f32, width: f32, height: f32) -> Annotated {
        Annotated {
            class: "knife".into(),
            rectangle: Rectangle { left, top, width, height },
            is_crowd: false,
        }
    }

    #[test]
    fn objects_without_area_or_outside_are_refused_with_the_reason() {
        let annotation = OfImage {
            objects: vec![
                object(1.0, 1.0, 4.0, 4.0),
                object(8.0, 8.0, 9.0, 9.0),
                object(1.0, 1.0, 0.0, 4.0),
                object(11.0, 1.0, 2.0, 2.0),
                object(f32::NAN, 1.0, 2.0, 2.0),
            ],
            ..OfImage::default()
        };
        let kept = on_image(&annotation, 10, 10);
        assert_eq!(kept.objects, Some(vec![object(1.0, 1.0, 4.0, 4.0), object(8.0, 8.0, 2.0, 2.0)]));
        let rules: Vec<_> = kept.refused.iter().map(|(rule, _)| rule.as_str()).collect();
        assert!(rules[0].contains("no area") && rules[1].contains("outside") && rules[2].contains("numbers"));
        assert_eq!(kept.cut, 1);
    }

    #[test]
    fn an_image_whose_only_objects_are_refused_is_not_clean() {
        assert_eq!(on_image(&OfImage::default(), 10, 10).objects, Some(Vec::new()));
        let outside = OfImage { objects: vec![object(20.0, 1.0, 2.0, 2.0)], ..OfImage::default() };
        assert_eq!(on_image(&outside, 10, 10).objects, None);
        assert_eq!(on_image(&OfImage { is_partial: true, ..OfImage::default() }, 10, 10).objects, None);
        let other = OfImage { of_size: Some((20, 10)), ..OfImage::default() };
        let kept = on_image(&other, 10, 10);
        assert_eq!((kept.objects, kept.refused.len()), (None, 1));
    }

    #[test]
    fn one_image_has_one_annotation() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("sub")).expect("made");
        let voc = "<annotation><object><name>gun</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>9</ymax>\
                   </bndbox></object></annotation>";
        for (name, text) in [
            ("classes.txt", "gun\nknife\n"),
            ("a.txt", "1 0.25 0.5 0.5 0.25\n"),
            ("a.xml", voc),
            ("b.txt", "7 0.1 0.1 1 1\n0 0.5 0.5 0.1 0.1\n"),
            ("c.xml", "<annotation>"),
            ("sub/d.txt", ""),
            ("notes.md", "x"),
        ] {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        let read =
            Annotations::read(&folder.path().display().to_string(), &[], &Roots::Anywhere).expect("reads");
        let (found, refused) = read.of(&["a.png", "b.png", "c.png", "sub/d.png", "e.png"]);
        let rules: Vec<_> =
            refused.iter().map(|refusal| (refusal.name.as_str(), refusal.rule.as_str())).collect();
        assert_eq!(
            rules,
            [
                ("a.xml", "annotation: its image has another one, which is kept"),
                ("b.txt", "annotation: its class has no name"),
                ("c.xml", "annotation: it cannot be read")
            ]
        );
        let first = found[0].as_ref().expect("there");
        assert_eq!(on_image(first, 100, 50).objects, Some(vec![object(0.0, 18.75, 50.0, 12.5)]));
        assert_eq!(found[1].as_ref().map(|second| second.objects.len()), Some(1));
        assert_eq!((&found[2], &found[4]), (&None, &None));
        assert_eq!(on_image(found[3].as_ref().expect("there"), 9, 9).objects, Some(Vec::new()), "clean");
    }

    #[test]
    fn an_annotation_without_an_image_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.txt"), "0 0.5 0.5 0.1 0.1").expect("written");
        let path = folder.path().join("a.txt").display().to_string();
        let read = Annotations::read(&path, &["gun".to_owned()], &Roots::Anywhere).expect("reads");
        let (found, refused) = read.of(&["b.png"]);
        assert_eq!(found, [None]);
        assert_eq!(refused[0].rule, "annotation: no image among the files is its own");
        assert!(Annotations::read("/no/such/file.json", &[], &Roots::Anywhere).is_err());
        let empty = tempfile::tempdir().expect("a folder");
        assert!(Annotations::read(&empty.path().display().to_string(), &[], &Roots::Anywhere).is_err());
    }
}
