//! What is written down whenever a partition is sealed: the signed checkpoint, and what it takes to go on from
//! it. The value of a message on the topic `checkpoints`.

use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::hash::NodeHash;
use crate::note::{InvalidNote, SignedNote};
use crate::tree::{Frontier, InvalidFrontier};

/// The version of the document that this release writes.
pub const SEALED_VERSION: u32 = 1;

/// A sealed head of a partition. As JSON it stands on the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The version of this document.
    pub v: u32,
    /// The log's epoch.
    pub epoch: u32,
    /// The offset after the last message that is a leaf, or after what is no message behind it. No leaf before it is missing.
    pub next: u64,
    /// The tree's right edge: whoever begins here goes on with the same tree.
    pub peaks: Vec<NodeHash>,
    /// The signed checkpoint.
    pub note: String,
}

/// The bytes are no sealed head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSealed {
    /// Of a later release.
    #[error(
        "it has version {found}, this release reads up to {SEALED_VERSION}: use the release that wrote it"
    )]
    Newer {
        /// Its version.
        found: u32,
    },
    /// Not the document.
    #[error("it is no sealed head: {0}")]
    Form(String),
    /// What it holds is no signed note.
    #[error("its checkpoint: {0}")]
    Note(#[from] InvalidNote),
    /// What it holds is no checkpoint.
    #[error("its checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Its edge has another size than its checkpoint.
    #[error(transparent)]
    Edge(#[from] InvalidFrontier),
    /// Its edge is not that of the tree that was signed.
    #[error("its edge leads to another root than the one that was signed")]
    OtherRoot,
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

impl Sealed {
    /// Reads a document and checks that checkpoint and edge belong together. Whose signatures it carries is for
    /// the caller to check.
    pub fn read(bytes: &[u8]) -> Result<(Self, SignedNote, Checkpoint, Frontier), InvalidSealed> {
        let form = |error: serde_json::Error| InvalidSealed::Form(error.to_string());
        let Versioned { v } = serde_json::from_slice(bytes).map_err(form)?;
        if v > SEALED_VERSION {
            return Err(InvalidSealed::Newer { found: v });
        }
        let sealed: Self = serde_json::from_slice(bytes).map_err(form)?;
        let note = SignedNote::parse(sealed.note.as_bytes())?;
        let checkpoint = Checkpoint::parse(note.text())?;
        let frontier = Frontier::from_peaks(checkpoint.size, sealed.peaks.clone())?;
        if frontier.root() != checkpoint.root {
            return Err(InvalidSealed::OtherRoot);
        }
        Ok((sealed, note, checkpoint, frontier))
    }

    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a sealed head has string keys only")
    }
}

/// The origin of a partition's tree: which deployment's, which partition, which epoch.
pub fn origin(deployment: &impl std::fmt::Display, partition: u32, epoch: u32) -> String {
    format!("flagtrail/{deployment}/records/{partition}/{epoch}")
}

/// The epoch in the name of a partition's tree; `None` where the name is not one of that deployment and partition.
pub fn epoch_of(name: &str, deployment: &impl std::fmt::Display, partition: u32) -> Option<u32> {
    let epoch: u32 = name.rsplit_once('/')?.1.parse().ok()?;
    (origin(deployment, partition, epoch) == name).then_some(epoch)
}

/// The name of the cosigner by which a deployment tells the time of its checkpoints.
pub fn clock_name(deployment: &impl std::fmt::Display) -> String {
    format!("flagtrail/{deployment}/clock")
}
