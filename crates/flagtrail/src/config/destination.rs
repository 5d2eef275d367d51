//! From configuration to destinations of exports and segments: `[destination.NAME]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use audit_export::{
    Destination, Destinations, Directory, LockMode, ObjectLock, S3, S3Config, S3Credentials, SegmentsConfig,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{Config, humantime_text, secret_text};
use crate::exit::{Exit, Stop};
use crate::secret_file;

/// One place where exports and segments may go.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum DestinationTable {
    /// A directory that this process writes to.
    Directory {
        path: PathBuf,
        #[serde(default)]
        prefix: String,
    },
    /// A bucket of an S3-compatible store.
    S3(Box<Bucket>),
}

/// A bucket.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bucket {
    bucket: String,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    endpoint: String,
    #[serde(default = "usual_region")]
    region: String,
    #[serde(default)]
    virtual_hosted: bool,
    #[serde(default)]
    allow_http: bool,
    #[serde(default)]
    access_key_id: String,
    #[serde(default, with = "secret_text")]
    secret_access_key: SecretString,
    #[serde(default)]
    secret_access_key_file: PathBuf,
    #[serde(default, with = "secret_text")]
    session_token: SecretString,
    #[serde(default)]
    session_token_file: PathBuf,
    #[serde(default)]
    lock: Lock,
    #[serde(default, with = "humantime_text")]
    lock_for: Duration,
}

/// The lock that objects are put with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Lock {
    #[default]
    None,
    Governance,
    Compliance,
}

fn usual_region() -> String {
    "us-east-1".to_owned()
}

/// The destinations of a configuration, and the buckets among them, whose credentials can be exchanged.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) all: Destinations,
    buckets: Vec<(String, S3)>,
}

impl Opened {
    /// Takes over what the files with secrets hold now.
    pub(crate) fn replace_credentials(&self, config: &Config) -> anyhow::Result<()> {
        for (name, bucket) in &self.buckets {
            if let Some(DestinationTable::S3(table)) = config.destination.get(name) {
                bucket.replace_credentials(&table.credentials(name)?)?;
            }
        }
        Ok(())
    }
}

impl Config {
    /// The destinations, everything checked. Nothing is written and nobody is asked.
    pub(crate) fn destinations(&self) -> anyhow::Result<Opened> {
        let mut opened = Vec::new();
        let mut buckets = Vec::new();
        for (name, table) in &self.destination {
            let wrong = |problem: String| Stop::error(Exit::Usage, format!("destination.{name}: {problem}"));
            opened.push(match table {
                DestinationTable::Directory { path, .. } if path.as_os_str().is_empty() => {
                    return Err(wrong("path is empty: name a directory".to_owned()));
                }
                DestinationTable::Directory { path, prefix } => {
                    Destination::new(name, prefix, Directory::new(path))
                }
                DestinationTable::S3(table) => {
                    let bucket = S3::new(table.config(name)?).map_err(|error| wrong(error.to_string()))?;
                    buckets.push((name.clone(), bucket.clone()));
                    Destination::new(name, &table.prefix, bucket)
                }
            });
        }
        Ok(Opened { all: Destinations::new(opened), buckets })
    }

    /// Where segments go; `None` where they go nowhere.
    pub(crate) fn segments(&self, destinations: &Destinations) -> anyhow::Result<Option<SegmentsConfig>> {
        let name = &self.segments.destination;
        if name.is_empty() {
            return Ok(None);
        }
        let wrong = |problem: String| Stop::error(Exit::Usage, problem);
        let Some(destination) = destinations.get(name) else {
            return Err(wrong(format!("segments.destination: there is no [destination.{name}]")));
        };
        if self.segments.interval.is_zero() {
            return Err(wrong("segments.interval must not be zero".to_owned()));
        }
        Ok(Some(SegmentsConfig { destination: destination.clone(), interval: self.segments.interval }))
    }

    /// The files that secrets of destinations come from.
    pub(crate) fn destination_secret_files(&self) -> Vec<PathBuf> {
        let files = self.destination.values().flat_map(|table| match table {
            DestinationTable::Directory { .. } => Vec::new(),
            DestinationTable::S3(table) => {
                vec![table.secret_access_key_file.clone(), table.session_token_file.clone()]
            }
        });
        files.filter(|file| !file.as_os_str().is_empty()).collect()
    }
}

impl Bucket {
    fn config(&self, name: &str) -> anyhow::Result<S3Config> {
        let mode = match self.lock {
            Lock::None => None,
            Lock::Governance => Some(LockMode::Governance),
            Lock::Compliance => Some(LockMode::Compliance),
        };
        if mode.is_none() && !self.lock_for.is_zero() {
            let problem = format!("destination.{name}: lock_for is given, but lock is not");
            return Err(Stop::error(Exit::Usage, problem));
        }
        Ok(S3Config {
            endpoint: Some(self.endpoint.clone()).filter(|endpoint| !endpoint.is_empty()),
            region: self.region.clone(),
            bucket: self.bucket.clone(),
            virtual_hosted: self.virtual_hosted,
            allow_http: self.allow_http,
            credentials: self.credentials(name)?,
            lock: mode.map(|mode| ObjectLock { mode, retain: self.lock_for }),
        })
    }

    fn credentials(&self, name: &str) -> anyhow::Result<S3Credentials> {
        let key = |field| format!("destination.{name}.{field}");
        let secret_access_key =
            one_of(&key("secret_access_key"), &self.secret_access_key, &self.secret_access_key_file)?;
        let session_token = one_of(&key("session_token"), &self.session_token, &self.session_token_file)?;
        Ok(S3Credentials {
            access_key_id: self.access_key_id.clone(),
            secret_access_key,
            session_token: Some(session_token).filter(|token| !token.expose_secret().is_empty()),
        })
    }
}

/// The secret itself, or what its file holds.
fn one_of(key: &str, inline: &SecretString, file: &Path) -> anyhow::Result<SecretString> {
    let wrong = |problem: String| Stop::error(Exit::Usage, problem);
    if file.as_os_str().is_empty() {
        return Ok(inline.clone());
    }
    if !inline.expose_secret().is_empty() {
        return Err(wrong(format!("{key} and {key}_file are both given: leave one out")));
    }
    let text =
        secret_file::read(file).map_err(|error| wrong(format!("{key}_file {} {error}", file.display())))?;
    Ok(text.expose_secret().trim().into())
}

/// As the configuration has them.
pub(crate) type DestinationTables = BTreeMap<String, DestinationTable>;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::config::{Config, Overrides};

    fn load(text: &str) -> anyhow::Result<Config> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        write!(file, "{text}").expect("written");
        Config::load(Some(file.path()), Overrides::default())
    }

    #[test]
    fn directories_and_buckets_are_read_with_their_secrets_from_files_and_show_none() {
        let mut secret = tempfile::NamedTempFile::new().expect("a file");
        writeln!(secret, "hunter2").expect("written");
        let config = load(&format!(
            "[destination.share]\nkind = \"directory\"\npath = \"/srv/evidence\"\n\
             [destination.vault]\nkind = \"s3\"\nbucket = \"audit\"\naccess_key_id = \"AKIA1\"\n\
             secret_access_key_file = {:?}\nlock = \"compliance\"\nlock_for = \"2555days\"\n\
             [destination.near]\nkind = \"s3\"\nbucket = \"audit\"\nendpoint = \"http://10.0.0.7:9000\"\nallow_http = true\n\
             access_key_id = \"AKIA2\"\nsecret_access_key = \"hunter3\"\n",
            secret.path()
        ))
        .expect("a configuration");
        let opened = config.destinations().expect("destinations");
        assert_eq!(opened.all.names(), ["near", "share", "vault"]);
        assert_eq!(config.destination_secret_files(), [secret.path()]);
        opened.replace_credentials(&config).expect("replaced");
        let shown = format!("{}{config:?}{opened:?}", serde_json::to_string(&config).expect("JSON"));
        assert!(!shown.contains("hunter") && shown.contains("[REDACTED]"), "{shown}");
    }

    #[test]
    fn segments_go_to_a_destination_that_there_is_or_nowhere() {
        let share = "[destination.share]\nkind = \"directory\"\npath = \"/srv/evidence\"\n";
        let segments = |text: &str| {
            let config = load(&format!("{share}{text}")).expect("a configuration");
            config.segments(&config.destinations().expect("destinations").all)
        };
        assert!(segments("").expect("none").is_none());
        let found = segments("[segments]\ndestination = \"share\"\n").expect("one").expect("one");
        assert_eq!((found.destination.name(), found.interval.as_secs()), ("share", 3_600));
        let missing = segments("[segments]\ndestination = \"vault\"\n").expect_err("none of that name");
        assert!(missing.to_string().contains("[destination.vault]"), "{missing}");
    }

    #[test]
    fn what_is_wrong_with_a_destination_is_named() {
        let bucket =
            "kind = \"s3\"\nbucket = \"audit\"\naccess_key_id = \"AKIA1\"\nsecret_access_key = \"x\"\n";
        for (table, named) in [
            ("kind = \"directory\"\npath = \"\"\n".to_owned(), "path"),
            ("kind = \"s3\"\nbucket = \"audit\"\n".to_owned(), "access_key_id"),
            (format!("{bucket}secret_access_key_file = \"/nowhere\"\n"), "both given"),
            (format!("{bucket}endpoint = \"http://10.0.0.7\"\n"), "allow_http"),
            (format!("{bucket}lock_for = \"1day\"\n"), "lock_for"),
            (format!("{bucket}lock = \"governance\"\n"), "lock_for"),
        ] {
            let config = load(&format!("[destination.vault]\n{table}")).expect(&table);
            let error = config.destinations().expect_err(&table).to_string();
            assert!(error.contains("destination.vault") && error.contains(named), "{error}");
        }
        let misspelt = load(&format!("[destination.vault]\n{bucket}regoin = \"x\"\n")).expect_err("misspelt");
        assert!(misspelt.to_string().contains("regoin"), "{misspelt}");
        let unknown = load("[destination.vault]\nkind = \"ftp\"\n").expect_err("no such kind").to_string();
        assert!(unknown.contains("destination") && unknown.contains("ftp"), "{unknown}");
    }
}
