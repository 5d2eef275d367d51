//! Where a sealed value belongs.

use std::fmt;

/// Keeps what is authenticated here apart from anything else that the same key might ever authenticate.
const DOMAIN: &[u8] = b"flagtrail sealed 1";

/// One field of one setting. It is authenticated with the secret and not stored with it: read from any other place, a
/// sealed value does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// What the setting is: `source`, `endpoint`, …
    pub kind: &'a str,
    /// Which one.
    pub id: &'a str,
    /// Its field, such as `secrets` or `headers.authorization`.
    pub field: &'a str,
}

impl Place<'_> {
    /// What is authenticated. Every part is preceded by its length, so no two places share their bytes.
    pub(crate) fn associated_data(&self) -> Vec<u8> {
        let parts = [self.kind, self.id, self.field];
        let mut data = DOMAIN.to_vec();
        for part in parts {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

/// In words: `secrets of source "shop"`.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} {:?}", self.field, self.kind, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn places_whose_words_run_together_alike_are_told_apart() {
        let data = |kind, id, field| Place { kind, id, field }.associated_data();
        assert_ne!(data("source", "a", "bc"), data("source", "ab", "c"));
        assert_ne!(data("sourcea", "b", "c"), data("source", "ab", "c"));
        assert_ne!(data("source", "", "abc"), data("source", "abc", ""));
    }
}
