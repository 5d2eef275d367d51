//! A secret field as it may stand in a stored document.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::keyring::{Keyring, OpenError, SealError};
use crate::place::Place;
use crate::sealed::{InvalidSealed, Sealed};

/// In clear, as it was written before secrets were sealed, or sealed. It is read either way and serialised sealed
/// alone.
#[derive(Clone)]
pub enum SealedField {
    /// In clear.
    Clear(SecretString),
    /// Sealed.
    Sealed(Sealed),
}

/// The value is neither text nor a sealed value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidField {
    /// It is a sealed value that this release can't read.
    #[error(transparent)]
    Sealed(#[from] InvalidSealed),
    /// It is something else.
    #[error("a stored secret is a string or a sealed value")]
    Neither,
}

impl SealedField {
    /// Seals a secret for its place.
    pub fn seal(keyring: &Keyring, place: Place<'_>, secret: &str) -> Result<Self, SealError> {
        Ok(Self::Sealed(keyring.seal(place, secret.as_bytes())?))
    }

    /// The secret.
    pub fn open(&self, keyring: &Keyring, place: Place<'_>) -> Result<SecretString, OpenError> {
        match self {
            Self::Clear(secret) => Ok(secret.clone()),
            Self::Sealed(sealed) => keyring.open_text(place, sealed),
        }
    }

    /// Whether it would be stored otherwise if it were written now: it stands in clear, or is sealed with another key than
    /// the current one.
    pub fn is_outdated(&self, keyring: &Keyring) -> bool {
        match self {
            Self::Clear(_) => true,
            Self::Sealed(sealed) => keyring.current() != Some(sealed.key),
        }
    }

    /// The same secret for the same place, sealed with the current key. What is sealed so already stays as it is.
    pub fn resealed(&self, keyring: &Keyring, place: Place<'_>) -> Result<Self, ResealError> {
        if !self.is_outdated(keyring) {
            return Ok(self.clone());
        }
        let secret = self.open(keyring, place)?;
        Ok(Self::seal(keyring, place, secret.expose_secret())?)
    }

    /// The value that is sealed, if it is.
    pub fn as_sealed(&self) -> Option<&Sealed> {
        match self {
            Self::Clear(_) => None,
            Self::Sealed(sealed) => Some(sealed),
        }
    }
}

/// Why a field could not be sealed anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResealError {
    /// It does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no key to seal it with.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl TryFrom<Value> for SealedField {
    type Error = InvalidField;
    fn try_from(value: Value) -> Result<Self, InvalidField> {
        match value {
            Value::String(text) => Ok(Self::Clear(text.into())),
            Value::Object(_) => Ok(Self::Sealed(Sealed::read(value)?)),
            _ => Err(InvalidField::Neither),
        }
    }
}

impl<'de> Deserialize<'de> for SealedField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

impl Serialize for SealedField {
    /// Fails for what stands in clear: it must be sealed before it is written.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Clear(_) => {
                Err(serde::ser::Error::custom("a secret is not written in clear: seal it first"))
            }
            Self::Sealed(sealed) => sealed.serialize(serializer),
        }
    }
}

impl fmt::Debug for SealedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear(_) => f.write_str("[REDACTED]"),
            Self::Sealed(sealed) => sealed.fmt(f),
        }
    }
}
