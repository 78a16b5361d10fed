//! A traveller as it is compared: names and birth as they are read, documents and contacts by their pseudonyms.
//!
//! After depersonalisation there are pseudonyms only; the one of name and birth then stands for both. Sex and nationality
//! are left out, so that no one is found or missed by them. Start at [`Compared`].

use tidewaiter_linkage::{
    link::Comparison,
    normalise::skeleton,
    weights::{Pattern, Patterns},
};

/// How the fields are compared, in their order.
pub(super) const COMPARISONS: [Comparison; FIELDS] = [
    Comparison::Name,
    Comparison::Name,
    Comparison::Date,
    Comparison::Exact,
    Comparison::Exact,
    Comparison::Exact,
    Comparison::Exact,
];

/// How many fields there are: surname, given names, birth, document, telephone, e-mail, and name with birth.
pub(super) const FIELDS: usize = 7;

/// Kinds of keys under which travellers meet.
pub(super) const KEYS: usize = 7;

/// Between the fields of a text.
const BETWEEN: char = '\u{1f}';

/// A traveller as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Compared {
    /// The identity: travellers of the same pseudonyms have the same.
    pub(super) id: u64,
    fields: [String; FIELDS],
}

impl Compared {
    /// A traveller of raw values, which are brought into the form in which they are compared.
    pub(super) fn new(id: u64, values: [&str; FIELDS]) -> Self {
        let mut fields: [String; FIELDS] = std::array::from_fn(|at| COMPARISONS[at].prepared(values[at]));
        // Given names are joined in some messages.
        fields[1] = fields[1].split(' ').collect();
        Self { id, fields }
    }

    /// The birth as a number, CCYYMMDD; 0 where it is not known.
    pub(super) fn birth(&self) -> u32 {
        self.fields[2].parse().unwrap_or(0)
    }

    /// All in one text.
    pub(super) fn to_text(&self) -> String {
        let mut text = self.id.to_string();
        for field in &self.fields {
            text.push(BETWEEN);
            text.push_str(field);
        }
        text
    }

    /// What [`Compared::to_text`] wrote.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        let mut parts = text.split(BETWEEN);
        let id = parts.next()?.parse().ok()?;
        let mut fields: [String; FIELDS] = Default::default();
        for field in &mut fields {
            *field = parts.next()?.to_owned();
        }
        Some(Self { id, fields })
    }

    /// The keys, of each kind one; empty for none. Who shares none is never compared: a document, an e-mail address, a
    /// telephone with the year of birth, a spelling of the surname or the given names with the birth, spellings of both with
    /// the year, or name and birth under one pseudonym.
    pub(super) fn keys(&self) -> [String; KEYS] {
        let [surname, given, birth, document, phone, email, name] = &self.fields;
        let year = birth.get(..4).unwrap_or_default();
        let (by_surname, by_given) = (skeleton(surname), skeleton(given));
        let all = |parts: &[&str]| match parts.iter().all(|part| !part.is_empty()) {
            true => parts.join("/"),
            false => String::new(),
        };
        [
            document.clone(),
            email.clone(),
            all(&[phone, year]),
            all(&[&by_surname, birth]),
            all(&[&by_given, birth]),
            all(&[&by_surname, &by_given, year]),
            name.clone(),
        ]
    }

    /// How two travellers agree. The pseudonym of name and birth counts only where one of them has nothing else.
    pub(super) fn pattern(&self, other: &Self) -> Pattern {
        let is_blanked = self.fields[0].is_empty() || other.fields[0].is_empty();
        let level = |at: usize| match at == FIELDS - 1 && !is_blanked {
            true => None,
            false => COMPARISONS[at].level(&self.fields[at], &other.fields[at]),
        };
        (0..FIELDS).map(level).collect()
    }
}

/// Counts of patterns as they travel.
pub(super) type Counts = Vec<(Pattern, u64)>;

/// Patterns of counts.
pub(super) fn patterns(all: impl IntoIterator<Item = Counts>) -> Patterns {
    let mut patterns = Patterns::default();
    for (pattern, count) in all.into_iter().flatten() {
        patterns.add_times(pattern, count);
    }
    patterns
}

/// Counts of patterns.
pub(super) fn counts(patterns: &Patterns) -> Counts {
    patterns.iter().map(|(pattern, count)| (pattern.clone(), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn travellers_come_back_from_their_text_and_meet_under_keys() {
        let one = Compared::new(7, ["Müller", "Jürgen Kurt", "1980-01-02", "d1", "", "e1", "n1"]);
        assert_eq!(Compared::of_text(&one.to_text()), Some(one.clone()));
        assert_eq!(one.birth(), 19_800_102);
        let other = Compared::new(8, ["MUELLER", "JUERGENKURT", "19800102", "d2", "p", "", "n2"]);
        let shared: Vec<usize> = (0..KEYS)
            .filter(|kind| !one.keys()[*kind].is_empty() && one.keys()[*kind] == other.keys()[*kind])
            .collect();
        assert_eq!(shared, [3, 4, 5]);
        assert_eq!(one.pattern(&other), [Some(3), Some(3), Some(2), Some(0), None, None, None]);
        let blanked = Compared::new(9, ["", "", "", "d1", "", "", "n1"]);
        assert_eq!(one.pattern(&blanked), [None, None, None, Some(1), None, None, Some(1)]);
        assert_eq!(Compared::of_text("x"), None);
    }
}
