//! COCO's JSON: images, categories and annotations, linked by numbers.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidewaiter_core::Result;

use super::{
    super::source::Refusal,
    collected::{Annotations, OfImage},
};
use crate::{boxes::Rectangle, table::Annotated};

#[derive(Deserialize)]
struct Document {
    images: Vec<Image>,
    #[serde(default)]
    annotations: Vec<Annotation>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Image {
    id: i64,
    file_name: String,
    width: Option<u64>,
    height: Option<u64>,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    id: i64,
    image_id: i64,
    category_id: i64,
    #[serde(default)]
    bbox: Vec<f32>,
    #[serde(default)]
    iscrowd: u8,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: String,
}

/// Adds the annotations of a document. An image that it lists without annotations is clean.
pub(super) fn read(text: &str, annotations: &mut Annotations) -> Result<()> {
    let document: Document = serde_json::from_str(text)?;
    let classes: BTreeMap<i64, String> =
        document.categories.into_iter().map(|category| (category.id, category.name)).collect();
    let mut of_images: BTreeMap<i64, OfImage> = BTreeMap::new();
    for image in &document.images {
        let of_size = image.width.zip(image.height);
        of_images.insert(image.id, OfImage { of_size, ..OfImage::default() });
    }
    for annotation in document.annotations {
        let Annotation { id, image_id, category_id, bbox, iscrowd } = annotation;
        let mut refuse = |rule: &str, value: String| {
            annotations.refused.push(Refusal::new(format!("annotation {id}"), rule, value));
        };
        let Some(of_image) = of_images.get_mut(&image_id) else {
            refuse("annotation: its image is not listed", format!("image {image_id}"));
            continue;
        };
        let Some(class) = classes.get(&category_id) else {
            refuse("annotation: its class has no name", format!("category {category_id}"));
            of_image.is_partial = true;
            continue;
        };
        let [left, top, width, height] = bbox[..] else {
            refuse("annotation: it has no rectangle", class.clone());
            of_image.is_partial = true;
            continue;
        };
        let rectangle = Rectangle { left, top, width, height };
        of_image.objects.push(Annotated { class: class.clone(), rectangle, is_crowd: iscrowd != 0 });
    }
    for image in document.images {
        match of_images.remove(&image.id) {
            Some(of_image) => annotations.add(&image.file_name, of_image),
            None => {
                let rule = "annotation: another image has its number";
                annotations.refused.push(Refusal::new(image.file_name, rule, format!("image {}", image.id)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_linked_to_their_images() {
        let text = r#"{"images": [{"id": 1, "file_name": "x/a.png", "width": 9, "height": 8},
                                  {"id": 2, "file_name": "b.png"}, {"id": 2, "file_name": "c.png"},
                                  {"id": 3, "file_name": "b.png"}],
            "categories": [{"id": 7, "name": "gun"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "iscrowd": 1},
                            {"id": 2, "image_id": 9, "category_id": 7, "bbox": [1, 2, 3, 4]},
                            {"id": 3, "image_id": 1, "category_id": 8, "bbox": [1, 2, 3, 4]},
                            {"id": 4, "image_id": 1, "category_id": 7}]}"#;
        let mut annotations = Annotations::default();
        read(text, &mut annotations).expect("reads");
        let (found, refused) = annotations.of(&["x/a.png", "b.png"]);
        let first = found[0].as_ref().expect("there");
        assert_eq!(first.objects.len(), 1);
        assert!(first.objects[0].is_crowd && first.is_partial);
        assert_eq!(first.of_size, Some((9, 8)));
        assert_eq!(found[1], Some(OfImage::default()));
        let rules: Vec<_> = refused.iter().map(|refusal| refusal.rule.as_str()).collect();
        assert_eq!(
            rules,
            [
                "annotation: its image is not listed",
                "annotation: its class has no name",
                "annotation: it has no rectangle",
                "annotation: another image has its number",
                "annotation: its image has another one, which is kept",
            ]
        );
        assert!(read("{", &mut Annotations::default()).is_err());
    }
}
