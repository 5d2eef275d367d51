//! The keys of notes: Ed25519, which signs the text, and Ed25519 as a cosigner's, which signs the text and a time.

use std::fmt;

use audit_digest::Sha256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::NoteSignature;

/// What kind of signatures a key makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureKind {
    /// Ed25519 over the text.
    Ed25519,
    /// Ed25519 over a time and the text (cosignature/v1).
    Cosignature,
}

impl SignatureKind {
    /// The byte that stands for it in key ids and verifier keys.
    const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Cosignature => 4,
        }
    }
}

/// The text is no key, or no name of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Not a key's name.
    #[error("a key's name is not empty and has neither spaces nor a plus sign")]
    Name,
    /// Not name, id and key.
    #[error("a verifier key is <name>+<8 hex digits>+<base64>")]
    Form,
    /// Of a kind that is not known here.
    #[error("the key is of kind {0:#04x}; Ed25519 (0x01) and Ed25519 cosignatures (0x04) are known")]
    Kind(u8),
    /// The bytes are no Ed25519 key.
    #[error("the key is not a valid Ed25519 public key")]
    Point,
    /// The id is not that of name and key.
    #[error("the key id is not the one that belongs to this name and key: was it copied whole?")]
    Id,
}

/// Whether a key can have this name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control())
}

/// A key's public half, with its name: whoever has it can check.
#[derive(Clone, PartialEq, Eq)]
pub struct NoteVerifier {
    name: String,
    kind: SignatureKind,
    key: VerifyingKey,
    key_id: [u8; 4],
}

impl NoteVerifier {
    fn new(name: &str, kind: SignatureKind, key: VerifyingKey) -> Result<Self, InvalidKey> {
        if !is_name(name) {
            return Err(InvalidKey::Name);
        }
        let hash = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', kind.byte()])
            .chain_update(key.as_bytes())
            .finalize();
        let key_id = *hash.first_chunk().expect("a SHA-256 has more than four bytes");
        Ok(Self { name: name.to_owned(), kind, key, key_id })
    }

    /// Reads a verifier key, `<name>+<id>+<base64 of kind and key>`.
    pub fn parse(vkey: &str) -> Result<Self, InvalidKey> {
        let mut parts = vkey.splitn(3, '+');
        let (name, id, key) = (parts.next(), parts.next(), parts.next());
        let ((Some(name), Some(id)), Some(key)) = ((name, id), key) else { return Err(InvalidKey::Form) };
        let bytes = STANDARD.decode(key).map_err(|_| InvalidKey::Form)?;
        let (kind, key) = bytes.split_first().ok_or(InvalidKey::Form)?;
        let kind = [SignatureKind::Ed25519, SignatureKind::Cosignature]
            .into_iter()
            .find(|known| known.byte() == *kind)
            .ok_or(InvalidKey::Kind(*kind))?;
        let key = VerifyingKey::try_from(key).map_err(|_| InvalidKey::Point)?;
        let verifier = Self::new(name, kind, key)?;
        if hex::encode(verifier.key_id) == id { Ok(verifier) } else { Err(InvalidKey::Id) }
    }

    /// The key of this name and kind whose public half is `key`.
    pub fn of_key(name: &str, kind: SignatureKind, key: &[u8; 32]) -> Result<Self, InvalidKey> {
        Self::new(name, kind, VerifyingKey::from_bytes(key).map_err(|_| InvalidKey::Point)?)
    }

    /// Tells keys of one name apart: the beginning of a hash of name, kind and public key.
    pub fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of signatures it checks.
    pub fn kind(&self) -> SignatureKind {
        self.kind
    }

    /// The public key itself.
    pub fn key_bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Whether a signature says that it is of this key.
    pub fn made(&self, signature: &NoteSignature) -> bool {
        (self.name == signature.name) && (self.key_id == signature.key_id)
    }

    /// Checks one of its signatures: `None` where it is not one of this text, else the time that it tells, if its
    /// kind tells one.
    pub fn verify(&self, text: &str, signature: &NoteSignature) -> Option<Option<u64>> {
        let is_valid = |message: &[u8], bytes: &[u8]| {
            let signature = Signature::from_slice(bytes).ok()?;
            self.key.verify_strict(message, &signature).ok()
        };
        match self.kind {
            SignatureKind::Ed25519 => is_valid(text.as_bytes(), &signature.bytes).map(|()| None),
            SignatureKind::Cosignature => {
                let (at_s, bytes) = signature.bytes.split_first_chunk()?;
                let at_s = u64::from_be_bytes(*at_s);
                is_valid(cosigned(text, at_s).as_bytes(), bytes).map(|()| Some(at_s))
            }
        }
    }
}

impl fmt::Display for NoteVerifier {
    /// The verifier key as text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.kind.byte()], &self.key.as_bytes()[..]].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.key_id), STANDARD.encode(key))
    }
}

impl fmt::Debug for NoteVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What a cosigner signs.
fn cosigned(text: &str, at_s: u64) -> String {
    format!("cosignature/v1\ntime {at_s}\n{text}")
}

/// A key that signs notes. Its secret half is wiped from memory when it is dropped.
#[derive(Clone)]
pub struct NoteSigner {
    verifier: NoteVerifier,
    key: SigningKey,
}

impl NoteSigner {
    /// The key of this name whose secret half is `seed`.
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, InvalidKey> {
        let key = SigningKey::from_bytes(seed);
        Ok(Self { verifier: NoteVerifier::new(name, SignatureKind::Ed25519, key.verifying_key())?, key })
    }

    /// Its public half.
    pub fn verifier(&self) -> &NoteVerifier {
        &self.verifier
    }

    /// Signs a note's text.
    pub fn sign(&self, text: &str) -> NoteSignature {
        let NoteVerifier { name, key_id, .. } = &self.verifier;
        NoteSignature {
            name: name.clone(),
            key_id: *key_id,
            bytes: self.key.sign(text.as_bytes()).to_bytes().to_vec(),
        }
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({}, [REDACTED])", self.verifier)
    }
}

/// A key that signs checkpoints with a time: at that time, the largest consistent tree that the cosigner had seen
/// of the log was this one. Not to be the key of a [`NoteSigner`] too. Its secret half is wiped from memory when it
/// is dropped.
#[derive(Clone)]
pub struct Cosigner {
    verifier: NoteVerifier,
    key: SigningKey,
}

impl Cosigner {
    /// The key of this name whose secret half is `seed`.
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, InvalidKey> {
        let key = SigningKey::from_bytes(seed);
        Ok(Self { verifier: NoteVerifier::new(name, SignatureKind::Cosignature, key.verifying_key())?, key })
    }

    /// Its public half.
    pub fn verifier(&self) -> &NoteVerifier {
        &self.verifier
    }

    /// Signs a checkpoint's text at a time, in seconds since 1970.
    pub fn cosign(&self, text: &str, at_s: u64) -> NoteSignature {
        let NoteVerifier { name, key_id, .. } = &self.verifier;
        let signature = self.key.sign(cosigned(text, at_s).as_bytes());
        let bytes = [&at_s.to_be_bytes()[..], &signature.to_bytes()].concat();
        NoteSignature { name: name.clone(), key_id: *key_id, bytes }
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cosigner({}, [REDACTED])", self.verifier)
    }
}
