//! Configuration: defaults, under a file, under variables, under flags. One struct per concern; a wrong
//! or unknown key is an error that names it.

mod declared;
mod destination;
mod egress;
mod log;
mod secrets;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use audit_proof::{LogKeys, NoteVerifier};
use audit_report::Compliance;
use audit_server::Named;
use figment::Figment;
use figment::providers::{Env, Format, Toml};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use self::secrets::Keys;
use crate::exit::{Exit, Stop};

/// The commented defaults: what `flagtrail config default` prints and what every run starts from.
pub(crate) const DEFAULT: &str = include_str!("default.toml");

/// Where a configuration is looked for when none is named.
const PLACES: [&str; 2] = ["flagtrail.toml", "/etc/flagtrail/flagtrail.toml"];

/// What the names of variables begin with.
const VARIABLES: &str = "FLAGTRAIL_";

/// What separates levels in a variable's name: `FLAGTRAIL_KAFKA__BROKERS`.
const LEVELS: &str = "__";

/// The sections that variables may set.
const SECTIONS: [&str; 17] = [
    "log",
    "kafka",
    "hooks",
    "admin",
    "secrets",
    "spool",
    "archive",
    "destination",
    "seal",
    "segments",
    "webhooks",
    "egress",
    "redact",
    "compliance",
    "shutdown",
    "telemetry",
    "declared",
];

/// Everything.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) log: Log,
    pub(crate) kafka: Kafka,
    pub(crate) hooks: Hooks,
    pub(crate) admin: Admin,
    pub(crate) secrets: Secrets,
    pub(crate) spool: Spool,
    pub(crate) archive: Archive,
    #[serde(default)]
    pub(crate) destination: destination::DestinationTables,
    pub(crate) seal: Seal,
    pub(crate) segments: Segments,
    pub(crate) webhooks: Webhooks,
    pub(crate) egress: Egress,
    pub(crate) redact: Redact,
    pub(crate) compliance: Compliance,
    pub(crate) shutdown: Shutdown,
    pub(crate) telemetry: Telemetry,
    pub(crate) declared: declared::Declared,
    #[serde(default)]
    pub(crate) source: declared::Tables,
    #[serde(default)]
    pub(crate) endpoint: declared::Tables,
    #[serde(default)]
    pub(crate) token: declared::Tables,
    #[serde(default)]
    pub(crate) schedule: declared::Tables,
    /// The file that was read, if any.
    #[serde(skip)]
    pub(crate) file: Option<PathBuf>,
}

/// Which log.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) backend: Backend,
    pub(crate) partitions: u32,
}

/// Where the log lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Backend {
    Embedded,
    Kafka,
}

/// Apache Kafka.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kafka {
    pub(crate) brokers: String,
    pub(crate) prefix: String,
    pub(crate) partitions: u32,
    pub(crate) create_topics: bool,
    #[serde(with = "humantime_text")]
    pub(crate) append_timeout: Duration,
    #[serde(serialize_with = "masked", deserialize_with = "dotted")]
    pub(crate) librdkafka: BTreeMap<String, String>,
}

/// What platforms call.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hooks {
    pub(crate) listen: SocketAddr,
    pub(crate) public_url: String,
    pub(crate) tls: Tls,
}

/// TLS of a listener.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) cert_file: PathBuf,
    pub(crate) key_file: PathBuf,
}

/// What operators and programs call.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admin {
    pub(crate) listen: SocketAddr,
    pub(crate) token_file: PathBuf,
    pub(crate) organisation: String,
    pub(crate) metrics_need_token: bool,
    /// Whether who reads the log is put on the record.
    pub(crate) record_reads: bool,
}

/// Secrets at rest.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secrets {
    pub(crate) key_file: PathBuf,
    #[serde(with = "secret_text")]
    pub(crate) key: SecretString,
    pub(crate) former_key_files: Vec<PathBuf>,
}

/// The spool.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spool {
    pub(crate) bytes_max: u64,
}

/// The archive.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Archive {
    pub(crate) dir: PathBuf,
    pub(crate) free_bytes_min: u64,
    /// Whether records are made searchable by their words.
    pub(crate) full_text: bool,
    /// The verifier keys by which checkpoints are checked.
    pub(crate) log_keys: Vec<String>,
}

/// The sealer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seal {
    pub(crate) key_file: PathBuf,
    pub(crate) export_key_file: PathBuf,
    #[serde(with = "humantime_text")]
    pub(crate) interval: Duration,
    #[serde(with = "humantime_text")]
    pub(crate) idle: Duration,
    /// Who is asked to cosign.
    pub(crate) witness: Vec<Witness>,
}

/// An outside witness.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Witness {
    /// Its address, without `add-checkpoint`.
    pub(crate) url: String,
    /// Its verifier key.
    pub(crate) key: String,
}

/// The log as sealed files.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Segments {
    /// Where they go; nowhere when empty.
    pub(crate) destination: String,
    #[serde(with = "humantime_text")]
    pub(crate) interval: Duration,
}

/// Webhook delivery.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhooks {
    pub(crate) in_flight_max: usize,
    #[serde(with = "humantime_text")]
    pub(crate) disable_after: Duration,
}

/// Where endpoints may be.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Egress {
    pub(crate) allow_networks: Vec<String>,
    pub(crate) allow_hosts: Vec<String>,
    #[serde(serialize_with = "egress::without_password")]
    pub(crate) proxy: String,
    pub(crate) proxy_file: PathBuf,
    pub(crate) proxy_resolves: bool,
}

/// Redaction on the way in.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redact {
    pub(crate) keep: Vec<String>,
}

/// Stopping.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shutdown {
    #[serde(with = "humantime_text")]
    pub(crate) drain: Duration,
}

/// Logging.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Telemetry {
    pub(crate) format: LogFormat,
    pub(crate) filter: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Auto,
    Human,
    Json,
}

/// Flags that stand over the file and the variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) data_dir: Option<PathBuf>,
    /// `--kafka host:9092`: chooses the backend, too.
    pub(crate) kafka: Option<String>,
    pub(crate) hooks_listen: Option<SocketAddr>,
    pub(crate) admin_listen: Option<SocketAddr>,
}

impl Config {
    /// Reads the configuration in force.
    pub(crate) fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self> {
        Self::load_over(file, variables(), overrides)
    }

    /// What a text says in the place of the file, without flags and unchecked: for a part of it alone.
    fn of_text(text: &str) -> Result<Self> {
        let figment = Figment::from(Toml::string(DEFAULT)).merge(Toml::string(text));
        figment.merge(variables()).extract().map_err(wrong)
    }

    fn load_over(file: Option<&Path>, variables: Env, overrides: Overrides) -> Result<Self> {
        let found = match file {
            Some(file) if !file.is_file() => {
                return Err(Stop::error(
                    Exit::Usage,
                    format!("the configuration {} can't be read: no such file", file.display()),
                ));
            }
            Some(file) => Some(file.to_owned()),
            None => PLACES.iter().map(PathBuf::from).find(|place| place.is_file()),
        };
        let mut figment = Figment::from(Toml::string(DEFAULT));
        if let Some(found) = &found {
            figment = figment.merge(Toml::file_exact(found));
        }
        let mut config: Self = figment.merge(variables).extract().map_err(wrong)?;
        config.file = found.map(|found| std::path::absolute(&found).unwrap_or(found));
        config.apply(overrides);
        config.check()?;
        Ok(config)
    }

    fn apply(&mut self, overrides: Overrides) {
        if let Some(data_dir) = overrides.data_dir {
            self.data_dir = data_dir;
        }
        if let Some(brokers) = overrides.kafka {
            self.log.backend = Backend::Kafka;
            self.kafka.brokers = brokers;
        }
        if let Some(listen) = overrides.hooks_listen {
            self.hooks.listen = listen;
        }
        if let Some(listen) = overrides.admin_listen {
            self.admin.listen = listen;
        }
    }

    fn check(&self) -> Result<()> {
        let refuse = |problem: &str| Err(Stop::error(Exit::Usage, problem));
        if self.log.backend == Backend::Kafka && self.kafka.brokers.is_empty() {
            return refuse(
                "kafka.brokers is empty: name at least one broker, or set log.backend = \"embedded\"",
            );
        }
        if self.log.partitions == 0 || self.kafka.partitions == 0 {
            return refuse("log.partitions and kafka.partitions must be at least 1");
        }
        if self.webhooks.in_flight_max == 0 {
            return refuse("webhooks.in_flight_max must be at least 1");
        }
        if let Some(problem) = Named::by_key(&self.admin.organisation).problem() {
            return refuse(&format!("admin.organisation {problem}"));
        }
        if !self.hooks.public_url.is_empty() && !self.hooks.public_url.starts_with("http") {
            return refuse("hooks.public_url must begin with https:// (or http://)");
        }
        if let Err(problem) = self.compliance.check() {
            return refuse(&problem.to_string());
        }
        Ok(())
    }

    /// The archive's directory.
    pub(crate) fn archive_dir(&self) -> PathBuf {
        if self.archive.dir.as_os_str().is_empty() {
            self.data_dir.join("archive")
        } else {
            self.archive.dir.clone()
        }
    }

    /// The keys by which checkpoints are checked, as they are named.
    pub(crate) fn archive_log_keys(&self) -> Result<LogKeys> {
        let read = |text: &String| {
            NoteVerifier::parse(text)
                .map_err(|error| Stop::error(Exit::Usage, format!("archive.log_keys: {text:?}: {error}")))
        };
        let verifiers = self.archive.log_keys.iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(LogKeys::of_verifiers(&verifiers))
    }

    /// Where the keys are that checkpoints are signed with.
    pub(crate) fn seal_key_file(&self) -> PathBuf {
        let given = &self.seal.key_file;
        if given.as_os_str().is_empty() { self.data_dir.join("log.keys") } else { given.clone() }
    }

    /// Where the key is that exports are signed with.
    pub(crate) fn export_key_file(&self) -> PathBuf {
        let given = &self.seal.export_key_file;
        if given.as_os_str().is_empty() { self.data_dir.join("export.key") } else { given.clone() }
    }

    /// Where the admin token is.
    pub(crate) fn admin_token_file(&self) -> PathBuf {
        let given = &self.admin.token_file;
        if given.as_os_str().is_empty() { self.data_dir.join("admin.token") } else { given.clone() }
    }
}

/// The variables that are settings. Others are not ours: Kubernetes gives every container FLAGTRAIL_PORT and the like
/// beside a service of that name.
fn variables() -> Env {
    let is_setting = |name: &figment::value::UncasedStr| {
        let section = name.as_str().split(LEVELS).next().unwrap_or_default().to_ascii_lowercase();
        name.as_str().contains(LEVELS) && SECTIONS.contains(&section.as_str()) || section == "data_dir"
    };
    Env::prefixed(VARIABLES).filter(is_setting).split(LEVELS)
}

fn wrong(error: figment::Error) -> anyhow::Error {
    Stop::error(Exit::Usage, format!("the configuration is wrong: {error}"))
}

/// TOML keys with dots in them (`security.protocol` unquoted) arrive as nested tables: flattened back.
fn dotted<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let tree = figment::value::Dict::deserialize(deserializer)?;
    let mut flat = BTreeMap::new();
    flatten("", tree, &mut flat);
    Ok(flat)
}

fn flatten(prefix: &str, tree: figment::value::Dict, flat: &mut BTreeMap<String, String>) {
    for (key, value) in tree {
        let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            figment::value::Value::Dict(_, inner) => flatten(&path, inner, flat),
            figment::value::Value::String(_, text) => drop(flat.insert(path, text)),
            figment::value::Value::Bool(_, word) => drop(flat.insert(path, word.to_string())),
            figment::value::Value::Num(_, number) => {
                let text = number
                    .to_i128()
                    .map(|n| n.to_string())
                    .or_else(|| number.to_f64().map(|n| n.to_string()));
                drop(flat.insert(path, text.unwrap_or_default()));
            }
            _ => {}
        }
    }
}

/// `config show` never prints a secret.
fn masked<S: Serializer>(settings: &BTreeMap<String, String>, serializer: S) -> Result<S::Ok, S::Error> {
    // A password or a passphrase, a secret, a key.
    let secret = |key: &str| ["pass", "secret", "pem"].iter().any(|part| key.contains(part));
    serializer.collect_map(
        settings.iter().map(|(key, value)| (key, if secret(key) { "[REDACTED]" } else { value })),
    )
}

/// A secret in the configuration: `config show` never prints it.
mod secret_text {
    use secrecy::{ExposeSecret, SecretString};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if secret.expose_secret().is_empty() { "" } else { "[REDACTED]" })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
        Ok(String::deserialize(deserializer)?.into())
    }
}

/// Durations as people write them: `20s`, `1500ms`.
mod humantime_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text)
            .map_err(|_| D::Error::custom(format!("{text:?} is no duration such as 20s or 1500ms")))
    }
}

#[cfg(test)]
mod tests {
    use super::{Backend, Config, DEFAULT, Env, Overrides};
    use std::path::Path;

    /// Of whoever runs the tests.
    fn no_variables() -> Env {
        Env::raw().only(&["no_such_variable"])
    }

    fn load(text: &str) -> anyhow::Result<Config> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("flagtrail.toml");
        std::fs::write(&file, text).unwrap();
        Config::load_over(Some(&file), no_variables(), Overrides::default())
    }

    #[test]
    fn the_default_file_is_a_whole_configuration() {
        assert_eq!(load(DEFAULT).unwrap().log.backend, Backend::Embedded);
    }

    #[test]
    fn an_unknown_key_and_a_wrong_value_are_refused_by_name() {
        assert!(load("[hooks]\nlisen = \"x\"").unwrap_err().to_string().contains("lisen"));
        assert!(load("[shutdown]\ndrain = \"soon\"").unwrap_err().to_string().contains("drain"));
        assert!(load("[log]\nbackend = \"kafka\"").unwrap_err().to_string().contains("kafka.brokers"));
        let own = load("[admin]\norganisation = \"~flagtrail\"").unwrap_err().to_string();
        assert!(own.contains("admin.organisation") && own.contains("reserved"), "{own}");
        for (line, named) in [
            ("leaver_hours = 0", "compliance.leaver_hours"),
            ("production = []", "compliance.production"),
            ("production = [\"\"]", "compliance.production"),
            ("emergency_actions = [\"Flag!\"]", "emergency_actions"),
            ("dormant_day = 1", "dormant_day"),
        ] {
            let error = load(&format!("[compliance]\n{line}")).unwrap_err().to_string();
            assert!(error.contains(named), "{line}: {error}");
        }
    }

    #[test]
    fn declared_settings_take_secrets_from_files_and_show_none() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "shop-token-0123456789abcdef\n").unwrap();
        let table = |token: &str| {
            format!(
                "[[source]]\nname = \"shop\"\nplatform = \"flagsmith\"\norganisation = {{ key = \"acme\" }}\n{token}\n"
            )
        };
        let config = load(&table(&format!("token_file = {secret:?}\nsecrets = [\"hunter2\"]"))).unwrap();
        let declaration = config.declaration().unwrap().unwrap();
        assert_eq!(declaration.source[0]["token"], "shop-token-0123456789abcdef");
        let shown = serde_json::to_string(&config).unwrap() + &format!("{config:?} {declaration:?}");
        assert!(
            shown.contains("shop") && !shown.contains("hunter2") && !shown.contains("0123456789"),
            "{shown}"
        );
        for (token, named) in [
            ("", "token_file"),
            ("token = \"short\"", "24"),
            ("token = \"ft_0123456789012345678901234567890\"", "ft_"),
            ("token_file = \"/nowhere/token\"", "/nowhere/token"),
            ("token = \"shop-token-0123456789abcdef\"\nplatfrom = 1", "platfrom"),
            ("token = \"shop-token-0123456789abcdef\"\nenabled = false", "enabled"),
        ] {
            let error = load(&table(token)).unwrap().declaration().unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("[[source]]"), "{token}: {error}");
        }
    }

    #[test]
    fn a_named_file_that_is_missing_is_refused() {
        let missing = Path::new("/nowhere/flagtrail.toml");
        let missing = Config::load_over(Some(missing), no_variables(), Overrides::default());
        assert!(missing.unwrap_err().to_string().contains("/nowhere/flagtrail.toml"));
    }

    #[test]
    fn librdkafkas_settings_pass_through_quoted_or_nested_and_secrets_are_masked() {
        let config =
            load("[kafka.librdkafka]\n\"sasl.password\" = \"hunter2\"\nsecurity.protocol = \"SSL\"\n")
                .unwrap();
        assert_eq!(config.kafka.librdkafka["security.protocol"], "SSL");
        let shown = serde_json::to_string(&config).unwrap();
        assert!(!shown.contains("hunter2") && shown.contains("[REDACTED]"));
    }
}
