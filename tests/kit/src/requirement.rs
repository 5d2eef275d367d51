//! What a test needs from outside the workspace, and what it says when that is absent.

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    process::Command,
    thread,
};

/// A directory that `tests/run.sh` prepares and names in a variable.
pub(crate) struct Directory {
    /// What is in it, for people.
    pub(crate) what: &'static str,
    /// The variable that names it.
    pub(crate) variable: &'static str,
    /// The variable that, being 1, makes absence a failure.
    pub(crate) required_by: &'static str,
}

impl Directory {
    /// The directory that the environment names.
    pub(crate) fn named(&self) -> Option<PathBuf> {
        env::var_os(self.variable).filter(|directory| !directory.is_empty()).map(PathBuf::from)
    }

    /// The directory, or `None` after saying on standard error that the calling test is skipped.
    ///
    /// # Panics
    /// When it is required and absent, or named and no directory.
    pub(crate) fn available(&self) -> Option<PathBuf> {
        let Self { what, variable, required_by } = self;
        if let Some(directory) = self.named() {
            assert!(directory.is_dir(), "{variable} names {}, which is no directory", directory.display());
            return Some(directory);
        }
        is_missing(what, required_by, &format!("{variable} does not say where it is"));
        None
    }
}

/// A program that has to be installed.
pub(crate) struct Program {
    /// Its name.
    pub(crate) program: &'static str,
    /// What makes it say its version.
    pub(crate) argument: &'static str,
    /// The variable that, being 1, makes absence a failure.
    pub(crate) required_by: &'static str,
}

impl Program {
    /// Whether it is installed; where it is not, standard error is told that the calling test is skipped.
    ///
    /// # Panics
    /// When it is required and absent.
    pub(crate) fn available(&self) -> bool {
        let Self { program, argument, required_by } = self;
        let found = Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success());
        if !found {
            is_missing(program, required_by, "it is not installed");
        }
        found
    }
}

/// Says that the calling test is skipped, or fails it.
fn is_missing(what: &str, required_by: &str, why: &str) {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let required = env::var_os(required_by).is_some_and(|required| required == "1");
    assert!(!required, "{test} needs {what}, and {why}");
    // Not eprintln!, which the test harness keeps to itself when the test passes; in one piece, so that no other test's line
    // comes between.
    let line = format!("skipped: {test} needs {what}; ./tests/run.sh runs it\n");
    let _ = io::stderr().write_all(line.as_bytes());
}
