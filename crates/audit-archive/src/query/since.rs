//! What an archive took in since a place on the log.

use audit_journal::{Bounds, Offset, Partition};
use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};

use super::page::QueryError;
use super::pool::File;
use super::reader::Reader;
use super::status::PartitionEnd;
use crate::schema::RECORDS;
use crate::store::read_position;

/// How far a partition was looked at, in the log's own words: it means the same in every archive of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    /// The partition.
    pub partition: Partition,
    /// The log's epoch.
    pub epoch: u32,
    /// The first offset of it that was not looked at.
    pub next: Offset,
}

impl LogPlace {
    /// Whether everything before the end of its partition lies before it, in a log of this epoch. A place of a former epoch
    /// is past an end only where it is that end: one that lies further stood on a log that was replaced, and of the log in
    /// its place nothing was looked at yet.
    pub fn is_past(&self, epoch: u32, log: &Bounds) -> bool {
        let is_of_it = self.epoch >= epoch || self.next == log.end || log.end <= log.start;
        self.partition == log.partition && self.next >= log.end && is_of_it
    }
}

/// What is archived of a partition since a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// The number of the first message since.
    pub first_seq: u64,
    /// How far the partition is archived.
    pub end: PartitionEnd,
    /// The place to ask from next time. Never before the one that was asked from, which another archive may have reached.
    pub place: LogPlace,
}

impl Reader {
    /// What is archived since these places, by partition: everything of a partition that is not among them. May hold
    /// more than what came since, where the log's epochs began at other messages in this archive; never less.
    pub fn since(&self, places: &[LogPlace]) -> Result<Vec<Since>, QueryError> {
        let session = self.pool.session(None)?;
        let since = |file: &File| {
            let asked = places.iter().find(|place| place.partition == file.partition);
            since(file, asked).map_err(|error| file.error(error))
        };
        session.files.iter().map(since).collect()
    }
}

fn since(file: &File, asked: Option<&LogPlace>) -> rusqlite::Result<Since> {
    // First: what is appended meanwhile lies behind it.
    let (bookmark, seq) = read_position(&file.conn, RECORDS)?;
    let partition = file.partition;
    let end = PartitionEnd { partition, next: bookmark.next, seq };
    let reached = LogPlace { partition, epoch: bookmark.epoch, next: bookmark.next };
    Ok(match asked {
        None => Since { first_seq: 0, end, place: reached },
        Some(asked) if (asked.epoch, asked.next) >= (reached.epoch, reached.next) => {
            Since { first_seq: seq, end, place: *asked }
        }
        Some(asked) => Since { first_seq: first_since(file, *asked, seq)?, end, place: reached },
    })
}

/// The first message before number `end` that does not lie before a place. Offsets rise with the numbers of messages
/// within an epoch, so it is found by halving, without an index; messages of later epochs came since.
fn first_since(file: &File, place: LogPlace, end: u64) -> rusqlite::Result<u64> {
    let number = |select: &str| -> rusqlite::Result<Option<u64>> {
        file.conn.prepare_cached(select)?.query_row([place.epoch], |row| row.get(0))
    };
    let begun = number("SELECT max(first_seq) FROM epoch WHERE epoch <= ?1")?;
    let ended = number("SELECT min(first_seq) FROM epoch WHERE epoch > ?1")?;
    // An archive may begin behind what retention had removed.
    let kept: Option<u64> =
        file.conn.prepare_cached("SELECT min(seq) FROM record")?.query_row((), |row| row.get(0))?;
    let mut high = ended.unwrap_or(end).min(end);
    let mut low = begun.unwrap_or(0).max(kept.unwrap_or(0)).min(high);
    let mut at = file.conn.prepare_cached("SELECT log_offset FROM record WHERE seq = ?1")?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<Offset> = at.query_row([middle], |row| row.get(0)).optional()?;
        match found {
            Some(found) if found < place.next => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use audit_journal::Bounds;
    use serde_json::json;

    use super::LogPlace;
    use crate::query::Reader;
    use crate::samples::{message, record, store};

    #[test]
    fn a_place_on_a_log_that_was_replaced_is_past_no_end_of_the_one_in_its_place() {
        let place = |epoch, next| LogPlace { partition: 0, epoch, next };
        let log = |start, end| Bounds { partition: 0, start, end };
        for (place, log, is_past) in [
            (place(0, 60), log(0, 20), false),
            (place(0, 19), log(0, 20), false),
            (place(9, 19), log(0, 20), false),
            (place(9, 20), log(0, 20), true),
            // More came since the end was asked for.
            (place(9, 25), log(0, 20), true),
            // The same log goes on in a later epoch, and nothing came to it since.
            (place(0, 20), log(0, 20), true),
            // There is nothing to look at.
            (place(0, 60), log(0, 0), true),
        ] {
            assert_eq!(place.is_past(9, &log), is_past, "{place:?} {log:?}");
        }
        assert!(!place(9, 60).is_past(9, &Bounds { partition: 1, start: 0, end: 20 }));
    }

    #[test]
    fn what_came_since_a_place_begins_at_the_same_message_in_every_epoch_and_with_holes_in_the_log() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |offset, id: &str| message(offset, &record(id, json!({})));
        let mut store = store(dir.path());
        store.append(&[at(2, "a"), at(3, "b"), at(7, "c")], 0, 8).expect("appended");
        let reader = Reader::open(dir.path());
        let place = |epoch, next| LogPlace { partition: 0, epoch, next };
        let since = |asked: LogPlace| {
            let since = reader.since(&[asked]).expect("an answer")[0];
            (since.first_seq, since.place)
        };
        for (next, first_seq) in [(0, 0), (2, 0), (3, 1), (4, 2), (7, 2)] {
            assert_eq!(since(place(0, next)), (first_seq, place(0, 8)), "{next}");
        }
        // Another archive was further: nothing came since, and that is where it goes on.
        for further in [place(0, 8), place(0, 20), place(1, 0)] {
            assert_eq!(since(further), (3, further));
        }
        // The log was replaced by another one, whose offsets begin again.
        store.append(&[at(0, "d"), at(1, "e")], 1, 2).expect("appended");
        for (asked, first_seq) in [(place(0, 3), 1), (place(0, 20), 3), (place(1, 1), 4)] {
            assert_eq!(since(asked), (first_seq, place(1, 2)), "{asked:?}");
        }
        let everything = reader.since(&[]).expect("an answer")[0];
        assert_eq!((everything.first_seq, everything.end.seq), (0, 5));
    }
}
