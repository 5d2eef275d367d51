//! The file with the keys that checkpoints are signed with.

use std::path::Path;

use anyhow::Result;
use audit_export::SealKeys;
use secrecy::{ExposeSecret, SecretString};

use crate::exit::{Exit, Stop};
use crate::secret_file;

/// Reads the keys. A file that everybody can read is refused: whoever has the keys can sign another history.
pub(crate) fn read(path: &Path) -> Result<SealKeys> {
    let refuse =
        |problem: String| Stop::error(Exit::Usage, format!("the log's keys {}: {problem}", path.display()));
    if !path.exists() {
        return Err(refuse("there is no such file; `flagtrail keys init` makes one".to_owned()));
    }
    let text = secret_file::read_private(path).map_err(|error| refuse(error.to_string()))?;
    SealKeys::parse(text.expose_secret()).map_err(|error| refuse(error.to_string()))
}

/// Writes the keys. If we crash half-way, the file is as it was.
pub(crate) fn write(path: &Path, keys: &SealKeys) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| not_written(path, &error))?;
    }
    let text = SecretString::from(keys.to_text());
    secret_file::write(path, &text).map_err(|error| not_written(path, &error))
}

fn not_written(path: &Path, error: &std::io::Error) -> anyhow::Error {
    Stop::error(Exit::Failed, format!("the log's keys {} can't be written: {error}", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use audit_export::SealKeys;

    #[test]
    fn keys_come_back_and_a_file_that_everybody_can_read_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log.keys");
        let missing = super::read(&file).unwrap_err().to_string();
        assert!(missing.contains("keys init") && missing.contains("log.keys"), "{missing}");
        let keys = SealKeys::generate();
        super::write(&file, &keys).unwrap();
        assert_eq!(super::read(&file).unwrap().to_text(), keys.to_text());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = super::read(&file).unwrap_err().to_string();
        assert!(refused.contains("everybody") && refused.contains("log.keys"), "{refused}");
    }
}
