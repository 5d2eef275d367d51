//! The files of one segment, from the messages of the log.

use audit_journal::{Message, Partition, SALT_HEADER, TAGS_HEADER};
use audit_proof::{Frontier, Leaf, NodeHash, leaf_hash};
use bytes::Bytes;

use crate::payload::{LeafParts, LogMessage, Messages, ParquetWriteError, ParquetWriter};

/// What a built segment is.
#[derive(Debug)]
pub(super) struct Built {
    /// The rows.
    pub(super) parquet: Bytes,
    /// The leaf hashes, one after the other.
    pub(super) hashes: Bytes,
    /// The root of the tree after it.
    pub(super) root: NodeHash,
}

/// A segment that is being built: in memory, because it is to be put whole, and is small enough.
pub(super) struct Builder {
    partition: Partition,
    /// `None` where there are to be no files: what is built then is a root, to be compared.
    parquet: Option<ParquetWriter<Vec<u8>>>,
    hashes: Vec<u8>,
    frontier: Frontier,
    header: Vec<u8>,
}

impl Builder {
    /// Of the messages after `edge`.
    pub(super) fn new(
        partition: Partition,
        edge: Frontier,
        metadata: &[(&str, &str)],
    ) -> Result<Self, ParquetWriteError> {
        let parquet = ParquetWriter::try_new(Vec::new(), Messages::All, metadata)?;
        Ok(Self { partition, parquet: Some(parquet), hashes: Vec::new(), frontier: edge, header: Vec::new() })
    }

    /// There are to be no files.
    pub(super) fn without_files(&mut self) {
        (self.parquet, self.hashes) = (None, Vec::new());
    }

    /// Appends the next messages.
    pub(super) fn append(&mut self, messages: &[Message]) -> Result<(), ParquetWriteError> {
        for message in messages {
            let header = |name| message.header(name).map(|value: &Bytes| &value[..]);
            let (seq, salt, value) = (self.frontier.size(), header(SALT_HEADER), message.value.as_deref());
            self.header.clear();
            Leaf::of(seq, salt, header(TAGS_HEADER), value).write_header(&mut self.header);
            let hash = leaf_hash(&self.header);
            self.frontier.append(hash, |_, _| {});
            let Some(parquet) = &mut self.parquet else { continue };
            self.hashes.extend_from_slice(hash.as_bytes());
            let json = std::str::from_utf8(&self.header).expect("a leaf's header is JSON");
            parquet.append(&LogMessage {
                partition: self.partition,
                seq,
                offset: message.offset,
                appended_at_ms: message.appended_at_ms,
                value,
                leaf: Some(LeafParts { header: json, salt: salt.unwrap_or_default() }),
            })?;
        }
        Ok(())
    }

    /// The number of the next message.
    pub(super) fn next_seq(&self) -> u64 {
        self.frontier.size()
    }

    /// The files; empty where there are to be none.
    pub(super) fn finish(self) -> Result<Built, ParquetWriteError> {
        let parquet = match self.parquet {
            Some(parquet) => parquet.finish()?.0,
            None => Vec::new(),
        };
        Ok(Built { parquet: parquet.into(), hashes: self.hashes.into(), root: self.frontier.root() })
    }
}
