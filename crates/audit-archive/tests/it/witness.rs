//! Every archive is a witness: checkpoints on the log against its own tree, and the tree that is taken up from one.

use audit_archive::{ArchiveConfig, CheckpointRow, EvidenceError, Order, Query, Reader, check};
use audit_journal::{AppendOutcome, Journal, NewMessage, Placement, ReadLimit, Topic};
use audit_proof::{
    Checkpoint, Cosigner, Frontier, Leaf, LogKeys, NodeHash, NoteSigner, Sealed, clock_name, leaf_hash,
    origin, verify_inclusion,
};
use bytes::Bytes;
use flagtrail_testkit::wait;

use crate::harness::{CAUGHT_UP_WITHIN, Place, Running, append, covered, records};

const SEED: [u8; 32] = [7; 32];
const ALL: ReadLimit = ReadLimit { messages: 100_000, bytes: 64 * 1024 * 1024 };

/// A sealer that signs whatever it is told to.
pub(crate) struct Signer<'j> {
    journal: &'j Journal,
    seed: [u8; 32],
}

impl Signer<'_> {
    pub(crate) fn keys(&self) -> LogKeys {
        let signer = NoteSigner::new("any", &self.seed).expect("a key");
        LogKeys::of_verifiers([signer.verifier(), self.clock().verifier()])
    }

    fn clock(&self) -> Cosigner {
        Cosigner::new(&clock_name(&self.journal.identity().deployment), &[8; 32]).expect("a key")
    }

    /// The honest head over the first `size` messages of partition 0.
    async fn head(&self, size: usize) -> Sealed {
        self.head_of(0, size).await
    }

    /// The same of any partition.
    pub(crate) async fn head_of(&self, partition: u32, size: usize) -> Sealed {
        let range = self.journal.read(Topic::Records, partition, 0, ALL).await.expect("the log");
        let mut frontier = Frontier::new();
        for message in &range.messages[..size] {
            let header = |name| message.header(name).map(|value: &Bytes| &value[..]);
            let leaf = Leaf::of(frontier.size(), header("salt"), header("tags"), message.value.as_deref());
            frontier.append(leaf.hash(&mut Vec::new()), |_, _| {});
        }
        self.sign(&frontier, range.messages[size - 1].offset + 1, partition)
    }

    fn sign(&self, frontier: &Frontier, next: u64, partition: u32) -> Sealed {
        let origin = origin(&self.journal.identity().deployment, partition, 0);
        let checkpoint = Checkpoint { origin: origin.clone(), size: frontier.size(), root: frontier.root() };
        let mut note = checkpoint.to_note().expect("a note");
        note.sign(&NoteSigner::new(&origin, &self.seed).expect("a key"));
        note.add(self.clock().cosign(note.text(), 1_795_219_200));
        Sealed { v: 1, epoch: 0, next, peaks: frontier.peaks().to_vec(), note: note.to_string() }
    }

    async fn publish(&self, value: Vec<u8>) {
        self.publish_to(0, value).await;
    }

    pub(crate) async fn publish_to(&self, partition: u32, value: Vec<u8>) {
        let message = NewMessage {
            key: Bytes::from_static(b"checkpoint"),
            headers: Vec::new(),
            value: Some(value.into()),
            placement: Placement::Fixed(partition),
        };
        let outcomes = self.journal.append(Topic::Checkpoints, vec![message]).await;
        assert!(matches!(outcomes[..], [AppendOutcome::Appended(_)]), "{outcomes:?}");
    }
}

pub(crate) fn signer(journal: &Journal) -> Signer<'_> {
    Signer { journal, seed: SEED }
}

pub(crate) fn config(place: &Place, dir: &str, keys: LogKeys) -> ArchiveConfig {
    ArchiveConfig { free_bytes_min: 0, log_keys: keys, ..ArchiveConfig::new(place.beside(dir)) }
}

/// Waits until so many checkpoints are archived and none waits.
async fn judged(reader: &Reader, count: usize) -> Vec<CheckpointRow> {
    wait::some(CAUGHT_UP_WITHIN, "the checkpoints are judged", || async {
        let rows = reader.checkpoints(0, 0, 1_000).unwrap_or_default();
        (rows.len() == count && rows.iter().all(|row| row.verdict != "pending")).then_some(rows)
    })
    .await
}

/// Waits until the archive's only partition says that it waits, and why.
async fn told(reader: &Reader, why: &str) {
    wait::until(CAUGHT_UP_WITHIN, "the archive says that it waits", || async {
        let stopped = reader.status().ok().and_then(|status| status.partitions.first()?.stopped.clone());
        stopped.is_some_and(|stopped| {
            stopped.starts_with("waiting until it can be told") && stopped.contains(why)
        })
    })
    .await;
}

fn verdicts(rows: &[CheckpointRow]) -> Vec<&str> {
    rows.iter().map(|row| row.verdict).collect()
}

fn alarms_on_record(reader: &Reader) -> Vec<String> {
    let page =
        reader.query(&Query { limit: 1_000, order: Order::Oldest, ..Query::default() }).expect("a page");
    let records =
        page.rows.iter().map(|row| serde_json::from_str::<serde_json::Value>(&row.json).expect("a record"));
    let alarms = records.filter(|record| record["organisation"]["key"] == "~flagtrail");
    alarms
        .map(|alarm| {
            format!(
                "{} {}",
                alarm["action"].as_str().unwrap(),
                alarm["attributes"]["verdict"].as_str().unwrap()
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_of_its_tree_agrees_whichever_comes_first() {
    let place = Place::new(1);
    let journal = place.journal().await;
    append(&journal, &records(0..300)).await;
    let signer = signer(&journal);
    // Where the log is cut into segments stands among the checkpoints, and is none.
    signer.publish(br#"{"v":1,"kind":"cut"}"#.to_vec()).await;
    for size in [1, 200, 200, 300] {
        signer.publish(signer.head(size).await.to_json()).await;
    }
    for (dir, keys, verdict) in
        [("known", signer.keys(), "agrees"), ("unknown", LogKeys::default(), "unsigned")]
    {
        let reader = Reader::open(place.beside(dir));
        let running = Running::start(config(&place, dir, keys), &journal);
        let rows = judged(&reader, 4).await;
        running.stop().await;
        assert_eq!(verdicts(&rows), [verdict; 4]);
        let status = reader.status().expect("a status").partitions.remove(0);
        let signed = status.signed.expect("a signed head");
        assert_eq!((signed.size, status.alarm, status.alarms), (300, None, 0));
        assert_eq!(signed.at_s.is_some(), verdict == "agrees");
        let covering = reader.checkpoint_covering(0, 2).expect("an answer").expect("a checkpoint");
        assert_eq!(covering.size, Some(200));
        let report = check(place.beside(dir)).expect("a report");
        assert!(report.is_sound(), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_checkpoint_is_said_as_what_it_is_and_stops_nothing() {
    let place = Place::new(1);
    let journal = place.journal().await;
    append(&journal, &records(0..20)).await;
    let signer = signer(&journal);
    let mut altered = Frontier::new();
    (0..15).for_each(|n| altered.append(NodeHash::from_bytes([n; 32]), |_, _| {}));
    let honest = signer.head(20).await;
    let (text, _) = honest.note.split_once("\n\n").expect("a note");
    let (_, others) =
        signer.head(19).await.note.split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let pasted = Sealed { note: format!("{text}\n\n{others}"), ..honest.clone() };
    let stranger = Signer { journal: &journal, seed: [9; 32] };
    for bad in [
        signer.head(10).await.to_json(),
        signer.sign(&altered, 15, 0).to_json(),
        signer.sign(&altered, 15, 0).to_json(),
        pasted.to_json(),
        stranger.head(20).await.to_json(),
        signer.sign(&altered, 15, 5).to_json(),
        signer.head(9).await.to_json(),
        b"no checkpoint".to_vec(),
        honest.to_json(),
    ] {
        signer.publish(bad).await;
    }
    let reader = Reader::open(place.beside("archive"));
    let running = Running::start(config(&place, "archive", signer.keys()), &journal);
    let rows = judged(&reader, 9).await;
    let wrong = ["mismatch", "mismatch", "forged", "unknown_key", "other_log", "shrunk", "unreadable"];
    let found: Vec<&str> = verdicts(&rows);
    assert_eq!((found[0], &found[1..8], found[8]), ("agrees", &wrong[..], "agrees"));
    for row in &rows[1..8] {
        assert!(row.is_alarm && row.detail.is_some(), "{row:?}");
    }
    let own = reader.root(0, 15).expect("a root");
    let detail = rows[1].detail.as_deref().unwrap();
    assert!(detail.contains(&own.to_string()) && detail.contains(&altered.root().to_string()), "{detail}");
    // A root that differed stays an alarm, whatever agrees later.
    let status = reader.status().expect("a status").partitions.remove(0);
    assert_eq!((status.alarm.as_deref(), status.alarms, status.stopped), (Some(detail), 7, None));
    // One record for each kind in a row; and the log goes on.
    wait::until(CAUGHT_UP_WITHIN, "the alarms are on the record", || async {
        alarms_on_record(&reader).len() == 6
    })
    .await;
    append(&journal, &records(20..30)).await;
    covered(&reader, &journal).await;
    running.stop().await;
    // In whichever order: what was read before the rows that it is of was compared later.
    let mut on_record = alarms_on_record(&reader);
    on_record.sort_unstable();
    assert_eq!(on_record[0], "flagtrail.checkpoint.mismatch mismatch");
    assert!(
        on_record[1..].iter().all(|alarm| alarm.starts_with("flagtrail.checkpoint.rejected")),
        "{on_record:?}"
    );
    let report = check(place.beside("archive")).expect("a report");
    assert_eq!(report.found, 7, "{report:?}");
    // Told once: another process has nothing to add.
    let running = Running::start(config(&place, "archive", signer.keys()), &journal);
    covered(&reader, &journal).await;
    running.stop().await;
    assert_eq!(alarms_on_record(&reader).len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_was_altered_is_named_by_what_was_signed() {
    let place = Place::new(1);
    let journal = place.journal().await;
    append(&journal, &records(0..20)).await;
    let reader = Reader::open(place.beside("archive"));
    let signer = signer(&journal);
    let running = Running::start(config(&place, "archive", signer.keys()), &journal);
    signer.publish(signer.head(20).await.to_json()).await;
    judged(&reader, 1).await;
    running.stop().await;
    // Somebody makes up another tree, leaf by leaf, so that the file is sound in itself.
    let file =
        rusqlite::Connection::open(place.beside("archive").join("records-00.sqlite")).expect("the file");
    let mut frontier = Frontier::new();
    for seq in 0..20_u8 {
        let leaf = NodeHash::from_bytes([seq; 32]);
        frontier.append(leaf, |_, _| {});
        file.execute("UPDATE record SET leaf = ?1 WHERE seq = ?2", (leaf.as_bytes(), seq)).expect("altered");
    }
    let peaks: Vec<u8> = frontier.peaks().iter().flat_map(|peak| *peak.as_bytes()).collect();
    file.execute("UPDATE tree SET peaks = ?1", [peaks]).expect("altered");
    drop(file);
    let report = check(place.beside("archive")).expect("a report");
    let lost = "checkpoint 0: the tree had its root at 20 leaves, and has it no more";
    assert!(report.findings.iter().any(|finding| finding.problem == lost), "{report:?}");
    let running = Running::start(config(&place, "archive", signer.keys()), &journal);
    signer.publish(signer.head(20).await.to_json()).await;
    assert_eq!(verdicts(&judged(&reader, 2).await), ["agrees", "mismatch"]);
    running.stop().await;
}

/// What an operator's retention does on Kafka.
fn remove_before(place: &Place, offset: u64) {
    remove_before_of(place, 0, offset);
}

/// The same of any partition.
pub(crate) fn remove_before_of(place: &Place, partition: u32, offset: u64) {
    let file = rusqlite::Connection::open(place.log_file()).expect("the log's file");
    let remove = format!("DELETE FROM records_{partition} WHERE offset < ?1");
    file.execute(&remove, [offset]).expect("removed");
    let first = "UPDATE partitions SET first_offset = ?1 WHERE topic = 'records' AND partition = ?2";
    file.execute(first, (offset, partition)).expect("removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_waits_while_it_cannot_be_told_where_the_log_begins() {
    let place = Place::new(1);
    let journal = place.journal().await;
    append(&journal, &records(0..1_000)).await;
    let keys = signer(&journal).keys();
    signer(&journal).publish(signer(&journal).head(700).await.to_json()).await;
    journal.close().await;
    drop(journal);
    remove_before(&place, 650);

    let journal = place.journal().await;
    let rename = |from: &str, to: &str| {
        let file = rusqlite::Connection::open(place.log_file()).expect("the log's file");
        file.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}")).expect("renamed");
    };
    rename("records_0", "out_of_reach");
    let late = Reader::open(place.beside("late"));
    let stopped = || late.status().ok().and_then(|status| status.partitions.first()?.stopped.clone());
    let running = Running::start(config(&place, "late", keys), &journal);
    wait::until(CAUGHT_UP_WITHIN, "the archive says that it waits", || async {
        stopped().is_some_and(|why| why.starts_with("waiting until it can be told"))
    })
    .await;
    rename("out_of_reach", "records_0");
    covered(&late, &journal).await;
    assert_eq!(stopped(), None);
    let scan = late.scan(&Query::default(), late.ends().expect("ends"), None).expect("a scan");
    let seqs: Vec<u64> = scan.map(|row| row.expect("a row").seq).collect();
    assert_eq!(seqs, (650..1_000).collect::<Vec<_>>());
    assert_eq!(verdicts(&judged(&late, 1).await), ["agrees"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_waits_for_a_checkpoint_that_ends_among_what_is_kept() {
    let place = Place::new(1);
    let journal = place.journal().await;
    append(&journal, &records(0..1_000)).await;
    let keys = signer(&journal).keys();
    let next = signer(&journal).head(1_000).await;
    signer(&journal).publish(signer(&journal).head(990).await.to_json()).await;
    journal.close().await;
    drop(journal);
    remove_before(&place, 995);

    let journal = place.journal().await;
    let late = Reader::open(place.beside("late"));
    let running = Running::start(config(&place, "late", keys), &journal);
    told(&late, "the last ends at offset 990, and none ends among what is kept, from offset 995 on").await;
    assert_eq!(late.status().expect("a status").partitions[0].messages, 0);
    signer(&journal).publish(next.to_json()).await;
    covered(&late, &journal).await;
    assert_eq!(late.status().expect("a status").partitions[0].stopped, None);
    let scan = late.scan(&Query::default(), late.ends().expect("ends"), None).expect("a scan");
    let seqs: Vec<u64> = scan.map(|row| row.expect("a row").seq).collect();
    assert_eq!(seqs, (995..1_000).collect::<Vec<_>>());
    assert_eq!(verdicts(&judged(&late, 2).await), ["before", "agrees"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_knows_none_of_the_logs_keys_waits_and_numbers_nothing() {
    let place = Place::new(1);
    let journal = place.journal().await;
    append(&journal, &records(0..100)).await;
    let (keys, others) = (signer(&journal).keys(), Signer { journal: &journal, seed: [9; 32] }.keys());
    signer(&journal).publish(signer(&journal).head(70).await.to_json()).await;
    journal.close().await;
    drop(journal);
    remove_before(&place, 65);

    let journal = place.journal().await;
    let late = Reader::open(place.beside("late"));
    let running = Running::start(config(&place, "late", others), &journal);
    told(&late, "does archive.log_keys name the log's keys?").await;
    running.stop().await;
    assert_eq!(late.status().expect("a status").partitions[0].messages, 0);
    let running = Running::start(config(&place, "late", keys), &journal);
    covered(&late, &journal).await;
    running.stop().await;
    let scan = late.scan(&Query::default(), late.ends().expect("ends"), None).expect("a scan");
    let seqs: Vec<u64> = scan.map(|row| row.expect("a row").seq).collect();
    assert_eq!(seqs, (65..100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_whose_log_contradicts_its_checkpoint_is_stopped_by_name_and_numbers_nothing() {
    let place = Place::new(1);
    let journal = place.journal().await;
    append(&journal, &records(0..100)).await;
    let mut frontier = Frontier::new();
    (0..3).for_each(|n| frontier.append(NodeHash::from_bytes([n; 32]), |_, _| {}));
    let keys = signer(&journal).keys();
    // Three leaves in all, it says, though forty messages are kept before its end.
    signer(&journal).publish(signer(&journal).sign(&frontier, 90, 0).to_json()).await;
    journal.close().await;
    drop(journal);
    remove_before(&place, 50);

    let journal = place.journal().await;
    let late = Reader::open(place.beside("late"));
    let running = Running::start(config(&place, "late", keys), &journal);
    wait::until(CAUGHT_UP_WITHIN, "the partition is stopped", || async {
        let stopped = late.status().ok().and_then(|status| status.partitions.first()?.stopped.clone());
        stopped.is_some_and(|why| why.contains("40 messages are kept before the end of the checkpoint of 3"))
    })
    .await;
    running.stop().await;
    assert_eq!(late.status().expect("a status").partitions[0].messages, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_an_earlier_release_stays_where_the_log_no_longer_has_everything() {
    let place = Place::new(1);
    let journal = place.journal().await;
    append(&journal, &records(0..30)).await;
    let reader = place.reader();
    let former = place.archive_dir().join("records-00.sqlite.v6");
    let make_old = || {
        let file =
            rusqlite::Connection::open(place.archive_dir().join("records-00.sqlite")).expect("the file");
        file.pragma_update(None, "user_version", 6).expect("set");
    };
    let running = Running::start(place.config(), &journal);
    covered(&reader, &journal).await;
    running.stop().await;

    make_old();
    let running = Running::start(place.config(), &journal);
    covered(&reader, &journal).await;
    running.stop().await;
    assert!(!former.exists(), "the log has all that stood in it");

    journal.close().await;
    drop(journal);
    remove_before(&place, 10);
    make_old();
    let journal = place.journal().await;
    let running = Running::start(place.config(), &journal);
    covered(&reader, &journal).await;
    running.stop().await;
    let kept = rusqlite::Connection::open(&former).expect("the file that was moved aside");
    let count = |sql: &str| kept.query_row(sql, (), |row| row.get::<_, u64>(0)).expect("a count");
    assert_eq!(count("SELECT count(*) FROM record"), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_made_after_a_retention_has_the_same_roots_and_numbers() {
    let place = Place::new(1);
    let journal = place.journal().await;
    append(&journal, &records(0..1_000)).await;
    let whole = Reader::open(place.beside("whole"));
    let keys = signer(&journal).keys();
    let running = Running::start(config(&place, "whole", keys.clone()), &journal);
    for size in [300, 700, 1_000] {
        signer(&journal).publish(signer(&journal).head(size).await.to_json()).await;
        // Cuts stand among them, too, and no archive begins with one.
        signer(&journal).publish(br#"{"v":1,"kind":"cut"}"#.to_vec()).await;
    }
    covered(&whole, &journal).await;
    journal.close().await;
    running.stop().await;
    drop(journal);
    remove_before(&place, 650);

    let journal = place.journal().await;
    let late = Reader::open(place.beside("late"));
    let running = Running::start(config(&place, "late", keys.clone()), &journal);
    covered(&late, &journal).await;
    assert_eq!(verdicts(&judged(&late, 3).await), ["before", "agrees", "agrees"]);
    running.stop().await;
    // Taken up again, both go on.
    append(&journal, &records(1_000..1_700)).await;
    for (dir, reader) in [("whole", &whole), ("late", &late)] {
        let running = Running::start(config(&place, dir, keys.clone()), &journal);
        covered(reader, &journal).await;
        running.stop().await;
        let report = check(place.beside(dir)).expect("a report");
        assert!(report.is_sound(), "{dir}: {report:?}");
    }
    for size in [700, 701, 1_000, 1_024, 1_700] {
        assert_eq!(late.root(0, size).expect("a root"), whole.root(0, size).expect("a root"), "{size}");
    }
    let rows = |reader: &Reader| {
        let all = Query { limit: 1_000, order: Order::Newest, ..Query::default() };
        reader.query(&all).expect("a page").rows
    };
    assert_eq!(rows(&late), rows(&whole));
    let scan = late.scan(&Query::default(), late.ends().expect("ends"), None).expect("a scan");
    let seqs: Vec<u64> = scan.map(|row| row.expect("a row").seq).collect();
    assert_eq!(seqs, (650..1_700).collect::<Vec<_>>());
    assert_eq!(late.status().expect("a status").partitions[0].messages, 1_050);
    // What came after the checkpoint is proven, what stands before it is there and can't be.
    for seq in [700, 767, 768, 1_023, 1_699] {
        let shown = late.prove_inclusion(0, seq, None).expect("a proof");
        assert_eq!(shown, whole.prove_inclusion(0, seq, None).expect("a proof"));
        let leaf = leaf_hash(&shown.entry);
        assert_eq!(verify_inclusion(&leaf, seq, 1_700, &shown.hashes, &shown.tree.root), Ok(()));
    }
    assert!(matches!(late.prove_inclusion(0, 650, None), Err(EvidenceError::Hole { .. })));
    let consistent = |reader: &Reader| reader.prove_consistency(0, 700, 1_700).expect("a proof");
    assert_eq!(consistent(&late), consistent(&whole));
}
