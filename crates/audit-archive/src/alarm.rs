//! Alarms about checkpoints: put on the log as records, so that everybody who follows it hears of them.
//!
//! A record is appended once for a run of bad checkpoints of one kind, not for each: the record is itself a message of
//! the log, which is sealed again.

use std::time::Duration;

use audit_journal::{AppendOutcome, Journal};
use audit_record::{AuditRecord, Authenticated, Author, Map, OwnRecord, Ref, Timestamp};
use serde_json::json;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::partition::Work;
use crate::queue::WorkSender;
use crate::store::checkpoints::{Alarm, Verdict};

/// Most alarms that wait to be put on the record; the others stay in their files until there is room.
pub(crate) const ALARMS_WAITING_MAX: usize = 64;

/// Pause after the log did not take a record.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// A root that differs.
const MISMATCH: &str = "flagtrail.checkpoint.mismatch";

/// Everything else that is wrong with a checkpoint.
const REJECTED: &str = "flagtrail.checkpoint.rejected";

/// Puts alarms on the record as they come; never returns. If we crash before the writer has noted it, the next process
/// appends the same record again, under the same id.
pub(crate) async fn tell(journal: &Journal, mut alarms: mpsc::Receiver<Alarm>, queues: &[WorkSender]) {
    while let Some(alarm) = alarms.recv().await {
        let record = record(journal.identity().namespace, &alarm);
        loop {
            match journal.append_records(std::slice::from_ref(&record)).await.pop() {
                Some(AppendOutcome::Appended(_)) => break,
                Some(AppendOutcome::NotAppended(reason) | AppendOutcome::Unknown(reason)) => {
                    tracing::warn!(reason, "archive: an alarm about a checkpoint is not on the record yet");
                }
                None => {}
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        if let Some(queue) = queues.get(alarm.partition as usize) {
            queue.send(Work::AlarmTold(alarm.seq)).await;
        }
    }
    std::future::pending::<()>().await;
}

/// Two archives that found the same have one record of it; one that has another root has another record.
fn record(namespace: Uuid, alarm: &Alarm) -> AuditRecord {
    let Alarm { partition, seq, verdict, detail, origin, size, root, own_root } = alarm;
    let action = if *verdict == Verdict::Mismatch { MISMATCH } else { REJECTED };
    let own_root = own_root.map(|root| root.to_string());
    let name =
        format!("{action}/{partition}/{seq}/{}/{}", verdict.as_str(), own_root.as_deref().unwrap_or(""));
    let mut attributes = Map::new();
    attributes.insert("partition".to_owned(), json!(partition));
    attributes.insert("checkpoint".to_owned(), json!(seq));
    attributes.insert("verdict".to_owned(), json!(verdict.as_str()));
    attributes.insert("detail".to_owned(), json!(detail));
    attributes.insert("origin".to_owned(), json!(origin));
    attributes.insert("size".to_owned(), json!(size));
    attributes.insert("signed_root".to_owned(), json!(root.map(|root| root.to_string())));
    attributes.insert("archived_root".to_owned(), json!(own_root));
    attributes.retain(|_, value| !value.is_null());
    let now = Timestamp::try_new(chrono::Utc::now()).expect("the clock stands between 1970 and 9999");
    let told = OwnRecord {
        id: Uuid::new_v5(&namespace, name.as_bytes()).to_string(),
        action,
        log: format!("Checkpoint {seq} of partition {partition} is not as it should be: {detail}"),
        at: now,
        author: Author::own(),
        authenticated: Authenticated::None,
        object_type: "FLAGTRAIL_CHECKPOINT",
        object: Ref::by_id(format!("{partition}/{seq}")),
        attributes,
    };
    AuditRecord::try_new(told.into_draft())
        .expect("every required field is set, and a checkpoint is far below the bound")
}

#[cfg(test)]
mod tests {
    use audit_proof::NodeHash;

    use super::*;

    #[test]
    fn archives_that_found_the_same_have_one_record_of_it() {
        let alarm = Alarm {
            partition: 3,
            seq: 7,
            verdict: Verdict::Mismatch,
            detail: "another root".to_owned(),
            origin: Some("flagtrail/d/records/3/0".to_owned()),
            size: Some(40),
            root: Some(NodeHash::from_bytes([1; 32])),
            own_root: Some(NodeHash::from_bytes([2; 32])),
        };
        let told = |alarm: &Alarm| record(Uuid::nil(), alarm);
        assert_eq!(told(&alarm).id(), told(&alarm).id());
        assert_eq!(told(&alarm).action().as_str(), MISMATCH);
        let other = Alarm { own_root: Some(NodeHash::from_bytes([3; 32])), ..alarm.clone() };
        assert_ne!(told(&other).id(), told(&alarm).id());
        let forged = Alarm { verdict: Verdict::Forged, own_root: None, ..alarm };
        assert_eq!(told(&forged).action().as_str(), REJECTED);
    }
}
