//! What is kept for how long: `deliveries` and `rejected` 400 days, tombstones of `progress` one day,
//! everything else for ever.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use super::log::{PartitionState, Tables};
use crate::topic::{DETAIL_KEPT, Topic};

/// How often old messages are looked for.
pub(crate) const INTERVAL: Duration = Duration::from_secs(600);

/// How long the mark of a deleted document is kept, for followers that are behind.
const TOMBSTONES_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Most messages removed from one partition in one transaction: appends wait meanwhile.
const MESSAGES_MAX: u64 = 500;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// One bounded step, inside a transaction; whether nothing is left to do at `now_ms`.
pub(crate) fn step(
    connection: &Connection,
    tables: &Tables,
    states: &mut [PartitionState],
    now_ms: i64,
) -> rusqlite::Result<bool> {
    let mut is_through = true;
    let horizon_ms = now_ms - DETAIL_KEPT.as_millis() as i64;
    for topic in [Topic::Deliveries, Topic::Rejected] {
        for table in tables.of(topic) {
            let state = &mut states[tables.index(topic, table.partition)];
            let kept_from = table.first_since(connection, horizon_ms)?;
            let first = kept_from.min(state.first + MESSAGES_MAX);
            if first > state.first {
                table.remove_below(connection, first)?;
                state.first = first;
                state.store(connection, table)?;
            }
            is_through &= first == kept_from;
        }
    }
    for table in tables.of(Topic::Progress) {
        let before_ms = now_ms - TOMBSTONES_KEPT.as_millis() as i64;
        let name = format!("{}_{}", Topic::Progress.suffix(), table.partition);
        let mut tombstones = connection.prepare_cached(&format!(
            "SELECT offset, key FROM {name} WHERE value IS NULL AND appended_at_ms < ? LIMIT ?"
        ))?;
        let found = tombstones.query_map(params![before_ms, MESSAGES_MAX as i64], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let found: Vec<(i64, Vec<u8>)> = found.collect::<rusqlite::Result<_>>()?;
        is_through &= (found.len() as u64) < MESSAGES_MAX;
        for (offset, key) in found {
            table.remove(connection, offset as u64)?;
            connection
                .prepare_cached("DELETE FROM documents WHERE partition = ? AND key = ?")?
                .execute(params![table.partition, key])?;
        }
    }
    Ok(is_through)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rusqlite::Connection;

    use super::{MESSAGES_MAX, PartitionState, Tables, step};
    use crate::embedded::schema;
    use crate::message::{NewMessage, Placement};
    use crate::topic::Topic;

    const DAY_MS: i64 = 24 * 3600 * 1000;
    const NOW_MS: i64 = 500 * DAY_MS;

    /// A log with messages of these ages in partition 0 of a topic.
    fn log(
        topic: Topic,
        days_old: impl IntoIterator<Item = i64>,
    ) -> (Connection, Tables, Vec<PartitionState>) {
        let connection = Connection::open_in_memory().expect("memory is there");
        connection.execute_batch(schema::SCHEMA[0]).expect("the schema is valid");
        let tables = Tables::new(1);
        tables.create(&connection).expect("the tables are valid");
        let mut states = vec![PartitionState::default(); tables.all().len()];
        let state = &mut states[tables.index(topic, 0)];
        let message = NewMessage {
            key: Bytes::from_static(b"key"),
            headers: Vec::new(),
            value: None,
            placement: Placement::ByKey,
        };
        for age in days_old {
            state.last_appended_at_ms = NOW_MS - age * DAY_MS;
            tables.of(topic)[0]
                .insert(&connection, state.next, state.last_appended_at_ms, &message)
                .expect("a message can be written");
            state.next += 1;
        }
        state.store(&connection, &tables.of(topic)[0]).expect("the state can be written");
        (connection, tables, states)
    }

    fn count(connection: &Connection, topic: Topic) -> u64 {
        let count = format!("SELECT count(*) FROM {}_0", topic.suffix());
        connection.query_row(&count, [], |row| row.get::<_, i64>(0)).expect("the table is there") as u64
    }

    #[test]
    fn attempts_and_rejected_requests_are_kept_for_400_days() {
        for topic in [Topic::Deliveries, Topic::Rejected] {
            let (connection, tables, mut states) = log(topic, [402, 401, 399, 0]);
            let is_through = step(&connection, &tables, &mut states, NOW_MS).expect("the step succeeds");
            let bounds = tables.of(topic)[0].bounds(&connection).expect("the bounds are there");
            assert_eq!((is_through, count(&connection, topic), bounds.start, bounds.end), (true, 2, 2, 4));
        }
    }

    #[test]
    fn records_settings_and_checkpoints_are_kept_for_ever() {
        for topic in [Topic::Records, Topic::Control, Topic::Checkpoints] {
            let (connection, tables, mut states) = log(topic, [499, 0]);
            step(&connection, &tables, &mut states, NOW_MS).expect("the step succeeds");
            assert_eq!(count(&connection, topic), 2);
        }
    }

    #[test]
    fn much_that_is_old_goes_in_bounded_steps() {
        let old = i64::try_from(MESSAGES_MAX).expect("it is small") + 10;
        let (connection, tables, mut states) = log(Topic::Deliveries, std::iter::repeat_n(450, old as usize));
        assert_eq!(step(&connection, &tables, &mut states, NOW_MS), Ok(false));
        assert_eq!(count(&connection, Topic::Deliveries), 10);
        assert_eq!(step(&connection, &tables, &mut states, NOW_MS), Ok(true));
        assert_eq!(count(&connection, Topic::Deliveries), 0);
        assert_eq!(states[tables.index(Topic::Deliveries, 0)].first, old as u64);
    }

    #[test]
    fn the_mark_of_a_deleted_document_is_kept_for_a_day() {
        let (connection, tables, mut states) = log(Topic::Progress, [2, 0]);
        step(&connection, &tables, &mut states, NOW_MS).expect("the step succeeds");
        assert_eq!(count(&connection, Topic::Progress), 1);
    }
}
