//! The code lists that the ingest checks: countries (ISO 3166-1 alpha-2) and currencies (ISO 4217).
//!
//! Source: the UN M49 country table and the ISO 4217 list of active currencies, without the withdrawn ones. The lists
//! are sorted; a code that a standard adds is added in its place.

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

/// A list as a bit set by [`place`], so that a look-up is one load: the ingest makes three for each row.
const fn bits<const WORDS: usize>(codes: &[&str]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    let mut index = 0;
    while index < codes.len() {
        if let Some(place) = place(codes[index].as_bytes()) {
            words[place / 64] |= 1 << (place % 64);
        }
        index += 1;
    }
    words
}

static COUNTRY_BITS: [u64; 26_usize.pow(2).div_ceil(64)] = bits(&COUNTRIES);
static CURRENCY_BITS: [u64; 26_usize.pow(3).div_ceil(64)] = bits(&CURRENCIES);

fn holds(words: &[u64], place: Option<usize>) -> bool {
    place.is_some_and(|place| words[place / 64] >> (place % 64) & 1 == 1)
}

/// Whether a text is an active ISO 3166-1 alpha-2 country code, in capitals.
pub(crate) fn is_country(code: &str) -> bool {
    code.len() == 2 && holds(&COUNTRY_BITS, place(code.as_bytes()))
}

/// Whether a text is an active ISO 4217 currency code, in capitals.
pub(super) fn is_currency(code: &str) -> bool {
    code.len() == 3 && holds(&CURRENCY_BITS, place(code.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_and_hold_what_they_should() {
        assert!(COUNTRIES.is_sorted() && CURRENCIES.is_sorted());
        assert!(is_country("KR") && is_country("TW") && !is_country("XX") && !is_country("kr"));
        assert!(is_currency("KRW") && is_currency("EUR") && !is_currency("DEM") && !is_currency(""));
        assert!(COUNTRIES.iter().all(|code| is_country(code)) && !is_country("K") && !is_country("é"));
        assert!(CURRENCIES.iter().all(|code| is_currency(code)) && !is_currency("KRWW"));
        let letters = || (b'A'..=b'Z').map(char::from);
        let pairs = letters().flat_map(|a| letters().map(move |b| String::from_iter([a, b])));
        assert_eq!(pairs.filter(|pair| is_country(pair)).count(), COUNTRIES.len());
    }
}
