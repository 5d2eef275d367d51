//! The log: append to a position, follow, commit, read a range. Two backends behind one type: Kafka, and
//! an embedded SQLite file for one machine.
//!
//! Nothing here knows what a consumer does with a message. What is durable when a call returns is said
//! on the call.

mod append;
mod config;
mod control;
mod copy;
mod embedded;
mod epoch;
mod error;
mod follow;
mod header;
mod identity;
mod journal;
#[cfg(feature = "kafka")]
mod kafka;
mod message;
mod named;
mod owned;
mod partitioner;
mod position;
mod progress;
mod reaching;
mod read;
mod resume;
mod spool;
mod sqlite;
mod topic;

pub use append::{AppendError, AppendOutcome};
pub use config::{EmbeddedConfig, JournalConfig, KafkaConfig};
pub use control::{Control, Entity, SettingsChange, SettingsFile, WriteError};
pub use copy::{CopyError, CopyProgress, CopyReport, copy_log};
pub use epoch::NewEpochError;
pub use error::OpenError;
pub use follow::{Batch, Follow, FollowEvent, Stop};
pub use header::HeaderName;
pub use identity::LogIdentity;
pub use journal::Journal;
#[cfg(feature = "kafka")]
pub use kafka::kafka_plan;
pub use message::{Message, MessageHash, NewMessage, Placement, SALT_HEADER, TAGS_HEADER, record_message};
pub use named::NamedAppender;
pub use owned::{
    COMMIT_BYTES_MAX, CommitError, Committer, Fetch, Owned, OwnedCommit, OwnedEvent, PartitionCommit,
};
pub use partitioner::partition_of;
pub use position::{Anchor, Bookmark, Bounds, Offset, Partition, Position};
pub use progress::ProgressDocument;
pub use read::{Range, ReadError, ReadLimit};
pub use spool::{Spool, SpoolConfig, SpoolError, Spooled};
pub use topic::{DETAIL_KEPT, Topic};
