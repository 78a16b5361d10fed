//! The plan node that computes features: one pass over the trips of a country, day after day, in one task.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Date32Array, Float32Array, Float32Builder, ListBuilder, RecordBatch, StringArray},
    datatypes::{Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use prost::Message;
use tidewaiter_core::{
    Error, Result,
    plan::{Input, Operator},
    threads::on_cpu,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    catalogue::{At, COUNT},
    past::{Past, Trip, Use},
    rows::{self, TEXTS, Trips, schema},
};

/// The message of the operator: the days whose trips it gives; earlier ones are only learned.
#[derive(Clone, PartialEq, Message)]
pub struct FeaturesMessage {
    /// First day, since 1970-01-01.
    #[prost(sint32, tag = "1")]
    pub first: i32,
    /// Last day.
    #[prost(sint32, tag = "2")]
    pub last: i32,
    /// Whether neighbours are drawn for a graph network.
    #[prost(bool, tag = "3")]
    pub neighbours: bool,
}

/// Adds features to trips that come in the order of days.
#[derive(Debug)]
pub struct PassengerFeaturesOperator {
    message: FeaturesMessage,
}

/// The order in which trips go through the past.
const ORDER: [&str; 2] = ["flight_date", "trip_id"];

impl PassengerFeaturesOperator {
    /// Its name in plans.
    pub const NAME: &'static str = "PassengerFeaturesExec";

    /// The operator of a message.
    #[must_use]
    pub fn new(message: FeaturesMessage) -> Self {
        Self { message }
    }
}

impl Operator for PassengerFeaturesOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        match rows::input().find(|name| input.index_of(name).is_err()) {
            None => Ok(schema(self.message.neighbours)),
            Some(name) => Err(Error::input(format!("features of travellers need the column {name}"))),
        }
    }

    fn sort_columns(&self) -> &[&'static str] {
        &ORDER
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        let Input { rows, meter, .. } = input;
        let begin = {
            let (days, neighbours) = ((self.message.first, self.message.last), self.message.neighbours);
            move || Builder::new(days, neighbours)
        };
        let start = (rows, begin(), false);
        futures::stream::unfold(start, move |(mut rows, builder, ended)| {
            let meter = Arc::clone(&meter);
            async move {
                if ended {
                    return None;
                }
                let batch = match rows.next().await {
                    Some(Ok(batch)) => Some(batch),
                    Some(Err(error)) => return Some((Err(error.into()), (rows, begin(), true))),
                    None => None,
                };
                let ended = batch.is_none();
                meter.advance(batch.as_ref().map_or(0, |batch| batch.num_rows() as u64));
                let built = on_cpu(move || {
                    let mut builder = builder;
                    match batch {
                        Some(batch) => builder.take(&batch)?,
                        None => builder.end_day(),
                    }
                    let made = builder.made()?;
                    Ok((builder, made))
                });
                match built.await {
                    Ok((builder, made)) => Some((Ok(made), (rows, builder, ended))),
                    Err(error) => Some((Err(error), (rows, begin(), true))),
                }
            }
        })
        .boxed()
    }
}

/// A trip of the day that is not over.
struct Waiting {
    trip: Trip,
    booking: u64,
    row: [f32; COUNT],
    neighbours: Vec<f32>,
    identity: [String; 4],
    texts: Vec<Option<String>>,
    age: f32,
}

/// Computes features day by day.
pub(crate) struct Builder {
    days: (i32, i32),
    /// Whether neighbours are drawn.
    neighbours: bool,
    past: Past,
    waiting: Vec<Waiting>,
    /// Trips whose features are made.
    done: Vec<Waiting>,
}

/// Hash of a text with a mark of what it is; 0 where there is none.
fn hash(mark: &str, text: &str) -> u64 {
    if text.is_empty() { 0 } else { xxh3_64(format!("{mark}:{text}").as_bytes()) }
}

/// The class of days between booking and flight.
fn lead_class(days: f32) -> &'static str {
    match days {
        _ if days.is_nan() => "",
        _ if days < 1.0 => "same day",
        _ if days < 3.0 => "1 to 2",
        _ if days < 8.0 => "3 to 7",
        _ if days < 31.0 => "8 to 30",
        _ => "over 30",
    }
}

impl Builder {
    pub(crate) fn new(days: (i32, i32), neighbours: bool) -> Self {
        Self { days, neighbours, past: Past::default(), waiting: Vec::new(), done: Vec::new() }
    }

    /// Takes trips, which follow those before in time.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] where a column is absent.
    pub(crate) fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let trips = Trips::new(batch)?;
        for row in 0..trips.count() {
            let day = trips.day(row);
            if self.waiting.first().is_some_and(|waiting| waiting.trip.day != day) {
                self.end_day();
            }
            self.waiting.push(waiting(&trips, row));
        }
        Ok(())
    }

    /// Computes the features of the day's trips, and then learns the day.
    pub(crate) fn end_day(&mut self) {
        let Some(day) = self.waiting.first().map(|waiting| waiting.trip.day) else { return };
        self.past.advance(day);
        let is_wanted = (self.days.0..=self.days.1).contains(&day);
        if is_wanted {
            let mut parties: std::collections::HashMap<u64, Vec<u64>> = std::collections::HashMap::new();
            for waiting in self.waiting.iter().filter(|waiting| waiting.booking != 0) {
                parties.entry(waiting.booking).or_default().push(waiting.trip.person);
            }
            for waiting in &mut self.waiting {
                let party = parties.get(&waiting.booking).map_or(&[][..], Vec::as_slice);
                let others: Vec<u64> =
                    party.iter().copied().filter(|person| *person != waiting.trip.person).collect();
                self.past.fill(&waiting.trip, &others, &mut waiting.row);
                if self.neighbours {
                    self.past.sample(&waiting.trip, &others, &mut waiting.neighbours);
                }
            }
        }
        for waiting in self.waiting.drain(..) {
            self.past.learn(&waiting.trip);
            if is_wanted {
                self.done.push(waiting);
            }
        }
    }

    /// The rows that are made and were not yet given.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] where the columns do not fit.
    pub(crate) fn made(&mut self) -> Result<RecordBatch> {
        let done = std::mem::take(&mut self.done);
        let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        let mut columns: Vec<ArrayRef> = Vec::new();
        for place in 0..4 {
            let values = done.iter().map(|one| text(&one.identity[place]));
            columns.push(Arc::new(values.collect::<StringArray>()));
        }
        columns.push(Arc::new(done.iter().map(|one| Some(one.trip.day)).collect::<Date32Array>()));
        let label = |one: &Waiting| one.trip.outcome.map(|(found, _)| f32::from(u8::from(found)));
        columns.push(Arc::new(done.iter().map(label).collect::<Float32Array>()));
        let known = done.iter().map(|one| one.trip.outcome.map(|(_, day)| day));
        columns.push(Arc::new(known.collect::<Date32Array>()));
        for place in 0..TEXTS.len() {
            columns.push(Arc::new(done.iter().map(|one| one.texts[place].clone()).collect::<StringArray>()));
        }
        let age = done.iter().map(|one| (!one.age.is_nan()).then_some(one.age));
        columns.push(Arc::new(age.collect::<Float32Array>()));
        for place in 0..COUNT {
            columns.push(Arc::new(Float32Array::from_iter_values(done.iter().map(|one| one.row[place]))));
        }
        if self.neighbours {
            let mut lists = ListBuilder::new(Float32Builder::new());
            for one in &done {
                lists.values().append_slice(&one.neighbours);
                lists.append(true);
            }
            columns.push(Arc::new(lists.finish()));
        }
        Ok(RecordBatch::try_new(schema(self.neighbours), columns)?)
    }
}

/// A trip with the features that need no past.
fn waiting(trips: &Trips, at: usize) -> Waiting {
    let (text, number) = (|name: &str| trips.text(name, at), |name: &str| trips.number(name, at));
    let (from, to, origin) = (text("from_airport"), text("to_airport"), text("origin"));
    let uses = Trip::uses_of(text("keys"));
    let mut row = [0.0; COUNT];
    let mut set = |at: At, value: f32| row[at as usize] = value;
    let day = trips.day(at);
    let differs = |one: &str, other: &str| match one.is_empty() || other.is_empty() {
        true => f32::NAN,
        false => f32::from(u8::from(one != other)),
    };
    set(At::legs, number("legs"));
    set(At::is_return, number("is_return"));
    set(At::departs_hour, number("departs_hour"));
    // 1970-01-01 was a Thursday.
    set(At::weekday, (day + 3).rem_euclid(7) as f32);
    set(At::came_from_elsewhere, differs(origin, from));
    set(At::goes_elsewhere, differs(text("destination"), to));
    let lead = number("days_booked_before");
    set(At::days_booked_before, lead);
    set(At::days_since_change, number("days_since_change"));
    set(At::changes, number("changes"));
    set(At::party, number("party"));
    set(At::is_group, number("is_group"));
    let form = text("payment_form");
    set(At::paid_cash, if form.is_empty() { f32::NAN } else { f32::from(u8::from(form == "CA")) });
    set(At::fare, number("fare"));
    let (bags, kilograms) = (number("bags"), number("bag_kilograms"));
    set(At::bags, bags);
    set(At::bag_kilograms, kilograms);
    set(At::kilograms_per_bag, if bags > 0.0 { kilograms / bags } else { f32::NAN });
    set(At::documents, number("documents"));
    let contacts = uses.iter().filter(|(kind, _)| matches!(kind, Use::Contact | Use::Address)).count();
    set(At::contacts, contacts as f32);
    let agency = text("agency_key");
    set(At::has_agency, f32::from(u8::from(!agency.is_empty())));
    let outcome = trips.outcome(at);
    let person = text("person_id");
    Waiting {
        trip: Trip {
            person: hash("person", person),
            day,
            uses,
            route: hash("route", &format!("{from}-{to}")),
            groups: [
                hash("airline", text("carrier")),
                hash("origin", origin),
                hash("agency", agency),
                hash("lead", lead_class(lead)),
            ],
            outcome,
        },
        booking: hash("booking", text("booking_id")),
        row,
        neighbours: Vec::new(),
        identity: ["trip_id", "person_id", "booking_id", "flight_id"].map(|name| text(name).to_owned()),
        texts: TEXTS.map(|name| Some(text(name).to_owned()).filter(|text| !text.is_empty())).into(),
        age: number("age"),
    }
}
