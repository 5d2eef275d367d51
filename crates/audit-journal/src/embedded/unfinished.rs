//! A file that a log is being copied to: it has the tables and no identity, so nobody can open it as a log.
//! Blocking, and for one caller; it is written on the caller's thread.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::log::{PartitionState, Tables};
use super::schema;
use super::writer::Desk;
use crate::error::OpenError;
use crate::message::{Message, NewMessage};
use crate::position::{Bounds, Offset, Partition};
use crate::read::{Range, ReadError, ReadLimit};
use crate::sqlite::file::WriteLock;
use crate::topic::Topic;

/// The file; locked.
#[derive(Debug)]
pub(crate) struct Unfinished {
    connection: Connection,
    tables: Tables,
    states: Vec<PartitionState>,
    /// Given back when it is dropped.
    _lock: WriteLock,
}

impl Unfinished {
    /// Opens the file, making it and its tables where they are missing.
    pub(crate) fn open(path: &Path, partitions: u32) -> Result<Self, OpenError> {
        let refused =
            |e: rusqlite::Error| OpenError::Refused(format!("{} can't be opened: {e}", path.display()));
        super::check_partitions(partitions)?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|e| OpenError::Refused(format!("{} can't be made: {e}", folder.display())))?;
        }
        let lock = WriteLock::take(path)?;
        let mut connection = schema::open(path)?;
        let tables = Tables::new(partitions);
        let found: u32 = connection
            .query_row("SELECT count(*) FROM partitions WHERE topic = 'records'", [], |row| row.get(0))
            .map_err(refused)?;
        if found == 0 {
            // If we crash in here, there is no table, and the next opening makes them.
            let transaction = connection.transaction().map_err(refused)?;
            tables.create(&transaction).map_err(refused)?;
            transaction.commit().map_err(refused)?;
        } else if found != partitions {
            return Err(OpenError::Refused(format!(
                "{} has {found} partitions, and the log to copy has {partitions}: name another file",
                path.display()
            )));
        }
        let states = tables.all().iter().map(|table| PartitionState::load(&connection, table));
        let states = states.collect::<rusqlite::Result<_>>().map_err(refused)?;
        Ok(Self { connection, tables, states, _lock: lock })
    }

    pub(crate) fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, ReadError> {
        let state = self.states[self.tables.index(topic, partition)];
        Ok(Bounds { partition, start: state.first, end: state.next })
    }

    pub(crate) fn begin_at(
        &mut self,
        topic: Topic,
        partition: Partition,
        start: Offset,
    ) -> rusqlite::Result<()> {
        self.transact(|desk| {
            let state = desk.state(topic, partition);
            (state.first, state.next) = (state.first.max(start), state.next.max(start));
            Ok(())
        })
    }

    /// Messages, at their offsets and with the times at which the other log took them. All or none of them.
    pub(crate) fn append(
        &mut self,
        topic: Topic,
        partition: Partition,
        messages: &[Message],
        until: Offset,
    ) -> rusqlite::Result<()> {
        self.transact(|desk| {
            messages.iter().try_for_each(|message| desk.append_at(topic, message))?;
            let state = desk.state(topic, partition);
            state.next = state.next.max(until);
            Ok(())
        })
    }

    pub(crate) fn put(&mut self, topic: Topic, messages: &[NewMessage]) -> rusqlite::Result<()> {
        self.transact(|desk| messages.iter().try_for_each(|message| desk.append(topic, message).map(drop)))
    }

    pub(crate) fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Range, ReadError> {
        let table = self.tables.get(topic, partition);
        table.ok_or(ReadError::OutOfRange { from, start: 0, end: 0 })?.read(&self.connection, from, limit)
    }

    /// Leaves one file behind, nothing in the WAL; if that fails, the next opening does it.
    pub(crate) fn close(self) {
        let _ = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    fn transact(&mut self, work: impl FnOnce(&mut Desk<'_>) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        let mut states = self.states.clone();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut desk = Desk::new(&transaction, &self.tables, &mut states);
        work(&mut desk)?;
        desk.store()?;
        transaction.commit()?;
        self.states = states;
        Ok(())
    }
}
