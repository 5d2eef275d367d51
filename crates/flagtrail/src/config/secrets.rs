//! From configuration to the keys that secrets are sealed with.

use std::path::{Path, PathBuf};

use audit_secret::SecretKey;
use secrecy::ExposeSecret;

use super::Config;
use crate::exit::{Exit, Stop};
use crate::secret_file;

/// The keys that a configuration names.
#[derive(Debug)]
pub(crate) struct Keys {
    /// The one that seals.
    pub(crate) current: SecretKey,
    /// Those that still open.
    pub(crate) former: Vec<SecretKey>,
}

impl Config {
    /// Where the key is looked for, unless it stands in the configuration itself.
    pub(crate) fn secrets_key_file(&self) -> PathBuf {
        let given = &self.secrets.key_file;
        if given.as_os_str().is_empty() { self.data_dir.join("secrets.key") } else { given.clone() }
    }

    /// The files that keys come from.
    pub(crate) fn key_files(&self) -> Vec<PathBuf> {
        let current = self.secrets.key.expose_secret().is_empty().then(|| self.secrets_key_file());
        current.into_iter().chain(self.secrets.former_key_files.iter().cloned()).collect()
    }

    /// The keys; `None` where no key is named and there is none in its usual place.
    pub(crate) fn keys(&self) -> anyhow::Result<Option<Keys>> {
        let wrong = |problem: String| Stop::error(Exit::Usage, problem);
        let inline = self.secrets.key.expose_secret();
        let named = !self.secrets.key_file.as_os_str().is_empty();
        let current = if inline.is_empty() {
            let file = self.secrets_key_file();
            if !named && !file.exists() {
                if self.secrets.former_key_files.is_empty() {
                    return Ok(None);
                }
                return Err(wrong("secrets.former_key_files names keys, but there is no current one: name its file in secrets.key_file".to_owned()));
            }
            key_in("secrets.key_file", &file).map_err(wrong)?
        } else if named {
            return Err(wrong("secrets.key and secrets.key_file are both given: leave one out".to_owned()));
        } else {
            inline.parse().map_err(|error| wrong(format!("secrets.key: {error}")))?
        };
        let former = self.secrets.former_key_files.iter();
        let former = former.map(|file| key_in("secrets.former_key_files", file));
        Ok(Some(Keys { current, former: former.collect::<Result<_, _>>().map_err(wrong)? }))
    }
}

/// The key in a file that others may not read, or what is wrong with it.
fn key_in(setting: &str, file: &Path) -> Result<SecretKey, String> {
    let about = |problem: String| format!("{setting}: {} {problem}", file.display());
    let text = secret_file::read_private(file).map_err(|error| about(error.to_string()))?;
    text.expose_secret().parse().map_err(|error| about(format!("holds no key: it {error}")))
}
