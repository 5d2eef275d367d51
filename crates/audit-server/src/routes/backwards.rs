//! Reading the end of a partition backwards, in windows, because the log is read forwards.

use audit_journal::{Journal, Message, Offset, Partition, ReadError, ReadLimit, Topic};

/// How much of the log is read at a time.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// What `pick` makes of the messages from `start` to before `end`, in order. Messages are not kept.
pub(crate) async fn window<T>(
    journal: &Journal,
    topic: Topic,
    partition: Partition,
    (start, end): (Offset, Offset),
    mut pick: impl FnMut(&Message) -> Option<T>,
) -> Result<Vec<T>, ReadError> {
    let mut found = Vec::new();
    let mut next = start;
    while next < end {
        let limit = ReadLimit { messages: (end - next) as usize, bytes: READ_BYTES };
        let range = journal.read(topic, partition, next, limit).await?;
        found.extend(range.messages.iter().filter(|message| message.offset < end).filter_map(&mut pick));
        if range.next <= next {
            break;
        }
        next = range.next;
    }
    Ok(found)
}
