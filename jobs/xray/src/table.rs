//! The table of images: one row for each file, with the file itself and the objects that are annotated on it.
//!
//! The column [`BYTES`] holds the file as it came; a query that does not ask for it does not read it. `objects` is null
//! for an image that nobody has annotated, and an empty list for one that was annotated as clean. Start at [`schema`];
//! [`objects`] reads the annotations of rows.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanBuilder, Float32Builder, ListBuilder, RecordBatch, StringBuilder,
        StructBuilder,
    },
    compute::cast,
    datatypes::{DataType, Field, Fields, Float32Type, Schema, SchemaRef, TimeUnit},
};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::schema::{Layout, with_lineage};
use tidewaiter_core::{Error, Result, ResultExt};

use crate::boxes::Rectangle;

/// Name of the table.
pub const IMAGES: &str = "images";

/// The column of [`IMAGES`] by whose month a row is stored.
pub const TAKEN_AT: &str = "taken_at";

/// The column of the files.
pub const BYTES: &str = "bytes";

/// The columns by which rows are sorted after [`TAKEN_AT`].
pub const SORT_COLUMNS: [&str; 1] = ["image_id"];

/// Digits of an image's id, which are the first of the file's SHA-256.
pub const ID_DIGITS: usize = 16;

/// The description of the table, of whose columns no export names one.
pub static LAYOUT: Layout = Layout {
    table: IMAGES,
    about: "X-ray images: one row for each file, with the file itself",
    columns: &[],
    date_column: TAKEN_AT,
    sort_columns: &SORT_COLUMNS,
    key: &["image_id"],
    schema,
};

/// One annotated object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Annotated {
    /// The name of its class.
    pub class: String,
    /// Where, in pixels.
    #[serde(flatten)]
    pub rectangle: Rectangle,
    /// Whether it covers many objects that were not annotated one by one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_crowd: bool,
}

/// The columns of [`IMAGES`], without the partition columns.
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let text = |name: &str, nullable: bool| Field::new(name, DataType::Utf8, nullable);
        let number = |name: &str| Field::new(name, DataType::Int32, false);
        Arc::new(Schema::new(vec![
            text("image_id", false),
            Field::new(TAKEN_AT, time_type(), false),
            // With the folders below the one that was named, or in the archive file.
            text("name", false),
            text("site", true),
            text("scanner", true),
            // The declaration's or consignment's number.
            text("declaration_id", true),
            // The HS code under which the goods are declared.
            text("hs_code", true),
            text("format", false),
            number("pages"),
            number("width"),
            number("height"),
            number("channels"),
            number("bits"),
            Field::new("size", DataType::Int64, false),
            text("sha256", false),
            // 64 bits as hexadecimal digits: images that look alike differ in few of them.
            text("perceptual_hash", false),
            Field::new("objects", DataType::List(object_field()), true),
            Field::new(BYTES, DataType::Binary, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// The columns of [`IMAGES`] as they are written: those of [`schema`], and those by which each image's source, and its
/// number in it, are found.
pub fn stored_schema() -> SchemaRef {
    with_lineage(&schema())
}

/// The type of [`TAKEN_AT`].
pub(crate) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The fields of an annotated object.
fn object_fields() -> Fields {
    let number = |name: &str| Field::new(name, DataType::Float32, false);
    Fields::from(vec![
        Field::new("class", DataType::Utf8, false),
        number("left"),
        number("top"),
        number("width"),
        number("height"),
        Field::new("is_crowd", DataType::Boolean, false),
    ])
}

/// The values of a list; the name is the one that Delta Lake gives them.
fn object_field() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(object_fields()), false))
}

/// The column `objects` of rows.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when a builder is not of the column's type.
pub(crate) fn objects_column<'a>(rows: impl Iterator<Item = Option<&'a [Annotated]>>) -> Result<ArrayRef> {
    let fields = object_fields();
    let mut lists = ListBuilder::new(StructBuilder::from_fields(fields, 0)).with_field(object_field());
    let wrong = || Error::internal("the builder of annotated objects lacks a column");
    for row in rows {
        for object in row.into_iter().flatten() {
            let Rectangle { left, top, width, height } = object.rectangle;
            let values = lists.values();
            values.field_builder::<StringBuilder>(0).ok_or_else(wrong)?.append_value(&object.class);
            for (place, number) in (1..).zip([left, top, width, height]) {
                values.field_builder::<Float32Builder>(place).ok_or_else(wrong)?.append_value(number);
            }
            values.field_builder::<BooleanBuilder>(5).ok_or_else(wrong)?.append_value(object.is_crowd);
            values.append(true);
        }
        lists.append(row.is_some());
    }
    Ok(Arc::new(lists.finish()))
}

/// The annotated objects of rows with the column `objects`; `None` for a row that is not annotated.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the rows lack the column.
pub fn objects(rows: &RecordBatch) -> Result<Vec<Option<Vec<Annotated>>>> {
    let wrong = || Error::internal("the rows have no annotated objects");
    let lists = rows.column_by_name("objects").ok_or_else(wrong)?;
    let lists = lists.as_list_opt::<i32>().ok_or_else(wrong)?;
    let values = lists.values().as_struct_opt().ok_or_else(wrong)?;
    let column = |name: &str| values.column_by_name(name).ok_or_else(wrong);
    let classes = cast(column("class")?, &DataType::Utf8)?;
    let classes = classes.as_string::<i32>();
    let number = |name: &str| {
        let column = column(name)?.as_primitive_opt::<Float32Type>().ok_or_else(wrong)?;
        Ok::<_, Error>(column.clone())
    };
    let (left, top, width, height) = (number("left")?, number("top")?, number("width")?, number("height")?);
    let crowds = column("is_crowd")?.as_boolean_opt().ok_or_else(wrong)?;
    let object = |place: usize| Annotated {
        class: classes.value(place).to_owned(),
        rectangle: Rectangle {
            left: left.value(place),
            top: top.value(place),
            width: width.value(place),
            height: height.value(place),
        },
        is_crowd: crowds.value(place),
    };
    let offsets = lists.value_offsets();
    let row = |row: usize| (offsets[row] as usize..offsets[row + 1] as usize).map(object).collect();
    Ok((0..lists.len()).map(|place| lists.is_valid(place).then(|| row(place))).collect())
}

/// A column of texts.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the rows lack it.
pub fn texts(rows: &RecordBatch, name: &str) -> Result<impl Fn(usize) -> Option<String> + use<>> {
    let column = rows.column_by_name(name).and_then(|column| cast(column, &DataType::Utf8).ok());
    let column = column.ok_or_else(|| Error::internal(format!("the rows have no column {name}")))?;
    Ok(move |row: usize| {
        let column = column.as_string::<i32>();
        column.is_valid(row).then(|| column.value(row).to_owned())
    })
}

/// The files of rows, as they came.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the rows lack them.
pub fn files(rows: &RecordBatch) -> Result<Vec<&[u8]>> {
    let column = rows.column_by_name(BYTES).ok_or_else(|| Error::internal("the rows have no files"))?;
    match column.data_type() {
        DataType::Binary => Ok(column.as_binary::<i32>().iter().map(Option::unwrap_or_default).collect()),
        DataType::BinaryView => Ok(column.as_binary_view().iter().map(Option::unwrap_or_default).collect()),
        other => Err(Error::internal(format!("the files of rows are {other}"))).context(|| "read images"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(class: &str, left: f32) -> Annotated {
        let rectangle = Rectangle { left, top: 2.0, width: 3.5, height: 4.0 };
        Annotated { class: class.to_owned(), rectangle, is_crowd: left > 5.0 }
    }

    #[test]
    fn objects_come_back_and_a_clean_image_is_not_one_without_annotation() {
        let rows = [Some(vec![object("gun", 1.0), object("knife", 6.0)]), None, Some(Vec::new())];
        let column = objects_column(rows.iter().map(|row| row.as_deref())).expect("builds");
        let field = schema().field_with_name("objects").expect("there").clone();
        assert_eq!(column.data_type(), field.data_type());
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column]).expect("a batch");
        assert_eq!(objects(&batch).expect("reads"), rows);
        assert_eq!(objects(&batch.slice(1, 2)).expect("reads"), rows[1..]);
    }
}
