//! What is kept for how long: `deliveries` and `rejected` 400 days, tombstones of `progress` one day,
//! everything else for ever.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use super::log::{PartitionState, Tables};
use crate::topic::Topic;

/// How often old messages are looked for.
pub(crate) const INTERVAL: Duration = Duration::from_secs(600);

/// How long attempts and rejected requests are kept.
const KEPT: Duration = Duration::from_secs(400 * 24 * 3600);

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
    let horizon_ms = now_ms - KEPT.as_millis() as i64;
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
