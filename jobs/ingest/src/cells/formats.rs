//! How a format of dates is spelled that people write with letters, such as `DD.MM.YYYY`. Start at [`spelled`].

/// The spelling of a format of letters in `strftime` notation; `%Y-%m-%d` where it has none of a date's.
pub(crate) fn spelled(format: &str) -> String {
    let letters: Vec<char> = format.chars().collect();
    let (mut spelled, mut has_hour) = (String::new(), false);
    for run in letters.chunk_by(|a, b| a.eq_ignore_ascii_case(b)) {
        let code = match (run[0].to_ascii_lowercase(), run.len()) {
            ('y', 3..) => "%Y",
            ('y', _) => "%y",
            ('m', 3..) => "%b",
            ('m', _) if has_hour => "%M",
            ('m', _) => "%m",
            ('d', _) => "%d",
            ('h', _) => "%H",
            ('s', _) => "%S",
            _ => {
                spelled.extend(run);
                continue;
            }
        };
        has_hour |= code == "%H";
        spelled.push_str(code);
    }
    if spelled.contains('%') { spelled } else { "%Y-%m-%d".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::spelled;

    #[test]
    fn formats_of_letters_are_spelled() {
        for (format, wanted) in [
            ("DD.MM.YYYY", "%d.%m.%Y"),
            ("yyyy-mm-dd", "%Y-%m-%d"),
            ("dd/MM/yy", "%d/%m/%y"),
            ("dd-MMM-yyyy", "%d-%b-%Y"),
            ("YYYYMMDD HH:mm:ss", "%Y%m%d %H:%M:%S"),
            ("...", "%Y-%m-%d"),
        ] {
            assert_eq!(spelled(format), wanted);
        }
    }
}
