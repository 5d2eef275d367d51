//! SHA-256 and HMAC-SHA-256, from one place: every byte of evidence goes through them, twice and more, and on a processor
//! without SHA instructions they are what bounds an export and a verification.
//!
//! Both are ring's, whose assembly for AVX hashes 1.9 times as much a second there as portable code does (333 against
//! 175 MB/s at 1,300 bytes, 345 against 183 MB/s at 1 MiB); ring is what TLS is made with anyway. The tests of other crates
//! hash with another implementation.

use ring::{digest, hmac};
use subtle::ConstantTimeEq as _;

/// Bytes of a SHA-256 hash, and of an HMAC made with it.
pub const HASH_BYTES: usize = 32;

/// A SHA-256 hash that is being made (FIPS 180-4).
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// The hash of these bytes.
    pub fn digest(bytes: impl AsRef<[u8]>) -> [u8; HASH_BYTES] {
        taken(digest::digest(&digest::SHA256, bytes.as_ref()).as_ref())
    }

    /// Takes in what follows.
    pub fn update(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes.as_ref());
    }

    /// With what follows taken in.
    #[must_use]
    pub fn chain_update(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.update(bytes);
        self
    }

    /// The hash of all that was taken in.
    pub fn finalize(self) -> [u8; HASH_BYTES] {
        taken(self.0.finish().as_ref())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sha256")
    }
}

/// A key of HMAC-SHA-256 (RFC 2104), taken in: that costs as much as a short message, so it is done once a key. Shows nothing of
/// itself.
#[derive(Clone)]
pub struct MacKey(hmac::Key);

impl MacKey {
    /// From a key of any length.
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The MAC of these parts, one after another.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; HASH_BYTES] {
        let mut context = hmac::Context::with_key(&self.0);
        parts.iter().for_each(|part| context.update(part));
        taken(context.sign().as_ref())
    }

    /// Whether `mac` is the MAC of these parts. How long it takes tells nothing of where they differ.
    pub fn vouches(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        self.mac(parts).ct_eq(mac).into()
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey([REDACTED])")
    }
}

fn taken(hash: &[u8]) -> [u8; HASH_BYTES] {
    let mut taken = [0; HASH_BYTES];
    taken.copy_from_slice(hash);
    taken
}
