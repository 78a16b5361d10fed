//! The codes of a nomenclature, by which the ingest restores HS codes that lost their leading zero. Start at [`codes`].

use std::collections::BTreeSet;

use tidewaiter_core::{Error, Result};

use crate::{
    cells::code_digits,
    records::{TextForm, records},
};

/// The codes of 2, 4 and 6 digits of a nomenclature: a CSV table with a column `hscode`, `hs_code` or `code`. The codes
/// above a code are in the set, too.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for a table without such a column, without a code of six digits, or with codes
/// that lost their leading zero.
pub(crate) fn codes(bytes: &[u8]) -> Result<BTreeSet<String>> {
    let mut records = records(bytes, &TextForm::default())?.into_iter();
    let header = records.next().unwrap_or_default();
    let is_code = |title: &String| {
        ["hscode", "hs_code", "code"].iter().any(|name| title.trim().eq_ignore_ascii_case(name))
    };
    let place = header.iter().position(is_code).ok_or_else(|| {
        Error::input("the nomenclature's first line names no column hscode, hs_code or code")
    })?;
    let mut codes = BTreeSet::new();
    for record in records {
        let code = record.get(place).map_or("", |code| code.trim());
        let printed = code_digits(code);
        let code = printed.as_deref().unwrap_or(code);
        if !code.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        if matches!(code.len(), 1 | 3 | 5) {
            return Err(Error::input(format!(
                "the nomenclature has the code {code}, of {} digits: codes of the chapters 1 to 9 have lost their \
                 leading zero; save the column as text",
                code.len()
            )));
        }
        codes.extend([2, 4, 6].into_iter().filter_map(|digits| code.get(..digits)).map(str::to_owned));
    }
    if !codes.iter().any(|code| code.len() == 6) {
        return Err(Error::input("the nomenclature has no code of six digits"));
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::codes;

    #[test]
    fn codes_bring_those_above_them_and_keep_their_zeros() {
        let found = codes(b"level;HSCode;description\n6;090111;Coffee\nTOTAL;TOTAL;all\n").expect("reads");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["09", "0901", "090111"]);
        let error = codes(b"hscode,description\n610910,T-shirts\n90111,Coffee\n").expect_err("lost its zero");
        assert!(error.chain().contains("90111"), "{}", error.chain());
        let found = codes(b"hscode,description\n0901.11,Coffee\n09 01,Both\n2203.00,Beer\n").expect("reads");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["09", "0901", "090111", "22", "2203", "220300"]);
        for table in ["", "a,b\n1,2\n", "hscode\n09\n"] {
            assert!(codes(table.as_bytes()).is_err(), "{table}");
        }
    }
}
