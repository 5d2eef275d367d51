//! The file that keeps the admin token: readable by its owner alone, there whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use secrecy::SecretString;
use uuid::Uuid;

/// Shortest token that is taken from a file, in bytes.
const TOKEN_BYTES_MIN: usize = 24;

/// Reads the token; `None` where there is no file.
pub(crate) fn read(path: &Path) -> io::Result<Option<SecretString>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let token = text.trim();
    if token.len() < TOKEN_BYTES_MIN {
        return Err(io::Error::other(format!("an admin token has at least {TOKEN_BYTES_MIN} characters")));
    }
    Ok(Some(SecretString::from(token)))
}

/// Makes a token of 244 random bits and writes it. If we crash before the rename, the next start makes another.
pub(crate) fn make(path: &Path) -> io::Result<SecretString> {
    let token = format!("fta_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    write(path, &token)?;
    Ok(SecretString::from(token))
}

/// Writes the token beside its place and renames it there, so that nobody reads half of it.
fn write(path: &Path, token: &str) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file: File = options.open(&beside)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    #[test]
    fn only_the_owner_can_read_the_token() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("admin.token");
        let made = super::make(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(super::read(&file).unwrap().unwrap().expose_secret(), made.expose_secret());
    }

    #[test]
    fn a_token_that_could_be_guessed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("admin.token");
        std::fs::write(&file, "hunter2\n").unwrap();
        assert!(super::read(&file).unwrap_err().to_string().contains("24"));
    }
}
