//! POST a record until it arrives at an endpoint, 200 a second, through Kafka and through the embedded journal.

use std::time::Duration;

use anyhow::{Result, ensure};
use flagtrail_testkit::kafka::{self, Cluster};
use serde_json::json;

use crate::Scale;
use crate::figure::{Figure, quantile};
use crate::live::{self, RATE, WARM_UP};
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
    let mut figures = through("the embedded journal", &embedded, scale).await?;
    embedded.stop()?;
    let disk = raw::disk::paced_syncs(&root.path().join("raw"), RATE as u32, scale.of(RECORDS)).await?;
    beside(&mut figures, &disk, "one write and fdatasync, 200/s");
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await??;
    let brokers = cluster.bootstrap();
    let bare = raw::kafka::produce_fetch_post(&cluster, scale.of(1_000)).await?;
    let on_kafka =
        Product::start(&root.path().join("kafka"), &["up"], Some((&brokers, &kafka::unique("bench"))))
            .await?;
    let mut on_broker = through("Kafka", &on_kafka, scale).await?;
    on_kafka.stop()?;
    beside(&mut on_broker, &bare, "one acks=all produce, one fetch, one POST");
    figures.extend(on_broker);
    Ok(figures)
}

/// Puts median and p99 of the raw limit beside ours.
fn beside(figures: &mut [Figure], sorted: &[f64], what: &'static str) {
    for (figure, share) in figures.iter_mut().zip([0.5, 0.99]) {
        figure.raw = Some((quantile(sorted, share), what));
    }
}

/// Median and p99.
async fn through(what: &str, product: &Product, scale: Scale) -> Result<Vec<Figure>> {
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
    Ok(vec![
        Figure::plain(
            &format!("POST → arrival through {what}, 200/s, p50"),
            p50,
            "ms",
            "≤ 3 ms",
            Some(p50 <= 3.0),
        ),
        Figure::plain(
            &format!("POST → arrival through {what}, 200/s, p99"),
            p99,
            "ms",
            "≤ 10 ms",
            Some(p99 <= 10.0),
        ),
    ])
}
