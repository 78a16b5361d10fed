//! Rows of text linked: keys, comparisons, weights and clusters in one call.
//!
//! A [`Plan`] says how each column is compared, which keys rows must share to be compared at all, and which columns
//! must not contradict within a cluster. Start at [`link`].

use crate::{
    blocking::{Blocks, LeftOut},
    cluster::{self, Clusters, Facts, Link},
    compare::{self, Dates},
    normalise,
    weights::{Model, Pattern, Patterns},
};

/// How two values of a column are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The same or not: 2 levels.
    Exact,
    /// Names, whatever their script and the order of their words: different, alike, nearly the same, the same. 4 levels.
    Name,
    /// Dates of eight digits: different, near, the same. 3 levels.
    Date,
    /// Numbers of documents and telephones: different, one character apart, the same. 3 levels.
    Identifier,
}

/// Similarity from which names are nearly the same, and from which they are alike (Winkler 1990 for surnames).
const NAME_LEVELS: [f64; 2] = [0.94, 0.85];

/// Fewest characters of an identifier for which one wrong character still says something.
const SHORTEST_IDENTIFIER: usize = 6;

impl Comparison {
    /// How many levels it has.
    #[must_use]
    pub fn levels(self) -> usize {
        match self {
            Self::Exact => 2,
            Self::Name => 4,
            Self::Date | Self::Identifier => 3,
        }
    }

    /// The level at which two prepared values agree; `None` if one is empty or, of a date, cannot be read.
    #[must_use]
    pub fn level(self, one: &str, other: &str) -> Option<u8> {
        if one.is_empty() || other.is_empty() {
            return None;
        }
        Some(match self {
            Self::Exact => u8::from(one == other),
            Self::Name if one == other => 3,
            Self::Name => {
                let similarity = compare::names(one, other);
                let same_sound = normalise::skeleton(one) == normalise::skeleton(other);
                let level = NAME_LEVELS.iter().position(|least| similarity >= *least);
                match level {
                    Some(0) => 2,
                    Some(_) if same_sound => 2,
                    Some(_) => 1,
                    None => u8::from(same_sound),
                }
            }
            Self::Date => match compare::dates(one, other)? {
                Dates::Different => 0,
                Dates::Near => 1,
                Dates::Same => 2,
            },
            Self::Identifier if one == other => 2,
            Self::Identifier => {
                let long = one.len().min(other.len()) >= SHORTEST_IDENTIFIER;
                u8::from(long && compare::edits(one, other) == 1)
            }
        })
    }

    /// A value as it is compared: names folded, identifiers in capitals without spaces and marks.
    #[must_use]
    pub fn prepared(self, value: &str) -> String {
        match self {
            Self::Exact => value.trim().to_owned(),
            Self::Name => normalise::fold(value),
            Self::Date => value.chars().filter(char::is_ascii_digit).collect(),
            Self::Identifier => {
                value.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect()
            }
        }
    }
}

/// How a key is made of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The prepared value.
    Whole,
    /// Its first characters.
    Start(usize),
    /// The name's skeleton.
    Skeleton,
}

/// How rows are linked.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The comparison of each column.
    pub columns: Vec<Comparison>,
    /// Kinds of keys: the columns that make one, each with its part. A key with an empty part is none.
    pub keys: Vec<Vec<(usize, Part)>>,
    /// Columns whose values must be the same in a cluster, where they are known.
    pub contradicting: Vec<usize>,
    /// Rows of a block at most.
    pub most: usize,
    /// Probability of a match from which a pair is a link.
    pub threshold: f64,
}

/// What was linked.
#[derive(Debug, Clone, PartialEq)]
pub struct Linkage {
    /// The clusters.
    pub clusters: Clusters,
    /// The weights that were found.
    pub model: Model,
    /// Pairs that were compared.
    pub pairs: u64,
    /// Pairs that were links.
    pub links: usize,
    /// What was left out.
    pub left_out: LeftOut,
}

/// The values of the columns that must not contradict; empty ones are not known.
struct Known(Vec<String>);

impl Facts for Known {
    fn contradicts(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| !a.is_empty() && !b.is_empty() && a != b)
    }

    fn join(&mut self, other: Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            if own.is_empty() {
                *own = other;
            }
        }
    }
}

/// Links rows. The pairs are gone through twice: for the frequencies of patterns, and for the links; only links are
/// kept, beside the rows' prepared values. `fitted` is a model from other rows of the same kind; without one it is estimated from these.
#[must_use]
pub fn link<R: AsRef<[S]>, S: AsRef<str>>(rows: &[R], plan: &Plan, fitted: Option<Model>) -> Linkage {
    let prepared: Vec<Vec<String>> = rows.iter().map(|row| prepare(row.as_ref(), plan)).collect();
    let mut blocks = Blocks::new(plan.keys.len());
    for row in &prepared {
        let keys: Vec<String> = plan.keys.iter().map(|parts| key(row, parts)).collect();
        blocks.add(keys.iter().map(String::as_str));
    }
    let pattern = |one: u32, other: u32| -> Pattern {
        let (one, other) = (&prepared[one as usize], &prepared[other as usize]);
        let columns = plan.columns.iter().enumerate();
        columns.map(|(at, comparison)| comparison.level(&one[at], &other[at])).collect()
    };
    let mut patterns = Patterns::default();
    let left_out = blocks.pairs(plan.most, |one, other| patterns.add(pattern(one, other)));
    let model = fitted.unwrap_or_else(|| {
        let levels: Vec<usize> = plan.columns.iter().map(|column| column.levels()).collect();
        Model::initial(&levels).fitted(&patterns)
    });
    let mut links = Vec::new();
    blocks.pairs(plan.most, |one, other| {
        let pattern = pattern(one, other);
        if model.probability(&pattern) >= plan.threshold {
            links.push(Link { one, other, weight: model.weight(&pattern) });
        }
    });
    let known = |row: &Vec<String>| Known(plan.contradicting.iter().map(|at| row[*at].clone()).collect());
    let count = links.len();
    let clusters = cluster::cluster(prepared.iter().map(known).collect(), links);
    Linkage { clusters, model, pairs: patterns.pairs(), links: count, left_out }
}

/// A row's values as they are compared; columns that it lacks are empty.
fn prepare<S: AsRef<str>>(row: &[S], plan: &Plan) -> Vec<String> {
    let columns = plan.columns.iter().enumerate();
    columns
        .map(|(at, column)| row.get(at).map_or(String::new(), |value| column.prepared(value.as_ref())))
        .collect()
}

fn key(row: &[String], parts: &[(usize, Part)]) -> String {
    let mut key = String::new();
    for (column, part) in parts {
        let value = &row[*column];
        let text = match part {
            Part::Whole => value.clone(),
            Part::Start(letters) => value.chars().take(*letters).collect(),
            Part::Skeleton => normalise::skeleton(value),
        };
        if text.is_empty() {
            return String::new();
        }
        key.push_str(&text);
        key.push('\u{1f}');
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Surname, given name, birth, document.
    fn plan() -> Plan {
        Plan {
            columns: vec![Comparison::Name, Comparison::Name, Comparison::Date, Comparison::Identifier],
            keys: vec![
                vec![(3, Part::Whole)],
                vec![(0, Part::Skeleton), (2, Part::Start(4))],
                vec![(1, Part::Skeleton), (2, Part::Whole)],
            ],
            contradicting: vec![2],
            most: 100,
            threshold: 0.9,
        }
    }

    fn model() -> Model {
        let field = |m: &[f64], u: &[f64]| crate::weights::Field { m: m.to_vec(), u: u.to_vec() };
        Model {
            matches: 0.05,
            fields: vec![
                field(&[0.03, 0.05, 0.12, 0.8], &[0.9, 0.05, 0.03, 0.02]),
                field(&[0.05, 0.05, 0.1, 0.8], &[0.9, 0.05, 0.03, 0.02]),
                field(&[0.01, 0.04, 0.95], &[0.97, 0.02, 0.01]),
                field(&[0.3, 0.05, 0.65], &[0.998, 0.001, 0.001]),
            ],
        }
    }

    #[test]
    fn spellings_of_one_person_meet_and_same_names_stay_apart() {
        let rows = [
            ["JIANG", "XIUYUAN", "19670603", "461448207"],
            ["JIANG", "HSIUYUAN", "19670603", "433419360"],
            ["Müller", "Jürgen", "1980-01-02", "C01X00T47"],
            ["MUELLER", "JUERGEN", "19800102", ""],
            ["SMITH", "JOHN", "19640712", "111111111"],
            ["SMITH", "JOHN", "19810712", "222222222"],
            ["MOHAMMED", "YOUSSEF", "19900101", "A1234567"],
            ["MUHAMMAD", "YUSUF", "19900101", "A1234567"],
        ];
        let linkage = link(&rows, &plan(), Some(model()));
        assert_eq!(linkage.clusters.labels, [0, 0, 2, 2, 4, 5, 6, 6]);
        assert!(linkage.clusters.refused.is_empty());
    }

    #[test]
    fn one_document_with_two_births_is_reported_and_not_merged() {
        let rows = [["DOE", "JANE", "19700101", "X1234567"], ["DOE", "JANE", "19750505", "X1234567"]];
        let linkage = link(&rows, &plan(), Some(model()));
        assert_eq!(linkage.clusters.labels, [0, 1]);
        assert_eq!(linkage.clusters.refused.len(), 1);
    }

    #[test]
    fn weights_are_found_from_the_rows_themselves() {
        // 120 persons, each twice; every fourth with another document and every sixth with a letter wrong.
        let surnames = [
            "ALVAREZ", "BAUER", "CHEN", "DUBOIS", "EVANS", "FISCHER", "GARCIA", "HANSEN", "IVANOV", "JANSEN",
        ];
        let given = [
            "ANNA", "BORIS", "CLARA", "DAVID", "ELENA", "FRANK", "GRETA", "HUGO", "INES", "JONAS", "KIRA",
            "LEO",
        ];
        let mut rows = Vec::new();
        for person in 0..120_usize {
            let birth =
                format!("19{:02}{:02}{:02}", 40 + person * 7 % 50, 1 + person % 12, 1 + person * 5 % 28);
            let (surname, name) = (surnames[person % 10], given[person / 10]);
            rows.push([surname.to_owned(), name.to_owned(), birth.clone(), format!("P{:07}", person * 7919)]);
            let wrong = if person % 6 == 0 { format!("{surname}E") } else { surname.to_owned() };
            let document = if person % 4 == 0 {
                format!("N{:07}", person * 104_729)
            } else {
                rows[2 * person][3].clone()
            };
            rows.push([wrong, name.to_owned(), birth, document]);
        }
        let linkage = link(&rows, &plan(), None);
        let right =
            (0..120).filter(|person| linkage.clusters.labels[2 * person + 1] == 2 * *person as u32).count();
        assert!(right >= 118, "{right} of 120 persons: {:?}", linkage.model);
        let mut labels = linkage.clusters.labels.clone();
        labels.sort_unstable();
        labels.dedup();
        assert!(labels.len() >= 120, "persons were merged: {}", labels.len());
    }
}
