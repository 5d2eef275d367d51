//! The file that keeps the admin token.

use std::io;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::secret_file::{self, ReadError};

/// Shortest token that is taken, in bytes.
const TOKEN_BYTES_MIN: usize = 24;

/// Reads the token; `None` where there is no file. The words say what is wrong with it.
pub(crate) fn read(path: &Path) -> Result<Option<SecretString>, String> {
    let text = match secret_file::read(path) {
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| error.to_string())?,
    };
    checked(text.expose_secret()).map(Some)
}

/// A token that is long enough.
pub(crate) fn checked(text: &str) -> Result<SecretString, String> {
    let token = text.trim();
    if token.len() < TOKEN_BYTES_MIN {
        return Err(format!("must have at least {TOKEN_BYTES_MIN} characters"));
    }
    Ok(SecretString::from(token))
}

/// Makes a token of 244 random bits and writes it. If we crash before it is there, the next start makes another.
pub(crate) fn make(path: &Path) -> io::Result<SecretString> {
    let token = SecretString::from(format!("fta_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()));
    secret_file::write(path, &token)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_was_made_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("admin.token");
        let made = make(&file).unwrap();
        assert_eq!(read(&file).unwrap().unwrap().expose_secret(), made.expose_secret());
    }

    #[test]
    fn a_token_that_could_be_guessed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("admin.token");
        std::fs::write(&file, "hunter2\n").unwrap();
        assert!(read(&file).unwrap_err().contains("24"));
    }
}
