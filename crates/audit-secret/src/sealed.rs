//! A sealed value as it is stored: versioned JSON of strings.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::key::KeyId;

/// The version of a sealed value that this release writes, and the highest that it reads.
pub const SEALED_VERSION: u32 = 1;

/// Bytes of a nonce of XChaCha20-Poly1305.
pub(crate) const NONCE_BYTES: usize = 24;

/// A secret, encrypted: `{"v": 1, "key": …, "nonce": …, "ciphertext": …}`. Its ciphertext ends with the tag that
/// authenticates it together with its [`Place`](crate::Place), and is as much longer than the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct Sealed {
    pub(crate) key: KeyId,
    pub(crate) nonce: [u8; NONCE_BYTES],
    pub(crate) ciphertext: Vec<u8>,
}

/// The document is no sealed value of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSealed {
    /// Written by a later release.
    #[error(
        "the sealed value was written by a later release (its version is {0}, this one reads up to {SEALED_VERSION}): use that release"
    )]
    Newer(u64),
    /// Not what was written.
    #[error("the sealed value is damaged: its {0} is not what was written")]
    Damaged(&'static str),
}

#[derive(Clone, Serialize, Deserialize)]
struct Document {
    v: u32,
    key: KeyId,
    nonce: String,
    ciphertext: String,
}

impl Sealed {
    /// The name of the key that it was sealed with.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// The names of all keys that anything in a document is sealed with, whatever the document is and wherever in it
    /// that stands; each once.
    pub fn keys_in(document: &Value) -> BTreeSet<KeyId> {
        let mut keys = BTreeSet::new();
        let mut rest = vec![document];
        while let Some(value) = rest.pop() {
            match value {
                Value::Array(items) => rest.extend(items),
                Value::Object(map) => match Self::read(value.clone()) {
                    Ok(sealed) => drop(keys.insert(sealed.key)),
                    Err(_) => rest.extend(map.values()),
                },
                _ => {}
            }
        }
        keys
    }

    /// Reads a stored value.
    pub fn read(value: Value) -> Result<Self, InvalidSealed> {
        // The version first: what a later release writes beside it is not ours to judge.
        let version = value.get("v").and_then(Value::as_u64).ok_or(InvalidSealed::Damaged("version"))?;
        if version > u64::from(SEALED_VERSION) {
            return Err(InvalidSealed::Newer(version));
        }
        Document::deserialize(value).map_err(|_| InvalidSealed::Damaged("form"))?.try_into()
    }
}

impl TryFrom<Document> for Sealed {
    type Error = InvalidSealed;
    fn try_from(document: Document) -> Result<Self, InvalidSealed> {
        if document.v > SEALED_VERSION {
            return Err(InvalidSealed::Newer(document.v.into()));
        }
        let nonce = STANDARD.decode(document.nonce).ok().and_then(|nonce| nonce.try_into().ok());
        let ciphertext = STANDARD.decode(document.ciphertext);
        Ok(Self {
            key: document.key,
            nonce: nonce.ok_or(InvalidSealed::Damaged("nonce"))?,
            ciphertext: ciphertext.map_err(|_| InvalidSealed::Damaged("ciphertext"))?,
        })
    }
}

impl From<Sealed> for Document {
    fn from(sealed: Sealed) -> Self {
        Self {
            v: SEALED_VERSION,
            key: sealed.key,
            nonce: STANDARD.encode(sealed.nonce),
            ciphertext: STANDARD.encode(sealed.ciphertext),
        }
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(with key {})", self.key)
    }
}
