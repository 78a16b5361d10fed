//! Hexadecimal digits of bytes and of numbers of 64 bits.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The digits of bytes.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// The sixteen digits of a number.
pub(crate) fn sixteen(number: u64) -> String {
    hexadecimal(&number.to_be_bytes())
}

/// The bytes of digits; `None` for a text of another form.
pub(crate) fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// The number of sixteen digits.
pub(crate) fn number_of(text: &str) -> Option<u64> {
    (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_back() {
        assert_eq!(sixteen(0x0123_4567_89ab_cdef), "0123456789abcdef");
        assert_eq!(number_of("0123456789abcdef"), Some(0x0123_4567_89ab_cdef));
        assert_eq!(bytes_of("00ff"), Some(vec![0, 255]));
        assert_eq!((bytes_of("0"), bytes_of("zz"), number_of("1")), (None, None, None));
    }
}
