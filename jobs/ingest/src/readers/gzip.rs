//! Gzip files as `gzip -t` accepts them: any number of members, empty ones among them, and zero bytes after the last.
//!
//! Tapes and block devices pad files with zeros, and parallel compressors write a member for each block. Source:
//! RFC 1952, and the manual of GNU gzip on padding. Start at [`GzipMembers`].

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

/// Compressed bytes that are read at a time.
const CHUNK: usize = 64 << 10;

/// The text of all members.
pub(super) struct GzipMembers<R: Read> {
    /// `None` after the last member.
    member: Option<GzDecoder<BufReader<R>>>,
}

impl<R: Read> GzipMembers<R> {
    pub(super) fn new(read: R) -> Self {
        Self { member: Some(GzDecoder::new(BufReader::with_capacity(CHUNK, read))) }
    }
}

impl<R: Read> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let length = member.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            let rest = self.member.take().map(GzDecoder::into_inner);
            self.member = rest.map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

/// The member after zero bytes; `None` at the end.
fn next_member<R: Read>(mut rest: BufReader<R>) -> io::Result<Option<GzDecoder<BufReader<R>>>> {
    loop {
        let bytes = rest.fill_buf()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let is_all = zeros == bytes.len();
        rest.consume(zeros);
        if !is_all {
            return Ok(Some(GzDecoder::new(rest)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn member(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).expect("in memory");
        encoder.finish().expect("in memory")
    }

    fn read(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        GzipMembers::new(bytes).read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn bytes_that_are_no_member_and_cuts_are_refused() {
        assert!(read(&[member("a"), b"garbage".to_vec()].concat()).is_err());
        let whole = member("some text");
        for length in 1..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn members_and_zeros_between_them_are_read(
            texts in prop::collection::vec("[a-z]{0,40}", 1..6), zeros in 0_usize..600,
        ) {
            let parts: Vec<Vec<u8>> = texts.iter().map(|text| [member(text), vec![0; zeros]].concat()).collect();
            prop_assert_eq!(read(&parts.concat()).expect("reads"), texts.concat());
        }
    }
}
