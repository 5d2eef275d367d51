//! What a file's writer is given: a message of the log, and where it stands there.

use audit_journal::{Offset, Partition};
use audit_record::Timestamp;

/// One message of the log.
#[derive(Clone, Copy, Debug)]
pub struct LogMessage<'a> {
    /// Its partition.
    pub partition: Partition,
    /// Its number in the partition, without holes: leaf `seq` is message `seq`.
    pub seq: u64,
    /// Its offset on the log.
    pub offset: Offset,
    /// When the log took it, milliseconds since 1970.
    pub appended_at_ms: i64,
    /// The message's bytes: canonical JSON if it is a record.
    pub value: Option<&'a [u8]>,
    /// What its leaf is computed of; only a file of [`Messages::All`] shows it.
    pub leaf: Option<LeafParts<'a>>,
}

/// What the leaf hash of a message is computed of, besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct LeafParts<'a> {
    /// The leaf's header, as JSON in its canonical form.
    pub header: &'a str,
    /// What stands in front of the bytes when the body is hashed.
    pub salt: &'a [u8],
}

/// Which messages a file holds, and with that which columns it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// Records alone. What is no record is an error.
    Records,
    /// Every message of the log, so that none is missing: one that is no record has its bytes in `raw`, its place on the
    /// log, and nothing in the columns of a record. Leaf header and salt are columns, too.
    All,
}

impl Messages {
    /// The word for it, in a file's metadata.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::All => "all",
        }
    }
}

/// Where a message stands on the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// The partition.
    pub partition: Partition,
    /// The number in it.
    pub seq: u64,
}

/// What a finished file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSummary {
    /// Rows: one a message.
    pub rows: u64,
    /// Bytes, as written.
    pub bytes: u64,
    /// First and last moment of event time among its records.
    pub occurred: Option<(Timestamp, Timestamp)>,
    /// The first and the last message in it, in the order in which they were appended.
    pub places: Option<(Place, Place)>,
}

impl FileSummary {
    /// Counts one more message; `occurred_at` where it is a record.
    pub(crate) fn count(&mut self, place: Place, occurred_at: Option<Timestamp>) {
        self.rows += 1;
        self.places = Some((self.places.map_or(place, |(first, _)| first), place));
        if let Some(at) = occurred_at {
            let (first, last) = self.occurred.unwrap_or((at, at));
            self.occurred = Some((first.min(at), last.max(at)));
        }
    }
}
