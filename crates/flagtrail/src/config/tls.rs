//! From configuration to the certificate of a listener.

use std::path::PathBuf;

use audit_server::Certificate;
use secrecy::ExposeSecret;

use super::Tls;
use crate::exit::{Exit, Stop};
use crate::secret_file;

impl Tls {
    /// The files that are named.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let named = [&self.cert_file, &self.key_file].into_iter().filter(|file| !file.as_os_str().is_empty());
        named.cloned().collect()
    }

    /// The certificate in its files; `None` where none is named. `section` is its place in the configuration, such as
    /// `hooks.tls`.
    pub(crate) fn certificate(&self, section: &str) -> anyhow::Result<Option<Certificate>> {
        let wrong = |problem: String| Stop::error(Exit::Usage, problem);
        let (chain, key) = (&self.cert_file, &self.key_file);
        match (chain.as_os_str().is_empty(), key.as_os_str().is_empty()) {
            (true, true) => return Ok(None),
            (false, false) => {}
            (true, false) => {
                return Err(wrong(format!("{section}.key_file needs {section}.cert_file beside it")));
            }
            (false, true) => {
                return Err(wrong(format!("{section}.cert_file needs {section}.key_file beside it")));
            }
        }
        let about = |name: &str, file: &std::path::Path, problem: String| {
            wrong(format!("{section}.{name}: {} {problem}", file.display()))
        };
        let chain_text =
            secret_file::read(chain).map_err(|error| about("cert_file", chain, error.to_string()))?;
        let key_text = secret_file::read(key).map_err(|error| about("key_file", key, error.to_string()))?;
        Certificate::from_pem(chain_text.expose_secret(), &key_text)
            .map(Some)
            .map_err(|error| wrong(format!("{section}: {} and {}: {error}", chain.display(), key.display())))
    }
}
