//! The latest checkpoint of each partition that is delivered from. Deliveries carry it: whoever keeps one can show later whether
//! the log was changed before it. They don't wait for it, and go without where none is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use audit_journal::{Bounds, Journal, Offset, Partition, ReadError, ReadLimit, Topic};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use crate::engine::{Handles, Shared};

/// How often it is looked for newer ones.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The same, while there are partitions of which it was not looked for any.
const FIRST_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How far before the end of `checkpoints` it is looked for the latest: past the marks of transactions.
const LOOK_BACK_OFFSETS: u64 = 64;

/// How much of it is read at a time.
const READ: ReadLimit = ReadLimit { messages: 64, bytes: 1024 * 1024 };

/// Longest value that is sent; a checkpoint with many signatures has less than half. Receivers take headers of 8 KiB in all.
const VALUE_BYTES_MAX: usize = 4 * 1024;

/// As headers' values: the signed note in base64.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    latest: RwLock<BTreeMap<Partition, HeaderValue>>,
}

impl Checkpoints {
    /// That of a partition.
    pub(crate) fn of(&self, partition: Partition) -> Option<HeaderValue> {
        // The map is whole at every moment, whatever happened to who held it.
        self.latest.read().unwrap_or_else(PoisonError::into_inner).get(&partition).cloned()
    }

    fn set(&self, partition: Partition, value: HeaderValue) {
        self.latest.write().unwrap_or_else(PoisonError::into_inner).insert(partition, value);
    }
}

/// Keeps the checkpoints of the partitions in hand current, until it is dropped.
pub(crate) async fn follow_checkpoints(shared: Arc<Shared>, handles: Handles) {
    let mut seen = BTreeMap::new();
    loop {
        let owned: BTreeSet<Partition> =
            handles.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        if let Err(error) = look(&shared, &owned, &mut seen).await {
            tracing::debug!(%error, "the latest checkpoints can't be read: deliveries carry those before");
        }
        let is_seen = !owned.is_empty() && owned.iter().all(|partition| seen.contains_key(partition));
        tokio::time::sleep(if is_seen { LOOK_INTERVAL } else { FIRST_LOOK_INTERVAL }).await;
    }
}

/// Looks for newer ones; `seen` says up to where it was looked.
async fn look(
    shared: &Shared,
    owned: &BTreeSet<Partition>,
    seen: &mut BTreeMap<Partition, Offset>,
) -> Result<(), ReadError> {
    if owned.is_empty() {
        return Ok(());
    }
    for Bounds { partition, start, end } in shared.journal.bounds(Topic::Checkpoints).await? {
        if !owned.contains(&partition) || seen.get(&partition) == Some(&end) {
            continue;
        }
        if let Some(value) = latest(&shared.journal, partition, start, end).await? {
            shared.checkpoints.set(partition, value);
        }
        seen.insert(partition, end);
    }
    Ok(())
}

async fn latest(
    journal: &Journal,
    partition: Partition,
    start: Offset,
    end: Offset,
) -> Result<Option<HeaderValue>, ReadError> {
    let mut from = end.saturating_sub(LOOK_BACK_OFFSETS).max(start);
    let mut latest = None;
    while from < end {
        let range = journal.read(Topic::Checkpoints, partition, from, READ).await?;
        let found = range.messages.iter().rev().find_map(|message| value_of(message.value.as_deref()?));
        latest = found.or(latest);
        if range.next <= from {
            break;
        }
        from = range.next;
    }
    Ok(latest)
}

/// The signed note in a message on `checkpoints`: heads and cuts have one alike. Who signed it is for the receiver to check.
fn value_of(message: &[u8]) -> Option<HeaderValue> {
    #[derive(Deserialize)]
    struct Noted {
        note: String,
    }
    let Noted { note } = serde_json::from_slice(message).ok()?;
    let text = STANDARD.encode(note);
    if text.len() > VALUE_BYTES_MAX {
        return None;
    }
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_and_a_cut_give_their_note_and_anything_else_nothing() {
        for message in [r#"{"v":1,"epoch":0,"note":"a\nb\n"}"#, r#"{"v":1,"kind":"cut","note":"a\nb\n"}"#] {
            let value = value_of(message.as_bytes()).expect("a note");
            assert_eq!(STANDARD.decode(value.as_bytes()).expect("base64"), b"a\nb\n");
        }
        let large = format!(r#"{{"note":"{}"}}"#, "x".repeat(VALUE_BYTES_MAX));
        for message in ["", "{}", r#"{"note":1}"#, &large] {
            assert_eq!(value_of(message.as_bytes()), None);
        }
    }
}
