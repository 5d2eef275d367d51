//! From configuration to the egress policy.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use audit_webhook::{Egress, EgressConfig, ProxyConfig, ProxyUrl};
use secrecy::{ExposeSecret, SecretString};
use serde::Serializer;

use super::Config;
use crate::exit::{Exit, Stop};
use crate::secret_file;

/// For so long a configuration that changed must stay as it is before it is believed.
const STANDS_STILL: Duration = Duration::from_millis(500);

impl Config {
    /// Where endpoints may be.
    pub(crate) fn egress(&self) -> anyhow::Result<Egress> {
        Ok(Egress::new(self.egress_policy()?))
    }

    /// The same as it is written. An address stands for the network that holds it alone.
    pub(crate) fn egress_policy(&self) -> anyhow::Result<EgressConfig> {
        let mut allowed = EgressConfig { hosts: self.egress.allow_hosts.clone(), ..EgressConfig::default() };
        for text in &self.egress.allow_networks {
            let whole = match text.parse::<IpAddr>() {
                Ok(address) => format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }),
                Err(_) => text.clone(),
            };
            let refuse = |_| {
                Stop::error(
                    Exit::Usage,
                    format!(
                        "egress.allow_networks: {text:?} is neither a network such as 10.20.0.0/16 nor an address"
                    ),
                )
            };
            allowed.networks.push(whole.parse().map_err(refuse)?);
        }
        allowed.proxy = self.proxy()?;
        Ok(allowed)
    }

    /// The files that the policy comes from.
    pub(crate) fn egress_files(&self) -> Vec<PathBuf> {
        let proxy = Some(&self.egress.proxy_file).filter(|file| !file.as_os_str().is_empty());
        self.file.iter().chain(proxy).cloned().collect()
    }

    /// The same by what the configuration's file says now, and the variables; `None` where that can't be told.
    pub(crate) fn egress_files_of_now(&self) -> Option<Vec<PathBuf>> {
        let text = std::fs::read_to_string(self.file.as_ref()?).ok()?;
        let now = Self { egress: Self::of_text(&text).ok()?.egress, ..self.clone() };
        Some(now.egress_files())
    }

    /// The policy by what these files say now, and the variables; of everything else the start decided. Blocks for a
    /// moment.
    pub(crate) fn egress_policy_of_now(&self) -> anyhow::Result<EgressConfig> {
        let Some(file) = &self.file else { return self.egress_policy() };
        let read = || {
            std::fs::read_to_string(file)
                .with_context(|| format!("the configuration {} can't be read", file.display()))
        };
        let text = read()?;
        // Half of a file may be a file, too: one that allows less.
        std::thread::sleep(STANDS_STILL);
        ensure!(read()? == text, "it is just being written, and read again in a while");
        Self { egress: Self::of_text(&text)?.egress, ..self.clone() }.egress_policy()
    }

    fn proxy(&self) -> anyhow::Result<Option<ProxyConfig>> {
        let refuse = |text: String| Stop::error(Exit::Usage, text);
        let file = &self.egress.proxy_file;
        let text: SecretString = match (file.as_os_str().is_empty(), self.egress.proxy.is_empty()) {
            (true, true) => return Ok(None),
            (true, false) => self.egress.proxy.as_str().into(),
            (false, true) => secret_file::read(file)
                .map_err(|error| refuse(format!("egress.proxy_file {} {error}", file.display())))?,
            (false, false) => {
                return Err(refuse("egress.proxy and egress.proxy_file are both set: keep one".to_owned()));
            }
        };
        // What is wrong is told without the text, which may hold a password.
        let url = text.expose_secret().trim().parse::<ProxyUrl>();
        let url = url.map_err(|error| refuse(format!("egress.proxy {error}")))?;
        Ok(Some(ProxyConfig { url, resolves: self.egress.proxy_resolves }))
    }
}

/// A proxy's URL without the password that may stand in it.
pub(super) fn without_password<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match url.rsplit_once('@') {
        Some((_, host)) => serializer.serialize_str(&format!("[REDACTED]@{host}")),
        None => serializer.serialize_str(url),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::config::{Config, Overrides};

    fn load(egress: &str) -> Config {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        write!(file, "[egress]\n{egress}").expect("written");
        Config::load(Some(file.path()), Overrides::default()).expect("a configuration")
    }

    #[test]
    fn a_proxy_may_be_named_here_or_in_a_file_and_its_password_is_never_shown() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        writeln!(file, "http://ada:s3cret@proxy:3128").expect("written");
        for text in
            ["proxy = \"http://ada:s3cret@proxy:3128\"".to_owned(), format!("proxy_file = {:?}", file.path())]
        {
            let config = load(&text);
            let proxy = config.egress_policy().expect("a policy").proxy.expect("a proxy");
            assert!(!proxy.resolves);
            let shown = format!("{}{:?}", serde_json::to_string(&config).expect("JSON"), proxy);
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }

    #[test]
    fn a_file_that_is_named_after_the_start_is_one_that_the_policy_comes_from() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let write = |text: &str| std::fs::write(file.path(), text).expect("written");
        write("[egress]\nproxy = \"http://proxy:3128\"\n");
        let config = Config::load(Some(file.path()), Overrides::default()).expect("a configuration");
        assert_eq!(config.egress_files(), [file.path()]);
        assert_eq!(config.egress_files_of_now(), Some(vec![file.path().to_owned()]));
        write("[egress]\nproxy_file = \"/run/secrets/proxy\"\n");
        let named = vec![file.path().to_owned(), "/run/secrets/proxy".into()];
        assert_eq!(config.egress_files_of_now(), Some(named));
        write("[egress\n");
        assert_eq!(config.egress_files_of_now(), None);
    }

    #[test]
    fn a_proxy_that_is_none_is_refused_by_name_without_its_password() {
        for text in [
            "proxy = \"proxy:s3cret@\"",
            "proxy = \"https://ada:s3cret@proxy\"",
            "proxy = \"http://ada:s3cret@proxy/path\"",
            "proxy = \"http://ada:s3cret@proxy\"\nproxy_file = \"/nowhere\"",
            "proxy_file = \"/nowhere\"",
        ] {
            let error = load(text).egress_policy().expect_err(text).to_string();
            assert!(error.starts_with("egress.proxy") && !error.contains("s3cret"), "{error}");
        }
    }
}
