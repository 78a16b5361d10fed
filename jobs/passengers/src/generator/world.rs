//! Airports, airlines and names of the generated world. Names and rates are invented; nothing is about real people.

/// An airport: IATA code, country in two and three letters, its airline, hours of flight from afar, and how often goods are
/// smuggled from there, 1 being usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Airport {
    pub(super) code: &'static str,
    pub(super) country: &'static str,
    pub(super) three: &'static str,
    pub(super) carrier: &'static str,
    pub(super) hours: i64,
    pub(super) risk: f64,
    pub(super) culture: usize,
}

const fn airport(
    code: &'static str,
    country: &'static str,
    three: &'static str,
    carrier: &'static str,
    hours: i64,
    risk: f64,
    culture: usize,
) -> Airport {
    Airport { code, country, three, carrier, hours, risk, culture }
}

/// All airports.
pub(super) const AIRPORTS: [Airport; 36] = [
    airport("ICN", "KR", "KOR", "KE", 3, 1.0, 0),
    airport("PUS", "KR", "KOR", "KE", 3, 1.0, 0),
    airport("TPE", "TW", "TWN", "CI", 3, 1.0, 1),
    airport("NRT", "JP", "JPN", "JL", 3, 0.6, 2),
    airport("PEK", "CN", "CHN", "CA", 3, 1.0, 1),
    airport("PVG", "CN", "CHN", "MU", 3, 1.1, 1),
    airport("HKG", "HK", "HKG", "CX", 4, 1.2, 1),
    airport("BKK", "TH", "THA", "TG", 6, 2.2, 7),
    airport("SGN", "VN", "VNM", "VN", 5, 1.6, 7),
    airport("MNL", "PH", "PHL", "PR", 4, 1.2, 5),
    airport("SIN", "SG", "SGP", "SQ", 6, 0.7, 1),
    airport("KUL", "MY", "MYS", "MH", 6, 1.1, 3),
    airport("DEL", "IN", "IND", "AI", 7, 1.2, 6),
    airport("DXB", "AE", "ARE", "EK", 9, 1.5, 3),
    airport("DOH", "QA", "QAT", "QR", 9, 1.4, 3),
    airport("IST", "TR", "TUR", "TK", 10, 1.4, 3),
    airport("FRA", "DE", "DEU", "LH", 11, 0.7, 4),
    airport("MUC", "DE", "DEU", "LH", 11, 0.6, 4),
    airport("CDG", "FR", "FRA", "AF", 12, 0.9, 4),
    airport("LHR", "GB", "GBR", "BA", 12, 0.8, 4),
    airport("AMS", "NL", "NLD", "KL", 11, 1.2, 4),
    airport("MAD", "ES", "ESP", "IB", 13, 1.2, 5),
    airport("FCO", "IT", "ITA", "AZ", 12, 0.8, 5),
    airport("WAW", "PL", "POL", "LO", 11, 0.8, 4),
    airport("JFK", "US", "USA", "DL", 14, 0.8, 4),
    airport("LAX", "US", "USA", "UA", 12, 0.9, 4),
    airport("GRU", "BR", "BRA", "LA", 24, 3.0, 5),
    airport("BOG", "CO", "COL", "AV", 22, 3.6, 5),
    airport("LIM", "PE", "PER", "LA", 23, 2.8, 5),
    airport("MEX", "MX", "MEX", "AM", 15, 1.8, 5),
    airport("LOS", "NG", "NGA", "P4", 17, 2.6, 6),
    airport("ADD", "ET", "ETH", "ET", 12, 2.4, 6),
    airport("NBO", "KE", "KEN", "KQ", 13, 1.5, 6),
    airport("JNB", "ZA", "ZAF", "SA", 17, 1.5, 4),
    airport("CAI", "EG", "EGY", "MS", 11, 1.2, 3),
    airport("SYD", "AU", "AUS", "QF", 10, 0.6, 4),
];

/// Airports at which journeys change.
pub(super) const HUBS: [&str; 5] = ["DOH", "DXB", "IST", "FRA", "CDG"];

/// Surnames by culture.
pub(super) const SURNAMES: [&[&str]; 8] = [
    &[
        "KIM", "LEE", "PARK", "CHOI", "JUNG", "KANG", "CHO", "YOON", "JANG", "LIM", "HAN", "OH", "SEO",
        "SHIN", "KWON", "HWANG",
    ],
    &[
        "WANG", "LI", "ZHANG", "LIU", "CHEN", "YANG", "HUANG", "ZHAO", "WU", "ZHOU", "XU", "SUN", "MA",
        "JIANG", "HSU", "TSAI",
    ],
    &[
        "SATO",
        "SUZUKI",
        "TAKAHASHI",
        "TANAKA",
        "ITO",
        "WATANABE",
        "YAMAMOTO",
        "NAKAMURA",
        "KOBAYASHI",
        "KATO",
        "YOSHIDA",
        "YAMADA",
    ],
    &[
        "MOHAMMED", "AHMED", "HASSAN", "HUSSEIN", "KHALIL", "YILMAZ", "KAYA", "DEMIR", "ABDULLAH", "IBRAHIM",
        "OMAR", "YOUSSEF", "SALEH", "RAHMAN",
    ],
    &[
        "SMITH", "JONES", "MUELLER", "SCHMIDT", "FISCHER", "DUBOIS", "MARTIN", "BERNARD", "JANSEN",
        "DE VRIES", "KOWALSKI", "NOWAK", "TAYLOR", "BROWN", "WILSON", "O'BRIEN", "WEBER", "PETIT",
    ],
    &[
        "GARCIA",
        "RODRIGUEZ",
        "MARTINEZ",
        "LOPEZ",
        "GONZALEZ",
        "PEREZ",
        "SANCHEZ",
        "RAMIREZ",
        "TORRES",
        "FLORES",
        "SILVA",
        "SANTOS",
        "REYES",
        "CRUZ",
        "ROSSI",
        "FERRARI",
    ],
    &[
        "SHARMA", "SINGH", "PATEL", "KUMAR", "OKAFOR", "ADEYEMI", "BEKELE", "TESFAYE", "MWANGI", "OTIENO",
        "GUPTA", "REDDY", "EZE", "ALEMU",
    ],
    &["NGUYEN", "TRAN", "LE", "PHAM", "SAETANG", "CHAIYA", "SRISAI", "WONGSA", "HOANG", "VU", "DANG", "BUI"],
];

/// Given names by culture: of men, then of women.
pub(super) const GIVEN: [[&[&str]; 2]; 8] = [
    [
        &["MIN JUN", "SEO JUN", "JI HOON", "DONG HYUN", "SUNG MIN", "JAE WON", "TAE YANG", "HYUN WOO"],
        &["MIN JI", "SEO YEON", "JI WOO", "SU BIN", "YE JIN", "HA EUN", "EUN JI", "SO YEON"],
    ],
    [
        &["WEI", "JUN", "MING", "HAO", "XIUYUAN", "JIANGUO", "CHIHWEI", "YONG"],
        &["FANG", "LI NA", "MEI", "XIAOLING", "YAN", "HUI", "YATING", "JING"],
    ],
    [
        &["HIROSHI", "TAKASHI", "KENJI", "YUKI", "DAIKI", "SHOTA", "KAZUO"],
        &["YUKO", "AKIKO", "SAKURA", "HANA", "AYA", "NAOMI", "EMI"],
    ],
    [
        &["MOHAMMED", "AHMED", "ALI", "KHALID", "YOUSSEF", "MUSTAFA", "EMRE", "OMAR"],
        &["FATIMA", "AISHA", "LEYLA", "MARYAM", "ZEYNEP", "NOUR", "AMINA"],
    ],
    [
        &["JOHN", "PETER", "THOMAS", "LUKAS", "PIERRE", "JAN", "DAVID", "MICHAEL", "JONATHAN", "KEVIN"],
        &["ANNA", "MARIA", "SOPHIE", "CLAIRE", "EMMA", "KATHERINE", "MOLLY", "INGRID", "JULIA"],
    ],
    [
        &["JOSE", "LUIS", "CARLOS", "JUAN", "MIGUEL", "PEDRO", "MARCO", "ANTONIO"],
        &["MARIA", "ANA", "LUCIA", "CARMEN", "ISABEL", "ROSA", "PAULA", "GIULIA"],
    ],
    [
        &["RAJESH", "AMIT", "VIKRAM", "EMEKA", "TUNDE", "DAWIT", "SAMUEL", "JAMES"],
        &["PRIYA", "ANITA", "NGOZI", "SARA", "GRACE", "MERCY", "DEEPA", "RUTH"],
    ],
    [
        &["VAN MINH", "DUC", "QUANG", "SOMCHAI", "NATTAPONG", "ANAN", "TUAN"],
        &["THI LAN", "HUONG", "LINH", "SUDA", "MALEE", "NGOC", "MAI"],
    ],
];

/// Spellings that stand for each other in transliterations.
pub(super) const SPELLINGS: [(&str, &str); 10] = [
    ("MOHAMMED", "MUHAMMAD"),
    ("YOUSSEF", "YUSUF"),
    ("HUSSEIN", "HUSAIN"),
    ("JUNG", "JEONG"),
    ("CHOI", "CHOE"),
    ("LEE", "YI"),
    ("ZHANG", "CHANG"),
    ("HSU", "XU"),
    ("KATHERINE", "CATHERINE"),
    ("JONATHAN", "JONATHON"),
];

/// A name in another spelling; the same where none is known but for a doubled letter.
pub(super) fn respelt(name: &str) -> String {
    match SPELLINGS.iter().find(|(usual, _)| *usual == name) {
        Some((_, other)) => (*other).to_owned(),
        None => {
            let mut letters: Vec<char> = Vec::with_capacity(name.len() + 1);
            for letter in name.chars() {
                // A doubled consonant in the middle is the commonest slip of the pen.
                let doubles = letters.len() == 2 && letter.is_ascii_alphabetic() && !"AEIOU".contains(letter);
                letters.push(letter);
                if doubles {
                    letters.push(letter);
                }
            }
            letters.into_iter().collect()
        }
    }
}
