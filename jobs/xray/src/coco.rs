//! Writing COCO's JSON.
//!
//! Start at [`Coco`].

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{boxes::Rectangle, table::Annotated};

/// Numbers of classes, from 0, in the order in which they first occur.
#[derive(Debug, Default)]
pub(crate) struct Classes(BTreeMap<String, usize>);

impl Classes {
    /// The number of a class.
    pub(crate) fn number(&mut self, name: &str) -> usize {
        let next = self.0.len();
        *self.0.entry(name.to_owned()).or_insert(next)
    }

    /// The names by their numbers.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.0.iter().collect();
        names.sort_by_key(|(_, number)| **number);
        names.into_iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// The annotations of images.
#[derive(Debug, Default)]
pub(crate) struct Coco {
    classes: Classes,
    images: Vec<Value>,
    annotations: Vec<Value>,
}

impl Coco {
    /// Adds an annotated image; without objects it is clean.
    pub(crate) fn add(&mut self, name: &str, width: i64, height: i64, objects: &[Annotated]) {
        let image = self.images.len() + 1;
        self.images.push(json!({ "id": image, "file_name": name, "width": width, "height": height }));
        for object in objects {
            let Rectangle { left, top, width, height } = object.rectangle;
            self.annotations.push(json!({
                "id": self.annotations.len() + 1,
                "image_id": image,
                "category_id": self.classes.number(&object.class) + 1,
                "bbox": [left, top, width, height],
                "area": object.rectangle.area(),
                "iscrowd": u8::from(object.is_crowd),
            }));
        }
    }

    /// The document.
    pub(crate) fn document(&self) -> Value {
        let names = self.classes.names().into_iter().zip(1..);
        let categories: Vec<Value> = names.map(|(name, id)| json!({ "id": id, "name": name })).collect();
        json!({ "images": self.images, "annotations": self.annotations, "categories": categories })
    }
}
