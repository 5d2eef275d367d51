//! The BagIt frame (RFC 8493) around the payload: `bagit.txt`, `bag-info.txt`, and checksum files that
//! `sha256sum -c` reads.

use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::durable::write_whole;
use crate::manifest::Manifest;

/// Writes everything but the payload, the file that vouches for the others last.
pub(crate) fn write_frame(root: &Path, manifest: &Manifest) -> io::Result<()> {
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    let payload: String =
        manifest.files.iter().map(|file| format!("{}  {}\n", file.sha256, file.path)).collect();
    let day = &manifest.completed_at[..10.min(manifest.completed_at.len())];
    let info = format!(
        "Bag-Software-Agent: {}\nBagging-Date: {day}\nExternal-Identifier: {}\nPayload-Oxum: {bytes}.{}\n",
        manifest.written_by,
        manifest.export_id,
        manifest.files.len()
    );
    let frame = [
        ("bagit.txt", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n".to_owned()),
        ("bag-info.txt", info),
        ("manifest.json", serde_json::to_string_pretty(manifest)? + "\n"),
        ("manifest-sha256.txt", payload),
    ];
    let mut tags = String::new();
    for (name, text) in &frame {
        write_whole(&root.join(name), text.as_bytes())?;
        tags.push_str(&format!("{}  {name}\n", hex::encode(Sha256::digest(text))));
    }
    write_whole(&root.join("tagmanifest-sha256.txt"), tags.as_bytes())
}
