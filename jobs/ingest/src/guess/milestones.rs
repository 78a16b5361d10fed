//! The milestones of a wide release table: a row is a case, and has one column for each event.
//!
//! A table of events names the event of each row; one that has several columns of times instead is wide. Titles in
//! English, Spanish, French and Portuguese say what a milestone means, and which two columns are the begin and the end of
//! the same work. Start at [`milestones`].

use super::{names::plain, values::Profile};

/// What titles say of a milestone: the role that the studies know, and parts of its titles.
const ROLES: [(&str, &[&str]); 11] = [
    ("arrival", &["arriv", "llegada", "chegada", "berth", "ata"]),
    ("unloading", &["unload", "discharge", "descarga", "dechargement"]),
    ("acceptance", &["accept", "acept", "aceit"]),
    ("inspection-end", &["inspect", "inspecc", "examin", "aforo", "visite", "physical", "conferenciafisica"]),
    ("document-check-end", &["document", "doccheck"]),
    ("laboratory-end", &["labor"]),
    ("assessment", &["assess", "liquid"]),
    ("payment", &["paid", "payment", "pay", "pago", "paiement", "pagamento"]),
    ("gate-out", &["gateout", "gate", "exit", "salida", "sortie", "saida"]),
    ("release", &["release", "levante", "mainlevee", "liberac", "desembarac", "clear"]),
    ("lodgement", &["lodg", "regist", "declar", "numerac", "enregistrement", "submi"]),
];

/// The ends of titles of the begin and the end of the same work.
const ENDS: [(&[&str], &[&str]); 4] = [
    (
        &["from", "start", "begin", "begun", "started"],
        &["to", "end", "finish", "ended", "finished", "completed"],
    ),
    (&["desde", "inicio"], &["hasta", "fin"]),
    (&["debut"], &["fin"]),
    (&["inicio"], &["fim", "termino"]),
];

/// A milestone: the column of its time, that of the begin of its work, and its role.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Milestone<'a> {
    pub(super) title: &'a str,
    pub(super) start: Option<&'a str>,
    pub(super) role: Option<&'static str>,
}

/// The milestones of a table's columns, in their order; empty where fewer than two columns hold times.
pub(super) fn milestones(columns: &[(String, Profile)]) -> Vec<Milestone<'_>> {
    let is_time = |profile: &Profile| profile.time.is_some() || profile.date.is_some();
    let times: Vec<&str> =
        columns.iter().filter(|(_, profile)| is_time(profile)).map(|(title, _)| title.as_str()).collect();
    if times.len() < 2 {
        return Vec::new();
    }
    let start_of = |title: &str| times.iter().copied().find(|other| is_begin_of(other, title));
    let is_start = |title: &str| times.iter().any(|other| is_begin_of(title, other));
    let ends = times.iter().copied().filter(|title| !is_start(title));
    ends.map(|title| Milestone { title, start: start_of(title), role: role_of(title) }).collect()
}

/// Whether one title is that of the begin of the work whose end is the other's.
fn is_begin_of(begin: &str, end: &str) -> bool {
    let (begin, end) = (plain(begin), plain(end));
    let stem = |title: &str, ends: &[&str]| -> Vec<String> {
        ends.iter()
            .filter_map(|end| title.strip_suffix(end))
            .filter(|stem| !stem.is_empty())
            .map(str::to_owned)
            .collect()
    };
    ENDS.iter().any(|(begins, ends)| {
        let of_end = stem(&end, ends);
        stem(&begin, begins).iter().any(|stem| of_end.contains(stem))
    })
}

fn role_of(title: &str) -> Option<&'static str> {
    let title = plain(title);
    // A part of three letters would be found in many titles: it is a whole one.
    let is_named = |part: &str| if part.len() < 4 { title == part } else { title.contains(part) };
    ROLES.iter().find(|(_, parts)| parts.iter().any(|part| is_named(part))).map(|(role, _)| *role)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_times_are_milestones_in_several_languages() {
        let time = |title: &str| {
            (title.to_owned(), Profile { time: Some("%Y-%m-%d %H:%M".to_owned()), ..Profile::default() })
        };
        let columns =
            [time("arrival"), time("lodged"), time("inspected_from"), time("inspected_to"), time("released")];
        let found = milestones(&columns);
        let found: Vec<_> = found.iter().map(|found| (found.title, found.start, found.role)).collect();
        assert_eq!(
            found,
            [
                ("arrival", None, Some("arrival")),
                ("lodged", None, Some("lodgement")),
                ("inspected_to", Some("inspected_from"), Some("inspection-end")),
                ("released", None, Some("release")),
            ]
        );
        for (title, role) in [
            ("Fecha de llegada", Some("arrival")),
            ("Fecha levante", Some("release")),
            ("Date d'enregistrement", Some("lodgement")),
            ("Data do pagamento", Some("payment")),
            ("Paid", Some("payment")),
            ("ATA", Some("arrival")),
            ("Data", None),
        ] {
            assert_eq!(role_of(title), role, "{title}");
        }
        assert!(milestones(&[time("when")]).is_empty());
    }
}
