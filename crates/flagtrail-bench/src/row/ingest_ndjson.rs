//! NDJSON ingest to Kafka against Kafka's own ProducerPerformance.

use anyhow::Result;
use flagtrail_testkit::kafka::{self, Cluster};

use crate::Scale;
use crate::figure::Figure;
use crate::load;
use crate::product::Product;
use crate::raw;
use crate::sample;

/// Records a request.
const BATCH: usize = 1_000;

/// Requests.
const REQUESTS: usize = 600;

/// Requests before those that count: the broker compiles its own code while it serves the first ones.
const WARM_UP: usize = 50;

/// Connections.
const CONNECTIONS: usize = 4;

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await??;
    let root = tempfile::tempdir()?;
    let prefix = kafka::unique("bench");
    let brokers = cluster.bootstrap();
    let product =
        Product::start(root.path(), &["serve", "--roles", "ingest"], Some((&brokers, &prefix))).await?;
    let bodies: Vec<String> = (0..8)
        .map(|batch| (0..BATCH).map(|line| sample::posted(batch * BATCH + line) + "\n").collect())
        .collect();
    let requests = scale.of(REQUESTS);
    let url = format!("{}/v1/records", product.admin);
    let body = move |number: usize| bodies[number % bodies.len()].clone();
    load::post(&url, "application/x-ndjson", CONNECTIONS, scale.of(WARM_UP), body.clone()).await?;
    let load = load::post(&url, "application/x-ndjson", CONNECTIONS, requests, body).await?;
    let memory = product.peak_mb()?;
    product.stop()?;
    let raw =
        raw::kafka::producer_performance(&cluster, scale.of(600_000), sample::record(1).canonical().len())?;
    Ok(vec![
        Figure::rate(
            "POST /v1/records, NDJSON, 1,000 a request → Kafka",
            load.rate * BATCH as f64,
            "records/s",
            (raw, "Kafka's ProducerPerformance, same size"),
            0.5,
            "≥ 0.5",
        ),
        Figure::plain("… resident at most", memory, "MB", "", None),
    ])
}
