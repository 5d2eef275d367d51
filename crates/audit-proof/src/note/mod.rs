//! Signed notes (C2SP signed-note): a text, and beneath it who signed it.

mod key;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use key::{Cosigner, InvalidKey, NoteSigner, NoteVerifier, SignatureKind};

/// Largest note that is read, in bytes: far above any checkpoint with witnesses.
pub const NOTE_BYTES_MAX: usize = 1_000_000;

/// Most signatures of a note that are read; verifiers have to take 16 at least.
pub const SIGNATURES_MAX: usize = 100;

/// What a signature line begins with: an em dash and a space.
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// A signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: String,
    /// Tells keys of one name apart: the beginning of a hash of name, kind and public key.
    pub key_id: [u8; 4],
    /// What the key's kind makes of the text.
    pub bytes: Vec<u8>,
}

/// A text and its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// The bytes are no signed note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNote {
    /// Larger than [`NOTE_BYTES_MAX`].
    #[error("the note has more than {NOTE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not UTF-8, or with control characters.
    #[error("a note is UTF-8 without control characters other than line feeds")]
    Characters,
    /// Not a text, a blank line and signature lines.
    #[error("a note is lines of text, a blank line, and one or more signature lines")]
    Form,
    /// More than [`SIGNATURES_MAX`] signatures.
    #[error("the note has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
}

/// Nobody who is known vouches for a note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// A known key's signature is not one of this text.
    #[error("the signature of {0} is not one of this text")]
    Wrong(String),
    /// No known key has signed.
    #[error("none of the known keys has signed it; it is signed by {}", if .0.is_empty() { "nobody" } else { .0 })]
    Unknown(String),
}

/// A signature that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Which of the verifiers given.
    pub verifier: usize,
    /// When it was made, in seconds since 1970, where its kind tells (cosignatures do).
    pub at_s: Option<u64>,
}

impl SignedNote {
    /// A text nobody has signed yet. It consists of whole lines, without control characters.
    pub fn unsigned(text: impl Into<String>) -> Result<Self, InvalidNote> {
        let text = text.into();
        check_characters(&text)?;
        if !text.ends_with('\n') {
            return Err(InvalidNote::Form);
        }
        Ok(Self { text, signatures: Vec::new() })
    }

    /// Reads a note with at least one signature.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidNote> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(InvalidNote::TooLarge);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| InvalidNote::Characters)?;
        check_characters(note)?;
        // The text may have blank lines of its own: the last one divides.
        let divide = note.rfind("\n\n").ok_or(InvalidNote::Form)?;
        let (text, signatures) = (&note[..=divide], &note[divide + 2..]);
        let lines = signatures.strip_suffix('\n').ok_or(InvalidNote::Form)?;
        let signatures: Vec<_> = lines
            .split('\n')
            .map(NoteSignature::parse)
            .take(SIGNATURES_MAX + 1)
            .collect::<Option<_>>()
            .ok_or(InvalidNote::Form)?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(InvalidNote::TooManySignatures);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text that is signed: with its last line feed, without the blank line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature.
    pub fn add(&mut self, signature: NoteSignature) {
        self.signatures.push(signature);
    }

    /// Adds the signature of a key.
    pub fn sign(&mut self, signer: &NoteSigner) {
        self.signatures.push(signer.sign(&self.text));
    }

    /// Checks the signatures of known keys; those of others are passed over. One wrong signature of a known key
    /// makes the whole note worthless, and so does having none.
    pub fn verify(&self, known: &[NoteVerifier]) -> Result<Vec<Verified>, Unverified> {
        let mut verified: Vec<Verified> = Vec::new();
        for signature in &self.signatures {
            let Some(verifier) = known.iter().position(|key| key.made(signature)) else { continue };
            let at_s = known[verifier]
                .verify(&self.text, signature)
                .ok_or_else(|| Unverified::Wrong(signature.name.clone()))?;
            if verified.iter().all(|earlier| earlier.verifier != verifier) {
                verified.push(Verified { verifier, at_s });
            }
        }
        if verified.is_empty() {
            let names: Vec<&str> = self.signatures.iter().map(|signature| signature.name.as_str()).collect();
            return Err(Unverified::Unknown(names.join(", ")));
        }
        Ok(verified)
    }
}

impl fmt::Display for SignedNote {
    /// The note as it is stored and sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl NoteSignature {
    /// Reads a signature line, without its line feed.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
        let signature = STANDARD.decode(signature).ok()?;
        let (key_id, bytes) = signature.split_first_chunk()?;
        let valid = key::is_name(name) && !bytes.is_empty();
        valid.then(|| Self { name: name.to_owned(), key_id: *key_id, bytes: bytes.to_owned() })
    }
}

impl fmt::Display for NoteSignature {
    /// The signature line, without a line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = [&self.key_id[..], &self.bytes].concat();
        write!(f, "{SIGNATURE_PREFIX}{} {}", self.name, STANDARD.encode(signature))
    }
}

fn check_characters(note: &str) -> Result<(), InvalidNote> {
    let allowed = |byte: u8| byte >= b' ' || byte == b'\n';
    if note.bytes().all(allowed) { Ok(()) } else { Err(InvalidNote::Characters) }
}
