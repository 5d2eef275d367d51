//! What is known of every source: how much came, when last, how often it was silent, what was turned away.

use std::collections::BTreeMap;

use audit_archive::{Order, PAGE_ROWS_MAX, Query, Reader};
use audit_journal::{Journal, ReadLimit, Topic};
use audit_record::{ActionPattern, AuditRecord, Filter};
use serde::Deserialize;

use super::manifest::SourceState;
use crate::error::ExportError;

/// The action of the record that notes a silence.
const SILENT: &str = "source.silent";

/// Most rejected requests that are counted, the youngest.
const REJECTED_COUNTED_MAX: u64 = 100_000;

/// How much of them is read at a time.
const READ_LIMIT: ReadLimit = ReadLimit { messages: 1_000, bytes: 4 * 1024 * 1024 };

#[derive(Deserialize)]
struct OfSource {
    source: String,
}

/// Every source that records came from or whose requests were rejected.
pub(super) async fn states(journal: &Journal, reader: &Reader) -> Result<Vec<SourceState>, ExportError> {
    let archive = reader.clone();
    let heard = tokio::task::spawn_blocking(move || archived(&archive)).await;
    let mut states = heard.map_err(std::io::Error::other)??;
    for bounds in journal.bounds(Topic::Rejected).await? {
        let mut from = bounds.start.max(bounds.end.saturating_sub(REJECTED_COUNTED_MAX));
        while from < bounds.end {
            let range = journal.read(Topic::Rejected, bounds.partition, from, READ_LIMIT).await?;
            for message in &range.messages {
                let value = message.value.as_deref().unwrap_or_default();
                if let Ok(OfSource { source }) = serde_json::from_slice(value) {
                    entry(&mut states, &source).rejected += 1;
                }
            }
            if range.next <= from {
                break;
            }
            from = range.next;
        }
    }
    Ok(states.into_values().collect())
}

fn archived(reader: &Reader) -> Result<BTreeMap<String, SourceState>, ExportError> {
    let mut states = BTreeMap::new();
    for (name, heard) in reader.sources()? {
        let state = entry(&mut states, &name);
        state.records = heard.records;
        state.last_appended_at = chrono::DateTime::from_timestamp_millis(heard.last_appended_at_ms)
            .map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
            .unwrap_or_default();
    }
    let silent = ActionPattern::try_new(SILENT).expect("an action is a pattern");
    let mut query = Query {
        filter: Filter { action: vec![silent], ..Filter::default() },
        order: Order::Oldest,
        limit: PAGE_ROWS_MAX,
        ..Query::default()
    };
    loop {
        let page = reader.query(&query)?;
        for row in &page.rows {
            let record = AuditRecord::from_json(row.json.as_bytes()).ok();
            let name = record.and_then(|record| record.draft().related_object.what.name.clone());
            if let Some(name) = name {
                entry(&mut states, &name).silences += 1;
            }
        }
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(states),
        }
    }
}

fn entry<'s>(states: &'s mut BTreeMap<String, SourceState>, name: &str) -> &'s mut SourceState {
    states.entry(name.to_owned()).or_insert_with(|| SourceState {
        name: name.to_owned(),
        records: 0,
        last_appended_at: String::new(),
        silences: 0,
        rejected: 0,
    })
}
