//! Secrets at rest: a keyring, and values sealed with it.
//!
//! What platforms sign with, what deliveries are signed with, header values that authenticate: all of it stands among
//! the settings on the log, and whoever may read the log is not meant to read them. So each is stored as a [`Sealed`]
//! value, encrypted with a key that is not on the log, and opened only by a process that was given the key.
//!
//! - A [`Keyring`] has one current key, which seals, and up to [`FORMER_KEYS_MAX`] former ones, which still open.
//! - A sealed value is bound to its [`Place`]: copied to another setting it does not open.
//! - A [`SealedField`] is a field as it may stand in a stored document: in clear, as an earlier release wrote it,
//!   or sealed. Nothing here writes one in clear.
//!
//! The cipher is XChaCha20-Poly1305: its nonce is long enough to be made up at random for every value, by processes that
//! know nothing of each other.
//!
//! Not here: where keys lie, who may read those files, and which settings have secrets.

mod field;
mod key;
mod keyring;
mod place;
mod sealed;

pub use field::{InvalidField, ResealError, SealedField};
pub use key::{InvalidKey, KeyId, SecretKey};
pub use keyring::{FORMER_KEYS_MAX, KeyChanges, Keyring, OpenError, SealError, TooManyKeys};
pub use place::Place;
pub use sealed::{InvalidSealed, SEALED_VERSION, Sealed};
