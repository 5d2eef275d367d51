//! What stands on the log between two places, where a segment is to begin with messages that nobody has counted.

use audit_journal::{Journal, Partition, ReadError, ReadLimit, Topic};
use audit_proof::Edge;

use super::cutting::{SEGMENT_BYTES_MAX, SEGMENT_MESSAGES_MAX, day_of};

/// How much of the log is read at a time.
const READ: ReadLimit = ReadLimit { messages: 10_000, bytes: 4 * 1024 * 1024 };

/// What the messages from `start` to `end` weigh in bytes, and the UTC day on which the log took them; `None` where they are not
/// the beginning of one segment: too many, of several days, or not on the log any more.
pub(crate) async fn measure(
    journal: &Journal,
    partition: Partition,
    start: Edge,
    end: Edge,
) -> Result<Option<(u64, String)>, ReadError> {
    let count = end.seq.saturating_sub(start.seq);
    if count > SEGMENT_MESSAGES_MAX {
        return Ok(None);
    }
    let (mut from, mut bytes, mut date) = (start.offset, 0, None);
    while from < end.offset {
        let range = match journal.read(Topic::Records, partition, from, READ).await {
            Err(ReadError::OutOfRange { .. }) => return Ok(None),
            range => range?,
        };
        for message in range.messages.iter().filter(|message| message.offset < end.offset) {
            bytes += message.bytes() as u64;
            let day = day_of(message);
            if *date.get_or_insert_with(|| day.clone()) != day {
                return Ok(None);
            }
        }
        if bytes > SEGMENT_BYTES_MAX && count > 1 {
            return Ok(None);
        }
        if range.next <= from {
            break;
        }
        from = range.next;
    }
    Ok(date.map(|date| (bytes, date)))
}
