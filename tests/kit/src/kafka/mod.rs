//! Apache Kafka for tests: one broker or three, each in its own JVM, on free ports and in a temporary directory.
//!
//! The jars come from `tests/kafka-libs.sh`, which `tests/run.sh` calls. Where they are absent a test says that it was skipped
//! and passes, unless `FLAGTRAIL_REQUIRE_KAFKA=1` makes that a failure:
//!
//! ```no_run
//! # use flagtrail_testkit::kafka;
//! let Some(_) = kafka::available() else { return };
//! let kafka = kafka::Cluster::start(3).unwrap();
//! kafka.create_topic("numbers", 12, &["min.insync.replicas=2"]).unwrap();
//! kafka.kill_broker(1).unwrap();
//! ```

mod cluster;
mod libs;
mod node;
mod security;
mod tools;

pub use cluster::{Cluster, Options};
pub use libs::available;
pub(crate) use libs::java;
pub use security::{Mechanism, Security, Tls, User};
pub use tools::run as run_tool;

/// A name that no other test of this or any other run uses, for topics and groups on the shared broker.
#[must_use]
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", uuid::Uuid::new_v4().simple())
}
