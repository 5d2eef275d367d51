//! Bodies that are erased while an export is made.

use std::sync::atomic::{AtomicBool, Ordering};

use audit_archive::{ERASED_ACTION, ErasureOrder, Reader};
use audit_export::{Progress, Vouching, run_export};
use audit_journal::{AppendOutcome, Journal, NewMessage, Placement, Topic};
use audit_record::AuditRecord;
use audit_verify::verify_export;
use flagtrail_testkit::wait;
use serde_json::json;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{everything, says};
use crate::export::payload;
use crate::harness::{Bench, WITHIN};

/// Has the body of a record erased, and waits until the archive has done it.
async fn erase(journal: &Journal, reader: &Reader, id: &str) {
    let row = reader.get(id).unwrap().remove(0);
    let tree = reader.trees(row.partition).unwrap().pop().unwrap();
    let leaf = row.seq - tree.first_seq;
    let leaves = leaf..leaf + 1;
    let head = (tree.size, tree.root);
    let order = ErasureOrder::new("request", row.partition, head, std::slice::from_ref(&leaves));
    let order = order.vouched_for(&journal.identity().tag_key());
    let fields = json!({
        "id": "erasure", "action": ERASED_ACTION, "log": "Bodies were erased",
        "occurred_at": "2026-01-02T03:04:05Z", "recorded_at": "2026-01-02T03:04:06Z",
        "author": {"type": "api_key", "name": "admin"}, "organisation": {"key": "~flagtrail"},
        "related_object_type": "FLAGTRAIL_ERASURE", "related_object": {"id": "request"},
        "attributes": {"erasure": order},
        "source": {"name": "flagtrail", "system": "native", "event": "e",
                   "received_at": "2026-01-02T03:04:06Z", "authenticated": "token"},
    });
    let record = AuditRecord::from_json(fields.to_string().as_bytes()).unwrap();
    let message =
        NewMessage { placement: Placement::Fixed(row.partition), ..journal.record_message(&record) };
    let outcomes = journal.append(Topic::Records, vec![message]).await;
    assert!(matches!(outcomes[..], [AppendOutcome::Appended(_)]), "{outcomes:?}");
    wait::until(WITHIN, "the body is erased", || async { reader.get(id).unwrap()[0].erased }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_erased_while_its_export_is_made_is_not_in_it() {
    let bench = Bench::new().await;
    bench.append(0..60).await;
    let job = everything(&bench, "erased-meanwhile");
    // Progress is told when the payload stands, and what proves it does not.
    let (journal, reader) = (bench.journal.clone(), bench.reader.clone());
    let (runtime, is_first) = (Handle::current(), AtomicBool::new(true));
    let meanwhile = move |_: Progress| {
        if is_first.swap(false, Ordering::Relaxed) {
            runtime.block_on(erase(&journal, &reader, "r7"));
        }
    };
    let (vouching, stop) = (Vouching::default(), CancellationToken::new());
    let made = run_export(&bench.journal, &bench.reader, &job, &vouching, meanwhile, stop).await;
    let manifest = made.unwrap();
    let text = payload(&job.destination, "ndjson");
    assert!(text.contains("=change 8\"") && !text.contains("=change 7\""), "{text}");
    let erased: u64 = manifest.partitions.iter().map(|partition| partition.erased).sum();
    let told: u64 =
        manifest.evidence.unwrap().partitions.iter().map(|partition| partition.population.erased).sum();
    assert_eq!((erased, told), (1, 1));
    let report = verify_export(&job.destination).unwrap();
    assert!(report.passes(), "{:#?}", report.findings);
    assert!(says(&report.asserted, "that what is told to be erased"), "{:#?}", report.asserted);
    bench.end().await;
}
