//! The contract, run against the embedded log; and what only that one promises.

use std::path::PathBuf;

use audit_journal::{EmbeddedConfig, Journal, JournalConfig, OpenError};
use tempfile::TempDir;

use crate::contract::{Harness, PARTITIONS, contract};

/// One file in a directory of its own.
pub(crate) struct EmbeddedLog {
    directory: TempDir,
}

/// Tells a child process which file to open.
const FILE_VARIABLE: &str = "FLAGTRAIL_TEST_EMBEDDED_FILE";

impl EmbeddedLog {
    fn file(&self) -> PathBuf {
        self.directory.path().join("journal.db")
    }
}

impl Harness for EmbeddedLog {
    async fn fresh() -> Self {
        Self { directory: TempDir::new().expect("a directory for the test") }
    }

    fn config(&self) -> JournalConfig {
        JournalConfig::Embedded(EmbeddedConfig { path: self.file(), partitions: PARTITIONS })
    }

    async fn recreate(&self) {
        for entry in std::fs::read_dir(self.directory.path()).expect("the test's directory") {
            std::fs::remove_file(entry.expect("an entry").path()).expect("the log's file can be removed");
        }
    }

    fn child_environment(&self) -> Vec<(&'static str, String)> {
        vec![(FILE_VARIABLE, self.file().display().to_string())]
    }

    fn config_in_child() -> Option<JournalConfig> {
        let path = PathBuf::from(std::env::var_os(FILE_VARIABLE)?);
        Some(JournalConfig::Embedded(EmbeddedConfig { path, partitions: PARTITIONS }))
    }

    fn child_test() -> &'static str {
        "embedded::a_child_process_appends_until_it_is_killed"
    }
}

contract!(EmbeddedLog);

#[tokio::test]
async fn a_second_process_is_refused_while_the_first_holds_the_file() {
    let log = EmbeddedLog::fresh().await;
    let first = log.open().await;
    let second = Journal::open(log.config()).await;
    assert!(matches!(second, Err(OpenError::Held(_))), "{second:?}");
    first.close().await;
    drop(first);
    log.open().await;
}
