//! The keys of a process: one that seals, and former ones that still open.

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, Generate as _, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use tokio::sync::watch;

use crate::key::{KeyId, SecretKey};
use crate::place::Place;
use crate::sealed::{NONCE_BYTES, Sealed};

/// Most former keys: rotations of a decade and more, and a bound on what one setting of the configuration may name.
pub const FORMER_KEYS_MAX: usize = 32;

/// Why a secret was not sealed, and so not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The process was given no key.
    #[error(
        "{place} can't be stored: there is no key to seal it with; name a key's file in secrets.key_file (`flagtrail keys new FILE` makes one), or give the key in secrets.key"
    )]
    NoKey {
        /// The field, in words.
        place: String,
    },
}

/// Why a sealed value does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The process was given no key.
    #[error(
        "{place} is sealed with key {key}, and this process has no key: name its file in secrets.key_file"
    )]
    NoKey {
        /// The field, in words.
        place: String,
        /// The key that would open it.
        key: KeyId,
    },
    /// It was sealed with a key that the process was not given.
    #[error(
        "{place} is sealed with key {key}, which is neither the current key ({current}) nor a former one: name its file in secrets.former_key_files, or set it anew if that key is lost"
    )]
    UnknownKey {
        /// The field, in words.
        place: String,
        /// The key that would open it.
        key: KeyId,
        /// The current key.
        current: KeyId,
    },
    /// The right key does not fit.
    #[error(
        "{place} does not open with key {key}: it was changed where it is stored, or copied from another setting; set it anew"
    )]
    Forged {
        /// The field, in words.
        place: String,
        /// The key that was tried.
        key: KeyId,
    },
    /// It opens, and is no text.
    #[error("{place} is no text: set it anew")]
    NotText {
        /// The field, in words.
        place: String,
    },
}

/// More former keys than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there may be {FORMER_KEYS_MAX} former keys: seal everything with the current one (`flagtrail keys reseal`) and drop the oldest"
)]
pub struct TooManyKeys;

/// The keys of a process, shared by all that seals and opens in it. Cheap to clone; [`Keyring::replace`] is felt by every
/// clone.
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<watch::Sender<Arc<Keys>>>,
}

#[derive(Default)]
struct Keys {
    current: Option<SecretKey>,
    former: Vec<SecretKey>,
}

impl Keys {
    fn new(current: SecretKey, former: Vec<SecretKey>) -> Result<Self, TooManyKeys> {
        if former.len() > FORMER_KEYS_MAX {
            return Err(TooManyKeys);
        }
        Ok(Self { current: Some(current), former })
    }

    fn all(&self) -> impl Iterator<Item = &SecretKey> {
        self.current.iter().chain(&self.former)
    }

    fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.all().map(SecretKey::id)
    }
}

/// Tells when the keys of a keyring were replaced.
#[derive(Debug)]
pub struct KeyChanges {
    seen: watch::Receiver<Arc<Keys>>,
    /// Keeps the other side alive, so that waiting does not end by itself.
    _keyring: Keyring,
}

impl KeyChanges {
    /// Returns once the keys are others than when this was made or last returned.
    pub async fn changed(&mut self) {
        if self.seen.changed().await.is_err() {
            // Not while we hold a keyring; and if it were so, there would be nothing to tell.
            std::future::pending::<()>().await;
        }
    }
}

impl Keyring {
    /// Without a key: it seals nothing and opens nothing.
    pub fn empty() -> Self {
        Self { keys: Arc::new(watch::Sender::new(Arc::default())) }
    }

    /// With a current key and former ones.
    pub fn new(current: SecretKey, former: Vec<SecretKey>) -> Result<Self, TooManyKeys> {
        let keyring = Self::empty();
        keyring.replace(current, former)?;
        Ok(keyring)
    }

    /// Puts other keys in the place of those that there are. True if they differ.
    pub fn replace(&self, current: SecretKey, former: Vec<SecretKey>) -> Result<bool, TooManyKeys> {
        let replacement = Arc::new(Keys::new(current, former)?);
        Ok(self.keys.send_if_modified(|keys| {
            let differs = !keys.ids().eq(replacement.ids());
            *keys = replacement;
            differs
        }))
    }

    /// The name of the key that seals; none without a key.
    pub fn current(&self) -> Option<KeyId> {
        self.keys.borrow().current.as_ref().map(SecretKey::id)
    }

    /// The names of the former keys.
    pub fn former(&self) -> Vec<KeyId> {
        self.keys.borrow().former.iter().map(SecretKey::id).collect()
    }

    /// Whether what was sealed with the key of that name can be opened.
    pub fn has(&self, id: KeyId) -> bool {
        self.keys.borrow().ids().any(|known| known == id)
    }

    /// Tells of replacements from now on.
    pub fn changes(&self) -> KeyChanges {
        KeyChanges { seen: self.keys.subscribe(), _keyring: self.clone() }
    }

    /// Seals a secret for a place, with the current key and a nonce of its own.
    pub fn seal(&self, place: Place<'_>, secret: &[u8]) -> Result<Sealed, SealError> {
        let keys = self.keys.borrow().clone();
        let key = keys.current.as_ref().ok_or_else(|| SealError::NoKey { place: place.to_string() })?;
        let nonce = <[u8; NONCE_BYTES]>::generate();
        let payload = Payload { msg: secret, aad: &place.associated_data() };
        let ciphertext = cipher(key)
            .encrypt(&XNonce::from(nonce), payload)
            .expect("the cipher takes up to 256 GiB, and secrets are parts of messages");
        Ok(Sealed { key: key.id(), nonce, ciphertext })
    }

    /// Opens what was sealed for a place.
    pub fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<SecretSlice<u8>, OpenError> {
        let keys = self.keys.borrow().clone();
        let (place_text, key) = (|| place.to_string(), sealed.key);
        let Some(current) = keys.current.as_ref().map(SecretKey::id) else {
            return Err(OpenError::NoKey { place: place_text(), key });
        };
        let Some(fitting) = keys.all().find(|known| known.id() == key) else {
            return Err(OpenError::UnknownKey { place: place_text(), key, current });
        };
        let payload = Payload { msg: &sealed.ciphertext, aad: &place.associated_data() };
        match cipher(fitting).decrypt(&XNonce::from(sealed.nonce), payload) {
            Ok(secret) => Ok(secret.into()),
            Err(_) => Err(OpenError::Forged { place: place_text(), key }),
        }
    }

    /// The same where the secret is text.
    pub fn open_text(&self, place: Place<'_>, sealed: &Sealed) -> Result<SecretString, OpenError> {
        let secret = self.open(place, sealed)?;
        match std::str::from_utf8(secret.expose_secret()) {
            Ok(text) => Ok(text.into()),
            Err(_) => Err(OpenError::NotText { place: place.to_string() }),
        }
    }
}

/// Keys a cipher, which wipes its copy of the key when it is dropped.
fn cipher(key: &SecretKey) -> XChaCha20Poly1305 {
    let mut bytes = chacha20poly1305::Key::from(*key.bytes());
    let cipher = XChaCha20Poly1305::new(&bytes);
    bytes.as_mut_slice().zeroize();
    cipher
}

impl Default for Keyring {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.keys.borrow().fmt(f)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("current", &self.current).field("former", &self.former).finish()
    }
}
