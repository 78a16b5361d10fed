//! The key of pseudonyms: keyed hashes of identifiers, and values sealed for re-identification.
//!
//! A pseudonym is HMAC-SHA-256 (RFC 2104) of an identifier in its normal form, cut to 64 bits: of 50 million identifiers
//! two share one with a probability of less than one in ten thousand. A sealed value is a synthetic initialisation vector, which is
//! the HMAC of the value, and the value under the key stream of HMAC in counter mode (P. Rogaway, T. Shrimpton,
//! "Deterministic Authenticated-Encryption", EUROCRYPT 2006): it needs no chance, and a changed text is refused.
//!
//! The key never enters the archive. A job names where each process finds it: a file, or an environment variable
//! (`env:NAME`); what stands in the archive is its fingerprint. Start at [`Key::read`].

use std::{fmt, path::Path};

use sha2::{Digest, Sha256};
use tidewaiter_core::{Error, Result, ResultExt};

use crate::privacy::hexadecimal::{bytes_of, hexadecimal, sixteen};

/// Where the key is found, if a job does not say otherwise.
pub const DEFAULT: &str = "env:TIDEWAITER_PASSENGERS_KEY";

/// What the name of an environment variable begins with.
const VARIABLE: &str = "env:";

/// Fewest bytes of a key.
const SHORTEST: usize = 16;

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// Bytes of the initialisation vector of a sealed value.
const VECTOR: usize = 16;

/// Whether a place of a key is a file, whose path means something on one machine.
#[must_use]
pub fn is_file(place: &str) -> bool {
    !place.starts_with(VARIABLE)
}

/// A key.
#[derive(Clone)]
pub struct Key {
    pseudonyms: Code,
    vectors: Code,
    stream: Code,
    fingerprint: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Key {
    /// Reads the key from its place: the path of a file, or `env:` and the name of a variable. White space around it is
    /// of no account.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when there is none, or one of less than 16 bytes.
    pub fn read(place: &str) -> Result<Self> {
        let remedy = "make one with `head -c 32 /dev/urandom | base64`, keep it outside of the archive, and name it by \
                      --key FILE or env:NAME";
        let text = match place.strip_prefix(VARIABLE) {
            Some(name) => std::env::var(name).map(String::into_bytes).map_err(|_| {
                Error::input(format!("the variable {name} holds no key of the pseudonyms; {remedy}"))
            })?,
            None => std::fs::read(Path::new(place))
                .context(|| format!("read the key of the pseudonyms {place}"))?,
        };
        let bytes = text.trim_ascii();
        if bytes.len() < SHORTEST {
            return Err(Error::input(format!("the key in {place} has less than {SHORTEST} bytes; {remedy}")));
        }
        Ok(Self::of(bytes))
    }

    /// The key of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let root = Code::new(bytes);
        let derived = |purpose: &str| Code::new(&root.of([purpose.as_bytes()]));
        let fingerprint = sixteen(first_64_bits(&root.of([b"fingerprint".as_slice()])));
        Self {
            pseudonyms: derived("pseudonym"),
            vectors: derived("vector"),
            stream: derived("stream"),
            fingerprint,
        }
    }

    /// What tells the key from others, and nothing more.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The pseudonym of an identifier of a kind; the empty text for an empty one.
    #[must_use]
    pub fn pseudonym(&self, kind: &str, normal: &str) -> String {
        if normal.is_empty() {
            return String::new();
        }
        sixteen(first_64_bits(&self.pseudonyms.of([kind.as_bytes(), &[0], normal.as_bytes()])))
    }

    /// A value sealed, in hexadecimal digits.
    #[must_use]
    pub fn seal(&self, value: &str) -> String {
        let code = self.vectors.of([value.as_bytes()]);
        let vector = &code[..VECTOR];
        let mut sealed = vector.to_vec();
        sealed.extend(self.under_stream(vector, value.as_bytes()));
        hexadecimal(&sealed)
    }

    /// The value of a sealed one.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when it was sealed under another key, or changed.
    pub fn open(&self, sealed: &str) -> Result<String> {
        let wrong =
            || Error::corrupt("a sealed value was changed, or is of another key; give the key of its ingest");
        let bytes = bytes_of(sealed).filter(|bytes| bytes.len() >= VECTOR).ok_or_else(wrong)?;
        let (vector, rest) = bytes.split_at(VECTOR);
        let value = self.under_stream(vector, rest);
        if self.vectors.of([value.as_slice()])[..VECTOR] != *vector {
            return Err(wrong());
        }
        String::from_utf8(value).map_err(|_| wrong())
    }

    /// Bytes with the key stream of a vector added, which is its own inverse.
    fn under_stream(&self, vector: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut under = Vec::with_capacity(bytes.len());
        for (number, chunk) in (0_u64..).zip(bytes.chunks(32)) {
            let stream = self.stream.of([vector, &number.to_be_bytes()]);
            under.extend(chunk.iter().zip(stream).map(|(byte, mask)| byte ^ mask));
        }
        under
    }
}

fn first_64_bits(code: &[u8; 32]) -> u64 {
    code.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// HMAC-SHA-256 with a key, whose blocks are hashed once.
#[derive(Clone)]
struct Code {
    inner: Sha256,
    outer: Sha256,
}

impl Code {
    fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        if key.len() > BLOCK {
            block[..32].copy_from_slice(&Sha256::digest(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let begun = |mask: u8| Sha256::new().chain_update(block.map(|byte| byte ^ mask));
        Self { inner: begun(0x36), outer: begun(0x5c) }
    }

    fn of<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
        let mut inner = self.inner.clone();
        for part in parts {
            inner.update(part);
        }
        self.outer.clone().chain_update(inner.finalize()).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_published_test_vectors() {
        // RFC 4231, test cases 1, 2 and 6.
        let long = [0xaa; 131];
        for (key, data, code) in [
            (&[0x0b; 20][..], "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &long[..],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hexadecimal(&Code::new(key).of([data.as_bytes()])), code);
        }
    }

    #[test]
    fn pseudonyms_differ_by_key_kind_and_value_and_nothing_else() {
        let (one, other) = (Key::of(b"0123456789abcdef"), Key::of(b"fedcba9876543210"));
        assert_eq!(one.pseudonym("phone", "123"), one.clone().pseudonym("phone", "123"));
        assert_ne!(one.pseudonym("phone", "123"), one.pseudonym("email", "123"));
        assert_ne!(one.pseudonym("phone", "123"), other.pseudonym("phone", "123"));
        assert_eq!(one.pseudonym("phone", "123").len(), 16);
        assert_eq!(one.pseudonym("phone", ""), "");
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert!(!format!("{one:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn places_without_a_key_are_named_with_the_remedy() {
        let error = Key::read("env:TIDEWAITER_NO_SUCH_KEY").expect_err("there is none");
        assert!(error.chain().contains("--key"), "{error}");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, " short\n").expect("written");
        assert!(Key::read(&path.display().to_string()).is_err());
        std::fs::write(&path, "0123456789abcdef\n").expect("written");
        let key = Key::read(&path.display().to_string()).expect("a key");
        assert_eq!(key.fingerprint(), Key::of(b"0123456789abcdef").fingerprint());
    }

    proptest::proptest! {
        #[test]
        fn sealed_values_come_back_and_changed_ones_do_not(value in ".{0,80}", at in 0_usize..64) {
            let key = Key::of(b"0123456789abcdef");
            let sealed = key.seal(&value);
            proptest::prop_assert_eq!(key.open(&sealed).expect("opens"), value);
            let mut changed = bytes_of(&sealed).expect("bytes");
            let place = at % changed.len();
            changed[place] ^= 1;
            proptest::prop_assert!(key.open(&hexadecimal(&changed)).is_err());
            proptest::prop_assert!(Key::of(b"fedcba9876543210").open(&sealed).is_err());
        }
    }
}
