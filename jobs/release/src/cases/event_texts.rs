//! The texts of events, interned column by column, so that grouping handles numbers only.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use tidewaiter_core::{Error, Result};

use crate::{interner::ColumnInterner, scope::STRATA};

/// The place of the office among the strata.
pub(super) const OFFICE: usize = 0;

/// The schema of events whose texts are numbers: 0 stands for null, and the texts are numbered from 1. The
/// columns `begun`, `starts` and the strata may be absent.
pub(super) fn numbered_schema(events: &Schema) -> SchemaRef {
    let whole = |name: &str| Field::new(name, DataType::Int64, false);
    let mut fields = vec![Field::new("case_id", DataType::Utf8, false)];
    fields.extend(["done", "begun", "file_order"].map(whole));
    fields.push(Field::new("utc_offset", DataType::Int32, false));
    fields.push(Field::new("starts", DataType::Boolean, false));
    let numbers = ["event", "role"].into_iter().chain(STRATA);
    fields.extend(numbers.map(|name| Field::new(name, DataType::UInt32, false)));
    fields.retain(|field| events.index_of(field.name()).is_ok());
    Arc::new(Schema::new(fields))
}

/// The interned texts of events.
pub(super) struct EventTexts {
    /// The names of the activities.
    pub(super) activities: ColumnInterner,
    /// The roles of the events: the study's milestones first, in their order.
    roles: ColumnInterner,
    /// For each milestone that is the end of an activity, the milestone of its beginning, where there is one.
    pub(super) beginnings: Vec<Option<usize>>,
    /// The number of milestones.
    pub(super) milestones: usize,
    /// The texts of each stratum.
    pub(super) strata: [ColumnInterner; STRATA.len()],
}

impl EventTexts {
    /// No texts yet but the study's milestones.
    pub(super) fn new(milestones: &[String]) -> Self {
        let mut roles = ColumnInterner::default();
        for role in milestones {
            roles.number(role);
        }
        let beginning = |role: &String| {
            let start = format!("{}-start", role.strip_suffix("-end")?);
            milestones.iter().position(|other| *other == start)
        };
        Self {
            activities: ColumnInterner::default(),
            roles,
            beginnings: milestones.iter().map(beginning).collect(),
            milestones: milestones.len(),
            strata: Default::default(),
        }
    }

    /// The events with numbers for their texts.
    pub(super) fn number(&mut self, events: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let name = field.name().as_str();
            let column = events
                .column_by_name(name)
                .ok_or_else(|| Error::internal(format!("the events have no column {name}")))?;
            if field.data_type() != &DataType::UInt32 {
                columns.push(cast(column, field.data_type())?);
                continue;
            }
            let texts = match name {
                "event" => &mut self.activities,
                "role" => &mut self.roles,
                _ => {
                    let place = STRATA.iter().position(|stratum| *stratum == name).unwrap_or_default();
                    &mut self.strata[place]
                }
            };
            let values = cast(column, &DataType::Utf8View)?;
            columns.push(Arc::new(texts.numbers(values.as_string_view())));
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}
