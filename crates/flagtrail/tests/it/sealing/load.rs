//! Records that are written all the while, whatever becomes of the process that takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flagtrail_testkit::wait;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::LIMIT;
use crate::harness::{ADMIN_TOKEN, http};

/// Records a request.
const BATCH: usize = 10;

/// From one request to the next, at the least.
const PACE: Duration = Duration::from_millis(100);

/// Projects, which are spread over the partitions.
const PROJECTS: usize = 8;

/// The id of a record, by its number.
pub(super) fn id(number: usize) -> String {
    format!("r{number:06}")
}

/// Records being written, one batch after the other, each again until it is acknowledged.
pub(super) struct Load {
    taken: Arc<AtomicUsize>,
    stop: CancellationToken,
    writer: JoinHandle<()>,
}

impl Load {
    /// Begins to write to the server at this address.
    pub(super) fn begin(server: &str) -> Self {
        let (taken, stop) = (Arc::<AtomicUsize>::default(), CancellationToken::new());
        let writer = tokio::spawn(write(server.to_owned(), Arc::clone(&taken), stop.clone()));
        Self { taken, stop, writer }
    }

    /// How many records are acknowledged: those with the lowest numbers.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Waits until the batch in hand is acknowledged, and tells how many records are.
    pub(super) async fn ends(self) -> usize {
        self.stop.cancel();
        self.writer.await.unwrap();
        self.taken.load(Ordering::Relaxed)
    }
}

async fn write(server: String, taken: Arc<AtomicUsize>, stop: CancellationToken) {
    let client = http();
    let mut ticks = tokio::time::interval(PACE);
    while !stop.is_cancelled() {
        ticks.tick().await;
        let first = taken.load(Ordering::Relaxed);
        let body: String = (first..first + BATCH).map(record).collect();
        wait::until(LIMIT, "records are taken", || async {
            let request = client.post(format!("{server}/v1/records")).bearer_auth(ADMIN_TOKEN);
            let request = request.header("content-type", "application/x-ndjson").body(body.clone());
            request.send().await.is_ok_and(|answer| answer.status() == 201)
        })
        .await;
        taken.fetch_add(BATCH, Ordering::Relaxed);
    }
}

/// A record as a line.
fn record(number: usize) -> String {
    let record = json!({
        "id": id(number), "action": "flag.value.changed", "log": "changed",
        "author": {"type": "user", "email": "ada@example.com"},
        "project": {"key": format!("p{}", number % PROJECTS)}, "flag": {"key": "checkout"},
        "related_object_type": "FEATURE",
    });
    format!("{record}\n")
}
