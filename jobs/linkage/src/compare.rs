//! How alike two values are: between 0 (nothing in common) and 1 (the same).
//!
//! Jaro's similarity and its weights for a common beginning: M. A. Jaro, "Advances in Record-Linkage Methodology",
//! JASA 1989; W. E. Winkler, "String Comparator Metrics and Enhanced Decision Rules in the Fellegi–Sunter Model of
//! Record Linkage", 1990. The distance with transpositions of neighbours (optimal string alignment): F. J. Damerau,
//! CACM 1964.

/// Jaro's similarity of the letters of two texts. Two empty texts are the same.
#[must_use]
pub fn jaro(one: &str, other: &str) -> f64 {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.is_empty() && other.is_empty() {
        return 1.0;
    }
    let window = (one.len().max(other.len()) / 2).saturating_sub(1);
    let mut taken = vec![false; other.len()];
    let mut matched = Vec::with_capacity(one.len());
    for (at, letter) in one.iter().enumerate() {
        let (from, to) = (at.saturating_sub(window), (at + window + 1).min(other.len()));
        if let Some(place) = (from..to).find(|place| !taken[*place] && other[*place] == *letter) {
            taken[place] = true;
            matched.push(*letter);
        }
    }
    if matched.is_empty() {
        return 0.0;
    }
    let in_order = other.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(letter, _)| letter);
    let out_of_place = matched.iter().zip(in_order).filter(|(a, b)| a != b).count();
    let common = matched.len() as f64;
    let transposed = (out_of_place / 2) as f64;
    (common / one.len() as f64 + common / other.len() as f64 + (common - transposed) / common) / 3.0
}

/// Share of what is missing to 1 that each common letter at the beginning adds (Winkler).
const PREFIX_SCALE: f64 = 0.1;

/// Letters at the beginning that count (Winkler).
const PREFIX: usize = 4;

/// Jaro's similarity, raised for a common beginning.
#[must_use]
pub fn jaro_winkler(one: &str, other: &str) -> f64 {
    let similarity = jaro(one, other);
    let prefix = one.chars().zip(other.chars()).take(PREFIX).take_while(|(a, b)| a == b).count();
    similarity + prefix as f64 * PREFIX_SCALE * (1.0 - similarity)
}

/// Insertions, deletions, substitutions and transpositions of neighbours that make one text the other, no letter being
/// edited twice.
#[must_use]
pub fn edits(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut before_last = vec![0; other.len() + 1];
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for i in 1..=one.len() {
        let mut row = vec![i; other.len() + 1];
        for j in 1..=other.len() {
            let substituted = last[j - 1] + usize::from(one[i - 1] != other[j - 1]);
            row[j] = substituted.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

/// The similarity of names of several words, whatever their order: each word of the shorter name with the most alike
/// one of the longer that is left, weighted by its letters. An initial is as alike as a name that it begins.
#[must_use]
pub fn names(one: &str, other: &str) -> f64 {
    let words =
        |text: &str| text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (mut short, mut long) = (words(one), words(other));
    if short.len() > long.len() {
        std::mem::swap(&mut short, &mut long);
    }
    if short.is_empty() {
        return 0.0;
    }
    // Long words choose first, as they tell more.
    short.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    let (mut sum, mut weight) = (0.0, 0.0);
    for word in &short {
        let alike = |other: &String| {
            let initial = word.len() == 1 || other.len() == 1;
            if initial && word.chars().next() == other.chars().next() {
                INITIAL
            } else {
                jaro_winkler(word, other)
            }
        };
        let best =
            (0..long.len()).max_by(|a, b| alike(&long[*a]).total_cmp(&alike(&long[*b])).then(b.cmp(a)));
        let Some(best) = best else { break };
        let other = long.remove(best);
        let letters = word.chars().count() as f64;
        sum += letters * alike(&other);
        weight += letters;
    }
    sum / weight
}

/// The similarity of an initial and a name that begins with it.
const INITIAL: f64 = 0.9;

/// How two dates of eight digits (CCYYMMDD) agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dates {
    /// Different.
    Different,
    /// One digit, or day and month exchanged: an error of keying.
    Near,
    /// The same.
    Same,
}

/// Compares two dates of eight digits; `None` if one of them is not known.
#[must_use]
pub fn dates(one: &str, other: &str) -> Option<Dates> {
    let is_date = |text: &str| text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_date(one) || !is_date(other) {
        return None;
    }
    let exchanged = one[..4] == other[..4] && one[4..6] == other[6..] && one[6..] == other[4..6];
    Some(match edits(one, other) {
        0 => Dates::Same,
        1 => Dates::Near,
        _ if exchanged => Dates::Near,
        _ => Dates::Different,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 5e-5, "{value} is not {expected}");
    }

    #[test]
    fn similarities_are_those_of_the_literature() {
        // Winkler's examples: six letters common and one transposition give (1 + 1 + 5/6) / 3.
        near(jaro("MARTHA", "MARHTA"), 17.0 / 18.0);
        near(jaro_winkler("MARTHA", "MARHTA"), 0.9611);
        // Four letters common of six and five: (4/6 + 4/5 + 1) / 3.
        near(jaro("DWAYNE", "DUANE"), 0.8222);
        near(jaro_winkler("DWAYNE", "DUANE"), 0.84);
        near(jaro("DIXON", "DICKSONX"), 0.7667);
        near(jaro_winkler("DIXON", "DICKSONX"), 0.8133);
        near(jaro("ABC", "XYZ"), 0.0);
        near(jaro("", ""), 1.0);
        near(jaro("A", ""), 0.0);
    }

    #[test]
    fn edits_are_counted_with_transpositions() {
        for (one, other, count) in
            [("KITTEN", "SITTING", 3), ("CA", "AC", 1), ("CA", "ABC", 3), ("", "AB", 2), ("SAME", "SAME", 0)]
        {
            assert_eq!(edits(one, other), count, "{one} {other}");
        }
    }

    #[test]
    fn names_are_compared_whatever_the_order_of_their_words() {
        near(names("ANNA MARIA", "MARIA ANNA"), 1.0);
        near(names("KEVIN", "KEVIN MICHAEL"), 1.0);
        near(names("K MICHAEL", "KEVIN MICHAEL"), (7.0 + 0.9) / 8.0);
        assert!(names("SMITH", "JONES") < 0.6);
        near(names("", "JONES"), 0.0);
    }

    #[test]
    fn dates_that_were_keyed_wrong_are_near() {
        assert_eq!(dates("19640712", "19640712"), Some(Dates::Same));
        assert_eq!(dates("19640712", "19641207"), Some(Dates::Near));
        assert_eq!(dates("19640712", "19650712"), Some(Dates::Near));
        assert_eq!(dates("19640712", "19750812"), Some(Dates::Different));
        assert_eq!(dates("19640712", ""), None);
        assert_eq!(dates("1964071Ü", "19640712"), None);
    }

    proptest::proptest! {
        #[test]
        fn similarities_are_symmetric_and_between_0_and_1(one in "[A-D ]{0,9}", other in "[A-D ]{0,9}") {
            let value = jaro_winkler(&one, &other);
            proptest::prop_assert!((0.0..=1.0).contains(&value));
            proptest::prop_assert!((jaro_winkler(&other, &one) - value).abs() < 1e-12);
            proptest::prop_assert_eq!(edits(&one, &other), edits(&other, &one));
            proptest::prop_assert!((0.0..=1.0).contains(&names(&one, &other)));
        }
    }
}
