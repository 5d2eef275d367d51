//! Where Kafka's jars are, and how they are run.

use std::{
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
