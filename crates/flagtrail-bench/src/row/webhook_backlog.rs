//! A backlog on Kafka drained to one webhook endpoint, signed, its attempts logged, against a bare loop that posts
//! the same signed bodies from memory.

use std::time::{Duration, Instant};

use anyhow::Result;
use flagtrail_testkit::kafka::{self, Cluster};
use serde_json::json;

use crate::Scale;
use crate::figure::Figure;
use crate::product::Product;
use crate::raw;
use crate::sink::Sink;
use crate::topic;

/// Records.
const RECORDS: usize = 200_000;

/// Deliveries in flight, ours and the bare loop's.
const IN_FLIGHT: usize = 64;

/// How long all may take.
const DONE_WITHIN: Duration = Duration::from_secs(300);

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let records = scale.of(RECORDS);
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await??;
    let (brokers, prefix) = (cluster.bootstrap(), kafka::unique("bench"));
    topic::fill(&brokers, &prefix, 0..records).await?;
    let root = tempfile::tempdir()?;
    let product =
        Product::start(root.path(), &["serve", "--roles", "deliver"], Some((&brokers, &prefix))).await?;
    let sink = Sink::counting()?;
    let began = Instant::now();
    let endpoint = json!({
        "name": "bench",
        "url": sink.url("/hook"),
        "start": "earliest",
        "max_in_flight": IN_FLIGHT,
    });
    product.endpoint(&endpoint).await?;
    sink.wait_for(records, DONE_WITHIN).await?;
    let rate = records as f64 / began.elapsed().as_secs_f64();
    let memory = product.peak_mb()?;
    product.stop()?;
    // The broker idles meanwhile, as it does beside a sender that it need not feed.
    let raw = raw::http::post_signed(records, IN_FLIGHT).await?;
    Ok(vec![
        Figure::rate(
            "Kafka → one webhook endpoint, draining a backlog",
            rate,
            "records/s",
            (raw, "reqwest posts signed bodies from memory"),
            0.7,
            "≥ 0.7",
        ),
        Figure::plain("… resident at most", memory, "MB", "≤ 150 MB", Some(memory <= 150.0)),
    ])
}
