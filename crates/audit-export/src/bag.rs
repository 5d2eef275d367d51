//! The BagIt frame (RFC 8493) around the payload: `bagit.txt`, `bag-info.txt`, and checksum files that
//! `sha256sum -c` reads.

use std::io;
use std::path::Path;

use audit_digest::Sha256;
use audit_proof::NoteSigner;

use crate::durable::write_whole;
use crate::evidence::sign;
use crate::manifest::Manifest;

/// What stands around the payload beside the manifest.
#[derive(Default)]
pub(crate) struct Frame<'f> {
    /// What signs the manifest.
    pub(crate) signer: Option<&'f NoteSigner>,
    /// `VERIFY.md`.
    pub(crate) guide: Option<&'f str>,
}

/// Writes everything but what lies in `data/`, the file that vouches for the others last.
pub(crate) fn write_frame(root: &Path, manifest: &Manifest, frame: &Frame<'_>) -> io::Result<()> {
    let evidence = manifest.evidence.iter().flat_map(|evidence| &evidence.files);
    let payload: Vec<(&str, u64, &str)> = manifest
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.bytes, file.sha256.as_str()))
        .chain(evidence.map(|file| (file.path.as_str(), file.bytes, file.sha256.as_str())))
        .collect();
    let bytes: u64 = payload.iter().map(|(_, bytes, _)| bytes).sum();
    let sums: String = payload.iter().map(|(path, _, sha256)| format!("{sha256}  {path}\n")).collect();
    let day = &manifest.completed_at[..10.min(manifest.completed_at.len())];
    let info = format!(
        "Bag-Software-Agent: {}\nBagging-Date: {day}\nExternal-Identifier: {}\nPayload-Oxum: {bytes}.{}\n",
        manifest.written_by,
        manifest.export_id,
        payload.len()
    );
    let json = serde_json::to_string_pretty(manifest)? + "\n";
    let signed = frame.signer.map(|signer| sign(signer, &manifest.export_id, &json));
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        ("bagit.txt", b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n".to_vec()),
        ("bag-info.txt", info.into_bytes()),
        ("manifest.json", json.into_bytes()),
        ("manifest-sha256.txt", sums.into_bytes()),
    ];
    if let Some((signature, note)) = signed {
        files.push(("manifest.json.sig", signature));
        files.push(("manifest.note", note.into_bytes()));
    }
    files.extend(frame.guide.map(|guide| ("VERIFY.md", guide.as_bytes().to_vec())));
    let mut tags = String::new();
    for (name, bytes) in &files {
        write_whole(&root.join(name), bytes)?;
        tags.push_str(&format!("{}  {name}\n", hex::encode(Sha256::digest(bytes))));
    }
    write_whole(&root.join("tagmanifest-sha256.txt"), tags.as_bytes())
}
