//! The numbers of reports as text: rounded for readers, with the separators of the report's language.
//!
//! Start at [`NumberFormat`]; the functions of this module are its methods for [`ENGLISH`].

/// The text for a value that is absent or not finite.
pub const ABSENT: &str = "–";

/// The number format of a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberFormat {
    thousands: char,
    decimal: char,
    /// The words for 10^6, 10^9 and 10^12, each for amounts below two (singular) and from two on (plural).
    amounts: [[&'static str; 2]; 3],
}

/// English: a comma between thousands and a decimal point.
pub const ENGLISH: NumberFormat = NumberFormat {
    thousands: ',',
    decimal: '.',
    amounts: [["million", "million"], ["billion", "billion"], ["trillion", "trillion"]],
};

/// French: a narrow no-break space between thousands, a decimal comma, and the long scale (milliard, billion).
pub const FRENCH: NumberFormat = NumberFormat {
    thousands: '\u{202f}',
    decimal: ',',
    amounts: [["million", "millions"], ["milliard", "milliards"], ["billion", "billions"]],
};

/// Spanish: a narrow no-break space between thousands, a decimal comma, and the long scale (mil millones, billón).
pub const SPANISH: NumberFormat = NumberFormat {
    thousands: '\u{202f}',
    decimal: ',',
    amounts: [["millón", "millones"], ["mil millones", "mil millones"], ["billón", "billones"]],
};

impl Default for NumberFormat {
    fn default() -> Self {
        ENGLISH
    }
}

impl NumberFormat {
    /// A whole number with thousands separators: `12,345`.
    pub fn count(self, value: f64) -> String {
        self.fixed(value, 0)
    }

    /// A number with a fixed number of decimals and thousands separators: `1,234.50`.
    pub fn fixed(self, value: f64, decimals: usize) -> String {
        if !value.is_finite() {
            return ABSENT.to_owned();
        }
        let digits = format!("{:.decimals$}", value.abs());
        let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
        let mut text = String::new();
        // A value that is rounded to zero has no sign.
        if value < 0.0 && digits.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) {
            text.push('−');
        }
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index).is_multiple_of(3) {
                text.push(self.thousands);
            }
            text.push(digit);
        }
        text.extend(fraction.chars().map(|digit| if digit == '.' { self.decimal } else { digit }));
        text
    }

    /// A share in 0..=1 as a percentage with one decimal: `45.6 %` (with a no-break space). A share that would be
    /// rounded to 100.0 % or 0.0 %, but is not exactly that, is written `>99.9 %` or `<0.1 %`.
    pub fn percent(self, share: f64) -> String {
        match share {
            _ if !share.is_finite() => ABSENT.to_owned(),
            _ if (0.9995..1.0).contains(&share) => format!(">{}\u{a0}%", self.fixed(99.9, 1)),
            _ if share > 0.0 && share < 0.0005 => format!("<{}\u{a0}%", self.fixed(0.1, 1)),
            _ => format!("{}\u{a0}%", self.fixed(share * 100.0, 1)),
        }
    }

    /// A share in 0..=1 for a sentence: without the decimal where it is zero (`5 %`), else with it (`0.1 %`).
    pub fn percent_short(self, share: f64) -> String {
        self.percent(share).replace(&format!("{}0\u{a0}", self.decimal), "\u{a0}")
    }

    /// An amount in whole currency units below a million, then three figures: `12.3 million`, `1.20 billion`.
    pub fn money(self, value: f64) -> String {
        let size = value.abs();
        // The bounds are where the smaller unit would round to 1,000 of it.
        let (unit, names) = match size {
            _ if size >= 999_500_000_000.0 => (1e12, self.amounts[2]),
            _ if size >= 999_500_000.0 => (1e9, self.amounts[1]),
            _ if size >= 999_999.5 => (1e6, self.amounts[0]),
            _ => return self.count(value),
        };
        let decimals = match size / unit {
            scaled if scaled >= 99.95 => 0,
            scaled if scaled >= 9.995 => 1,
            _ => 2,
        };
        if value.is_finite() {
            let name = names[usize::from(size / unit >= 1.995)];
            format!("{}\u{a0}{name}", self.fixed(value / unit, decimals))
        } else {
            ABSENT.to_owned()
        }
    }

    /// A ratio or a measure such as an area under a curve: three decimals.
    pub fn ratio(self, value: f64) -> String {
        self.fixed(value, 3)
    }

    /// A measured number of unknown size: four significant figures, no trailing zeros.
    pub fn number(self, value: f64) -> String {
        if value == 0.0 || !value.is_finite() {
            return if value == 0.0 { "0".to_owned() } else { ABSENT.to_owned() };
        }
        let magnitude = value.abs().log10().floor() as i32;
        let text = self.fixed(value, (3 - magnitude).clamp(0, 9) as usize);
        match text.contains(self.decimal) {
            true => text.trim_end_matches('0').trim_end_matches(self.decimal).to_owned(),
            false => text,
        }
    }
}

/// [`NumberFormat::count`] in English.
pub fn count(value: f64) -> String {
    ENGLISH.count(value)
}

/// [`NumberFormat::fixed`] in English.
pub fn fixed(value: f64, decimals: usize) -> String {
    ENGLISH.fixed(value, decimals)
}

/// [`NumberFormat::percent`] in English.
pub fn percent(share: f64) -> String {
    ENGLISH.percent(share)
}

/// [`NumberFormat::percent_short`] in English.
pub fn percent_short(share: f64) -> String {
    ENGLISH.percent_short(share)
}

/// [`NumberFormat::money`] in English.
pub fn money(value: f64) -> String {
    ENGLISH.money(value)
}

/// [`NumberFormat::ratio`] in English.
pub fn ratio(value: f64) -> String {
    ENGLISH.ratio(value)
}

/// [`NumberFormat::number`] in English.
pub fn number(value: f64) -> String {
    ENGLISH.number(value)
}

/// A period such as `2024-01..2024-03` as it is shown.
pub fn period(text: &str) -> String {
    match text.split_once("..") {
        Some((first, last)) if first != last => format!("{first} – {last}"),
        Some((only, _)) => only.to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_of_one_month_is_that_month() {
        let shown = ["2024-01..2024-03", "2024-01..2024-01", "2024-01", ""].map(period);
        assert_eq!(shown, ["2024-01 – 2024-03", "2024-01", "2024-01", ""]);
    }

    #[test]
    fn numbers_are_rounded_and_have_their_separators() {
        assert_eq!(count(0.0), "0");
        assert_eq!(count(999.0), "999");
        assert_eq!(count(12_345.0), "12,345");
        assert_eq!(count(-1_234_567.4), "−1,234,567");
        assert_eq!(count(-0.2), "0");
        assert_eq!(count(f64::NAN), "–");
        assert_eq!(fixed(1234.5, 2), "1,234.50");
        assert_eq!(percent(0.4562), "45.6\u{a0}%");
        assert_eq!((percent(0.99991), percent(1.0)), (">99.9\u{a0}%".to_owned(), "100.0\u{a0}%".to_owned()));
        assert_eq!((percent(0.0004), percent(0.0)), ("<0.1\u{a0}%".to_owned(), "0.0\u{a0}%".to_owned()));
        assert_eq!(percent_short(0.05), "5\u{a0}%");
        assert_eq!(percent_short(0.001), "0.1\u{a0}%");
        assert_eq!(ratio(0.87654), "0.877");
        assert_eq!(money(999_999.0), "999,999");
        assert_eq!(money(999_999.9), "1.00\u{a0}million");
        assert_eq!(money(12_345_678.0), "12.3\u{a0}million");
        assert_eq!(money(999_600_000.0), "1.00\u{a0}billion");
        assert_eq!(money(-123_456_789.0), "−123\u{a0}million");
        assert_eq!(number(12_345.678), "12,346");
        assert_eq!(number(0.012_344), "0.01234");
        assert_eq!(number(2.5), "2.5");
        assert_eq!(number(1200.0), "1,200");
    }

    #[test]
    fn french_and_spanish_numbers_have_a_comma_and_spaces() {
        assert_eq!(FRENCH.fixed(1_234_567.891, 2), "1\u{202f}234\u{202f}567,89");
        assert_eq!(FRENCH.number(1234.5), "1\u{202f}234");
        assert_eq!(FRENCH.number(2.50), "2,5");
        assert_eq!(FRENCH.percent(0.4562), "45,6\u{a0}%");
        assert_eq!(
            (FRENCH.percent(0.99991), FRENCH.percent(0.0001)),
            (">99,9\u{a0}%".into(), "<0,1\u{a0}%".into())
        );
        assert_eq!(FRENCH.percent_short(0.05), "5\u{a0}%");
        assert_eq!(FRENCH.money(1_200_000.0), "1,20\u{a0}million");
        assert_eq!(FRENCH.money(12_345_678.0), "12,3\u{a0}millions");
        assert_eq!(FRENCH.money(2_000_000_000.0), "2,00\u{a0}milliards");
        assert_eq!(SPANISH.money(2_000_000_000.0), "2,00\u{a0}mil millones");
        assert_eq!(SPANISH.fixed(1_234_567.891, 2), FRENCH.fixed(1_234_567.891, 2));
    }
}
