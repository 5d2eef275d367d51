//! The archive over real logs: the embedded one, and Kafka.

mod epochs;
mod erase;
mod export_file;
mod harness;
#[cfg(feature = "kafka")]
mod kafka;
mod kill;
mod maintenance;
mod retention;
mod run;
mod sql;
mod tree;
mod witness;
