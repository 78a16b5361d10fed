//! The queries before and after [`super::CasesOperator`]: the events that it reads, and the cases with the
//! columns that are derived from its rows.

use crate::{
    scope::{LocalPeriod, STRATA, Scope},
    stage_file::{StageFile, role_column},
};

/// The events for the operator, without columns in which no event has a value.
pub fn events(scope: &Scope<'_>) -> String {
    if scope.paired {
        return scope.events();
    }
    let begun = match scope.intervals {
        true => ", coalesce(arrow_cast(start_time, 'Int64'), arrow_cast(event_time, 'Int64')) AS begun",
        false => "",
    };
    let present = STRATA.iter().filter(|column| !scope.absent.iter().any(|absent| absent == *column));
    let strata: Vec<String> = present.map(|column| format!(", {column}")).collect();
    format!(
        "SELECT case_id, event, role, arrow_cast(event_time, 'Int64') AS done{begun}, utc_offset, file_order{} \
         FROM releases WHERE {}",
        strata.concat(),
        scope.is_read()
    )
}

/// The cases of the study's period (`period` 0) and of the one compared with (1), of the operator's rows,
/// which are registered as `traced`; with the columns [`crate::scope::CASE_STRATA`].
pub fn cases(scope: &Scope<'_>, file: &StageFile) -> String {
    let first = |role: &str| file.role(role).map_or("NULL".to_owned(), role_column);
    let yes_or_no = |name: &str, roles: [&str; 2]| {
        let met = roles.map(|role| format!("{} IS NOT NULL", first(role))).join(" OR ");
        format!("CASE WHEN {met} THEN 'yes' ELSE 'no' END AS {name}")
    };
    let earliest = |roles: [&str; 2]| format!("CAST(coalesce({}) AS BIGINT)", roles.map(first).join(", "));
    let (arrived, lodged) = (earliest(["arrival", "unloading"]), earliest(["lodgement", "acceptance"]));
    let local = "first_us + CAST(utc_offset AS BIGINT) * 60000000";
    let within = |period: &Option<LocalPeriod>| match period {
        Some((from, to)) => format!("{local} >= {from} AND {local} < {to}"),
        None => "true".to_owned(),
    };
    let compared = match scope.compare {
        Some(_) => format!(" WHEN {} THEN 1", within(&scope.compare)),
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
        yes_or_no("permit", ["permit-request", "permit-decision"]),
        yes_or_no("inspected", ["inspection-start", "inspection-end"]),
        within(&scope.period)
    )
}
