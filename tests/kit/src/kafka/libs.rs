//! Where Kafka's jars are, and how they are run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::requirement::Directory;

/// Fast to start, small, and deaf to other JVMs' settings; the brokers and tools live too briefly for an optimising compiler.
const JVM_FLAGS: [&str; 4] =
    ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.awt.headless=true"];

const LIBS: Directory =
    Directory { what: "Kafka", variable: "FLAGTRAIL_KAFKA_LIBS", required_by: "FLAGTRAIL_REQUIRE_KAFKA" };

/// The directory of Kafka's jars, or `None` after saying on standard error that the calling test is skipped.
///
/// # Panics
/// When there are none although `FLAGTRAIL_REQUIRE_KAFKA=1` says that tests without Kafka are worth nothing.
#[must_use]
pub fn available() -> Option<PathBuf> {
    LIBS.available()
}

/// A JVM about to run a class of Kafka's, or a source file that uses Kafka's classes.
pub(crate) fn java(heap_mib: u32, class: &str) -> Result<Command> {
    let libs = LIBS
        .named()
        .context("Kafka's jars are nowhere: set FLAGTRAIL_KAFKA_LIBS to what tests/kafka-libs.sh prints")?;
    let mut java = Command::new("java");
    java.arg(format!("-Xmx{heap_mib}m")).args(JVM_FLAGS);
    // The classes of a broker, loaded already: JVMs start in half the time.
    let archive = libs.join("kafka.jsa");
    if archive.is_file() {
        java.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
    }
    // As properties, not as a file on the class path: an archive of classes allows no folder there.
    java.args(log_settings()?.into_iter().map(|setting| format!("-D{setting}")));
    java.arg("-cp").arg(libs.join("*")).arg(class);
    for ambient in ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH"] {
        java.env_remove(ambient);
    }
    Ok(java)
}

/// What the JVMs log, as `name=value`.
fn log_settings() -> Result<Vec<String>> {
    let path = configuration().join("simplelogger.properties");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let settings = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(settings.map(str::to_owned).collect())
}

/// The directory of the settings that all test brokers share.
pub(super) fn configuration() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docker/kafka-test")
}
