//! Whose signatures count on the checkpoints of a deployment's logs: public halves only.
//!
//! A key of the log signs for every partition and every epoch, each time under the log's own name, so that a verifier
//! key is another text for each. What is kept here is the key itself.

use std::fmt::Display;

use crate::note::{InvalidKey, NoteVerifier, SignatureKind};
use crate::sealed::clock_name;

/// Most keys of one kind: those in use, and those that signed before them.
pub const LOG_KEYS_MAX: usize = 64;

/// The keys that are known of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogKeys {
    /// Of the log, in use or former.
    log: Vec<[u8; 32]>,
    /// Of the log's own cosigner, which tells the time.
    clock: Vec<[u8; 32]>,
    /// Of others who cosign.
    witnesses: Vec<NoteVerifier>,
}

impl LogKeys {
    /// What these verifier keys say: whatever the partition and epoch in the name of a log's key, it is taken for
    /// all of them. A cosigner's key is the log's own where its name is that of a clock (`flagtrail/…/clock`), else a
    /// witness's.
    pub fn of_verifiers<'k>(verifiers: impl IntoIterator<Item = &'k NoteVerifier>) -> Self {
        let mut keys = Self::default();
        for verifier in verifiers {
            match verifier.kind() {
                SignatureKind::Ed25519 => keys.add_log(verifier.key_bytes()),
                SignatureKind::Cosignature if is_clock(verifier.name()) => {
                    keys.add_clock(verifier.key_bytes())
                }
                SignatureKind::Cosignature => keys.add_witness(verifier.clone()),
            }
        }
        keys
    }

    /// Adds a key of the log; beyond [`LOG_KEYS_MAX`] it is left out.
    pub fn add_log(&mut self, key: [u8; 32]) {
        add(&mut self.log, key);
    }

    /// Adds a key of the log's own cosigner; beyond [`LOG_KEYS_MAX`] it is left out.
    pub fn add_clock(&mut self, key: [u8; 32]) {
        add(&mut self.clock, key);
    }

    /// Adds a witness; beyond [`LOG_KEYS_MAX`] it is left out.
    pub fn add_witness(&mut self, witness: NoteVerifier) {
        add(&mut self.witnesses, witness);
    }

    /// Adds all that others know.
    pub fn extend(&mut self, others: &Self) {
        others.log.iter().for_each(|key| self.add_log(*key));
        others.clock.iter().for_each(|key| self.add_clock(*key));
        others.witnesses.iter().for_each(|witness| self.add_witness(witness.clone()));
    }

    /// Whether no key of the log is known: then nothing can be said of its signatures.
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// The witnesses.
    pub fn witnesses(&self) -> &[NoteVerifier] {
        &self.witnesses
    }

    /// What checks the checkpoints of one log.
    pub fn verifiers(
        &self,
        origin: &str,
        deployment: &impl Display,
    ) -> Result<Vec<NoteVerifier>, InvalidKey> {
        let clock = clock_name(deployment);
        let log = self.log.iter().map(|key| NoteVerifier::of_key(origin, SignatureKind::Ed25519, key));
        let clocks =
            self.clock.iter().map(|key| NoteVerifier::of_key(&clock, SignatureKind::Cosignature, key));
        log.chain(clocks).chain(self.witnesses.iter().cloned().map(Ok)).collect()
    }
}

fn add<K: PartialEq>(keys: &mut Vec<K>, key: K) {
    if keys.len() < LOG_KEYS_MAX && !keys.contains(&key) {
        keys.push(key);
    }
}

fn is_clock(name: &str) -> bool {
    name.starts_with("flagtrail/") && name.ends_with("/clock")
}

#[cfg(test)]
mod tests {
    use super::LogKeys;
    use crate::{Checkpoint, Cosigner, NodeHash, NoteSigner, NoteVerifier, origin};

    #[test]
    fn a_verifier_key_of_one_partition_checks_every_partition_and_epoch() {
        let signer = |partition, epoch| NoteSigner::new(&origin(&"d", partition, epoch), &[7; 32]).unwrap();
        let clock = Cosigner::new("flagtrail/d/clock", &[8; 32]).unwrap();
        let witness = Cosigner::new("witness.example/w", &[9; 32]).unwrap();
        let shown: Vec<NoteVerifier> =
            [signer(0, 0).verifier(), clock.verifier(), witness.verifier()].map(Clone::clone).to_vec();
        let keys = LogKeys::of_verifiers(&shown);
        assert_eq!(keys.witnesses().len(), 1);
        let wanted = origin(&"d", 5, 3);
        let checkpoint = Checkpoint { origin: wanted.clone(), size: 4, root: NodeHash::from_bytes([1; 32]) };
        let mut note = checkpoint.to_note().unwrap();
        note.sign(&signer(5, 3));
        note.add(clock.cosign(note.text(), 12));
        let known = keys.verifiers(&wanted, &"d").unwrap();
        assert_eq!(Checkpoint::open(&note, &wanted, &known).unwrap(), (checkpoint, Some(12)));
        let mut twice = keys.clone();
        twice.extend(&keys);
        assert_eq!(twice, keys);
        assert!(LogKeys::default().is_empty() && !keys.is_empty());
    }
}
