//! The study's queries: SQL over the events, the cases made of them, and the times of their stages.
//!
//! Every query is an aggregate, a window or a sort over partitions, so that any engine spreads it and spills. A
//! case's events are in the order of their times, then their places in the file, then their names. Where events
//! have a beginning and an end, one follows another in the order in which they begin, and a case's way is told in
//! the order in which they end, as pm4py has it. Times are microseconds since 1970 UTC until they become hours. Start at [`Scope`].

use std::fmt::Write as _;

use super::{operator::role_column, stages::StageFile};

/// The columns of an event by which cases can be told apart.
pub const STRATA: [&str; 9] =
    ["office", "agency", "actor", "mode", "channel", "aeo", "direction", "goods", "container"];

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
    /// Whether starts and completions are rows of their own, to be paired.
    pub paired: bool,
    /// Whether events may begin before they end.
    pub intervals: bool,
    /// The study's period; absent: all cases.
    pub period: Option<LocalPeriod>,
    /// The period compared with.
    pub compare: Option<LocalPeriod>,
}

/// A text as SQL writes it.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The extent of a country's events; `starts` counts those that are the start of another, `intervals` those that
/// have a beginning.
pub fn survey(country: &str) -> String {
    format!(
        "SELECT count(*) AS events, min(least(arrow_cast(event_time, 'Int64'), \
         coalesce(arrow_cast(start_time, 'Int64'), arrow_cast(event_time, 'Int64')))) AS first, \
         max(arrow_cast(event_time, 'Int64')) AS last, \
         count(*) FILTER (WHERE lower(lifecycle) = 'start') AS starts, count(start_time) AS intervals FROM releases WHERE country = {}",
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
             WHERE country = {} AND arrow_cast(event_time, 'Int64') <= {}",
            quoted(self.country),
            self.cut_off
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

    /// The events in their cases' order, each with what the event before it was.
    pub fn ordered(&self) -> String {
        format!(
            "SELECT *, lag(event) OVER w AS previous, lag(done) OVER w AS previous_done, lag(file_order) OVER w AS \
             previous_order FROM ({}) WINDOW w AS (PARTITION BY case_id ORDER BY {})",
            self.events(),
            if self.intervals { BY_BEGINNING } else { BY_END }
        )
    }

    /// The cases of the study's period (`period` 0) and of the one compared with (1).
    pub fn cases(&self, stages: &StageFile) -> String {
        let mut sql = format!(
            "SELECT case_id, to_timestamp_micros(min(done)) AS started, min(done) AS first_us, max(done) AS last_us, \
             count(*) AS events, count(DISTINCT event) AS different_events, \
             string_agg(event, '{BETWEEN_EVENTS}' ORDER BY {BY_END}) AS variant, \
             first_value(utc_offset ORDER BY {BY_END}) AS utc_offset, min(utc_offset) <> max(utc_offset) AS mixed, \
             count(*) FILTER (WHERE role IS NULL) AS without_role, \
             count(*) FILTER (WHERE file_order < previous_order) AS out_of_order, \
             count(*) FILTER (WHERE begun > done) AS negative, count(*) FILTER (WHERE starts) AS unfinished"
        );
        for column in STRATA {
            let _ = write!(
                sql,
                ", first_value({column} ORDER BY {BY_END}) FILTER (WHERE {column} IS NOT NULL) AS {column}"
            );
        }
        for (place, role) in stages.roles.iter().enumerate() {
            let _ =
                write!(sql, ", min(done) FILTER (WHERE role = {}) AS {}", quoted(role), role_column(place));
        }
        let _ = write!(sql, " FROM ({}) GROUP BY case_id", self.ordered());
        let local = "first_us + CAST(utc_offset AS BIGINT) * 60000000";
        let within = |period: &Option<LocalPeriod>| match period {
            Some((from, to)) => format!("{local} >= {from} AND {local} < {to}"),
            None => "true".to_owned(),
        };
        let compared = match self.compare {
            Some(_) => format!(" WHEN {} THEN 1", within(&self.compare)),
            None => String::new(),
        };
        format!(
            "SELECT * FROM (SELECT *, CASE WHEN {} THEN 0{compared} END AS period FROM ({sql})) WHERE period IS NOT NULL",
            within(&self.period)
        )
    }

    /// Keeps the rows of the cases of the study's period.
    fn of_the_period(&self) -> &'static str {
        match self.period {
            Some(_) => "case_id IN (SELECT case_id FROM cases WHERE period = 0)",
            None => "true",
        }
    }

    /// How often an event follows another directly, and the time between, in microseconds.
    pub fn edges(&self) -> String {
        format!(
            "SELECT source, target, count(*) AS n, sum(gap) AS sum, median(CAST(gap AS DOUBLE)) AS median, \
             min(gap) AS min, max(gap) AS max FROM (SELECT previous AS source, event AS target, \
             begun - previous_done AS gap FROM ({}) WHERE previous IS NOT NULL AND {}) GROUP BY source, target \
             ORDER BY sum DESC, source, target",
            self.ordered(),
            self.of_the_period()
        )
    }

    /// Who acts: events, the time that passed before them, and the time they took, in microseconds.
    pub fn holders(&self, column: &str) -> String {
        format!(
            "SELECT {column} AS holder, count(*) AS events, sum(coalesce(begun - previous_done, 0)) AS waiting, \
             sum(done - begun) AS working FROM ({}) WHERE {column} IS NOT NULL AND {} GROUP BY {column} \
             ORDER BY waiting DESC, holder LIMIT 1000",
            self.ordered(),
            self.of_the_period()
        )
    }

    /// Each event's name, milestone, rows, and cases.
    pub fn activities(&self) -> String {
        format!(
            "SELECT event, max(role) AS role, count(*) AS n, count(DISTINCT case_id) AS cases FROM ({}) WHERE {} \
             GROUP BY event ORDER BY n DESC, event",
            self.events(),
            self.of_the_period()
        )
    }

    /// The kinds of event whose beginnings and ends are known, by the time that work waits before them.
    pub fn stations(&self) -> String {
        format!(
            "SELECT event, sum(begun - previous_done) AS waiting FROM ({}) WHERE {} AND {} GROUP BY event \
             ORDER BY waiting DESC, event LIMIT 4",
            self.ordered(),
            WORK,
            self.of_the_period()
        )
    }

    /// The latest pieces of work of a kind of event, the last to arrive first.
    pub fn work(&self, event: &str, most: usize) -> String {
        format!(
            "SELECT previous_done AS arrival, begun, done FROM ({}) WHERE event = {} AND {} AND {} \
             ORDER BY arrival DESC, begun DESC, done DESC LIMIT {most}",
            self.ordered(),
            quoted(event),
            WORK,
            self.of_the_period()
        )
    }

    /// Rows that are the same event at the same time as another of their case.
    pub fn duplicates(&self) -> String {
        format!(
            "SELECT coalesce(sum(n - 1), 0) AS n FROM (SELECT count(*) AS n FROM ({}) WHERE {} \
             GROUP BY case_id, event, begun, done HAVING count(*) > 1)",
            self.events(),
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
     coalesce(sum(unfinished), 0) AS unfinished, count(*) FILTER (WHERE mixed) AS mixed, \
     count(*) FILTER (WHERE events > different_events) AS rework FROM cases WHERE period = 0";

/// The most frequent ways of a case.
pub const VARIANTS: &str = "SELECT variant, count(*) AS n, sum(last_us - first_us) AS total, \
     median(CAST(last_us - first_us AS DOUBLE)) AS median FROM cases WHERE period = 0 GROUP BY variant \
     ORDER BY n DESC, variant LIMIT 50";

/// How many cases each stage has by period, stratum and status; `stratum` is a column, or nothing.
pub fn stage_counts(stratum: Option<&str>) -> String {
    let value = stratum.map_or("''".to_owned(), |column| format!("coalesce({column}, '')"));
    format!(
        "SELECT period, stage, {value} AS stratum, status, count(*) AS n, count(working_hours) AS working FROM times \
         GROUP BY period, stage, {value}, status ORDER BY stage, stratum, period, status"
    )
}

/// The times of stages in rising order within each stage and stratum: those that are over, then those that are not.
pub fn sorted_times(stratum: Option<&str>, hours: &str, period: &str) -> String {
    let value = stratum.map_or("''".to_owned(), |column| format!("coalesce({column}, '')"));
    format!(
        "SELECT stage, {value} AS stratum, {hours} AS value, status, period FROM times WHERE status <= 1 AND \
         {hours} IS NOT NULL AND {period} ORDER BY stage, stratum, value, status, period"
    )
}

/// The longest times of a stage.
pub fn longest(stage: usize) -> String {
    format!(
        "SELECT case_id, hours FROM times WHERE stage = {stage} AND period = 0 AND status = 0 \
         ORDER BY hours DESC, case_id LIMIT 20"
    )
}
