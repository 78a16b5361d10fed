//! Documents in JSON that carry a digest of themselves, so that damage of them is found: commits of a table's log,
//! manifests of models.
//!
//! The digest stands where the document begins, as one more field, which other readers pass over. Start at [`sealed`]
//! and [`check`].

use crate::upload::digest;

/// What stands before and after the digits of the digest.
const BEFORE: &[u8] = b"\"tidewaiterSeal\":\"crc32:";
const AFTER: &[u8] = b"\",";

/// The hexadecimal digits of a digest.
const DIGITS: usize = 8;

/// What the bytes of a document say of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// They are those that were written.
    Whole,
    /// They are not.
    Broken,
    /// Nothing: an older version or another program wrote them.
    Absent,
}

/// A document with its seal, which follows what it begins with; as it is where it begins in another way.
pub fn sealed(document: &[u8], begin: &[u8]) -> Vec<u8> {
    match document.strip_prefix(begin).filter(|rest| !rest.starts_with(b"}")) {
        None => document.to_vec(),
        Some(rest) => {
            let digest = digest([document]);
            let digits = &digest.as_bytes()[digest.len() - DIGITS..];
            [begin, BEFORE, digits, AFTER, rest].concat()
        }
    }
}

/// Compares a document, which begins with `begin`, with its seal.
pub fn check(document: &[u8], begin: &[u8]) -> Seal {
    let frame = [begin, BEFORE, &[0; DIGITS], AFTER].concat();
    let Some((head, rest)) = document.split_at_checked(frame.len()) else { return Seal::Absent };
    let first = begin.len() + BEFORE.len();
    let digits = first..first + DIGITS;
    let same = frame.iter().zip(head).filter(|(a, b)| a == b).count();
    let is_framed = head[..first] == frame[..first] && head[digits.end..] == *AFTER;
    if !is_framed {
        // A seal that is damaged itself still looks much like one.
        return if same + DIGITS + 2 >= frame.len() { Seal::Broken } else { Seal::Absent };
    }
    if digest([begin, rest]).as_bytes().ends_with(&head[digits]) { Seal::Whole } else { Seal::Broken }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_of_a_sealed_document_is_found() {
        let commit: &[u8] =
            b"{\"commitInfo\":{\"timestamp\":17960,\"operation\":\"WRITE\"}}\n{\"add\":{\"size\":3}}\n";
        let pointer: &[u8] = b"{\"version\":3,\"sequence\":2}";
        for (document, begin) in [(commit, &b"{\"commitInfo\":{"[..]), (pointer, b"{")] {
            assert_eq!(check(document, begin), Seal::Absent);
            let sealed = sealed(document, begin);
            assert_eq!(check(&sealed, begin), Seal::Whole);
            let line = sealed.split(|byte| *byte == b'\n').next().expect("a line");
            let read: serde_json::Value = serde_json::from_slice(line).expect("JSON");
            assert!(read["commitInfo"]["operation"] == "WRITE" || read["sequence"] == 2);
            for bit in 0..sealed.len() * 8 {
                let mut damaged = sealed.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(check(&damaged, begin), Seal::Broken, "bit {bit}");
            }
            assert_eq!(check(&sealed[..sealed.len() - 1], begin), Seal::Broken);
            assert_eq!(check(b"", begin), Seal::Absent);
        }
        assert_eq!(sealed(b"{}", b"{"), b"{}");
        assert_eq!(sealed(b"[1]", b"{"), b"[1]");
    }
}
