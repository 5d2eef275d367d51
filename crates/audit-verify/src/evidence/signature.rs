//! Who vouches for a manifest and for checkpoints.

use std::path::Path;

use audit_digest::Sha256;
use audit_proof::{NoteSignature, NoteVerifier, SignatureKind, SignedNote};

use crate::report::Report;
use crate::trust::Trust;

/// Where an export keeps copies of public keys.
const COPIES: [&str; 3] = ["data/keys/export.vkey", "data/keys/log.vkey", "data/keys/cosigner.vkey"];

/// The keys that signatures are checked with.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) known: Vec<NoteVerifier>,
    /// Whether they come from the export itself.
    pub(super) are_copies: bool,
}

impl Keys {
    /// Those that whoever checks has brought along; else the export's own copies.
    pub(super) fn of(dir: &Path, trust: &Trust, report: &mut Report) -> Self {
        if !trust.keys.is_empty() {
            return Self { known: trust.keys.clone(), are_copies: false };
        }
        let mut copies = Trust::default();
        for path in COPIES {
            let Ok(text) = std::fs::read_to_string(dir.join(path)) else { continue };
            if let Err(error) = copies.add_keys(&text) {
                report.find(path, format!("is not a list of verifier keys: {error}"));
            }
        }
        Self { known: copies.keys, are_copies: true }
    }

    /// Those that check the checkpoints of one log. A key that was given for a partition and an epoch is that of all of the
    /// deployment's: each time it signs under the log's own name, which makes another verifier key of it.
    pub(super) fn of_log(&self, origin: &str) -> Vec<NoteVerifier> {
        let of_others = self.known.iter().filter(|key| {
            let is_of_it = deployment_of(key.name()).is_some_and(|of| Some(of) == deployment_of(origin));
            is_of_it && key.kind() == SignatureKind::Ed25519 && key.name() != origin
        });
        let of_others = of_others
            .filter_map(|key| NoteVerifier::of_key(origin, SignatureKind::Ed25519, &key.key_bytes()).ok());
        self.known.iter().cloned().chain(of_others).collect()
    }

    /// Whether keys of logs are among those that were brought along, and not those of exports alone.
    pub(super) fn are_of_logs(&self) -> bool {
        let is_of_exports = |key: &NoteVerifier| key.name().ends_with("/export");
        !self.are_copies && !self.known.iter().all(is_of_exports)
    }
}

/// What of a log's name, `flagtrail/<deployment>/<topic>/<partition>/<epoch>`, all partitions have in common.
fn deployment_of(name: &str) -> Option<&str> {
    let (rest, _epoch) = name.rsplit_once('/')?;
    let (rest, _partition) = rest.rsplit_once('/')?;
    (rest.split('/').count() == 3).then_some(rest)
}

/// Checks both signatures of a manifest, which the key of its own deployment's exports must have made. Returns the key's
/// text where they are good.
pub(super) fn check_manifest(
    dir: &Path,
    manifest: &[u8],
    deployment: &str,
    keys: &Keys,
    report: &mut Report,
) -> Option<String> {
    let Ok(note) = std::fs::read(dir.join("manifest.note")) else {
        if !keys.are_copies {
            report.find_gap(
                "manifest.note",
                "is missing: the manifest is not signed, so no key can vouch for it",
            );
        }
        report.asserted.push(
            "that the manifest is the one that the exporting system wrote: it is not signed".to_owned(),
        );
        return None;
    };
    let note = match SignedNote::parse(&note) {
        Ok(note) => note,
        Err(error) => {
            report.find("manifest.note", format!("is no signed note: {error}"));
            return None;
        }
    };
    let verified = match note.verify(&keys.known) {
        Ok(verified) => verified,
        Err(error) => {
            report.find("manifest.note", format!("does not vouch for the manifest: {error}"));
            return None;
        }
    };
    let sha256 = hex::encode(Sha256::digest(manifest));
    if !note.text().lines().any(|line| line == format!("sha256 {sha256}")) {
        report.find("manifest.json", "was forged: its SHA-256 is not the one that was signed");
        return None;
    }
    let signer = &keys.known[verified.first()?.verifier];
    if signer.kind() != SignatureKind::Ed25519 || signer.name() != format!("flagtrail/{deployment}/export") {
        let problem = format!("is signed with {}, which is no export key of {deployment}", signer.name());
        report.find("manifest.note", problem);
        return None;
    }
    let Ok(bytes) = std::fs::read(dir.join("manifest.json.sig")) else {
        report.find("manifest.json.sig", "can't be read");
        return None;
    };
    let signature = NoteSignature { name: signer.name().to_owned(), key_id: [0; 4], bytes };
    let text = std::str::from_utf8(manifest).ok()?;
    if signer.verify(text, &signature).is_none() {
        report.find(
            "manifest.json.sig",
            "is not a signature of this manifest by the key that signed manifest.note",
        );
        return None;
    }
    Some(signer.to_string())
}
