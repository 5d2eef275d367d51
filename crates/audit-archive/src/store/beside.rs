//! What is archived beside the records: delivery attempts, the progress of consumers, and checkpoints with what came of each.
//! Every one of these topics has a position of its own.

use std::collections::BTreeSet;

use audit_journal::{Message, Offset};

use super::checkpoints::{self, Alarm};
use super::position::move_position;
use super::rows::Counts;
use super::{Store, StoreError, attempts, progress};

impl Store {
    /// Archives delivery attempts, as [`Store::append`] does records, with a position of their own.
    pub(crate) fn append_attempts(
        &mut self,
        messages: &[Message],
        epoch: u32,
        log_end: Offset,
    ) -> Result<(), StoreError> {
        let from = self.attempts;
        let Some((messages, to)) = from.after(messages, epoch) else { return Ok(()) };
        let tx = self.conn.transaction()?;
        let undecodable = attempts::write(&tx, from.seq, messages)?;
        move_position(&tx, from, to, log_end, Counts { undecodable, ..Counts::default() })?;
        tx.commit()?;
        self.attempts = to;
        Ok(())
    }

    /// Forgets some of the attempts that the log took before `before_ms`; whether more are left.
    pub(crate) fn forget_attempts(&mut self, before_ms: i64) -> Result<bool, StoreError> {
        Ok(attempts::forget(&mut self.conn, before_ms)?)
    }

    /// Takes in what consumers wrote of how far they are: the latest document of each key stays.
    pub(crate) fn append_progress(
        &mut self,
        messages: &[Message],
        epoch: u32,
        log_end: Offset,
    ) -> Result<(), StoreError> {
        let from = self.progress;
        let Some((messages, to)) = from.after(messages, epoch) else { return Ok(()) };
        let tx = self.conn.transaction()?;
        let undecodable = progress::write(&tx, messages)?;
        move_position(&tx, from, to, log_end, Counts { undecodable, ..Counts::default() })?;
        tx.commit()?;
        self.progress = to;
        Ok(())
    }

    /// Compares some of the checkpoints that waited for the tree; whether more can be compared. If we crash before the
    /// commit, they wait still.
    pub(crate) fn judge_more(&mut self) -> Result<bool, StoreError> {
        if !self.judge.can_go_on(self.tree.size()) {
            return Ok(false);
        }
        let tx = self.conn.transaction()?;
        let judged = self.judge.go_on(&tx).and_then(|more| {
            tx.commit()?;
            Ok(more)
        });
        if judged.is_err() {
            self.judge.look_up(&self.conn)?;
        }
        judged
    }

    /// Archives checkpoints, each with what came of it, and their position.
    pub(crate) fn append_checkpoints(
        &mut self,
        messages: &[Message],
        epoch: u32,
        log_end: Offset,
    ) -> Result<(), StoreError> {
        let from = self.checkpoints;
        let Some((messages, to)) = from.after(messages, epoch) else { return Ok(()) };
        let tx = self.conn.transaction()?;
        let written = self.judge.write(&tx, from.seq, messages).and_then(|counts| {
            move_position(&tx, from, to, log_end, counts)?;
            tx.commit()?;
            Ok(())
        });
        match written {
            Ok(()) => self.checkpoints = to,
            Err(_) => self.judge.look_up(&self.conn)?,
        }
        written
    }

    /// An alarm about a checkpoint that is not on the record yet, other than these.
    pub(crate) fn untold_alarm(&self, but: &BTreeSet<u64>) -> Result<Option<Alarm>, StoreError> {
        checkpoints::untold(&self.conn, self.partition, but)
    }

    /// An alarm is on the record.
    pub(crate) fn alarm_told(&mut self, seq: u64) -> Result<(), StoreError> {
        Ok(checkpoints::told(&self.conn, seq)?)
    }
}
