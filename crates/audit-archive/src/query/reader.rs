//! The query side of an archive.

use std::path::Path;

use audit_journal::Bounds;

use super::page::{Page, Query, QueryError, Row};
use super::scan::{Scan, ScanPosition};
use super::status::{PartitionEnd, Status};

/// Reads an archive, in this process or another than the writer's. Blocking: async callers use
/// `spawn_blocking`. Cheap to clone; clones share a bounded number of connections.
#[derive(Clone, Debug)]
pub struct Reader {}

impl Reader {
    /// A reader of the archive in `dir`, which may come to be later: until then every question is
    /// answered [`QueryError::NoArchive`].
    pub fn open(_dir: impl AsRef<Path>) -> Self {
        todo!()
    }

    /// One page. Pages of one question never repeat a row and never leave one out, whatever arrives
    /// meanwhile: the first page fixes how far the log is looked at.
    pub fn query(&self, _query: &Query) -> Result<Page, QueryError> {
        todo!()
    }

    /// The record of that id. More than one where the id was used under several routing keys.
    pub fn get(&self, _id: &str) -> Result<Vec<Row>, QueryError> {
        todo!()
    }

    /// How far every partition is archived.
    pub fn ends(&self) -> Result<Vec<PartitionEnd>, QueryError> {
        todo!()
    }

    /// Whether everything before the given ends of the log is archived. An export reads the ends of the
    /// log when it starts and waits for this.
    pub fn covers(&self, _log: &[Bounds]) -> Result<bool, QueryError> {
        todo!()
    }

    /// Everything that matches (order, limit and cursor aside) before `ends`, from `from` or from the
    /// first message on.
    pub fn scan(
        &self,
        _query: &Query,
        _ends: Vec<PartitionEnd>,
        _from: Option<ScanPosition>,
    ) -> Result<Scan, QueryError> {
        todo!()
    }

    /// The state of every partition.
    pub fn status(&self) -> Result<Status, QueryError> {
        todo!()
    }
}
