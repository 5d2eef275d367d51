//! The files with the keys that checkpoints and exports are signed with.

use std::path::Path;

use anyhow::Result;
use audit_export::{ExportKey, SealKeys, Vouching};
use secrecy::{ExposeSecret, SecretString};

use crate::config::Config;
use crate::exit::{Exit, Stop};
use crate::secret_file;

/// Reads the keys. A file that others than its owner can read or write is refused: whoever has the keys can sign another
/// history.
pub(crate) fn read(path: &Path) -> Result<SealKeys> {
    let refuse =
        |problem: String| Stop::error(Exit::Usage, format!("the log's keys {}: {problem}", path.display()));
    if !path.exists() {
        return Err(refuse("there is no such file; `flagtrail keys init` makes one".to_owned()));
    }
    let text = secret_file::read_own(path).map_err(|error| refuse(error.to_string()))?;
    SealKeys::parse(text.expose_secret()).map_err(|error| refuse(error.to_string()))
}

/// Writes the keys. If we crash half-way, the file is as it was.
pub(crate) fn write(path: &Path, keys: &SealKeys) -> Result<()> {
    write_text(path, keys.to_text(), "the log's keys")
}

/// Reads the key of exports. A file that everybody can read is refused: whoever has the key can sign other exports.
pub(crate) fn read_export(path: &Path) -> Result<ExportKey> {
    let refuse =
        |problem: String| Stop::error(Exit::Usage, format!("the exports' key {}: {problem}", path.display()));
    let text = secret_file::read_private(path).map_err(|error| refuse(error.to_string()))?;
    ExportKey::parse(text.expose_secret()).map_err(|error| refuse(error.to_string()))
}

/// Writes the key of exports, likewise.
pub(crate) fn write_export(path: &Path, key: &ExportKey) -> Result<()> {
    write_text(path, key.to_text(), "the exports' key")
}

/// What exports are vouched for with, as far as its files are there. One that is named and not there is refused.
pub(crate) fn vouching(config: &Config) -> Result<Vouching> {
    let (log, export) = (config.seal_key_file(), config.export_key_file());
    let is_there = |path: &Path, named: &Path| path.exists() || !named.as_os_str().is_empty();
    Ok(Vouching {
        log: is_there(&log, &config.seal.key_file).then(|| read(&log)).transpose()?,
        export: is_there(&export, &config.seal.export_key_file).then(|| read_export(&export)).transpose()?,
        previous: None,
    })
}

fn write_text(path: &Path, text: String, what: &str) -> Result<()> {
    let not_written = |error: std::io::Error| {
        Stop::error(Exit::Failed, format!("{what} {} can't be written: {error}", path.display()))
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(not_written)?;
    }
    secret_file::write(path, &SecretString::from(text)).map_err(not_written)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use audit_export::{ExportKey, SealKeys};

    #[test]
    fn the_exports_key_comes_back_and_one_that_everybody_can_read_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("export.key");
        let key = ExportKey::generate();
        super::write_export(&file, &key).unwrap();
        assert_eq!(super::read_export(&file).unwrap().to_text(), key.to_text());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o604)).unwrap();
        let refused = super::read_export(&file).unwrap_err().to_string();
        assert!(refused.contains("everybody") && refused.contains("export.key"), "{refused}");
    }

    #[test]
    fn keys_come_back_and_a_file_that_others_can_read_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log.keys");
        let missing = super::read(&file).unwrap_err().to_string();
        assert!(missing.contains("keys init") && missing.contains("log.keys"), "{missing}");
        let keys = SealKeys::generate();
        super::write(&file, &keys).unwrap();
        assert_eq!(super::read(&file).unwrap().to_text(), keys.to_text());
        for mode in [0o644, 0o640, 0o620, 0o604] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = super::read(&file).unwrap_err().to_string();
            assert!(refused.contains("chmod 600") && refused.contains("log.keys"), "{mode:o}: {refused}");
        }
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert!(super::read(&file).is_ok());
    }
}
