//! The code lists that the ingest checks: countries (ISO 3166-1 alpha-2) and currencies (ISO 4217), with the days on
//! which they are in force.
//!
//! Source: the UN M49 country table and the ISO 4217 list of active currencies; the withdrawn ones from ISO 3166-3 and
//! from list three of ISO 4217, which gives months. A code is in force from the first day of the year in which it was
//! introduced to the last day of the month in which it was withdrawn. The lists are sorted; a code that a standard adds
//! is added in its place. Start at [`in_force`].

use chrono::NaiveDate;

/// Active ISO 3166-1 alpha-2 codes, sorted.
const COUNTRIES: [&str; 249] = [
    "AD", "AE", "AF", "AG", "AI", "AL", "AM", "AO", "AQ", "AR", "AS", "AT", "AU", "AW", "AX", "AZ", "BA",
    "BB", "BD", "BE", "BF", "BG", "BH", "BI", "BJ", "BL", "BM", "BN", "BO", "BQ", "BR", "BS", "BT", "BV",
    "BW", "BY", "BZ", "CA", "CC", "CD", "CF", "CG", "CH", "CI", "CK", "CL", "CM", "CN", "CO", "CR", "CU",
    "CV", "CW", "CX", "CY", "CZ", "DE", "DJ", "DK", "DM", "DO", "DZ", "EC", "EE", "EG", "EH", "ER", "ES",
    "ET", "FI", "FJ", "FK", "FM", "FO", "FR", "GA", "GB", "GD", "GE", "GF", "GG", "GH", "GI", "GL", "GM",
    "GN", "GP", "GQ", "GR", "GS", "GT", "GU", "GW", "GY", "HK", "HM", "HN", "HR", "HT", "HU", "ID", "IE",
    "IL", "IM", "IN", "IO", "IQ", "IR", "IS", "IT", "JE", "JM", "JO", "JP", "KE", "KG", "KH", "KI", "KM",
    "KN", "KP", "KR", "KW", "KY", "KZ", "LA", "LB", "LC", "LI", "LK", "LR", "LS", "LT", "LU", "LV", "LY",
    "MA", "MC", "MD", "ME", "MF", "MG", "MH", "MK", "ML", "MM", "MN", "MO", "MP", "MQ", "MR", "MS", "MT",
    "MU", "MV", "MW", "MX", "MY", "MZ", "NA", "NC", "NE", "NF", "NG", "NI", "NL", "NO", "NP", "NR", "NU",
    "NZ", "OM", "PA", "PE", "PF", "PG", "PH", "PK", "PL", "PM", "PN", "PR", "PS", "PT", "PW", "PY", "QA",
    "RE", "RO", "RS", "RU", "RW", "SA", "SB", "SC", "SD", "SE", "SG", "SH", "SI", "SJ", "SK", "SL", "SM",
    "SN", "SO", "SR", "SS", "ST", "SV", "SX", "SY", "SZ", "TC", "TD", "TF", "TG", "TH", "TJ", "TK", "TL",
    "TM", "TN", "TO", "TR", "TT", "TV", "TW", "TZ", "UA", "UG", "UM", "US", "UY", "UZ", "VA", "VC", "VE",
    "VG", "VI", "VN", "VU", "WF", "WS", "YE", "YT", "ZA", "ZM", "ZW",
];

/// Active ISO 4217 alphabetic codes, sorted.
const CURRENCIES: [&str; 178] = [
    "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BHD", "BIF", "BMD",
    "BND", "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHE", "CHF", "CHW", "CLF",
    "CLP", "CNY", "COP", "COU", "CRC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB",
    "EUR", "FJD", "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GNF", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF",
    "IDR", "ILS", "INR", "IQD", "IRR", "ISK", "JMD", "JOD", "JPY", "KES", "KGS", "KHR", "KMF", "KPW", "KRW",
    "KWD", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "LYD", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT",
    "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MXV", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD",
    "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "PYG", "QAR", "RON", "RSD", "RUB", "RWF", "SAR", "SBD",
    "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD", "SSP", "STN", "SVC", "SYP", "SZL", "THB", "TJS",
    "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "UGX", "USD", "USN", "UYI", "UYU", "UYW", "UZS",
    "VED", "VES", "VND", "VUV", "WST", "XAD", "XAF", "XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XCD", "XCG",
    "XDR", "XOF", "XPD", "XPF", "XPT", "XSU", "XTS", "XUA", "XXX", "YER", "ZAR", "ZMW", "ZWG",
];

/// A code that is in force from one day (included) to another (excluded), in days since 1970-01-01.
#[derive(Clone, Copy)]
struct Dated {
    code: &'static str,
    from: i32,
    until: i32,
}

/// Introduced in a year.
const fn since(code: &'static str, year: i32) -> Dated {
    Dated { code, from: first_of_month(year, 1), until: i32::MAX }
}

/// Withdrawn in a month.
const fn until(code: &'static str, year: i32, month: u32) -> Dated {
    between(code, 1900, year, month)
}

/// Introduced in a year, withdrawn in a month.
const fn between(code: &'static str, first: i32, year: i32, month: u32) -> Dated {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    Dated { code, from: first_of_month(first, 1), until: first_of_month(next_year, next_month) }
}

const fn first_of_month(year: i32, month: u32) -> i32 {
    match NaiveDate::from_ymd_opt(year, month, 1) {
        Some(date) => date.to_epoch_days(),
        None => 0,
    }
}

/// Countries that were introduced or withdrawn while there was customs data, sorted by code and day.
const DATED_COUNTRIES: [Dated; 38] = [
    until("AN", 2010, 12),
    since("AX", 2004),
    since("BL", 2007),
    since("BQ", 2010),
    until("BU", 1989, 12),
    since("CD", 1997),
    until("CS", 1993, 6),
    between("CS", 2003, 2006, 9),
    since("CW", 2010),
    since("CZ", 1993),
    until("DD", 1990, 10),
    until("DY", 1977, 12),
    since("ER", 1993),
    between("FX", 1993, 1997, 7),
    since("GG", 2006),
    until("HV", 1984, 8),
    since("IM", 2006),
    since("JE", 2006),
    since("ME", 2006),
    since("MF", 2007),
    since("MK", 1993),
    since("MM", 1989),
    until("NH", 1980, 12),
    until("NT", 1993, 7),
    since("PS", 1999),
    until("PZ", 1980, 12),
    until("RH", 1980, 12),
    since("RS", 2006),
    since("SK", 1993),
    since("SS", 2011),
    until("SU", 1992, 8),
    since("SX", 2010),
    since("TL", 2002),
    until("TP", 2002, 5),
    until("VD", 1977, 12),
    until("YD", 1990, 8),
    until("YU", 2003, 7),
    until("ZR", 1997, 7),
];

/// Currencies that were introduced or withdrawn while there was customs data, sorted by code.
const DATED_CURRENCIES: [Dated; 144] = [
    until("ADP", 2003, 7),
    until("AFA", 2003, 1),
    since("AFN", 2002),
    until("ALK", 1989, 12),
    until("ANG", 2025, 3),
    since("AOA", 1999),
    until("AOK", 1991, 3),
    until("AON", 2000, 2),
    until("AOR", 2000, 2),
    until("ARA", 1992, 1),
    until("ARP", 1985, 7),
    until("ATS", 2002, 3),
    until("AYM", 2005, 10),
    between("AZM", 1992, 2005, 12),
    since("AZN", 2006),
    until("BAD", 1998, 7),
    since("BAM", 1998),
    until("BEC", 1990, 3),
    until("BEF", 2002, 3),
    until("BEL", 1990, 3),
    until("BGL", 2003, 11),
    between("BGN", 1999, 2026, 1),
    until("BOP", 1987, 2),
    until("BRB", 1986, 3),
    until("BRC", 1989, 2),
    until("BRE", 1993, 3),
    since("BRL", 1994),
    until("BRN", 1990, 3),
    until("BRR", 1994, 7),
    until("BUK", 1990, 2),
    until("BYB", 2001, 1),
    since("BYN", 2016),
    between("BYR", 2000, 2017, 1),
    since("CDF", 1998),
    until("CHC", 2004, 11),
    between("CSD", 2003, 2006, 10),
    until("CSK", 1993, 3),
    between("CUC", 1994, 2021, 6),
    until("CYP", 2008, 1),
    until("DEM", 2002, 3),
    until("ECS", 2000, 9),
    until("ECV", 2000, 9),
    between("EEK", 1992, 2011, 1),
    until("ESB", 1994, 12),
    until("ESP", 2002, 3),
    since("EUR", 1999),
    until("FIM", 2002, 3),
    until("FRF", 2002, 3),
    until("GEK", 1995, 10),
    since("GEL", 1995),
    between("GHC", 1967, 2008, 1),
    until("GHP", 2007, 6),
    since("GHS", 2007),
    until("GNE", 1989, 12),
    until("GNS", 1986, 2),
    until("GQE", 1986, 6),
    until("GRD", 2002, 3),
    until("GWP", 1997, 5),
    until("HRD", 1995, 1),
    between("HRK", 1994, 2023, 1),
    until("IEP", 2002, 3),
    until("ITL", 2002, 3),
    until("LAJ", 1979, 12),
    until("LSM", 1985, 5),
    between("LTL", 1993, 2014, 12),
    until("LTT", 1993, 7),
    until("LUC", 1990, 3),
    until("LUF", 2002, 3),
    until("LUL", 1990, 3),
    between("LVL", 1992, 2014, 1),
    until("LVR", 1994, 12),
    since("MGA", 2003),
    until("MGF", 2004, 12),
    until("MLF", 1984, 11),
    until("MRO", 2017, 12),
    since("MRU", 2017),
    until("MTL", 2008, 1),
    until("MTP", 1983, 6),
    until("MVQ", 1989, 12),
    until("MXP", 1993, 1),
    between("MZM", 1980, 2006, 6),
    since("MZN", 2006),
    until("NIC", 1990, 10),
    until("NLG", 2002, 3),
    until("PEI", 1991, 7),
    until("PES", 1986, 2),
    since("PLN", 1995),
    until("PLZ", 1997, 1),
    until("PTE", 2002, 3),
    until("ROL", 2005, 6),
    since("RON", 2005),
    since("RSD", 2006),
    since("RUB", 1998),
    until("RUR", 2004, 1),
    between("SDD", 1992, 2007, 7),
    since("SDG", 2007),
    until("SDP", 1998, 6),
    between("SIT", 1991, 2007, 1),
    between("SKK", 1993, 2009, 1),
    since("SLE", 2022),
    until("SLL", 2023, 12),
    since("SRD", 2004),
    until("SRG", 2003, 12),
    since("SSP", 2011),
    until("STD", 2017, 12),
    since("STN", 2017),
    until("SUR", 1990, 12),
    until("TJR", 2001, 4),
    since("TJS", 2000),
    between("TMM", 1993, 2009, 1),
    since("TMT", 2009),
    until("TPE", 2002, 11),
    until("TRL", 2005, 12),
    since("TRY", 2005),
    since("UAH", 1996),
    until("UAK", 1996, 9),
    until("UGS", 1987, 5),
    until("UYN", 1989, 12),
    until("UYP", 1993, 3),
    since("UYW", 2018),
    until("VEB", 2008, 1),
    since("VED", 2021),
    between("VEF", 2008, 2018, 8),
    since("VES", 2018),
    since("XCG", 2025),
    until("XEU", 1999, 1),
    until("XFO", 2006, 10),
    until("XFU", 2013, 11),
    until("XRE", 1999, 11),
    until("YDD", 1991, 9),
    until("YUD", 1990, 1),
    between("YUM", 1994, 2003, 7),
    until("YUN", 1995, 11),
    until("ZAL", 1995, 3),
    until("ZMK", 2012, 12),
    since("ZMW", 2013),
    until("ZRN", 1999, 6),
    until("ZRZ", 1994, 2),
    until("ZWC", 1989, 12),
    until("ZWD", 2008, 8),
    since("ZWG", 2024),
    between("ZWL", 2009, 2024, 9),
    between("ZWN", 2006, 2006, 9),
    between("ZWR", 2008, 2009, 6),
];

/// The place of a code among all codes of as many capital letters: the code as a number to base 26.
const fn place(code: &[u8]) -> Option<usize> {
    let (mut place, mut index) = (0, 0);
    while index < code.len() {
        if !code[index].is_ascii_uppercase() {
            return None;
        }
        place = place * 26 + (code[index] - b'A') as usize;
        index += 1;
    }
    Some(place)
}

/// A list as a bit set by [`place`], without the dated codes, so that a look-up of most codes is one load: the ingest
/// makes three for each row.
const fn bits<const WORDS: usize>(codes: &[&str], dated: &[Dated]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    let mut index = 0;
    while index < codes.len() {
        if let Some(place) = place(codes[index].as_bytes()) {
            words[place / 64] |= 1 << (place % 64);
        }
        index += 1;
    }
    index = 0;
    while index < dated.len() {
        if let Some(place) = place(dated[index].code.as_bytes()) {
            words[place / 64] &= !(1 << (place % 64));
        }
        index += 1;
    }
    words
}

static COUNTRY_BITS: [u64; 26_usize.pow(2).div_ceil(64)] = bits(&COUNTRIES, &DATED_COUNTRIES);
static CURRENCY_BITS: [u64; 26_usize.pow(3).div_ceil(64)] = bits(&CURRENCIES, &DATED_CURRENCIES);

fn holds(words: &[u64], place: Option<usize>) -> bool {
    place.is_some_and(|place| words[place / 64] >> (place % 64) & 1 == 1)
}

/// A code list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// ISO 3166-1 alpha-2.
    Countries,
    /// ISO 4217.
    Currencies,
}

/// A code that is in force on no day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unknown;

/// Whether a code, in capitals, is in force on a day since 1970-01-01, or on any day where that is `None`. The day is
/// asked for only where it matters.
pub(super) fn in_force(list: List, code: &str, day: impl Fn() -> Option<i32>) -> Result<bool, Unknown> {
    let (length, words, dated): (usize, &[u64], &[Dated]) = match list {
        List::Countries => (2, &COUNTRY_BITS, &DATED_COUNTRIES),
        List::Currencies => (3, &CURRENCY_BITS, &DATED_CURRENCIES),
    };
    if code.len() == length && holds(words, place(code.as_bytes())) {
        return Ok(true);
    }
    let first = dated.partition_point(|dated| dated.code < code);
    let mut spans = dated[first..].iter().take_while(|dated| dated.code == code).peekable();
    if spans.peek().is_none() {
        return Err(Unknown);
    }
    Ok(day().is_none_or(|day| spans.any(|span| (span.from..span.until).contains(&day))))
}

/// Whether a text is an active ISO 3166-1 alpha-2 country code, in capitals.
pub(crate) fn is_country(code: &str) -> bool {
    COUNTRIES.binary_search(&code).is_ok()
}

/// Whether a text is an active ISO 4217 currency code, in capitals.
pub(crate) fn is_currency(code: &str) -> bool {
    CURRENCIES.binary_search(&code).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(list: List, code: &str, year: i32) -> Result<bool, Unknown> {
        in_force(list, code, || Some(first_of_month(year, 7)))
    }

    #[test]
    fn the_lists_are_sorted_and_hold_what_they_should() {
        assert!(COUNTRIES.is_sorted() && CURRENCIES.is_sorted());
        assert!(DATED_COUNTRIES.is_sorted_by_key(|dated| dated.code));
        assert!(DATED_CURRENCIES.is_sorted_by_key(|dated| dated.code));
        assert!(is_country("KR") && is_country("TW") && !is_country("XX") && !is_country("kr"));
        assert!(is_currency("KRW") && is_currency("EUR") && !is_currency("DEM") && !is_currency(""));
        let any = |list, code: &str| in_force(list, code, || None).is_ok();
        assert!(COUNTRIES.iter().all(|code| any(List::Countries, code)));
        assert!(CURRENCIES.iter().all(|code| any(List::Currencies, code)));
        for code in ["K", "é", "kr", "XK", "", "ÅÅ"] {
            assert!(!any(List::Countries, code), "{code}");
        }
        assert!(!any(List::Currencies, "KRWW") && !any(List::Currencies, "ABC"));
        let letters = || (b'A'..=b'Z').map(char::from);
        let pairs = letters().flat_map(|a| letters().map(move |b| String::from_iter([a, b])));
        assert_eq!(pairs.filter(|pair| is_country(pair)).count(), COUNTRIES.len());
    }

    #[test]
    fn a_code_is_in_force_on_its_days_only() {
        for (code, years) in [
            ("HRK", [(2021, true), (2024, false), (1990, false)]),
            ("BGN", [(2024, true), (2027, false), (2000, true)]),
            ("EUR", [(1998, false), (1999, true), (2024, true)]),
            ("SLL", [(2020, true), (2023, true), (2024, false)]),
            ("ANG", [(2023, true), (2026, false), (1980, true)]),
            ("DEM", [(1998, true), (2003, false), (1980, true)]),
        ] {
            for (year, wanted) in years {
                assert_eq!(on(List::Currencies, code, year), Ok(wanted), "{code} {year}");
            }
        }
        for (code, year, wanted) in [
            ("CS", 1980, true),
            ("CS", 1999, false),
            ("CS", 2005, true),
            ("CS", 2010, false),
            ("AN", 2009, true),
            ("SS", 2009, false),
            ("DE", 1950, true),
        ] {
            assert_eq!(on(List::Countries, code, year), Ok(wanted), "{code} {year}");
        }
        assert_eq!(on(List::Countries, "XK", 2023), Err(Unknown));
    }
}
