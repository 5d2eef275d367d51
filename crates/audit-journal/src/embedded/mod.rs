//! The log in one SQLite file, for one process.

use audit_record::Timestamp;

use crate::append::{AppendError, AppendOutcome};
use crate::error::OpenError;
use crate::follow::Follow;
use crate::identity::LogIdentity;
use crate::message::NewMessage;
use crate::owned::Owned;
use crate::position::{Bookmark, Bounds, Offset, Partition, Position};
use crate::read::{Range, ReadError, ReadLimit};
use crate::topic::Topic;

use crate::config::EmbeddedConfig;
#[derive(Debug)]
pub(crate) struct Embedded {}

impl Embedded {
    pub(crate) async fn open(_config: EmbeddedConfig) -> Result<Self, OpenError> {
        todo!()
    }
    pub(crate) fn identity(&self) -> &LogIdentity {
        todo!()
    }
    pub(crate) async fn append(&self, _topic: Topic, _messages: Vec<NewMessage>) -> Vec<AppendOutcome> {
        todo!()
    }
    pub(crate) async fn append_together(
        &self,
        _messages: Vec<(Topic, NewMessage)>,
    ) -> Result<Vec<Position>, AppendError> {
        todo!()
    }
    pub(crate) async fn follow(&self, _topic: Topic, _from: Vec<(Partition, Bookmark)>) -> Follow {
        todo!()
    }
    pub(crate) async fn follow_owned(&self, _group: &str) -> Owned {
        todo!()
    }
    pub(crate) async fn bounds(&self, _topic: Topic) -> Result<Vec<Bounds>, ReadError> {
        todo!()
    }
    pub(crate) async fn offsets_at(&self, _topic: Topic, _at: Timestamp) -> Result<Vec<Position>, ReadError> {
        todo!()
    }
    pub(crate) async fn read(
        &self,
        _topic: Topic,
        _partition: Partition,
        _from: Offset,
        _limit: ReadLimit,
    ) -> Result<Range, ReadError> {
        todo!()
    }
    pub(crate) async fn documents(
        &self,
        _group: &str,
    ) -> Result<Vec<(Partition, bytes::Bytes, bytes::Bytes)>, ReadError> {
        todo!()
    }
    pub(crate) fn is_writable(&self) -> bool {
        todo!()
    }
    pub(crate) async fn close(&self) {
        todo!()
    }
}
