//! From a description of goods to hashed features: words, pairs of words, and character n-grams.
//!
//! Normalisation removes case, accents, punctuation and full-width forms, and separates digits from letters, so that
//! `10PCS` and `10 pcs` are the same. Character n-grams are taken within a word whose ends are marked; they make a
//! misspelt or abbreviated word resemble the right one (Bojanowski et al., "Enriching Word Vectors with Subword
//! Information", TACL 2017, section 3.2). A feature is the xxh3 hash of a slice of the normalised text, so that no
//! feature is allocated. Any text gives features or none, never an error. Start at [`Extractor::read`].

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of a description that are read; what follows is ignored.
pub const MOST_BYTES: usize = 8192;

/// Words of a description that are read.
const MOST_WORDS: usize = 256;

/// Lengths of character n-grams. Longer ones gain nothing on the validation texts of published declarations.
const NGRAM_LENGTHS: std::ops::RangeInclusive<usize> = 3..=4;

/// Lengths of character n-grams in a script that does not separate words by spaces.
const IDEOGRAPH_NGRAM_LENGTHS: std::ops::RangeInclusive<usize> = 1..=3;

/// What a feature is made of; each kind is hashed with its own seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FeatureKind {
    /// A word.
    Word,
    /// Two words that follow each other.
    Pair,
    /// A character n-gram of a word.
    Ngram,
}

/// One feature of a description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Feature {
    /// The hash of its text.
    pub hash: u64,
    /// The number of the word that it belongs to (of a pair, the second one), from 0.
    pub word: u32,
    /// What it is made of.
    pub kind: FeatureKind,
}

/// Extracts the features of one description after the other, in buffers that are used again.
#[derive(Debug, Default)]
pub struct Extractor {
    /// The normalised text: a space, then each word with a space after it.
    text: String,
    words: Vec<(u32, u32)>,
    bounds: Vec<u32>,
    features: Vec<Feature>,
}

impl Extractor {
    /// The features of a description, each once, in ascending order of their hashes.
    pub fn read(&mut self, description: &str) -> &[Feature] {
        self.normalise(description);
        self.features.clear();
        for word in 0..self.words.len() {
            self.word(word);
        }
        self.features.sort_unstable();
        self.features.dedup_by_key(|feature| feature.hash);
        &self.features
    }

    /// The normalised words of the description read last.
    pub fn words(&self) -> impl ExactSizeIterator<Item = &str> {
        self.words.iter().map(|(start, end)| &self.text[*start as usize..*end as usize])
    }

    /// The normalised words with single spaces between them.
    pub fn text(&self) -> &str {
        self.text.trim_matches(' ')
    }

    fn normalise(&mut self, description: &str) {
        self.text.clear();
        self.text.push(' ');
        self.words.clear();
        let mut last = Class::Other;
        let mut start = 1;
        for character in start_of(description).chars().flat_map(char::to_lowercase) {
            let character = half_width(character);
            let class = Class::of(character);
            if class == Class::Mark {
                continue;
            }
            if last != Class::Other && class != last {
                self.words.push((start, self.text.len() as u32));
                self.text.push(' ');
                if self.words.len() == MOST_WORDS {
                    return;
                }
            }
            if class != Class::Other {
                if class != last {
                    start = self.text.len() as u32;
                }
                match without_accent(character) {
                    Ok(plain) => self.text.push_str(plain),
                    Err(itself) => self.text.push(itself),
                }
            }
            last = class;
        }
        if last != Class::Other {
            self.words.push((start, self.text.len() as u32));
            self.text.push(' ');
        }
    }

    fn word(&mut self, word: usize) {
        let (start, end) = self.words[word];
        let bytes = self.text.as_bytes();
        let slice = &bytes[start as usize..end as usize];
        let number = word as u32;
        let mut add = |slice: &[u8], kind: FeatureKind| {
            let hash = xxh3_64_with_seed(slice, kind as u64 + 1);
            self.features.push(Feature { hash, word: number, kind });
        };
        add(slice, FeatureKind::Word);
        if let Some((before, _)) = word.checked_sub(1).map(|before| self.words[before]) {
            add(&bytes[before as usize..end as usize], FeatureKind::Pair);
        }
        let first = self.text[start as usize..].chars().next().unwrap_or(' ');
        if Class::of(first) == Class::Digit {
            return;
        }
        // The spaces on both sides mark the word's ends.
        let (from, to) = (start as usize - 1, end as usize + 1);
        let lengths = if is_ideograph(first) { IDEOGRAPH_NGRAM_LENGTHS } else { NGRAM_LENGTHS };
        self.bounds.clear();
        self.bounds.extend(self.text[from..to].char_indices().map(|(at, _)| (from + at) as u32));
        self.bounds.push(to as u32);
        for length in lengths {
            for ends in self.bounds.windows(length + 1) {
                add(&bytes[ends[0] as usize..ends[length] as usize], FeatureKind::Ngram);
            }
        }
    }
}

/// Whether a description is longer than [`MOST_BYTES`], so that its end is ignored.
pub fn is_cut(description: &str) -> bool {
    description.len() > MOST_BYTES
}

/// The part of a description that is read.
pub fn start_of(description: &str) -> &str {
    &description[..description.floor_char_boundary(MOST_BYTES)]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    /// A combining accent, which is left out.
    Mark,
    Other,
}

impl Class {
    fn of(character: char) -> Self {
        match character {
            'a'..='z' => Self::Letter,
            '0'..='9' => Self::Digit,
            '\0'..='\u{7f}' => Self::Other,
            '\u{300}'..='\u{36f}' => Self::Mark,
            _ if character.is_alphabetic() => Self::Letter,
            _ if character.is_numeric() => Self::Digit,
            _ => Self::Other,
        }
    }
}

/// The ASCII form of a full-width character.
fn half_width(character: char) -> char {
    match character {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(character as u32 - 0xff01 + 0x21).unwrap_or(character).to_ascii_lowercase()
        }
        _ => character,
    }
}

/// A lower-case Latin letter without its accent; another character itself.
fn without_accent(character: char) -> Result<&'static str, char> {
    Ok(match character {
        'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
        'ĺ' | 'ļ' | 'ľ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' => "s",
        'ţ' | 'ť' => "t",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        other => return Err(other),
    })
}

/// Whether a character belongs to a script that does not separate words by spaces.
fn is_ideograph(character: char) -> bool {
    matches!(character, '\u{e00}'..='\u{e7f}' | '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normalised(text: &str) -> String {
        let mut extractor = Extractor::default();
        extractor.read(text);
        extractor.text().to_owned()
    }

    fn features(text: &str) -> Vec<Feature> {
        Extractor::default().read(text).to_vec()
    }

    #[test]
    fn case_accents_punctuation_and_full_width_forms_are_removed() {
        assert_eq!(normalised("  HOSE-TAP 3/4\"  26PCS_x000D_"), "hose tap 3 4 26 pcs x 000 d");
        assert_eq!(normalised("Café, crème BRÛLÉE; Straße"), "cafe creme brulee strasse");
        assert_eq!(normalised("cafe\u{301}"), "cafe");
        assert_eq!(normalised("ＡＢＣ１２"), "abc 12");
        assert_eq!(normalised("\0\u{1}..,"), "");
    }

    #[test]
    fn a_short_text_has_the_features_counted_by_hand() {
        // ` ab ` has the n-grams ` ab`, `ab ` and ` ab `; a number has none.
        let found = features("ab 12");
        let count = |kind| found.iter().filter(|feature| feature.kind == kind).count();
        assert_eq!(
            (count(FeatureKind::Word), count(FeatureKind::Pair), count(FeatureKind::Ngram)),
            (2, 1, 3)
        );
        let word = xxh3_64_with_seed(b"ab", 1);
        assert!(found.iter().any(|feature| feature.hash == word && feature.word == 0));
        let pair = xxh3_64_with_seed(b"ab 12", 2);
        assert!(found.iter().any(|feature| feature.hash == pair && feature.word == 1));
    }

    #[test]
    fn a_misspelt_word_shares_ngrams() {
        let (right, wrong) = (features("refrigerator"), features("refridgerator"));
        let shared = right.iter().filter(|one| wrong.iter().any(|other| other.hash == one.hash)).count();
        assert!(shared * 2 > right.len(), "{shared} of {}", right.len());
    }

    #[test]
    fn a_megabyte_is_cut_and_ideographs_have_ngrams() {
        let long = "shrimp ".repeat(150_000);
        assert!(is_cut(&long));
        let mut extractor = Extractor::default();
        extractor.read(&long);
        assert_eq!(extractor.words().len(), MOST_WORDS);
        assert!(features("冷凍蝦").iter().filter(|feature| feature.kind == FeatureKind::Ngram).count() >= 9);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let mut extractor = Extractor::default();
            let found = extractor.read(&text).to_vec();
            prop_assert!(found.is_sorted_by(|one, next| one.hash < next.hash));
            let words = extractor.words().len();
            prop_assert!(found.iter().all(|feature| (feature.word as usize) < words));
            let once = extractor.text().to_owned();
            prop_assert!(words <= MOST_WORDS && (words == 0) == once.is_empty());
        }

        #[test]
        fn case_and_spaces_do_not_matter(words in prop::collection::vec("[a-z]{1,9}", 1..9)) {
            let one = words.join(" ");
            let other = format!("  {}.", words.join(" - ").to_uppercase());
            prop_assert_eq!(features(&one), features(&other));
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = features(&String::from_utf8_lossy(&bytes));
        }
    }
}
