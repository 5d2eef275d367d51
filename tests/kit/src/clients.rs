//! Kafka clients in other languages, which know nothing of Flagtrail: the programs under `tests/clients/`.
//!
//! Their libraries come from `tests/clients/prepare.sh`, which `tests/run.sh` calls. Java's are Kafka's own jars.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    kafka,
    requirement::{Directory, Program},
};

/// Memory of the Java client's heap: it compiles itself first.
const JAVA_HEAP_MIB: u32 = 256;

const CLIENTS: Directory = Directory {
    what: "the client libraries of Python and Node",
    variable: "FLAGTRAIL_CLIENTS",
    required_by: "FLAGTRAIL_REQUIRE_CLIENTS",
};

const GO: Program = Program { program: "go", argument: "version", required_by: "FLAGTRAIL_REQUIRE_CLIENTS" };

/// The client libraries.
#[derive(Debug)]
pub struct Clients {
    libraries: PathBuf,
}

impl Clients {
    /// The libraries, or `None` after saying on standard error that the calling test is skipped.
    ///
    /// # Panics
    /// When there are none although `FLAGTRAIL_REQUIRE_CLIENTS=1`.
    #[must_use]
    pub fn available() -> Option<Self> {
        CLIENTS.available().map(|libraries| Self { libraries })
    }

    /// A Python program of `tests/clients/python`.
    #[must_use]
    pub fn python(&self, program: &str) -> Command {
        let mut python = Command::new(self.libraries.join("venv/bin/python"));
        python.arg(sources("python").join(program));
        python
    }

    /// A shell in which `python3` is the one with these libraries, and Go takes modules from its own cache alone.
    #[must_use]
    pub fn shell(&self) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::iter::once(self.libraries.join("venv/bin")).chain(std::env::split_paths(&path));
        let mut shell = Command::new("sh");
        shell.env("PATH", std::env::join_paths(places).expect("folders without colons"));
        if let Ok(cache) = Command::new(GO.program).args(["env", "GOMODCACHE"]).output() {
            let cache = String::from_utf8_lossy(&cache.stdout);
            shell.env("GOPROXY", format!("file://{}/cache/download", cache.trim()));
            shell.envs([("GOSUMDB", "off"), ("GOFLAGS", "-mod=mod"), ("GOTOOLCHAIN", "local")]);
        }
        shell
    }

    /// A Node program of `tests/clients/node`.
    #[must_use]
    pub fn node(&self, program: &str) -> Command {
        let mut node = Command::new("node");
        node.arg(sources("node").join(program)).env("NODE_PATH", self.libraries.join("node_modules"));
        node
    }

    /// The S3-compatible store of `tests/clients/s3`, and its client; `None`, after saying on standard error that the calling test
    /// is skipped, where there is no Go to build it.
    ///
    /// # Panics
    /// When there is none although `FLAGTRAIL_REQUIRE_CLIENTS=1`.
    #[must_use]
    pub fn s3(&self) -> Option<Command> {
        GO.available().then(|| Command::new(self.libraries.join("s3")))
    }

    /// A Java program of `tests/clients/java`, which is compiled as it starts.
    ///
    /// # Errors
    /// When Kafka's jars are absent.
    pub fn java(&self, program: &str) -> Result<Command> {
        let source = sources("java").join(program);
        kafka::java(JAVA_HEAP_MIB, &source.display().to_string())
    }
}

/// A Go program of `tests/clients`, compiled as it starts; `None`, after saying on standard error that the calling test is skipped,
/// where there is no Go.
///
/// # Panics
/// When there is none although `FLAGTRAIL_REQUIRE_CLIENTS=1`.
#[must_use]
pub fn go(program: &str) -> Option<Command> {
    GO.available().then(|| {
        let mut go = Command::new(GO.program);
        go.arg("-C").arg(sources(program)).args(["run", "."]);
        go
    })
}

fn sources(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients").join(language)
}
