//! A segment's manifest: that its parts belong together, and who vouches for it.
//! `schemas/segment-manifest.v1.schema.json` is the contract.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use audit_proof::{Checkpoint, Cut, Frontier, NodeHash, NoteVerifier, SignatureKind, SignedNote};
use serde::Deserialize;

use super::name::{Name, Tree};

/// The latest version that this release reads: that of segments which are without their messages.
const MANIFEST_VERSION: u64 = 2;

/// Most bytes of a manifest that is read: a cut and a few lines.
const MANIFEST_BYTES_MAX: u64 = 256 * 1024;

/// What a manifest says.
#[derive(Debug, Deserialize)]
struct Manifest {
    deployment: String,
    partition: u32,
    cut: Cut,
    messages: u64,
    files: Vec<ListedFile>,
    #[serde(default)]
    lost: Option<String>,
    signature: String,
}

/// A file that a manifest lists.
#[derive(Debug, Deserialize)]
pub(super) struct ListedFile {
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// A manifest whose parts belong together.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) cut: Cut,
    /// The rows, then the leaf hashes; nothing where there are no messages, or where they are lost.
    pub(super) files: Option<[ListedFile; 2]>,
    /// Why it is without its messages, in words, where it says so itself.
    pub(super) lost: Option<String>,
    /// What the cut's checkpoint signs: the tree at the segment's end.
    pub(super) checkpoint: Checkpoint,
    /// The tree's edge at its start.
    pub(super) edge: Frontier,
    note: SignedNote,
    signature: SignedNote,
}

impl Segment {
    /// Reads the manifest of the segment of this name. An `Err` says what is wrong with it.
    pub(super) fn read(place: &Path, name: Name, tree: &Tree) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let bytes = read_bounded(place).map_err(|error| format!("can't be read: {error}"))?;
        let form = |error: serde_json::Error| format!("is no segment's manifest: {error}");
        let Versioned { version } = serde_json::from_slice(&bytes).map_err(form)?;
        if version > MANIFEST_VERSION {
            return Err(format!("was written by a later release (version {version})"));
        }
        let Manifest { deployment, partition, cut, messages, files, lost, signature } =
            serde_json::from_slice(&bytes).map_err(form)?;
        let (cut, note, checkpoint, edge) =
            Cut::read(&cut.to_json()).map_err(|error| format!("was altered: its cut: {error}"))?;
        let is_here = deployment == tree.deployment
            && partition == tree.partition
            && cut.origin == tree.origin()
            && (cut.number, cut.start.seq) == (name.number, name.start);
        if !is_here {
            return Err(format!(
                "is of segment {} of {}, which begins with leaf {}: it was moved, or altered",
                cut.number, cut.origin, cut.start.seq
            ));
        }
        let signature = SignedNote::parse(signature.as_bytes())
            .map_err(|error| format!("was altered: its signature is no signed note: {error}"))?;
        if signature.text() != signed_text(&cut, &files, lost.as_deref()) {
            return Err("was forged: what it says is not what was signed".to_owned());
        }
        let leaves = cut.end.seq - cut.start.seq;
        if messages != leaves {
            return Err(format!("was altered: it counts {messages} messages, its cut {leaves}"));
        }
        let files = match (leaves, <[ListedFile; 2]>::try_from(files)) {
            (0, Err(files)) if files.is_empty() && lost.is_none() => None,
            (1.., Err(files)) if files.is_empty() && lost.is_some() => None,
            (_, _) if lost.is_some() => {
                return Err("says that its messages are lost, and lists files of them".to_owned());
            }
            (1.., Ok([rows, hashes])) => {
                let (deployment, date) = (&tree.deployment, &cut.date);
                if rows.path != name.rows(deployment, date) || hashes.path != name.hashes(deployment) {
                    return Err(format!(
                        "lists {} and {}, which are not where its files belong",
                        rows.path, hashes.path
                    ));
                }
                if leaves.checked_mul(NodeHash::BYTES as u64) != Some(hashes.bytes) {
                    return Err(format!(
                        "gives {} bytes for the hashes of {leaves} leaves, of 32 bytes each",
                        hashes.bytes
                    ));
                }
                Some([rows, hashes])
            }
            _ => return Err(format!("lists other files than {leaves} messages have")),
        };
        Ok(Self { cut, files, lost: lost.map(in_words), checkpoint, edge, note, signature })
    }

    /// Whether keys of the tree have signed checkpoint and manifest; answers with the latest time, in seconds since 1970, that a known
    /// cosigner tells. An `Err` says what is not signed.
    pub(super) fn vouched(&self, known: &[NoteVerifier]) -> Result<Option<u64>, String> {
        let by = |what: &str, error: &dyn std::fmt::Display| {
            format!(
                "{what} is not one that the log's keys vouch for: {error}; it was forged, or a former key of the log is missing here"
            )
        };
        let (_, at_s) = Checkpoint::open(&self.note, &self.cut.origin, known)
            .map_err(|error| by("holds a checkpoint that", &error))?;
        let verified = self.signature.verify(known).map_err(|error| by("has a signature that", &error))?;
        let is_logs = |key: &NoteVerifier| is_key_of(key, &self.cut.origin);
        if !verified.iter().any(|by| is_logs(&known[by.verifier])) {
            return Err(by("has a signature that", &"no known key of the log itself has signed it"));
        }
        Ok(at_s)
    }
}

/// Whether a key is the own one of a tree, which bears its name.
pub(super) fn is_key_of(key: &NoteVerifier, origin: &str) -> bool {
    key.kind() == SignatureKind::Ed25519 && key.name() == origin
}

/// Why a segment is without its messages.
fn in_words(lost: String) -> String {
    match lost.as_str() {
        "removed" => "they were removed from the log before they were written".to_owned(),
        "replaced" => "the log was replaced before they were written".to_owned(),
        "uncut" => "they were sealed while nobody cut, and are more than a segment has".to_owned(),
        _ => lost,
    }
}

/// What is signed: the tree's name, the cut's, and a line for each file, or one that says why there are none.
fn signed_text(cut: &Cut, files: &[ListedFile], lost: Option<&str>) -> String {
    let name = cut.name();
    let files = files.iter().map(|file| format!("{}  {}\n", file.sha256, file.path));
    let lines: String = files.chain(lost.map(|lost| format!("lost {lost}\n"))).collect();
    format!("flagtrail segment v1\n{}\ncut {}\n{lines}", name.origin, name.hash)
}

fn read_bounded(place: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(place)?.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than any manifest"));
    }
    Ok(bytes)
}
