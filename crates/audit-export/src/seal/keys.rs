//! The keys that checkpoints are signed with, as their file has them.

use audit_digest::Sha256;
use audit_proof::{Cosigner, InvalidKey, LogKeys, NoteSigner, NoteVerifier, clock_name};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

/// The first line of a key file.
const FIRST_LINE: &str = "flagtrail-log-keys-v1";

/// The first line of one that names former keys, too.
const FIRST_LINE_WITH_FORMER: &str = "flagtrail-log-keys-v2";

/// What the line of a former key begins with; its public halves follow, the log's and the cosigner's.
const FORMER: &str = "former ";

/// Most former keys that are named.
const FORMER_MAX: usize = 30;

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
    /// A line is no former key.
    #[error("line {0} is not `former` and two public keys in base64")]
    Former(usize),
    /// Keys are being exchanged already.
    #[error(
        "its keys are being exchanged already: once every sealer has signed with both, `flagtrail keys rotate --finish` leaves the former one behind"
    )]
    Exchanging,
    /// There is nothing to leave behind.
    #[error("it has one key: there is no former one to leave behind")]
    NotExchanging,
    /// No key, or more than are used at a time.
    #[error("it has {0} keys; one, or two while they are exchanged, are used")]
    Count(usize),
}

/// The keys of a deployment's log. The first is in use; a second one signs too until those who check know the
/// first.
#[derive(Clone)]
pub struct SealKeys {
    seeds: Vec<[u8; 32]>,
    /// The public halves of keys that sign no more: what they signed still counts.
    former: Vec<PublicKeys>,
}

/// The public halves of a key of the log, and of the cosigner's that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKeys {
    /// The log's.
    pub log: [u8; 32],
    /// The cosigner's.
    pub clock: [u8; 32],
}

impl PublicKeys {
    fn of(seed: &[u8; 32]) -> Self {
        let log = NoteSigner::new("log", seed).expect("a name").verifier().key_bytes();
        let clock = Cosigner::new("clock", &cosigner_seed(seed)).expect("a name").verifier().key_bytes();
        Self { log, clock }
    }

    /// Tells keys apart, for people and in records: the beginning of the SHA-256 of the log's key, in hex.
    pub fn fingerprint(&self) -> String {
        hex::encode(&Sha256::digest(self.log)[..8])
    }

    fn parse(text: &str) -> Option<Self> {
        let (log, clock) = text.trim().split_once(' ')?;
        let key = |text: &str| -> Option<[u8; 32]> { STANDARD.decode(text.trim()).ok()?.try_into().ok() };
        Some(Self { log: key(log)?, clock: key(clock)? })
    }
}

fn cosigner_seed(seed: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(COSIGNER_LABEL).chain_update(seed).finalize()
}

impl SealKeys {
    /// Of the one key with this seed.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seeds: vec![seed], former: Vec::new() }
    }

    /// Of one key that is made up.
    pub fn generate() -> Self {
        Self::new(random_seed())
    }

    /// Reads a key file.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let mut lines = (1..).zip(text.lines());
        let first = lines.next().map(|(_, line)| line.trim());
        if !first.is_some_and(|first| [FIRST_LINE, FIRST_LINE_WITH_FORMER].contains(&first)) {
            return Err(KeyFileError::Form);
        }
        let lines: Vec<(usize, &str)> =
            lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')).collect();
        let (former, keys): (Vec<_>, Vec<_>) =
            lines.into_iter().partition(|(_, line)| line.starts_with(FORMER));
        let former = former.into_iter().map(|(number, line)| {
            line.strip_prefix(FORMER).and_then(PublicKeys::parse).ok_or(KeyFileError::Former(number))
        });
        let former: Vec<PublicKeys> = former.collect::<Result<_, _>>()?;
        let seed = |(number, line): (usize, &str)| {
            let bytes = STANDARD.decode(line.trim()).map_err(|_| KeyFileError::Line(number))?;
            bytes.try_into().map_err(|_| KeyFileError::Line(number))
        };
        let seeds: Vec<[u8; 32]> = keys.into_iter().map(seed).collect::<Result<_, _>>()?;
        if seeds.is_empty() || seeds.len() > KEYS_MAX {
            return Err(KeyFileError::Count(seeds.len()));
        }
        Ok(Self { seeds, former })
    }

    /// As a key file. It is secret: whoever has it can sign another history.
    pub fn to_text(&self) -> String {
        let seeds = self.seeds.iter().map(|seed| STANDARD.encode(seed) + "\n");
        let former = self.former.iter().map(|PublicKeys { log, clock }| {
            format!("{FORMER}{} {}\n", STANDARD.encode(log), STANDARD.encode(clock))
        });
        let first = if self.former.is_empty() { FIRST_LINE } else { FIRST_LINE_WITH_FORMER };
        format!("{first}\n{}", seeds.chain(former).collect::<String>())
    }

    /// With a key that is made up in front, and the one in use behind it. Refused while keys are being exchanged: the
    /// sealer would find what it signed last to be signed by neither.
    pub fn rotated(&self) -> Result<Self, KeyFileError> {
        let [in_use] = self.seeds[..] else { return Err(KeyFileError::Exchanging) };
        Ok(Self { seeds: vec![random_seed(), in_use], former: self.former.clone() })
    }

    /// With the key in use alone; of the former one the public half is kept, by which what it signed is checked.
    pub fn without_former(&self) -> Result<Self, KeyFileError> {
        let [in_use, left] = &self.seeds[..] else { return Err(KeyFileError::NotExchanging) };
        let former = [PublicKeys::of(left)].into_iter().chain(self.former.iter().copied());
        Ok(Self { seeds: vec![*in_use], former: former.take(FORMER_MAX).collect() })
    }

    /// The public halves of those that sign; the one in use first.
    pub fn signing(&self) -> Vec<PublicKeys> {
        self.seeds.iter().map(PublicKeys::of).collect()
    }

    /// The public halves of those that signed before.
    pub fn former(&self) -> &[PublicKeys] {
        &self.former
    }

    /// Whose signatures count: of those that sign, and of those that did.
    pub fn log_keys(&self) -> LogKeys {
        let mut keys = LogKeys::default();
        for PublicKeys { log, clock } in self.signing().iter().chain(&self.former) {
            keys.add_log(*log);
            keys.add_clock(*clock);
        }
        keys
    }

    /// The keys of one log, whose names are its origin.
    pub fn signers(&self, origin: &str) -> Result<Vec<NoteSigner>, InvalidKey> {
        self.seeds.iter().map(|seed| NoteSigner::new(origin, seed)).collect()
    }

    /// Tells the time of each checkpoint.
    pub fn cosigner(&self, deployment: &impl std::fmt::Display) -> Result<Cosigner, InvalidKey> {
        let seed = self.seeds.first().expect("a file has a key");
        Cosigner::new(&clock_name(deployment), &cosigner_seed(seed))
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
    hasher.finalize()
}

impl std::fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealKeys({} keys, [REDACTED])", self.seeds.len())
    }
}
