//! What whoever checks brings along: keys that he got elsewhere, and checkpoints that he kept.

use std::path::{Path, PathBuf};

use audit_proof::{InvalidKey, InvalidNote, NoteVerifier, SignedNote};

/// What is known apart from what is checked.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Keys of the log, of its cosigners and of its exports. Where there are none, the copies in an export are used,
    /// and the report says so.
    pub keys: Vec<NoteVerifier>,
    /// Checkpoints that were kept from earlier, with what each is called.
    pub kept: Vec<Kept>,
}

/// A checkpoint that was kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// What it is called: its file's name.
    pub name: String,
    /// The checkpoint.
    pub note: SignedNote,
}

impl Trust {
    /// Adds verifier keys, one a line; empty lines and those that begin with `#` are passed over.
    pub fn add_keys(&mut self, text: &str) -> Result<(), InvalidKey> {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            self.keys.push(NoteVerifier::parse(line)?);
        }
        Ok(())
    }

    /// Reads files of verifier keys, and files of checkpoints that were kept. An `Err` names the file.
    pub fn read(keys: &[PathBuf], kept: &[PathBuf]) -> Result<Self, String> {
        let mut trust = Self::default();
        let refuse = |path: &Path, problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
        for path in keys {
            let text = std::fs::read_to_string(path).map_err(|error| refuse(path, &error))?;
            trust.add_keys(&text).map_err(|error| refuse(path, &error))?;
        }
        for path in kept {
            let bytes = std::fs::read(path).map_err(|error| refuse(path, &error))?;
            let name = path.display().to_string();
            trust.add_kept(name, &bytes).map_err(|error| refuse(path, &error))?;
        }
        Ok(trust)
    }

    /// Adds a checkpoint that was kept.
    pub fn add_kept(&mut self, name: impl Into<String>, bytes: &[u8]) -> Result<(), InvalidNote> {
        self.kept.push(Kept { name: name.into(), note: SignedNote::parse(bytes)? });
        Ok(())
    }
}
