//! Settings.

use std::time::Duration;

use audit_journal::{
    Control, Entity, Journal, NewMessage, OpenError, Placement, SettingsChange, Topic, WriteError,
};
use audit_record::{AuditRecord, parse_strict};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{Harness, PARTITIONS, PATIENCE, append_all, read_all, until};

fn change(id: &str, base_version: u64, value: Option<Value>) -> SettingsChange {
    SettingsChange { kind: "endpoint".to_owned(), id: id.to_owned(), base_version, value }
}

async fn open(journal: &Journal) -> Control {
    let opening = tokio::time::timeout(PATIENCE, Control::open(journal.clone())).await;
    opening.expect("opening ends in time").expect("the settings can be read")
}

/// Writes again what was not written because a busy broker needs more than a write waits.
pub(crate) async fn write(
    control: &Control,
    change: SettingsChange,
) -> Result<Option<std::sync::Arc<Entity>>, WriteError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let writing = tokio::time::timeout(PATIENCE, control.write(change.clone(), None)).await;
        match writing.expect("a write is answered in time") {
            Err(WriteError::NotWritten(reason))
                if !reason.contains("later release") && tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            outcome => return outcome,
        }
    }
}

/// An event of `control` as another process, perhaps of another release, would write it.
fn event(document: &Value) -> NewMessage {
    NewMessage {
        key: Bytes::from_static(b"endpoint/a"),
        headers: Vec::new(),
        value: Some(Bytes::from(document.to_string())),
        placement: Placement::Fixed(0),
    }
}

pub(crate) fn record(id: &str) -> AuditRecord {
    let document = json!({
        "id": id, "schema_version": 1, "action": "flagtrail.endpoint.created", "log": "endpoint created",
        "occurred_at": "2026-09-30T10:00:00.000000Z", "recorded_at": "2026-09-30T10:00:00.000000Z",
        "author": {"type": "system"}, "organisation": {"key": "~flagtrail"},
        "related_object_type": "FLAGTRAIL_ENDPOINT", "related_object": {"id": "a"},
        "source": {"name": "~flagtrail", "system": "flagtrail", "event": "flagtrail.endpoint.created",
                   "received_at": "2026-09-30T10:00:00.000000Z", "authenticated": "token"},
    });
    let text = document.to_string();
    AuditRecord::from_json(text.as_bytes())
        .unwrap_or_else(|e| panic!("{e:?}: {:?}", parse_strict(text.as_bytes())))
}

pub(crate) async fn settings_are_the_fold_of_their_events<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let control = open(&journal).await;
    let first = write(&control, change("a", 0, Some(json!({"url": 1})))).await.expect("it is new");
    assert_eq!(first.expect("it was made").version, 1);
    let second = write(&control, change("a", 1, Some(json!({"url": 2})))).await.expect("it is known");
    assert_eq!(second.expect("it was changed").value, json!({"url": 2}));
    write(&control, change("b", 0, Some(json!([])))).await.expect("it is new");
    let conflict = write(&control, change("a", 1, Some(json!({"url": 3})))).await;
    let Err(WriteError::Conflict(Some(current))) = conflict else { panic!("{conflict:?}") };
    assert_eq!((current.version, current.value), (2, json!({"url": 2})));
    assert_eq!(control.get("endpoint", "a").expect("it is there").version, 2);
    assert!(control.get("source", "a").is_none());
    let ids: Vec<String> = control.list("endpoint").iter().map(|entity| entity.id.clone()).collect();
    assert_eq!(ids, ["a", "b"]);
}

pub(crate) async fn of_two_writers_to_one_version_exactly_one_wins<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    // Two of them, so that neither knows of the other's write before it reaches the log.
    let controls = [open(&journal).await, open(&journal).await];
    for round in 0..10 {
        let writers: Vec<_> = (controls.iter().enumerate())
            .map(|(writer, control)| {
                let control = control.clone();
                tokio::spawn(async move { write(&control, change("a", round, Some(json!(writer)))).await })
            })
            .collect();
        let mut winners = Vec::new();
        for (writer, writing) in writers.into_iter().enumerate() {
            match writing.await.expect("a writer ends") {
                Ok(_) => winners.push(writer),
                Err(WriteError::Conflict(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        for control in &controls {
            until(|| async { control.get("endpoint", "a").is_some_and(|a| a.version == round + 1) }).await;
            assert_eq!(control.get("endpoint", "a").expect("it is there").value, json!(winners[0]));
        }
    }
}

pub(crate) async fn a_restart_folds_the_same<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let control = open(&journal).await;
    for id in ["a", "b", "c"] {
        write(&control, change(id, 0, Some(json!({"id": id})))).await.expect("it is new");
    }
    write(&control, change("b", 1, Some(json!({"id": "B"})))).await.expect("it is known");
    write(&control, change("c", 1, None)).await.expect("it is known");
    let before = control.list("endpoint");
    drop((control, journal));
    let journal = log.open().await;
    assert_eq!(open(&journal).await.list("endpoint"), before);
}

pub(crate) async fn a_change_and_its_record_are_one_transaction<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let control = open(&journal).await;
    let record = record("0199e2a4-0000-7000-8000-000000000001");
    control.write(change("a", 0, Some(json!({}))), Some(&record)).await.expect("it is new");
    // Its partition is another than that of the settings, and shows it in its own moment.
    let records = async || {
        let mut records = Vec::new();
        for partition in 0..PARTITIONS {
            records.extend(read_all(&journal, Topic::Records, partition).await);
        }
        records
    };
    until(|| async { !records().await.is_empty() }).await;
    // A change that is refused at once tells of nothing.
    let conflict = control.write(change("a", 0, Some(json!({}))), Some(&record)).await;
    assert!(matches!(conflict, Err(WriteError::Conflict(Some(_)))), "{conflict:?}");
    let records = records().await;
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].value.as_deref(), Some(record.canonical()));
}

pub(crate) async fn a_write_whose_answer_was_lost_is_seen_by_reading<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let control = open(&journal).await;
    // The writer is cancelled somewhere between asking and hearing.
    for id in 0..10 {
        let id = id.to_string();
        let writing = control.write(change(&id, 0, Some(json!({}))), None);
        let _ = tokio::time::timeout(Duration::from_micros(200), writing).await;
        // Whatever became of it, reading shows it: then it stands, or it can be written.
        match write(&control, change(&id, 0, Some(json!({})))).await {
            Ok(_) | Err(WriteError::Conflict(Some(_))) => {}
            Err(other) => panic!("{other}"),
        }
        let entity = control.get("endpoint", &id).expect("it is there either way");
        assert_eq!(entity.version, 1);
    }
}

pub(crate) async fn reading_up_folds_what_another_process_wrote_before<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let (writer, reader) = (open(&journal).await, open(&journal).await);
    for number in 0..5 {
        let id = format!("endpoint-{number}");
        write(&writer, change(&id, 0, Some(json!({})))).await.expect("it is written");
        tokio::time::timeout(PATIENCE, reader.read_up()).await.expect("it ends").expect("it is read");
        assert!(reader.get("endpoint", &id).is_some(), "{id}");
    }
}

pub(crate) async fn what_was_deleted_can_be_made_again<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let control = open(&journal).await;
    write(&control, change("a", 0, Some(json!({})))).await.expect("it is new");
    assert_eq!(write(&control, change("a", 1, None)).await, Ok(None));
    let gone = write(&control, change("a", 1, Some(json!({})))).await;
    assert_eq!(gone, Err(WriteError::Conflict(None)));
    let again = write(&control, change("a", 0, Some(json!({})))).await.expect("it is gone");
    assert_eq!(again.expect("it was made").version, 1);
}

pub(crate) async fn an_event_of_a_later_release_is_refused_by_name<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let control = open(&journal).await;
    append_all(&journal, Topic::Control, vec![event(&json!({"v": 2, "something": "else"}))]).await;
    // A running process writes nothing over what it does not understand.
    until(|| async {
        match write(&control, change("a", 0, Some(json!({})))).await {
            Err(WriteError::NotWritten(reason)) => {
                assert!(reason.contains("later release"), "{reason}");
                true
            }
            Err(WriteError::Unknown(_) | WriteError::Conflict(_)) | Ok(_) => false,
        }
    })
    .await;
    // A starting one does not start.
    let refused = tokio::time::timeout(PATIENCE, Control::open(journal.clone())).await;
    let refused = refused.expect("opening ends in time").expect_err("it must not start");
    assert!(matches!(refused, OpenError::Newer { found: 2, known: 1 }), "{refused}");
}

pub(crate) async fn a_waiter_wakes_with_every_change<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let (writer, reader) = (open(&journal).await, open(&journal).await);
    let mut revision = reader.revision();
    let before = *revision.borrow_and_update();
    write(&writer, change("a", 0, Some(json!({})))).await.expect("it is new");
    let woken = tokio::time::timeout(PATIENCE, revision.wait_for(|now| *now > before)).await;
    woken.expect("it wakes").expect("the follower lives");
    assert!(reader.get("endpoint", "a").is_some());
}
