//! Names in one alphabet, and a key that spellings of one name share.
//!
//! [`fold`] writes Latin letters without marks, and Cyrillic and Greek ones by the tables of ICAO Doc 9303 (part 3,
//! section 6), as machine-readable passports do. [`skeleton`] goes on to what the transliterations of one name have in
//! common: the classes of its consonants, after the idea of Soundex (Russell, US patent 1261167, 1918), with classes
//! for transliterations from Arabic, Slavic and Chinese names in place of English spelling.

/// A name in capital ASCII letters and digits, its words parted by single spaces. Apostrophes, hyphens and points join:
/// `O'Brien-Smith` is `OBRIENSMITH`. Letters of scripts without a table are left out.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for letter in text.chars().flat_map(char::to_uppercase) {
        match letter {
            'A'..='Z' | '0'..='9' => folded.push(letter),
            '\'' | '-' | '.' | '\u{2019}' | '`' | '\u{301}' | '\u{308}' => {}
            // The Greek digraph is written OU.
            'Υ' | 'Ύ' if folded.ends_with('O') => folded.push('U'),
            _ => match transliterate(letter) {
                Some(letters) => folded.push_str(letters),
                None if !folded.ends_with(' ') && !folded.is_empty() => folded.push(' '),
                None => {}
            },
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

/// The letters of ICAO Doc 9303 for a capital letter.
fn transliterate(letter: char) -> Option<&'static str> {
    let at = LETTERS.binary_search_by_key(&letter, |(letter, _)| *letter).ok()?;
    Some(LETTERS[at].1)
}

/// Capital letters in the order of their code points.
#[rustfmt::skip]
const LETTERS: &[(char, &str)] = &[
    ('À', "A"), ('Á', "A"), ('Â', "A"), ('Ã', "A"), ('Ä', "AE"), ('Å', "AA"), ('Æ', "AE"), ('Ç', "C"),
    ('È', "E"), ('É', "E"), ('Ê', "E"), ('Ë', "E"), ('Ì', "I"), ('Í', "I"), ('Î', "I"), ('Ï', "I"),
    ('Ð', "D"), ('Ñ', "N"), ('Ò', "O"), ('Ó', "O"), ('Ô', "O"), ('Õ', "O"), ('Ö', "OE"), ('Ø', "OE"),
    ('Ù', "U"), ('Ú', "U"), ('Û', "U"), ('Ü', "UE"), ('Ý', "Y"), ('Þ', "TH"), ('Ā', "A"), ('Ă', "A"),
    ('Ą', "A"), ('Ć', "C"), ('Ĉ', "C"), ('Ċ', "C"), ('Č', "C"), ('Ď', "D"), ('Đ', "D"), ('Ē', "E"),
    ('Ĕ', "E"), ('Ė', "E"), ('Ę', "E"), ('Ě', "E"), ('Ĝ', "G"), ('Ğ', "G"), ('Ġ', "G"), ('Ģ', "G"),
    ('Ĥ', "H"), ('Ħ', "H"), ('Ĩ', "I"), ('Ī', "I"), ('Ĭ', "I"), ('Į', "I"), ('İ', "I"), ('Ĵ', "J"),
    ('Ķ', "K"), ('Ĺ', "L"), ('Ļ', "L"), ('Ľ', "L"), ('Ŀ', "L"), ('Ł', "L"), ('Ń', "N"), ('Ņ', "N"),
    ('Ň', "N"), ('Ō', "O"), ('Ŏ', "O"), ('Ő', "O"), ('Œ', "OE"), ('Ŕ', "R"), ('Ŗ', "R"), ('Ř', "R"),
    ('Ś', "S"), ('Ŝ', "S"), ('Ş', "S"), ('Š', "S"), ('Ţ', "T"), ('Ť', "T"), ('Ũ', "U"), ('Ū', "U"),
    ('Ŭ', "U"), ('Ů', "U"), ('Ű', "U"), ('Ų', "U"), ('Ŵ', "W"), ('Ŷ', "Y"), ('Ÿ', "Y"), ('Ź', "Z"),
    ('Ż', "Z"), ('Ž', "Z"), ('Ə', "A"), ('Ș', "S"), ('Ț', "T"), ('Ά', "A"), ('Έ', "E"), ('Ή', "I"),
    ('Ί', "I"), ('Ό', "O"), ('Ύ', "Y"), ('Ώ', "O"), ('Α', "A"), ('Β', "V"), ('Γ', "G"), ('Δ', "D"),
    ('Ε', "E"), ('Ζ', "Z"), ('Η', "I"), ('Θ', "TH"), ('Ι', "I"), ('Κ', "K"), ('Λ', "L"), ('Μ', "M"),
    ('Ν', "N"), ('Ξ', "X"), ('Ο', "O"), ('Π', "P"), ('Ρ', "R"), ('Σ', "S"), ('Τ', "T"), ('Υ', "Y"),
    ('Φ', "F"), ('Χ', "CH"), ('Ψ', "PS"), ('Ω', "O"), ('Ё', "E"), ('Ђ', "D"), ('Є', "IE"), ('І', "I"),
    ('Ї', "I"), ('Ј', "J"), ('Љ', "LJ"), ('Њ', "NJ"), ('Ћ', "C"), ('Ў', "U"), ('Џ', "DZ"), ('А', "A"),
    ('Б', "B"), ('В', "V"), ('Г', "G"), ('Д', "D"), ('Е', "E"), ('Ж', "ZH"), ('З', "Z"), ('И', "I"),
    ('Й', "I"), ('К', "K"), ('Л', "L"), ('М', "M"), ('Н', "N"), ('О', "O"), ('П', "P"), ('Р', "R"),
    ('С', "S"), ('Т', "T"), ('У', "U"), ('Ф', "F"), ('Х', "KH"), ('Ц', "TS"), ('Ч', "CH"), ('Ш', "SH"),
    ('Щ', "SHCH"), ('Ъ', "IE"), ('Ы', "Y"), ('Ь', ""), ('Э', "E"), ('Ю', "IU"), ('Я', "IA"), ('Ґ', "G"),
    ('ẞ', "SS"),
];

/// Spellings of one sound, the longer first, and the letter of their class.
#[rustfmt::skip]
const SOUNDS: &[(&str, char)] = &[
    ("SHCH", 'S'), ("TSCH", 'S'), ("SCH", 'S'), ("TCH", 'S'), ("CZ", 'S'), ("HS", 'S'), ("CH", 'S'), ("SH", 'S'), ("ZH", 'S'),
    ("TS", 'S'), ("TZ", 'S'), ("DZH", 'J'), ("DJ", 'J'), ("KH", 'H'), ("GH", 'H'), ("PH", 'F'), ("TH", 'T'),
    ("DH", 'D'), ("CK", 'K'), ("QU", 'K'), ("OU", 'U'), ("EI", 'I'),
];

/// What the spellings of one name have in common: its first letter's class, then the classes of its consonants without
/// doubles. Words are taken in alphabetical order, so that their order in the message is of no account.
///
/// `MOHAMMED`, `MUHAMMAD` and `MOHAMED` share `MHMD`; `YOUSSEF` and `JUSUF` share `YSF`.
#[must_use]
pub fn skeleton(name: &str) -> String {
    let folded = fold(name);
    let mut words: Vec<String> =
        folded.split(' ').map(skeleton_of_word).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words.concat()
}

fn skeleton_of_word(word: &str) -> String {
    let mut skeleton = String::new();
    let mut rest = word;
    let mut last = ' ';
    while let Some(first) = rest.chars().next() {
        let sound = SOUNDS.iter().find_map(|(spelling, class)| Some((rest.strip_prefix(spelling)?, *class)));
        let (after, letter) = sound.unwrap_or_else(|| (&rest[1..], first));
        rest = after;
        let class = match letter {
            'C' | 'Q' | 'G' => 'K',
            'X' | 'Z' => 'S',
            'W' => 'V',
            'J' => 'Y',
            'A' | 'E' | 'I' | 'O' | 'U' if skeleton.is_empty() => 'A',
            'A' | 'E' | 'I' | 'O' | 'U' => ' ',
            'Y' if !skeleton.is_empty() => ' ',
            other => other,
        };
        if class != ' ' && class != last {
            skeleton.push(class);
        }
        last = class;
    }
    skeleton
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_in_the_order_that_the_search_needs() {
        assert!(LETTERS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn names_of_other_alphabets_are_written_as_passports_do() {
        for (name, folded) in [
            ("Müller", "MUELLER"),
            ("Wałęsa", "WALESA"),
            ("Straße", "STRASSE"),
            ("Хрущёв", "KHRUSHCHEV"),
            ("Горбачев", "GORBACHEV"),
            ("Παπαδόπουλος", "PAPADOPOULOS"),
            ("O'Brien-Smith", "OBRIENSMITH"),
            ("  de   la Cruz ", "DE LA CRUZ"),
            ("İnanç", "INANC"),
            ("王", ""),
        ] {
            assert_eq!(fold(name), folded, "{name}");
        }
    }

    #[test]
    fn transliterations_of_a_name_share_a_skeleton() {
        for (names, skeleton) in [
            (&["MOHAMMED", "MUHAMMAD", "MOHAMED", "Mohamad"][..], "MHMD"),
            (&["YOUSSEF", "JUSUF", "YUSUF"], "YSF"),
            (&["QADDAFI", "GADAFI", "KADHAFI"], "KDF"),
            (&["KHALID", "HALID"], "HLD"),
            (&["XIUYUAN", "HSIUYUAN"], "SN"),
        ] {
            let found: Vec<_> = names.iter().map(|name| self::skeleton(name)).collect();
            assert!(found.iter().all(|one| one == skeleton), "{found:?}");
        }
        assert_eq!(self::skeleton("ANNA MARIA"), self::skeleton("MARIA ANNA"));
        assert_ne!(self::skeleton("SMITH"), self::skeleton("JONES"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_folded_once_and_for_all(text in ".{0,40}") {
            let folded = fold(&text);
            proptest::prop_assert_eq!(fold(&folded), folded.clone());
            proptest::prop_assert!(folded.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' '));
            proptest::prop_assert!(skeleton(&text).len() <= folded.len());
        }
    }
}
