//! A file that can't be written for a while: appends are refused, nothing is half there, and all goes on
//! by itself when the cause is mended.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use audit_journal::{AppendOutcome, Journal, ReadLimit, Topic};

use super::{EmbeddedLog, FILE_VARIABLE};
use crate::contract::kill::{child_arguments, say};
use crate::contract::{Harness, append_all, append_numbers, fixed, text, until};

const EVERYTHING: ReadLimit = ReadLimit { messages: 100_000, bytes: 64 * 1024 * 1024 };

/// Tells the child of the full disk what it is.
const ROLE_VARIABLE: &str = "FLAGTRAIL_TEST_FULL_DISK";

async fn values(journal: &Journal) -> Vec<String> {
    let range = journal.read(Topic::Records, 0, 0, EVERYTHING).await.expect("the records can be read");
    range.messages.iter().map(text).collect()
}

#[tokio::test]
async fn a_file_that_a_tool_has_locked_is_written_again_once_the_tool_lets_go() {
    let log = EmbeddedLog::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 0, 0..1).await;
    let tool = rusqlite::Connection::open(log.file()).expect("the file opens");
    tool.execute_batch("BEGIN IMMEDIATE").expect("the tool locks the file");
    let refused = journal.append(Topic::Records, vec![fixed(0, "refused")]).await;
    assert!(matches!(refused[0], AppendOutcome::NotAppended(_)), "{refused:?}");
    assert!(!journal.is_writable());
    assert_eq!(values(&journal).await, ["0"], "it can be read all the while");
    tool.execute_batch("ROLLBACK").expect("the tool lets go");
    until(|| async { journal.is_writable() }).await;
    append_all(&journal, Topic::Records, vec![fixed(0, "taken")]).await;
    assert_eq!(values(&journal).await, ["0", "taken"]);
}

/// The life of a process whose files may not grow: says what was taken, and waits for the mend.
#[tokio::test]
async fn a_child_process_fills_its_disk() {
    if std::env::var_os(ROLE_VARIABLE).is_none() {
        return;
    }
    let config = EmbeddedLog::config_in_child().expect("the parent says which file");
    let journal = Journal::open(config).await.expect("the log opens");
    let large = |number: u32| fixed(0, format!("{number} {}", "x".repeat(50_000)));
    let mut number = 0;
    loop {
        match journal.append(Topic::Records, vec![large(number)]).await.remove(0) {
            AppendOutcome::Appended(_) => say(&format!("taken {number}")),
            AppendOutcome::NotAppended(reason) => break say(&format!("refused {number} {reason}")),
            AppendOutcome::Unknown(reason) => panic!("{reason}"),
        }
        number += 1;
    }
    // Refused until the parent has made room; there is room for less all the time, so it may say that it is writable.
    until(|| async {
        let outcomes = journal.append(Topic::Records, vec![large(number + 1)]).await;
        matches!(outcomes[..], [AppendOutcome::Appended(_)])
    })
    .await;
    assert!(journal.is_writable());
    say(&format!("taken {}", number + 1));
    journal.close().await;
}

/// The limit on file sizes stands in for a full disk: the same system call fails, and nobody needs to be
/// root to set or lift it.
#[tokio::test]
async fn a_full_disk_refuses_appends_and_takes_them_again_when_there_is_room() {
    let log = EmbeddedLog::fresh().await;
    log.open().await.close().await;
    let binary = std::env::current_exe().expect("the test binary has a path");
    // A soft limit of 2 MiB, without the signal that would end the process.
    let script = "trap '' XFSZ; ulimit -S -f 4096; exec \"$@\"";
    let mut child = Command::new("sh");
    child.args(["-c", script, "sh"]).arg(binary);
    child.args(child_arguments("embedded::failure::a_child_process_fills_its_disk"));
    child.env(ROLE_VARIABLE, "1").env(FILE_VARIABLE, log.file()).stdout(Stdio::piped());
    let mut child = child.spawn().expect("the child starts");
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    let out = BufReader::new(child.stdout.take().expect("it is piped"));
    for line in out.lines() {
        let line = line.expect("the child speaks text");
        if let Some((_, number)) = line.split_once("taken ") {
            taken.push(number.trim().to_owned());
        } else if let Some((_, number)) = line.split_once("refused ") {
            refused.push(number.split(' ').next().expect("a number").to_owned());
            let pid = child.id().to_string();
            let lifted = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
            assert!(lifted.expect("prlimit (util-linux) runs").success());
        }
    }
    assert!(child.wait().expect("the child ends").success());
    assert!(taken.len() > 1 && refused.len() == 1, "taken {taken:?}, refused {refused:?}");

    let journal = log.open().await;
    let there: Vec<String> = (values(&journal).await.iter())
        .map(|value| value.split(' ').next().expect("a number").to_owned())
        .collect();
    assert_eq!(there, taken, "what was taken is there once, what was refused is not");
}
