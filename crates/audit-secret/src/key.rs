//! One key, and the name that sealed values know it by.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use audit_digest::Sha256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::Generate as _;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use serde::{Deserialize, Serialize};

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;

/// Bytes of a key's name: enough that no two keys of one deployment share it.
const ID_BYTES: usize = 8;

/// Keeps the hash that names a key apart from every other hash of it.
const ID_DOMAIN: &[u8] = b"flagtrail secrets key id 1\0";

/// The name of a key: the beginning of a hash of it, in hex. It tells keys apart and nothing about them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; ID_BYTES]);

impl KeyId {
    fn of(key: &[u8; KEY_BYTES]) -> Self {
        let hash = Sha256::new().chain_update(ID_DOMAIN).chain_update(key).finalize();
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&hash[..ID_BYTES]);
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for KeyId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let mut id = [0; ID_BYTES];
        match hex::decode_to_slice(&text, &mut id) {
            Ok(()) => Ok(Self(id)),
            Err(_) => Err(format!("the name of a key is {} hex digits, not {text:?}", 2 * ID_BYTES)),
        }
    }
}

/// The text is no key. It says nothing of the text, which may be a key with a slip in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be {KEY_BYTES} random bytes in base64 or hex, as `openssl rand -base64 {KEY_BYTES}` prints them"
)]
pub struct InvalidKey;

/// A key to seal with. Wiped from memory with its last clone; `Debug` shows its name alone.
#[derive(Clone)]
pub struct SecretKey {
    id: KeyId,
    bytes: Arc<SecretBox<[u8; KEY_BYTES]>>,
}

impl SecretKey {
    /// Makes one up.
    pub fn generate() -> Self {
        Self::from_bytes(Zeroizing::new(<[u8; KEY_BYTES]>::generate()))
    }

    fn from_bytes(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self { id: KeyId::of(&bytes), bytes: Arc::new(SecretBox::new(Box::new(*bytes))) }
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// As it is written into a file: base64.
    pub fn to_text(&self) -> SecretString {
        STANDARD.encode(self.bytes()).into()
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        self.bytes.expose_secret()
    }
}

impl FromStr for SecretKey {
    type Err = InvalidKey;
    /// From base64 or hex; white space around it does not matter.
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let text = text.trim();
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        if hex::decode_to_slice(text, bytes.as_mut_slice()).is_ok() {
            return Ok(Self::from_bytes(bytes));
        }
        let decoded = Zeroizing::new(STANDARD.decode(text).map_err(|_| InvalidKey)?);
        if decoded.len() != KEY_BYTES {
            return Err(InvalidKey);
        }
        bytes.copy_from_slice(&decoded);
        Ok(Self::from_bytes(bytes))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_from_base64_and_hex_with_the_same_name() {
        let key = SecretKey::generate();
        let base64 = format!("  {}\n", key.to_text().expose_secret());
        for text in [base64, hex::encode(key.bytes())] {
            let read: SecretKey = text.parse().expect("our own");
            assert_eq!((read.id(), read.bytes()), (key.id(), key.bytes()));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        let short = STANDARD.encode([7; 31]);
        for text in ["", "hunter2", &short, &"0".repeat(63), &format!("{short}{short}")] {
            let refused = text.parse::<SecretKey>().expect_err(text).to_string();
            assert!(text.is_empty() || !refused.contains(text), "{refused}");
        }
    }

    #[test]
    fn debug_shows_the_name_of_a_key_and_nothing_else() {
        let key = SecretKey::generate();
        assert_eq!(format!("{key:?}"), format!("SecretKey({})", key.id()));
        assert!(!hex::encode(key.bytes()).contains(&key.id().to_string()));
    }
}
