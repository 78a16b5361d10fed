//! Names as airlines write them: titles glued to given names, given and middle names in one word.
//!
//! A title with a space before it is always taken off. A glued one is taken off only where a name does not itself end
//! in these letters: `MOLLYMRS` is Molly, but `ADAMS`, `ALEXANDR` and `AMR` are names. What a name looked like in the
//! message is kept beside it in the records.

/// Sex as a document states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sex {
    /// M, and MI for an infant.
    Male,
    /// F, and FI for an infant.
    Female,
    /// X or U.
    Other,
}

impl Sex {
    /// The sex of a code, and whether it is that of an infant.
    #[must_use]
    pub fn of(code: &str) -> Option<(Self, bool)> {
        Some(match code {
            "M" => (Self::Male, false),
            "F" => (Self::Female, false),
            "MI" => (Self::Male, true),
            "FI" => (Self::Female, true),
            "X" | "U" => (Self::Other, false),
            "XI" | "UI" => (Self::Other, true),
            _ => return None,
        })
    }
}

/// Titles that stand as a word of their own.
const TITLES: [&str; 14] =
    ["MR", "MRS", "MS", "MISS", "MSTR", "MASTER", "MST", "DR", "PROF", "REV", "SIR", "MME", "MLLE", "CAPT"];

/// Titles that are glued to a name, the longer before those that they end in, with the sex that they exclude.
const GLUED: [(&str, Option<Sex>); 6] = [
    ("MSTR", Some(Sex::Female)),
    ("MISS", Some(Sex::Male)),
    ("PROF", None),
    ("MRS", Some(Sex::Male)),
    ("MR", Some(Sex::Female)),
    ("MS", Some(Sex::Male)),
];

/// Names that end in the letters of a title.
const NO_TITLE: [&str; 24] = [
    "ADAMS", "ABRAMS", "ABRAHAMS", "AMR", "CAMS", "CHAMS", "GRAHAMS", "HAMS", "HELMS", "ILHAMS", "KAMS",
    "NAJMS", "OMR", "QASIMS", "RAHMS", "SAMR", "SAMS", "SHAMS", "SIMMS", "SIMS", "TOMS", "WILHELMS",
    "WILLIAMS", "ZAMR",
];

/// Fewest letters of a name that has a title glued to it.
const SHORTEST: usize = 2;

/// A given name without its title, and the title.
#[must_use]
pub fn without_title(text: &str, sex: Option<Sex>) -> (&str, &str) {
    let text = text.trim();
    if let Some((rest, last)) = text.rsplit_once(' ')
        && TITLES.contains(&last)
    {
        return (rest.trim_end(), last);
    }
    if let Some((first, rest)) = text.split_once(' ')
        && TITLES.contains(&first)
    {
        return (rest.trim_start(), first);
    }
    let last_word = text.rsplit(' ').next().unwrap_or(text);
    let glued = GLUED.into_iter().find_map(|(title, excluded)| {
        let rest = text.strip_suffix(title)?;
        let is_excluded = excluded.is_some() && sex == excluded;
        (!is_excluded && last_word.len() >= title.len() + SHORTEST).then_some((rest, title))
    });
    glued.filter(|_| !NO_TITLE.contains(&last_word)).unwrap_or((text, ""))
}

/// A given name of a document without a title glued before it: `MRJONATHON` beside a booking for `JOHN`. Names such as
/// `MRIDULA` begin like that, so the rest must begin like the booking's name or with a consonant.
#[must_use]
pub fn without_leading_title<'a>(text: &'a str, booked: &str) -> (&'a str, &'a str) {
    for title in ["MRS", "MR"] {
        if let Some(rest) = text.strip_prefix(title)
            && rest.len() > SHORTEST
            && !booked.starts_with(title)
        {
            let same = booked.len() >= 2 && rest.get(..2) == booked.get(..2);
            let consonant =
                rest.starts_with(|letter: char| letter.is_ascii_alphabetic() && !"AEIOUY".contains(letter));
            if same || (title == "MR" && consonant && booked.is_empty()) {
                return (rest, &text[..title.len()]);
            }
        }
    }
    (text, "")
}

/// A surname without the mark of a generation glued to it, and the mark.
#[must_use]
pub fn without_suffix(surname: &str) -> (&str, &str) {
    for suffix in [" JR", " SR", " II", " III", "JR"] {
        if let Some(rest) = surname.strip_suffix(suffix)
            && rest.len() > SHORTEST
        {
            return (rest, suffix.trim_start());
        }
    }
    (surname, "")
}

/// Given and middle name from the booking's one field and the document's two.
#[must_use]
pub fn given_and_middle(booked: &str, given: &str, middle: &str) -> (String, String) {
    let owned = |given: &str, middle: &str| (given.trim().to_owned(), middle.trim().to_owned());
    if given.is_empty() {
        return owned(booked, "");
    }
    if booked.is_empty() {
        return owned(given, middle);
    }
    if booked == given || letters(given).chain(letters(middle)).eq(letters(booked)) {
        return owned(given, middle);
    }
    match given.strip_prefix(booked) {
        // One or two more letters are another spelling, not a second name.
        Some(more) if middle.is_empty() && (more.starts_with(' ') || more.len() > 2) => owned(booked, more),
        _ => owned(booked, middle),
    }
}

/// Letters without the spaces between them, for a comparison.
pub fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|letter| !letter.is_whitespace())
}

/// Whether a name only holds the place of a traveller of a group.
#[must_use]
pub fn is_placeholder(surname: &str) -> bool {
    matches!(surname, "TBA" | "TBC" | "TBD" | "UNKNOWN" | "NONAME" | "NO NAME" | "FNU" | "LNU")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_taken_off_names_but_names_are_left_whole() {
        for (text, name, title) in [
            ("MOLLYMRS", "MOLLY", "MRS"),
            ("ISABELLE MRS", "ISABELLE", "MRS"),
            ("KONG CHUN MRS", "KONG CHUN", "MRS"),
            ("KEVINMICHAELMR", "KEVINMICHAEL", "MR"),
            ("KAYLAMS", "KAYLA", "MS"),
            ("LIMR", "LI", "MR"),
            ("TIMMSTR", "TIM", "MSTR"),
            ("MRS ANNA", "ANNA", "MRS"),
            ("ADAMS", "ADAMS", ""),
            ("AMR", "AMR", ""),
            ("ALEXANDR", "ALEXANDR", ""),
            ("PETER", "PETER", ""),
            ("MR", "MR", ""),
            ("", "", ""),
        ] {
            assert_eq!(without_title(text, None), (name, title), "{text}");
        }
        assert_eq!(without_title("TEAMS", Some(Sex::Male)), ("TEAMS", ""));
        assert_eq!(without_leading_title("MRJONATHON", "JOHN"), ("JONATHON", "MR"));
        assert_eq!(without_leading_title("MRIDULA", "MRIDULA"), ("MRIDULA", ""));
        assert_eq!(without_leading_title("MRIDULA", ""), ("MRIDULA", ""));
        assert_eq!(without_suffix("SMITHJR"), ("SMITH", "JR"));
        assert_eq!(without_suffix("SMITH"), ("SMITH", ""));
    }

    #[test]
    fn given_and_middle_names_are_parted_by_the_document() {
        let names = |booked, given, middle| {
            let (given, middle) = given_and_middle(booked, given, middle);
            format!("{given}|{middle}")
        };
        assert_eq!(names("KEVINMICHAEL", "KEVIN", "MICHAEL"), "KEVIN|MICHAEL");
        assert_eq!(names("JOHN", "JOHNALVA", ""), "JOHN|ALVA");
        assert_eq!(names("MOLLY", "MOLLY", "ZARA"), "MOLLY|ZARA");
        assert_eq!(names("JOHN", "JONATHON", "ROBERT"), "JOHN|ROBERT");
        assert_eq!(names("SEJOON", "SE JOON", ""), "SE JOON|");
        assert_eq!(names("ANN", "ANNA", ""), "ANN|");
        assert_eq!(names("", "ANNA", "B"), "ANNA|B");
        assert_eq!(names("ANNA", "", ""), "ANNA|");
    }
}
