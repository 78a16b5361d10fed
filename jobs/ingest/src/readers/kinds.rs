//! Files that are no text of a table, named by what they are, with the remedy. Start at [`refusal`].

/// What a file is that begins with these bytes, and what to do; `None` where it may be text.
pub(super) fn refusal(start: &[u8]) -> Option<&'static str> {
    let magic = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, refusal)| *refusal);
    magic
        .or_else(|| (start.get(257..262) == Some(b"ustar")).then_some(TAR))
        .or_else(|| is_html(start).then_some(HTML))
}

const TAR: &str = "is a tar archive; unpack it and name the files in it";

const HTML: &str =
    "is an HTML page, such as the log-in page or the error page of a download; download the export again";

/// The first bytes of formats that no export reader reads.
const MAGIC: [(&[u8], &str); 17] = [
    (b"PAR1", "is a Parquet file; set format = \"parquet\" in the mapping"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a workbook of Excel 97-2003; save its sheet as CSV"),
    (b"PK\x03\x04", "is a zip archive in another; unpack it"),
    (b"%PDF", "is a PDF document; ask for the table as CSV"),
    (b"{\\rtf", "is a document in rich text; save its table as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive; unpack it"),
    (b"Rar!", "is a RAR archive; unpack it"),
    (b"\x1f\x9d", "is compressed by compress (.Z); unpack it by gunzip"),
    (b"\x04\x22\x4d\x18", "is compressed by lz4; unpack it"),
    (b"\xff\x06\x00\x00sNaPpY", "is compressed by snappy; unpack it"),
    (b"ORC\x0a", "is an ORC file; export it as Parquet or CSV"),
    (b"Obj\x01", "is an Avro file; export it as Parquet or CSV"),
    (b"ARROW1", "is an Arrow file; export it as Parquet or CSV"),
    (b"SQLite format 3\0", "is an SQLite database; export its table as CSV"),
    (b"\xff\xfe\x00\x00", "is UTF-32 text; convert it to UTF-8"),
    (b"\x00\x00\xfe\xff", "is UTF-32 text; convert it to UTF-8"),
    (b"\x1f\x8b", "is compressed by gzip twice; unpack it"),
];

fn is_html(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    [&b"<!doctype html"[..], b"<html"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|found| found.eq_ignore_ascii_case(tag)))
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn files_that_are_no_text_are_named() {
        for (start, word) in [
            (&b"<!DOCTYPE html><html>"[..], "HTML page"),
            (b"\n <HTML lang=en>", "HTML page"),
            (b"%PDF-1.7", "PDF"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel"),
            (b"PAR1", "Parquet"),
            (&[&[b'a'; 257][..], b"ustar\0"].concat(), "tar"),
        ] {
            assert!(refusal(start).is_some_and(|refusal| refusal.contains(word)), "{word}");
        }
        for start in [&b""[..], b"decl,item\n", b"ORIGIN,day\n", b"<log>", b"PK,day\n"] {
            assert_eq!(refusal(start), None);
        }
    }
}
