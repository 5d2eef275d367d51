//! Checkpoints (C2SP tlog-checkpoint): which log, how many leaves, which root. The text of a signed note.

use std::fmt;

use crate::hash::NodeHash;
use crate::note::{InvalidNote, NoteVerifier, SignatureKind, SignedNote, Unverified};

/// The head of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many leaves its tree has.
    pub size: u64,
    /// The tree's root.
    pub root: NodeHash,
}

/// Why something is no checkpoint of the log that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is no signed note.
    #[error(transparent)]
    Note(#[from] InvalidNote),
    /// Its text is no checkpoint.
    #[error("a checkpoint is a line with its origin, one with a size, one with a root in base64")]
    Form,
    /// It is of another log.
    #[error("it is a checkpoint of {found}, not of {wanted}")]
    OtherLog {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// Nobody who is known vouches for it.
    #[error(transparent)]
    Unverified(#[from] Unverified),
    /// Only cosigners have signed it, and not the log.
    #[error("it is signed by no known key of the log itself")]
    NotByLog,
}

impl Checkpoint {
    /// Reads a note's text. Lines beyond the third are the log's own affair and passed over.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Form)?.split('\n');
        let (origin, size, root) = (lines.next(), lines.next(), lines.next());
        let ((Some(origin), Some(size)), Some(root)) = ((origin, size), root) else {
            return Err(CheckpointError::Form);
        };
        let number: u64 = size.parse().map_err(|_| CheckpointError::Form)?;
        let root_hash = NodeHash::parse(root).map_err(|_| CheckpointError::Form)?;
        let canonical = number.to_string() == size && root_hash.to_string() == root;
        if origin.is_empty() || !canonical || lines.any(str::is_empty) {
            return Err(CheckpointError::Form);
        }
        Ok(Self { origin: origin.to_owned(), size: number, root: root_hash })
    }

    /// As a note that nobody has signed yet.
    pub fn to_note(&self) -> Result<SignedNote, InvalidNote> {
        SignedNote::unsigned(self.to_string())
    }

    /// Reads a signed checkpoint of a log: signed by one of `known` that is the log's own, which bears its origin as its
    /// name, with no wrong signature of any of them. Returns it with the latest time that a known cosigner vouches for.
    pub fn open(
        note: &SignedNote,
        origin: &str,
        known: &[NoteVerifier],
    ) -> Result<(Self, Option<u64>), CheckpointError> {
        let verified = note.verify(known)?;
        let checkpoint = Self::parse(note.text())?;
        if checkpoint.origin != origin {
            return Err(CheckpointError::OtherLog { found: checkpoint.origin, wanted: origin.to_owned() });
        }
        // Another key that is known, of another log or of exports, says nothing of this one.
        let is_logs = |key: &NoteVerifier| key.kind() == SignatureKind::Ed25519 && key.name() == origin;
        if !verified.iter().any(|by| is_logs(&known[by.verifier])) {
            return Err(CheckpointError::NotByLog);
        }
        Ok((checkpoint, verified.iter().filter_map(|by| by.at_s).max()))
    }
}

impl fmt::Display for Checkpoint {
    /// The note's text: three lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)
    }
}
