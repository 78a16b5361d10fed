//! Which months of a table are worth rewriting: those that fewer files would hold.
//!
//! A month is read and written as a whole, so that late rows stand among the others in the table's order. Start at
//! [`worth_rewriting`].

use std::collections::BTreeMap;

use tidewaiter_archive::DataFile;

/// A month of a country, all of whose files are rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Month<'a> {
    /// The reporting country.
    pub country: &'a str,
    /// Counted from year 0: `12 * year + month - 1`.
    pub month: i32,
    /// Its files.
    pub files: Vec<&'a DataFile>,
}

impl Month<'_> {
    /// The bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// The rows of its files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

/// The months that have more files than files of the target size would be; those with a file that is not `settled` are
/// left out, because more may come.
pub fn worth_rewriting<'a>(
    files: &'a [DataFile],
    target_bytes: u64,
    settled: impl Fn(&DataFile) -> bool,
) -> Vec<Month<'a>> {
    let mut months: BTreeMap<(&str, i32), Vec<&DataFile>> = BTreeMap::new();
    for file in files {
        months.entry((&file.country, file.month_number())).or_default().push(file);
    }
    let months = months.into_iter().map(|((country, month), files)| Month { country, month, files });
    months
        .filter(|month| month.files.len() as u64 > month.bytes().div_ceil(target_bytes.max(1)).max(1))
        .filter(|month| month.files.iter().all(|file| settled(file)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(month: i32, number: usize, size: u64) -> DataFile {
        DataFile {
            path: format!("country=KR/year=2020/month={month}/job-{number}.parquet"),
            size,
            rows: size,
            country: "KR".to_owned(),
            year: 2020,
            month,
            statistics: None,
            digest: None,
        }
    }

    #[test]
    fn a_month_is_rewritten_when_fewer_files_would_do() {
        let sizes = [(1, vec![100]), (2, vec![100, 3]), (3, vec![100, 3, 3]), (4, vec![3, 3]), (5, vec![])];
        let files: Vec<DataFile> = sizes
            .into_iter()
            .flat_map(|(month, sizes)| {
                sizes.into_iter().enumerate().map(move |(number, size)| file(month, number, size))
            })
            .collect();
        let months = |target, settled: &dyn Fn(&DataFile) -> bool| {
            let months = worth_rewriting(&files, target, settled);
            months.iter().map(|month| month.month % 12 + 1).collect::<Vec<_>>()
        };
        assert_eq!(months(100, &|_| true), [3, 4], "two files hold what is a little over one");
        assert_eq!(months(1000, &|_| true), [2, 3, 4]);
        assert_eq!(months(1000, &|file| file.month != 3), [2, 4]);
        assert_eq!(months(1, &|_| true), [0; 0]);
    }
}
