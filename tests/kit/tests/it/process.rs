//! A child process can be watched, paused and killed, and does not outlive its test.

use std::{fs, process::Command, time::Duration};

use flagtrail_testkit::{process::Process, wait};

/// Longer than anything takes, on a machine busy with other tests.
const SOON: Duration = Duration::from_secs(60);

fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("600");
    command
}

/// The state letter of a process, `None` once it is gone.
fn state_of(id: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

#[test]
fn what_a_program_writes_is_in_its_log_and_its_exit_code_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut command = Command::new("sh");
    command.args(["-c", "echo out; echo $WORD >&2; exit 3"]).env("WORD", "err");
    let mut process = Process::start("a talker", &command, &log).unwrap();
    assert_eq!(process.wait_exit(SOON).unwrap().code(), Some(3));
    assert_eq!(fs::read_to_string(&log).unwrap(), "out\nerr\n");
}

#[test]
fn a_killed_program_is_gone_when_kill_returns() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start("a sleeper", &sleeper(), &directory.path().join("log")).unwrap();
    assert!(state_of(process.id()).is_some());
    process.kill().unwrap();
    assert_eq!(state_of(process.id()), None);
    assert_eq!(process.try_exit().unwrap().unwrap().code(), Some(128 + 9));
}

#[test]
fn a_paused_program_stands_still_until_it_is_resumed_and_can_still_be_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start("a sleeper", &sleeper(), &directory.path().join("log")).unwrap();
    let id = process.id();
    process.pause().unwrap();
    wait::blocking(SOON, "stopped", || state_of(id) == Some('T'));
    process.resume().unwrap();
    wait::blocking(SOON, "sleeping again", || state_of(id) == Some('S'));
    process.pause().unwrap();
    assert_eq!(process.stop().unwrap().code(), Some(128 + 15));
}

#[test]
fn a_dropped_program_ends() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start("a sleeper", &sleeper(), &directory.path().join("log")).unwrap();
    let id = process.id();
    drop(process);
    assert_eq!(state_of(id), None);
}

/// What a static value is to a test process: never dropped. A forgotten one closes nothing, so a process of its own is needed.
#[test]
fn a_program_whose_test_process_was_killed_ends_and_its_directory_is_removed() {
    const INNER: &str = "FLAGTRAIL_TESTKIT_ORPHAN_DIRECTORY";
    if let Some(directory) = std::env::var_os(INNER) {
        let directory = std::path::PathBuf::from(directory);
        let owned = directory.join("around/owned");
        fs::create_dir_all(&owned).unwrap();
        let log = directory.join("log");
        let process = Process::start_owning("a sleeper", &sleeper(), &log, Some(&owned)).unwrap();
        fs::write(directory.join("id.new"), process.id().to_string()).unwrap();
        fs::rename(directory.join("id.new"), directory.join("id")).unwrap();
        std::thread::sleep(Duration::from_secs(600));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut inner = Command::new(std::env::current_exe().unwrap());
    inner.args([
        "--exact",
        "process::a_program_whose_test_process_was_killed_ends_and_its_directory_is_removed",
    ]);
    inner.env(INNER, directory.path());
    let mut inner = Process::start("the inner test", &inner, &directory.path().join("inner.log")).unwrap();
    let id_file = directory.path().join("id");
    wait::blocking(SOON, "the inner test started its program", || id_file.exists());
    let id: i32 = fs::read_to_string(id_file).unwrap().parse().unwrap();
    assert!(state_of(id).is_some());
    inner.kill().unwrap();
    wait::blocking(SOON, "the program is gone", || state_of(id).is_none());
    wait::blocking(SOON, "its directory is gone", || !directory.path().join("around").exists());
}
