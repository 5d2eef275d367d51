//! POST records as fast as they are answered until all have arrived at an endpoint, through Kafka, against a bare loop
//! that does the same with nothing in the way.

use std::time::{Duration, Instant};

use anyhow::Result;
use flagtrail_testkit::kafka::{self, Cluster};
use serde_json::json;

use crate::Scale;
use crate::figure::Figure;
use crate::load;
use crate::product::Product;
use crate::raw;
use crate::sample;
use crate::sink::Sink;

/// Records.
const RECORDS: usize = 60_000;

/// Records before those that count: the broker compiles its own code while it serves the first ones.
const WARM_UP: usize = 20_000;

/// Connections that post, and deliveries in flight.
const CONNECTIONS: usize = 32;

/// How long the last may take after the last answer.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await??;
    let root = tempfile::tempdir()?;
    let (brokers, prefix) = (cluster.bootstrap(), kafka::unique("bench"));
    let (warm_up, records) = (scale.of(WARM_UP), scale.of(RECORDS));

    let arguments = ["serve", "--roles", "ingest,deliver"];
    let product = Product::start(root.path(), &arguments, Some((&brokers, &prefix))).await?;
    let sink = Sink::counting()?;
    let endpoint = json!({
        "name": "bench",
        "url": sink.url("/hook"),
        "events": ["flag.*"],
        "start": "now",
        "max_in_flight": CONNECTIONS,
    });
    product.endpoint(&endpoint).await?;
    let url = format!("{}/v1/records", product.admin);
    let ours = arrivals_a_second(&url, &sink, warm_up, records).await?;
    product.stop()?;

    let sink = Sink::counting()?;
    let bare = raw::pipe::Pipe::start(&cluster, &sink.url("/raw"), CONNECTIONS).await?;
    let raw = arrivals_a_second(&bare.url(), &sink, warm_up, records).await?;
    bare.stop();
    Ok(vec![
        Figure::rate(
            "POST → arrival through Kafka, 32 connections",
            ours,
            "records/s",
            (raw, "axum, acks=all produce, fetch, POST"),
            0.5,
            "≥ 0.5",
        ),
        Figure::plain("… in records a second", ours, "records/s", "≥ 6,000/s", Some(ours >= 6_000.0)),
    ])
}

/// Records that arrived, a second, from the first POST to the last arrival.
async fn arrivals_a_second(url: &str, sink: &Sink, warm_up: usize, records: usize) -> Result<f64> {
    load::post(url, "application/json", CONNECTIONS, warm_up, sample::posted).await?;
    sink.wait_for(warm_up, SETTLED_WITHIN).await?;
    let began = Instant::now();
    load::post(url, "application/json", CONNECTIONS, records, sample::posted).await?;
    sink.wait_for(warm_up + records, SETTLED_WITHIN).await?;
    Ok(records as f64 / began.elapsed().as_secs_f64())
}
