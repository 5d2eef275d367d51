//! POST a record until it arrives at an endpoint, 200 a second, through Kafka and through the embedded journal.

use std::time::Duration;

use anyhow::{Result, ensure};
use flagtrail_testkit::kafka::{self, Cluster};
use serde_json::json;

use crate::Scale;
use crate::figure::{Figure, quantile};
use crate::live::{self, WARM_UP};
use crate::product::Product;
use crate::raw;
use crate::sink::Sink;

/// Records.
const RECORDS: usize = 6_000;

/// How long the last may take.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let root = tempfile::tempdir()?;
    let embedded = Product::start(&root.path().join("embedded"), &["up"], None).await?;
    let mut figures = through("the embedded journal", &embedded, scale, None).await?;
    embedded.stop()?;
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await??;
    let brokers = cluster.bootstrap();
    let raw = raw::kafka::produce_fetch_post(&cluster, scale.of(1_000)).await?;
    let on_kafka =
        Product::start(&root.path().join("kafka"), &["up"], Some((&brokers, &kafka::unique("bench"))))
            .await?;
    figures.extend(through("Kafka", &on_kafka, scale, Some(raw)).await?);
    on_kafka.stop()?;
    Ok(figures)
}

async fn through(what: &str, product: &Product, scale: Scale, raw: Option<f64>) -> Result<Vec<Figure>> {
    let sink = Sink::noting()?;
    let url = sink.url("/hook");
    product.endpoint(&json!({"name": "bench", "url": url, "events": ["flag.*"], "start": "now"})).await?;
    live::post(&product.admin, 0, |posted| posted < WARM_UP).await?;
    let records = scale.of(RECORDS);
    let posted = live::post(&product.admin, WARM_UP, |posted| posted < records).await?;
    sink.wait_for(WARM_UP + records, SETTLED_WITHIN).await?;
    let millis = live::latencies(&posted, &sink.take_arrivals());
    ensure!(millis.len() >= records, "{} of {records} arrived", millis.len());
    let (p50, p99) = (quantile(&millis, 0.5), quantile(&millis, 0.99));
    let mut median = Figure::plain(
        &format!("POST → arrival through {what}, 200/s, p50"),
        p50,
        "ms",
        "≤ 3 ms",
        Some(p50 <= 3.0),
    );
    median.raw = raw.map(|raw| (raw, "one acks=all produce, one fetch, one POST"));
    Ok(vec![
        median,
        Figure::plain(
            &format!("POST → arrival through {what}, 200/s, p99"),
            p99,
            "ms",
            "≤ 10 ms",
            Some(p99 <= 10.0),
        ),
    ])
}
