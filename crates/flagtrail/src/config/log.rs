//! From configuration to the log.

use std::path::PathBuf;

use audit_journal::{EmbeddedConfig, JournalConfig};

use super::{Backend, Config};
use crate::exit::{Exit, Stop};

impl Config {
    /// How the log is opened.
    pub(crate) fn journal(&self) -> anyhow::Result<JournalConfig> {
        self.journal_on(self.log.backend)
    }

    /// How the log on that backend is opened, whichever is in use.
    pub(crate) fn journal_on(&self, backend: Backend) -> anyhow::Result<JournalConfig> {
        match backend {
            Backend::Embedded => Ok(JournalConfig::Embedded(EmbeddedConfig {
                path: self.embedded_file(),
                partitions: self.log.partitions,
            })),
            Backend::Kafka => self.kafka(),
        }
    }

    /// The embedded log.
    pub(crate) fn embedded_file(&self) -> PathBuf {
        self.data_dir.join("journal.sqlite")
    }

    #[cfg(feature = "kafka")]
    fn kafka(&self) -> anyhow::Result<JournalConfig> {
        Ok(JournalConfig::Kafka(self.kafka_config()?))
    }

    #[cfg(not(feature = "kafka"))]
    fn kafka(&self) -> anyhow::Result<JournalConfig> {
        Err(Stop::error(
            Exit::Usage,
            "this build has no Kafka in it (--no-default-features): build it with default features",
        ))
    }

    /// The files that values of `kafka.librdkafka` come from.
    pub(crate) fn kafka_secret_files(&self) -> Vec<std::path::PathBuf> {
        let files = self.kafka.librdkafka.iter().filter(|(key, _)| key.ends_with("_file"));
        files.map(|(_, file)| file.into()).collect()
    }

    /// How Kafka is reached.
    #[cfg(feature = "kafka")]
    pub(crate) fn kafka_config(&self) -> anyhow::Result<audit_journal::KafkaConfig> {
        let mut librdkafka = std::collections::BTreeMap::new();
        for (key, value) in &self.kafka.librdkafka {
            match key.strip_suffix("_file") {
                None => drop(librdkafka.insert(key.clone(), value.clone())),
                Some(key) => {
                    let secret = crate::secret_file::read(value.as_ref()).map_err(|error| {
                        Stop::error(Exit::Usage, format!("kafka.librdkafka.{key}_file: {value} {error}"))
                    })?;
                    let secret = secrecy::ExposeSecret::expose_secret(&secret).trim_end_matches(['\r', '\n']);
                    librdkafka.insert(key.to_owned(), secret.to_owned());
                }
            }
        }
        Ok(audit_journal::KafkaConfig {
            brokers: self.kafka.brokers.clone(),
            prefix: self.kafka.prefix.clone(),
            partitions: self.kafka.partitions,
            create_topics: self.kafka.create_topics,
            append_timeout: self.kafka.append_timeout,
            librdkafka,
        })
    }
}
