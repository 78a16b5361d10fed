//! HS codes as numbers and as text.
//!
//! Six digits are a number below a million, so that the chapters 1 to 9 lose their leading zero; a level's code is that
//! number without its last digits. A code with national digits, which a country adds after the six, has up to twelve
//! digits and keeps its leading zero.

/// The levels of the HS: chapters, headings, subheadings.
pub(crate) const LEVELS: usize = 3;

/// Digits of a code at each level.
pub const DIGITS: [usize; LEVELS] = [2, 4, 6];

/// What a six-digit code is divided by to get the code of a level.
pub(crate) const DIVISORS: [u32; LEVELS] = [10_000, 100, 1];

/// Most digits of a code, national ones included.
const MOST_DIGITS: usize = 12;

/// The code of a level that a six-digit code belongs to.
pub(crate) fn at_level(code: u32, level: usize) -> u32 {
    code / DIVISORS[level]
}

/// The text of a level's code, with its leading zero.
pub fn written(code: u32, level: usize) -> String {
    format!("{code:0width$}", width = DIGITS[level])
}

/// Appends the text of a level's code.
pub(crate) fn write(code: u32, level: usize, text: &mut String) {
    let digits = (0..DIGITS[level] as u32).rev();
    text.extend(digits.map(|place| char::from(b'0' + (code / 10_u32.pow(place) % 10) as u8)));
}

/// The six digits that a text begins with; `None` when there are fewer, or when they begin with `00`, which is no
/// chapter.
pub fn six_digits(code: &str) -> Option<u32> {
    let digits = code.get(..6).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().filter(|code| *code >= 10_000)
}

/// A code of seven to twelve digits as a number: its digits after a 1, which keeps the leading zero; 0 for any other
/// text.
pub(crate) fn national(code: &str) -> u64 {
    let has_more = (7..=MOST_DIGITS).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit());
    if has_more { code.bytes().fold(1, |number, byte| number * 10 + u64::from(byte - b'0')) } else { 0 }
}

/// The text of a code that [`national`] made a number.
pub(crate) fn written_national(national: u64) -> String {
    let mut digits = national.to_string();
    digits.remove(0);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_keep_their_zeros() {
        let mut text = String::new();
        write(101, 1, &mut text);
        write(10_121, 2, &mut text);
        assert_eq!(text, "0101010121");
        assert_eq!((written(101, 1), written(10_121, 2)), ("0101".to_owned(), "010121".to_owned()));
        assert_eq!(
            (six_digits("0101210090"), six_digits("01012"), six_digits("000000")),
            (Some(10_121), None, None)
        );
        assert_eq!(written_national(national("0306170010")), "0306170010");
        assert_eq!(["030617", "03061x0010", "", "1234567890123"].map(national), [0; 4]);
    }
}
