//! The keys that checkpoints are signed with, as their file has them.

use audit_proof::{Cosigner, InvalidKey, NoteSigner, NoteVerifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The first line of a key file.
const FIRST_LINE: &str = "flagtrail-log-keys-v1";

/// Most keys in a file: one in use, and one that is being left behind.
const KEYS_MAX: usize = 2;

/// Precedes a seed where the cosigner's key is made of it, which has to be another key than the log's.
const COSIGNER_LABEL: &[u8] = b"flagtrail cosigner key v1\0";

/// Why a key file can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Not a key file.
    #[error("it is no key file: its first line is not {FIRST_LINE}; `flagtrail keys init` makes one")]
    Form,
    /// A line is no key.
    #[error("line {0} is not 32 bytes of base64")]
    Line(usize),
    /// No key, or more than are used at a time.
    #[error("it has {0} keys; one, or two while they are exchanged, are used")]
    Count(usize),
}

/// The keys of a deployment's log. The first is in use; a second one signs too until those who check know the
/// first.
#[derive(Clone)]
pub struct SealKeys {
    seeds: Vec<[u8; 32]>,
}

impl SealKeys {
    /// Of the one key with this seed.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seeds: vec![seed] }
    }

    /// Of one key that is made up.
    pub fn generate() -> Self {
        Self::new(random_seed())
    }

    /// Reads a key file.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let mut lines = (1..).zip(text.lines());
        if lines.next().map(|(_, line)| line.trim()) != Some(FIRST_LINE) {
            return Err(KeyFileError::Form);
        }
        let keys = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let seed = |(number, line): (usize, &str)| {
            let bytes = STANDARD.decode(line.trim()).map_err(|_| KeyFileError::Line(number))?;
            bytes.try_into().map_err(|_| KeyFileError::Line(number))
        };
        let seeds: Vec<[u8; 32]> = keys.map(seed).collect::<Result<_, _>>()?;
        if seeds.is_empty() || seeds.len() > KEYS_MAX {
            return Err(KeyFileError::Count(seeds.len()));
        }
        Ok(Self { seeds })
    }

    /// As a key file. It is secret: whoever has it can sign another history.
    pub fn to_text(&self) -> String {
        let lines = self.seeds.iter().map(|seed| STANDARD.encode(seed) + "\n");
        format!("{FIRST_LINE}\n{}", lines.collect::<String>())
    }

    /// With a key that is made up in front, and the one in use behind it.
    pub fn rotated(&self) -> Self {
        Self { seeds: [random_seed()].into_iter().chain(self.seeds.first().copied()).collect() }
    }

    /// With the key in use alone.
    pub fn without_former(&self) -> Self {
        Self { seeds: self.seeds.iter().take(1).copied().collect() }
    }

    /// The keys of one log, whose names are its origin.
    pub fn signers(&self, origin: &str) -> Result<Vec<NoteSigner>, InvalidKey> {
        self.seeds.iter().map(|seed| NoteSigner::new(origin, seed)).collect()
    }

    /// Tells the time of each checkpoint.
    pub fn cosigner(&self, deployment: &impl std::fmt::Display) -> Result<Cosigner, InvalidKey> {
        let seed = self.seeds.first().expect("a file has a key");
        let own = Sha256::new().chain_update(COSIGNER_LABEL).chain_update(seed).finalize();
        Cosigner::new(&format!("flagtrail/{deployment}/clock"), &own.into())
    }

    /// What checks the checkpoints of one log: its keys, and the cosigner's.
    pub fn verifiers(
        &self,
        origin: &str,
        deployment: &impl std::fmt::Display,
    ) -> Result<Vec<NoteVerifier>, InvalidKey> {
        let mut all: Vec<NoteVerifier> =
            self.signers(origin)?.iter().map(|signer| signer.verifier().clone()).collect();
        all.push(self.cosigner(deployment)?.verifier().clone());
        Ok(all)
    }
}

/// From the system's random numbers, of which a UUID has 122 bits.
pub(crate) fn random_seed() -> [u8; 32] {
    let mut hasher = Sha256::new();
    (0..4).for_each(|_| hasher.update(Uuid::new_v4().as_bytes()));
    hasher.finalize().into()
}

impl std::fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealKeys({} keys, [REDACTED])", self.seeds.len())
    }
}
