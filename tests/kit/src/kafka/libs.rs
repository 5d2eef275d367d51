//! Where Kafka's jars are, and what a test says when they are nowhere.

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context, Result};

/// Fast to start, small, and deaf to other JVMs' settings; the brokers and tools live too briefly for an optimising compiler.
const JVM_FLAGS: [&str; 4] =
    ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.awt.headless=true"];

/// The directory of Kafka's jars, or `None` after saying on standard error that the calling test is skipped.
///
/// # Panics
/// When there are none although `FLAGTRAIL_REQUIRE_KAFKA=1` says that tests without Kafka are worth nothing.
#[must_use]
pub fn available() -> Option<PathBuf> {
    if let Some(libs) = named() {
        assert!(libs.is_dir(), "FLAGTRAIL_KAFKA_LIBS names {}, which is no directory", libs.display());
        return Some(libs);
    }
    let test = thread::current().name().unwrap_or("a test").to_owned();
    assert!(
        env::var_os("FLAGTRAIL_REQUIRE_KAFKA").is_none_or(|required| required != "1"),
        "{test} needs Kafka, and FLAGTRAIL_KAFKA_LIBS does not say where its jars are"
    );
    // Not eprintln!, which the test harness keeps to itself when the test passes.
    let _ = writeln!(io::stderr(), "skipped: {test} needs Kafka; ./tests/run.sh runs it");
    None
}

/// The directory that the environment names.
fn named() -> Option<PathBuf> {
    env::var_os("FLAGTRAIL_KAFKA_LIBS").filter(|libs| !libs.is_empty()).map(PathBuf::from)
}

/// A JVM about to run a class of Kafka's.
pub(super) fn java(heap_mib: u32, class: &str) -> Result<Command> {
    let libs = named()
        .context("Kafka's jars are nowhere: set FLAGTRAIL_KAFKA_LIBS to what tests/kafka-libs.sh prints")?;
    let mut class_path = configuration().into_os_string();
    class_path.push(":");
    class_path.push(libs.join("*"));
    let mut java = Command::new("java");
    java.arg(format!("-Xmx{heap_mib}m")).args(JVM_FLAGS).arg("-cp").arg(class_path).arg(class);
    for ambient in ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH"] {
        java.env_remove(ambient);
    }
    Ok(java)
}

/// The directory of the settings that all test brokers share.
pub(super) fn configuration() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docker/kafka-test")
}
