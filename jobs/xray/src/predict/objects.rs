//! The column of found objects: a list of class, score and box for each image.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float32Array, ListArray, StringArray, StructArray},
    buffer::{NullBuffer, OffsetBuffer},
    compute::cast,
    datatypes::{DataType, Field, Fields, Float32Type},
};
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};

use crate::boxes::Rectangle;

/// One found object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundObject {
    /// The name of its class.
    pub class: String,
    /// 0 to 1.
    pub score: f32,
    /// Where, in pixels of the image.
    pub rectangle: Rectangle,
}

/// The numbers of an object beside its class.
const NUMBERS: [&str; 5] = ["score", "left", "top", "width", "height"];

fn fields() -> Fields {
    let class = Field::new("class", DataType::Utf8, false);
    let numbers = NUMBERS.map(|name| Field::new(name, DataType::Float32, false));
    std::iter::once(class).chain(numbers).collect()
}

fn item() -> Arc<Field> {
    // The name of a list's values is the one that Delta Lake gives them.
    Arc::new(Field::new("element", DataType::Struct(fields()), false))
}

/// The type of the column.
pub fn data_type() -> DataType {
    DataType::List(item())
}

/// The column of some rows; `None`: the image could not be read.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the arrays do not fit the type.
pub fn column(rows: &[Option<Vec<FoundObject>>]) -> Result<ArrayRef> {
    let all: Vec<&FoundObject> = rows.iter().flatten().flatten().collect();
    let number = |of: fn(&FoundObject) -> f32| -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(all.iter().map(|object| of(object))))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(all.iter().map(|object| &object.class))),
        number(|object| object.score),
        number(|object| object.rectangle.left),
        number(|object| object.rectangle.top),
        number(|object| object.rectangle.width),
        number(|object| object.rectangle.height),
    ];
    let lengths = rows.iter().map(|row| row.as_ref().map_or(0, Vec::len));
    let nulls: NullBuffer = rows.iter().map(Option::is_some).collect::<Vec<_>>().into();
    let objects = Arc::new(StructArray::try_new(fields(), columns, None)?);
    Ok(Arc::new(ListArray::try_new(item(), OffsetBuffer::from_lengths(lengths), objects, Some(nulls))?))
}

/// The rows of a column.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when it is no such column.
pub fn rows(column: &dyn Array) -> Result<Vec<Option<Vec<FoundObject>>>> {
    let wrong = || Error::internal("a column of found objects has another type");
    let list = column.as_list_opt::<i32>().ok_or_else(wrong)?;
    let objects = list.values().as_struct_opt().ok_or_else(wrong)?;
    let field = |name: &str, kind: &DataType| {
        let column = objects.column_by_name(name).ok_or_else(wrong)?;
        Ok::<_, Error>(cast(column, kind)?)
    };
    let classes = field("class", &DataType::Utf8)?;
    let classes = classes.as_string::<i32>();
    let mut numbers = Vec::new();
    for name in NUMBERS {
        numbers.push(field(name, &DataType::Float32)?);
    }
    let object = |at: usize| {
        let [score, left, top, width, height]: [f32; 5] =
            std::array::from_fn(|place| numbers[place].as_primitive::<Float32Type>().value(at));
        let rectangle = Rectangle { left, top, width, height };
        FoundObject { class: classes.value(at).to_owned(), score, rectangle }
    };
    let offsets = list.value_offsets();
    let row = |row: usize| {
        let range = offsets[row] as usize..offsets[row + 1] as usize;
        list.is_valid(row).then(|| range.map(object).collect())
    };
    Ok((0..list.len()).map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_gives_its_objects_back() {
        let object = |class: &str, score: f32| FoundObject {
            class: class.to_owned(),
            score,
            rectangle: Rectangle { left: score, top: 2.0, width: 3.0, height: 4.0 },
        };
        let all = vec![
            Some(vec![object("knife", 0.5), object("gun", 0.25)]),
            None,
            Some(vec![]),
            Some(vec![object("a", 1.0)]),
        ];
        let column = column(&all).expect("a column");
        assert_eq!(column.data_type(), &data_type());
        assert_eq!(rows(&column).expect("reads"), all);
        assert_eq!(rows(&column.slice(1, 3)).expect("reads"), all[1..]);
    }
}
