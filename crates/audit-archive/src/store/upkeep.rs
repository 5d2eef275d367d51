//! What a writer does for its file while nothing comes: indexes and full text built or made quicker, and what erasing left
//! behind done away with. Words and remnants are seen to in steps, between which the writer appends.

use super::{Store, StoreError, erasure};
use crate::{schema, text};

impl Store {
    /// Builds the secondary indexes where they do not stand yet: the first catch-up is over.
    pub(crate) fn finish_catch_up(&mut self) -> Result<(), StoreError> {
        if !self.indexed {
            schema::build_indexes(&mut self.conn)?;
            self.indexed = true;
        }
        Ok(())
    }

    /// Makes some more records searchable, or the index over them quicker; whether anything is left to do.
    pub(crate) fn improve_text(&mut self) -> Result<bool, StoreError> {
        let end = self.records.seq;
        if !self.full_text {
            return Ok(false);
        }
        if self.text_seq >= end {
            return self.merge_text();
        }
        let more = text::catch_up(&mut self.conn, end)?;
        self.text_seq = end.min(self.text_seq + text::TRAILING_ROWS_MAX as u64);
        Ok(more || self.text_seq >= self.text_merged_to + text::MERGED_AFTER_ROWS)
    }

    /// One step of making the index quicker, if enough has come since the last time that was done.
    fn merge_text(&mut self) -> Result<bool, StoreError> {
        if self.text_seq < self.text_merged_to + text::MERGED_AFTER_ROWS {
            return Ok(false);
        }
        let more = text::merge(&mut self.conn)?;
        if !more {
            self.text_merged_to = self.text_seq;
        }
        Ok(more)
    }

    /// Does away with some of what is left of erased bodies elsewhere in the file; whether there is more to do that can be
    /// done now.
    pub(crate) fn clear_up(&mut self) -> Result<bool, StoreError> {
        // Without its indexes, whether a row names a thing is a question to the whole file.
        if !self.is_to_be_cleared_up() {
            return Ok(false);
        }
        let more = erasure::forget_orphans(&mut self.conn)?;
        // A thing that is gone must not be known by its number.
        self.things.forget();
        if more {
            return Ok(true);
        }
        self.is_scrubbed = erasure::scrub(&self.conn)?;
        Ok(false)
    }

    /// Whether anything of erased bodies may be left that [`Store::clear_up`] does away with.
    pub(crate) fn is_to_be_cleared_up(&self) -> bool {
        !self.is_scrubbed && self.indexed
    }
}
