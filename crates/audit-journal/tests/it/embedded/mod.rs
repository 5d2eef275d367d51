//! The contract, run against the embedded log; and what only that one promises.

mod failure;

use std::path::PathBuf;

use audit_journal::{
    Bookmark, CommitError, EmbeddedConfig, Journal, JournalConfig, OpenError, OwnedCommit, OwnedEvent,
    PartitionCommit, SALT_HEADER, TAGS_HEADER, Topic,
};
use tempfile::TempDir;

use crate::contract::{Harness, PARTITIONS, append_all, append_numbers, contract, fixed, next_owned};

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

#[tokio::test]
async fn a_file_of_a_later_release_is_not_touched() {
    let log = EmbeddedLog::fresh().await;
    log.open().await.close().await;
    let file = rusqlite::Connection::open(log.file()).expect("the file opens");
    file.pragma_update(None, "user_version", 99).expect("the version can be set");
    drop(file);
    let refused = Journal::open(log.config()).await;
    assert!(matches!(refused, Err(OpenError::Newer { found: 99, known: 1 })), "{refused:?}");
}

#[tokio::test]
async fn a_log_of_no_partitions_is_refused_and_nothing_is_left_behind() {
    let log = EmbeddedLog::fresh().await;
    let none = JournalConfig::Embedded(EmbeddedConfig { path: log.file(), partitions: 0 });
    let refused = Journal::open(none).await;
    assert!(matches!(refused, Err(OpenError::Refused(_))), "{refused:?}");
    assert_eq!(log.open().await.identity().partitions, PARTITIONS);
}

#[tokio::test]
async fn the_partition_count_is_the_logs_own_whatever_is_configured_later() {
    let log = EmbeddedLog::fresh().await;
    log.open().await.close().await;
    let more = JournalConfig::Embedded(EmbeddedConfig { path: log.file(), partitions: 12 });
    let journal = Journal::open(more).await.expect("the log opens");
    assert_eq!(journal.identity().partitions, PARTITIONS);
    assert_eq!(
        journal.bounds(Topic::Records).await.expect("the bounds are known").len(),
        PARTITIONS as usize
    );
}

#[tokio::test]
async fn another_program_reads_the_file_while_it_is_written() {
    let log = EmbeddedLog::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 1, 0..3).await;
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let tool = rusqlite::Connection::open_with_flags(log.file(), flags).expect("the file opens");
    let values = "SELECT group_concat(value) FROM messages WHERE topic = 'records' AND partition = 1";
    let values: String = tool.query_row(values, [], |row| row.get(0)).expect("the view is there");
    assert_eq!(values, "0,1,2");
}

#[tokio::test]
async fn only_the_last_document_of_a_key_is_kept() {
    let log = EmbeddedLog::fresh().await;
    let journal = log.open().await;
    let documents = (0..50).map(|number| fixed(2, number.to_string())).collect();
    append_all(&journal, Topic::Progress, documents).await;
    let limit = audit_journal::ReadLimit { messages: 100, bytes: 1024 };
    let range = journal.read(Topic::Progress, 2, 0, limit).await.expect("progress can be read");
    assert_eq!((range.messages.len(), range.messages[0].offset, range.next), (1, 49, 50));
}

/// An owner that is stopped, as by a debugger or a full disk, while another takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_does_not_let_go_is_fenced_after_a_bounded_wait() {
    let log = EmbeddedLog::fresh().await;
    let journal = log.open().await;
    let mut first = journal.follow_owned("deliver").await;
    let mut generations = Vec::new();
    while generations.len() < PARTITIONS as usize {
        if let OwnedEvent::Assigned { partition, generation, .. } = next_owned(&mut first).await {
            generations.push((partition, generation));
        }
    }
    // The first owner asks no more and never drops `done`.
    let mut second = journal.follow_owned("deliver").await;
    let (taken, clean) = loop {
        if let OwnedEvent::Assigned { partition, clean, .. } = next_owned(&mut second).await {
            break (partition, clean);
        }
    };
    assert!(!clean, "the first owner may still be at work");
    let (_, generation) = generations[taken as usize];
    let state = PartitionCommit {
        partition: taken,
        generation,
        bookmark: Bookmark::default(),
        documents: Vec::new(),
    };
    let commit = OwnedCommit { partitions: vec![state], messages: Vec::new() };
    assert_eq!(first.committer().commit(commit).await, Err(CommitError::Fenced(vec![taken])));
}

#[tokio::test]
async fn a_record_has_the_same_tags_whichever_process_appends_it_and_others_in_another_log() {
    let record = crate::contract::control::record("r1");
    let headers = |journal: &Journal| {
        let message = journal.record_message(&record);
        let header =
            |name| message.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.clone());
        (header(SALT_HEADER).expect("a salt"), header(TAGS_HEADER).expect("tags"))
    };
    let log = EmbeddedLog::fresh().await;
    let first = log.open().await;
    let (salt, tags) = headers(&first);
    assert_eq!((salt.len(), tags.len()), (16, 64));
    first.close().await;
    drop(first);
    let (another_salt, same_tags) = headers(&log.open().await);
    assert_ne!(another_salt, salt);
    assert_eq!(same_tags, tags);
    let (_, other_tags) = headers(&EmbeddedLog::fresh().await.open().await);
    assert_ne!(other_tags[..16], tags[..16]);
}
