//! The study's queries: SQL over the events, the cases made of them, and the times of their stages.
//!
//! Every query is an aggregate, a window or a sort over partitions, so that any engine spreads it and spills. A
//! case's events are in the order of their times, then their places in the file, then their names. Where events
//! have a beginning and an end, one follows another in the order in which they begin, and a case's way is told in
//! the order in which they end, as pm4py has it. Times are microseconds since 1970 UTC until they become hours. Start at [`Scope`].

use super::{operator::role_column, stages::StageFile};

/// The columns of an event by which cases can be told apart.
pub const STRATA: [&str; 9] =
    ["office", "agency", "actor", "mode", "channel", "aeo", "direction", "goods", "container"];

/// What cases can be told apart by, too, by their milestones and their beginning: whether other agencies intervened,
/// the goods were inspected, and the declaration lodged before arrival (`yes` or `no`), and the weekday (1 is Monday)
/// and the part of the day of the first event, by the local clock.
pub const CASE_STRATA: [&str; 5] = ["permit", "inspected", "pre_arrival", "weekday", "time_of_day"];

/// The stratifications that a Time Release Study should have.
pub const GUIDE_STRATA: [&str; 8] =
    ["goods", "channel", "mode", "office", "aeo", "permit", "pre_arrival", "inspected"];

/// The attributes among which drivers of long releases are looked for.
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

/// Stands between the events of a variant: ASCII's unit separator.
pub const BETWEEN_EVENTS: char = '\u{1f}';

/// The order of a case's events by their ends.
const BY_END: &str = "done, file_order, event";

/// The order of a case's events by their beginnings.
const BY_BEGINNING: &str = "begun, done, file_order, event";

/// Moments from the first to before the second, by the local clock of a case's first event.
pub type LocalPeriod = (i64, i64);

/// Which events a study reads.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// The reporting country.
    pub country: &'a str,
    /// The first moment of which events are known.
    pub first: i64,
    /// The last moment of which events are known.
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

/// A text as SQL writes it.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The columns of an event that tell of its beginning.
pub const BEGINNINGS: [&str; 2] = ["start_time", "lifecycle"];

/// The extent of a country's events; `starts` counts those that are the start of another, `intervals` those that
/// have a beginning. Columns that are absent have no value.
pub fn survey(country: &str, absent: &[String]) -> String {
    let is_there = |column: &str| !absent.iter().any(|absent| absent == column);
    let (begun, intervals) = match is_there("start_time") {
        true => (
            "least(arrow_cast(event_time, 'Int64'), coalesce(arrow_cast(start_time, 'Int64'), \
             arrow_cast(event_time, 'Int64')))",
            "count(start_time)",
        ),
        false => ("arrow_cast(event_time, 'Int64')", "0"),
    };
    let starts = match is_there("lifecycle") {
        true => "count(*) FILTER (WHERE lower(lifecycle) = 'start')",
        false => "0",
    };
    format!(
        "SELECT count(*) AS events, min({begun}) AS first, max(arrow_cast(event_time, 'Int64')) AS last, \
         {starts} AS starts, {intervals} AS intervals FROM releases WHERE country = {}",
        quoted(country)
    )
}

impl Scope<'_> {
    /// The events, one row each.
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

    /// The events for [`super::cases::CasesOperator`], without the columns that would say nothing.
    pub fn told_events(&self) -> String {
        if self.paired {
            return self.events();
        }
        let begun = match self.intervals {
            true => ", coalesce(arrow_cast(start_time, 'Int64'), arrow_cast(event_time, 'Int64')) AS begun",
            false => "",
        };
        let told = STRATA.iter().filter(|column| !self.absent.iter().any(|absent| absent == *column));
        let strata: Vec<String> = told.map(|column| format!(", {column}")).collect();
        format!(
            "SELECT case_id, event, role, arrow_cast(event_time, 'Int64') AS done{begun}, utc_offset, file_order{} \
             FROM releases WHERE {}",
            strata.concat(),
            self.is_read()
        )
    }

    /// Which events are read.
    fn is_read(&self) -> String {
        let country = format!("country = {}", quoted(self.country));
        match self.cuts {
            true => format!("{country} AND arrow_cast(event_time, 'Int64') <= {}", self.cut_off),
            false => country,
        }
    }

    /// The events in their cases' order, each with what the event before it was.
    pub fn ordered(&self) -> String {
        format!(
            "SELECT *, lag(event) OVER w AS previous, lag(done) OVER w AS previous_done, lag(file_order) OVER w AS \
             previous_order FROM ({}) WINDOW w AS (PARTITION BY case_id ORDER BY {})",
            self.events(),
            if self.intervals { BY_BEGINNING } else { BY_END }
        )
    }

    /// The cases of the study's period (`period` 0) and of the one compared with (1), of the rows that
    /// [`super::cases::CasesOperator`] makes, registered as `traced`.
    pub fn cases(&self, stages: &StageFile) -> String {
        let first = |role: &str| stages.role(role).map_or("NULL".to_owned(), role_column);
        let told = |name: &str, roles: [&str; 2]| {
            let met = roles.map(|role| format!("{} IS NOT NULL", first(role))).join(" OR ");
            format!("CASE WHEN {met} THEN 'yes' ELSE 'no' END AS {name}")
        };
        let earliest =
            |roles: [&str; 2]| format!("CAST(coalesce({}) AS BIGINT)", roles.map(first).join(", "));
        let (arrived, lodged) = (earliest(["arrival", "unloading"]), earliest(["lodgement", "acceptance"]));
        let local = "first_us + CAST(utc_offset AS BIGINT) * 60000000";
        let within = |period: &Option<LocalPeriod>| match period {
            Some((from, to)) => format!("{local} >= {from} AND {local} < {to}"),
            None => "true".to_owned(),
        };
        let compared = match self.compare {
            Some(_) => format!(" WHEN {} THEN 1", within(&self.compare)),
            None => String::new(),
        };
        // 1970 began on a Thursday.
        let weekday = format!("CAST(((({local}) / 86400000000 + 3) % 7 + 7) % 7 + 1 AS VARCHAR)");
        let quarter = format!("((({local}) / 21600000000) % 4 + 4) % 4");
        format!(
            "SELECT * FROM (SELECT *, {}, {}, \
             CASE WHEN {lodged} < {arrived} THEN 'yes' WHEN {lodged} >= {arrived} THEN 'no' END AS pre_arrival, \
             {weekday} AS weekday, CASE {quarter} WHEN 0 THEN '00-06' WHEN 1 THEN '06-12' WHEN 2 THEN '12-18' \
             ELSE '18-24' END AS time_of_day, CASE WHEN {} THEN 0{compared} END AS period FROM traced) \
             WHERE period IS NOT NULL",
            told("permit", ["permit-request", "permit-decision"]),
            told("inspected", ["inspection-start", "inspection-end"]),
            within(&self.period)
        )
    }

    /// The cases whose ways are counted, with the times between their events, and the open hours between them where
    /// they are told.
    pub fn ways(&self, working: bool) -> String {
        let sequence = if self.intervals { "sequence" } else { "variant" };
        let working = if working { ", working_gaps" } else { "" };
        format!("SELECT {sequence} AS sequence, gaps{working} FROM cases WHERE period = 0")
    }

    /// Keeps the rows of the cases of the study's period.
    fn of_the_period(&self) -> &'static str {
        match self.period {
            Some(_) => "case_id IN (SELECT case_id FROM cases WHERE period = 0)",
            None => "true",
        }
    }

    /// Who acts: events, the time that passed before them, and the time they took, in microseconds; of each of the
    /// columns, the one that is not null.
    pub fn holders(&self, columns: &[&str]) -> String {
        let names = columns.join(", ");
        let sets: Vec<String> = columns.iter().map(|column| format!("({column})")).collect();
        format!(
            "SELECT {names}, count(*) AS events, sum(coalesce(begun - previous_done, 0)) AS waiting, \
             sum(done - begun) AS working FROM ({}) WHERE {} GROUP BY GROUPING SETS ({}) \
             ORDER BY waiting DESC, {names}",
            self.ordered(),
            self.of_the_period(),
            sets.join(", ")
        )
    }

    /// Each event's milestone.
    pub fn roles_of_events(&self) -> String {
        format!("SELECT event, max(role) AS role FROM ({}) GROUP BY event", self.events())
    }

    /// The kinds of event whose beginnings and ends are known, by office, and by the time that work waits before them.
    pub fn stations(&self) -> String {
        format!(
            "SELECT event, coalesce(office, '') AS office, max(role) AS role, count(*) AS n, sum(begun - previous_done) AS waiting \
             FROM ({}) WHERE {} AND {} GROUP BY event, coalesce(office, '') ORDER BY waiting DESC, event, office LIMIT 6",
            self.ordered(),
            WORK,
            self.of_the_period()
        )
    }

    /// The latest pieces of work of a kind of event at an office, the last to arrive first.
    pub fn work(&self, event: &str, office: &str, most: usize) -> String {
        format!(
            "SELECT case_id, previous_done AS arrival, begun, done FROM ({}) WHERE event = {} AND coalesce(office, '') = {} \
             AND {} AND {} ORDER BY arrival DESC, begun DESC, done DESC, case_id LIMIT {most}",
            self.ordered(),
            quoted(event),
            quoted(office),
            WORK,
            self.of_the_period()
        )
    }

    /// Events by weekday (0 is Monday) and hour of the local clock.
    pub fn hours(&self) -> String {
        format!(
            "SELECT (CAST(date_part('dow', local) AS BIGINT) + 6) % 7 AS weekday, \
             CAST(date_part('hour', local) AS BIGINT) AS hour, count(*) AS n FROM (SELECT \
             to_timestamp_micros(begun + CAST(utc_offset AS BIGINT) * 60000000) AS local FROM ({}) WHERE {}) \
             GROUP BY weekday, hour ORDER BY weekday, hour",
            self.events(),
            self.of_the_period()
        )
    }
}

/// Which events are work that waited: it came, was begun later, and took time.
const WORK: &str = "done > begun AND previous_done <= begun";

/// Sums over the cases of the study's period.
pub const CASE_SUMS: &str = "SELECT count(*) AS cases, coalesce(sum(events), 0) AS events, \
     count(DISTINCT variant) AS variants, coalesce(sum(without_role), 0) AS without_role, \
     coalesce(sum(out_of_order), 0) AS out_of_order, coalesce(sum(negative), 0) AS negative, \
     coalesce(sum(unfinished), 0) AS unfinished, coalesce(sum(duplicates), 0) AS duplicates, count(*) FILTER (WHERE mixed) AS mixed, \
     count(*) FILTER (WHERE events > different_events) AS rework FROM cases WHERE period = 0";

/// The most frequent ways of a case.
pub const VARIANTS: &str = "SELECT variant, count(*) AS n, sum(last_us - first_us) AS total, \
     median(CAST(last_us - first_us AS DOUBLE)) AS median FROM cases WHERE period = 0 GROUP BY variant \
     ORDER BY n DESC, variant LIMIT 50";

/// How many cases each stage has by period, stratum and status; `stratum` is a column, or nothing. Without one they are
/// sums of what the operator has counted, registered as `counted`.
pub fn stage_counts(stratum: Option<&str>) -> String {
    match stratum {
        Some(column) => format!(
            "SELECT period, stage, coalesce({column}, '') AS stratum, status, count(*) AS n, count(working_key) AS working \
             FROM times GROUP BY period, stage, status, coalesce({column}, '') ORDER BY stage, stratum, period, status"
        ),
        None => {
            "SELECT period, stage, '' AS stratum, status, sum(n) AS n, sum(working) AS working FROM counted \
             GROUP BY period, stage, status HAVING sum(n) > 0 ORDER BY stage, period, status"
                .to_owned()
        }
    }
}

/// The times between events that are wanted, in rising order for each pair of events.
pub const SORTED_GAPS: &str =
    "SELECT source, target, working, gap FROM wanted_gaps ORDER BY source, target, working, gap";

/// The keys of the times of stages in rising order within each stratum: by stage, then by time, those that are over
/// before those that are not ([`super::operator::Key`]). Of the study's period alone: one whole number is sorted the fastest.
pub fn sorted_times(stratum: Option<&str>, key: &str) -> String {
    let (told, order) = match stratum {
        Some(column) => (format!("coalesce({column}, '') AS stratum, "), "stratum, "),
        None => (String::new(), ""),
    };
    format!("SELECT {told}{key} AS key FROM times WHERE {key} IS NOT NULL AND period = 0 ORDER BY {order}key")
}

/// The same keys of the times that are over, of both periods.
pub const SORTED_TIMES_OF_BOTH: &str =
    "SELECT key, period FROM times WHERE key IS NOT NULL AND status = 0 ORDER BY key, period";

/// How many cases more are in the headline stage by the hour of the local clock, since 1970; below zero: fewer.
pub const BACKLOG: &str = "SELECT moment / 3600000000 AS hour, sum(change) AS change FROM (SELECT begun + \
     CAST(utc_offset AS BIGINT) * 60000000 AS moment, 1 AS change FROM headline WHERE period = 0 AND status <= 1 \
     UNION ALL SELECT begun + CAST(round(hours * 3600000000) AS BIGINT) + CAST(utc_offset AS BIGINT) * 60000000 AS moment, \
     -1 AS change FROM headline WHERE period = 0 AND status = 0) GROUP BY moment / 3600000000 ORDER BY hour";

/// The longest times of the headline stage.
pub const LONGEST: &str = "SELECT case_id, hours FROM headline WHERE period = 0 AND status = 0 \
     ORDER BY hours DESC, case_id LIMIT 20";
