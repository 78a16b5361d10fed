//! The scope of a study: which events it reads, as SQL over the table `releases`.
//!
//! Promises: an event is one row, whether the log has its start and its completion as one record or as two;
//! the events of a case are in the order of their times, then of their places in the file, then of their
//! names. Where events have a beginning and an end, one follows another in the order of their beginnings
//! ([`Scope::ordered`]), while a variant lists them in the order of their ends, as pm4py does. Times are
//! microseconds since 1970 UTC until they become hours.
//!
//! All of the study's queries are aggregates, windows or sorts over partitions, so that any engine spreads
//! them and spills. Start at [`Scope`].

/// The columns of an event by which cases can be grouped.
pub const STRATA: [&str; 9] =
    ["office", "agency", "actor", "mode", "channel", "aeo", "direction", "goods", "container"];

/// The columns of a case, derived from its milestones and its first event, by which cases can be grouped,
/// too: whether other agencies intervened, the goods were inspected, and the declaration was lodged before
/// arrival (`yes` or `no`); the weekday (1 is Monday) and the part of the day of the first event, by the
/// local clock.
pub const CASE_STRATA: [&str; 5] = ["permit", "inspected", "pre_arrival", "weekday", "time_of_day"];

/// The groupings that the WCO's guide requires of a Time Release Study.
pub const GUIDE_STRATA: [&str; 8] =
    ["goods", "channel", "mode", "office", "aeo", "permit", "pre_arrival", "inspected"];

/// The attributes among which drivers of long releases are searched.
pub const ATTRIBUTES: [&str; 13] = [
    "office",
    "agency",
    "actor",
    "mode",
    "channel",
    "aeo",
    "direction",
    "goods",
    "permit",
    "inspected",
    "pre_arrival",
    "weekday",
    "time_of_day",
];

/// The columns of an event that say when it began.
pub const BEGINNINGS: [&str; 2] = ["start_time", "lifecycle"];

/// The transitions of the standard lifecycle of XES (IEEE 1849) at which no work begins or is completed, and the common
/// spellings of them.
const OTHER_TRANSITIONS: [&str; 13] = [
    "schedule",
    "assign",
    "reassign",
    "suspend",
    "resume",
    "withdraw",
    "abort",
    "pi_abort",
    "ate_abort",
    "abort_activity",
    "abort_case",
    "autoskip",
    "manualskip",
];

/// The order of a case's events by their ends.
const BY_END: &str = "done, file_order, event";

/// The order of a case's events by their beginnings.
const BY_BEGINNING: &str = "begun, done, file_order, event";

/// From the first time, included, to the second, excluded: microseconds by the local clock of a case's first
/// event.
pub type LocalPeriod = (i64, i64);

/// Which events a study reads.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// The reporting country.
    pub country: &'a str,
    /// The time of the first event, microseconds since 1970 UTC.
    pub first: i64,
    /// The time of the last event that is read.
    pub cut_off: i64,
    /// Whether there are later events, which are not read.
    pub cuts: bool,
    /// Whether starts and completions are rows of their own, to be paired.
    pub paired: bool,
    /// Whether events may begin before they end.
    pub intervals: bool,
    /// The columns of [`STRATA`] and [`BEGINNINGS`] in which no event has a value.
    pub absent: &'a [String],
    /// The study's period; absent: all cases.
    pub period: Option<LocalPeriod>,
    /// The period compared with.
    pub compare: Option<LocalPeriod>,
}

/// A text as an SQL literal.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Scope<'_> {
    /// The events, one row each: `case_id`, `event`, `role`, `done`, `begun`, `utc_offset`, `file_order`,
    /// `starts` and the [`STRATA`].
    pub fn events(&self) -> String {
        let strata = STRATA.join(", ");
        let rows = format!(
            "SELECT case_id, event, role, arrow_cast(event_time, 'Int64') AS done, \
             coalesce(arrow_cast(start_time, 'Int64'), arrow_cast(event_time, 'Int64')) AS begun, utc_offset, \
             file_order, coalesce(lower(lifecycle) = 'start', false) AS starts, {strata} FROM releases \
             WHERE {}",
            self.is_read()
        );
        if !self.paired {
            return rows;
        }
        // The nth start of an event in a case belongs to its nth completion.
        let kept: Vec<String> = STRATA.iter().map(|column| format!("max({column}) AS {column}")).collect();
        format!(
            "SELECT case_id, event, max(role) AS role, coalesce(max(done) FILTER (WHERE NOT starts), max(done)) AS done, \
             coalesce(min(begun) FILTER (WHERE starts), min(begun)) AS begun, max(utc_offset) AS utc_offset, \
             max(file_order) AS file_order, bool_and(starts) AS starts, {} FROM (SELECT *, row_number() OVER \
             (PARTITION BY case_id, event, starts ORDER BY done, file_order) AS nth FROM ({rows})) \
             GROUP BY case_id, event, nth",
            kept.join(", ")
        )
    }

    /// The condition of the events that are read. A transition of [`OTHER_TRANSITIONS`] is no event of the study.
    pub(crate) fn is_read(&self) -> String {
        let mut condition = format!("country = {}", quoted(self.country));
        if self.cuts {
            condition.push_str(&format!(" AND arrow_cast(event_time, 'Int64') <= {}", self.cut_off));
        }
        if !self.absent.iter().any(|column| column == "lifecycle") {
            let others = OTHER_TRANSITIONS.map(quoted).join(", ");
            condition.push_str(&format!(" AND coalesce(lower(lifecycle) NOT IN ({others}), true)"));
        }
        condition
    }

    /// The events in the order of their cases, each with name, end and place in the file of the event before
    /// it.
    pub fn ordered(&self) -> String {
        format!(
            "SELECT *, lag(event) OVER w AS previous, lag(done) OVER w AS previous_done, lag(file_order) OVER w AS \
             previous_order FROM ({}) WINDOW w AS (PARTITION BY case_id ORDER BY {})",
            self.events(),
            if self.intervals { BY_BEGINNING } else { BY_END }
        )
    }

    /// The condition of the events whose cases belong to the study's period.
    pub(crate) fn is_in_period(&self) -> &'static str {
        match self.period {
            Some(_) => "case_id IN (SELECT case_id FROM cases WHERE period = 0)",
            None => "true",
        }
    }
}
