//! What both message types need while they are read: the records so far, the day of the message, and issues.

use chrono::NaiveDate;

use crate::{
    countries,
    dates::{self, Century},
    edifact::{IssueKind, Message, Segment},
    records::{MessageKind, Moment, RawSegment, Records},
};

/// The records of a message that is being read.
pub(crate) struct Context {
    pub(crate) records: Records,
    /// The day by which centuries are decided.
    pub(crate) prepared: NaiveDate,
}

/// The day of a message that does not say when it was prepared: the year in which PNRGOV began.
const NO_DAY: (i32, u32, u32) = (2010, 1, 1);

impl Context {
    pub(crate) fn new(message: &Message, kind: MessageKind) -> Self {
        let (header, interchange) = (&message.header, &*message.interchange);
        let mut records = Records { issues: message.issues.clone(), ..Records::default() };
        // The year of the envelope has no other to be near to; the formats are younger than 1980.
        let pivot = NaiveDate::from_ymd_opt(2030, 1, 1).unwrap_or_default();
        let day = dates::year_first(&interchange.date, pivot, Century::Nearest);
        records.message.prepared = day.map(|day| Moment { day, time: dates::time(&interchange.time) });
        records.message.kind = kind;
        records.message.release = format!("{}:{}", header.version, header.release);
        let fields = &mut records.message;
        for (to, from) in [
            (&mut fields.sender, &interchange.sender),
            (&mut fields.recipient, &interchange.recipient),
            (&mut fields.interchange, &interchange.reference),
            (&mut fields.reference, &header.reference),
            (&mut fields.access, &header.access),
            (&mut fields.transfer, &header.transfer),
        ] {
            to.clone_from(from);
        }
        fields.offset = message.offset();
        let (year, month, of_month) = NO_DAY;
        let default = NaiveDate::from_ymd_opt(year, month, of_month).unwrap_or_default();
        Self { records, prepared: day.unwrap_or(default) }
    }

    pub(crate) fn issue(&mut self, segment: Segment<'_>, kind: IssueKind, detail: impl Into<String>) {
        self.records.issues.push(segment.issue(kind, detail));
    }

    /// Keeps a segment as text, with an issue.
    pub(crate) fn keep(&mut self, segment: Segment<'_>, kind: IssueKind) {
        let text = segment.raw();
        self.issue(segment, kind, "kept as text");
        self.records.unknown.push(RawSegment { segment: segment.number(), offset: segment.offset(), text });
    }

    /// A country in three letters; an unknown code is kept, with an issue.
    pub(crate) fn country(&mut self, segment: Segment<'_>, code: &str) -> String {
        if code.is_empty() {
            return String::new();
        }
        let (country, known) = countries::country(code);
        if !known {
            self.issue(segment, IssueKind::UnknownCode, format!("{code:?} is no country"));
        }
        country
    }

    /// A value that must be readable if it is there.
    pub(crate) fn readable<T>(
        &mut self,
        segment: Segment<'_>,
        text: &str,
        kind: IssueKind,
        value: Option<T>,
    ) -> Option<T> {
        if value.is_none() && !text.is_empty() {
            self.issue(segment, kind, format!("{text:?} cannot be read"));
        }
        value
    }

    pub(crate) fn number(&mut self, segment: Segment<'_>, text: &str) -> Option<u32> {
        self.readable(segment, text, IssueKind::BadNumber, text.parse().ok())
    }

    pub(crate) fn amount(&mut self, segment: Segment<'_>, text: &str) -> Option<f64> {
        let value =
            text.replace(',', ".").parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0);
        self.readable(segment, text, IssueKind::BadNumber, value)
    }

    /// A time; an unreadable one is an issue.
    pub(crate) fn time(&mut self, segment: Segment<'_>, text: &str) -> Option<chrono::NaiveTime> {
        self.readable(segment, text, IssueKind::BadDate, dates::time(text))
    }
}
