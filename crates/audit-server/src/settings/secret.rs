//! Tokens that we make up: long random text that is shown once and stored as a hash.
//!
//! They carry 244 random bits, so a plain SHA-256 is enough: there is nothing to guess through.

use audit_digest::Sha256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// Makes one up: 43 characters of `[A-Za-z0-9_-]`.
pub(crate) fn make_up() -> SecretString {
    let mut bytes = [0u8; 32];
    bytes[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    bytes[16..].copy_from_slice(Uuid::new_v4().as_bytes());
    SecretString::from(URL_SAFE_NO_PAD.encode(bytes))
}

/// The SHA-256 of a token, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct TokenHash(String);

impl TokenHash {
    /// Of the token as it is shown.
    pub(crate) fn of(token: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes())))
    }

    /// A hash that nothing fits: compared against where there is nothing to compare with, so that both take
    /// the same time.
    pub(crate) fn of_nothing() -> Self {
        Self(URL_SAFE_NO_PAD.encode([0u8; 32]))
    }

    /// Whether `token` is the one, in constant time.
    pub(crate) fn fits(&self, token: &str) -> bool {
        Self::of(token).0.as_bytes().ct_eq(self.0.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_token_fits_its_own_hash_and_no_other() {
        let (one, other) = (make_up(), make_up());
        assert_eq!(one.expose_secret().len(), 43);
        assert!(TokenHash::of(one.expose_secret()).fits(one.expose_secret()));
        assert!(!TokenHash::of(one.expose_secret()).fits(other.expose_secret()));
        assert!(!TokenHash::of_nothing().fits(""));
    }
}
