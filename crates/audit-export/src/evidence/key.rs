//! The key that exports are signed with: another than the log's, so that whoever makes exports need not be able to
//! sign history.

use audit_digest::Sha256;
use audit_proof::{InvalidKey, NoteSigner, NoteVerifier, SignedNote};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::seal::random_seed;

/// The first line of a key file.
const FIRST_LINE: &str = "flagtrail-export-key-v1";

/// What stands before an Ed25519 public key in DER (RFC 8410): the sequence, its algorithm, the bit string.
const DER_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a key file can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not two lines, {FIRST_LINE} and 32 bytes of base64; `flagtrail keys init` makes one")]
pub struct ExportKeyError;

/// The key of a deployment's exports.
#[derive(Clone)]
pub struct ExportKey {
    seed: [u8; 32],
}

impl ExportKey {
    /// The key with this seed.
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    /// One that is made up.
    pub fn generate() -> Self {
        Self::new(random_seed())
    }

    /// Reads a key file.
    pub fn parse(text: &str) -> Result<Self, ExportKeyError> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        if lines.next() != Some(FIRST_LINE) {
            return Err(ExportKeyError);
        }
        let seed = lines.next().and_then(|line| STANDARD.decode(line).ok());
        let seed = seed.and_then(|seed| seed.try_into().ok()).ok_or(ExportKeyError)?;
        if lines.next().is_some() { Err(ExportKeyError) } else { Ok(Self { seed }) }
    }

    /// As a key file. It is secret: whoever has it can sign other exports.
    pub fn to_text(&self) -> String {
        format!("{FIRST_LINE}\n{}\n", STANDARD.encode(self.seed))
    }

    /// What signs the exports of a deployment.
    pub fn signer(&self, deployment: &impl std::fmt::Display) -> Result<NoteSigner, InvalidKey> {
        NoteSigner::new(&format!("flagtrail/{deployment}/export"), &self.seed)
    }
}

impl std::fmt::Debug for ExportKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExportKey([REDACTED])")
    }
}

/// A public key as OpenSSL reads it.
pub(crate) fn pem(verifier: &NoteVerifier) -> String {
    let der = [&DER_PREFIX[..], &verifier.key_bytes()].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

/// A manifest's signatures: the bytes of Ed25519 over the file, and a signed note over its SHA-256.
pub(crate) fn sign(signer: &NoteSigner, export_id: &str, manifest: &str) -> (Vec<u8>, String) {
    let sha256 = hex::encode(Sha256::digest(manifest));
    // An id has no control characters: it is a UUID, or what a program made up for its job.
    let id: String = export_id.chars().filter(|c| !c.is_control()).collect();
    let text = format!("flagtrail export manifest v1\n{id}\nsha256 {sha256}\n");
    let mut note = SignedNote::unsigned(text).expect("lines without control characters");
    note.sign(signer);
    (signer.sign(manifest).bytes, note.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_file_and_nothing_else_is_one() {
        let key = ExportKey::generate();
        let back = ExportKey::parse(&key.to_text()).expect("a key");
        assert_eq!(back.seed, key.seed);
        for wrong in ["", FIRST_LINE, "flagtrail-export-key-v1\nAAAA\n", "flagtrail-log-keys-v1\n"] {
            assert_eq!(ExportKey::parse(wrong).err(), Some(ExportKeyError), "{wrong:?}");
        }
        assert!(!format!("{key:?}").contains(&key.to_text()[24..]));
    }
}
