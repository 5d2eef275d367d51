//! A backlog for one endpoint that drains beside live traffic to another: against its drain alone, and the live traffic
//! alone.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use flagtrail_testkit::kafka::{self, Cluster};
use serde_json::json;

use crate::Scale;
use crate::figure::{Figure, quantile};
use crate::live::{self, WARM_UP};
use crate::product::Product;
use crate::sink::Sink;
use crate::topic;

/// Records of the backlog.
const BACKLOG: usize = 1_000_000;

/// Records of live traffic while nothing drains.
const LIVE_ALONE: usize = 6_000;

/// Deliveries in flight of the endpoint that drains.
const IN_FLIGHT: usize = 64;

/// How long a drain may take.
const DRAINED_WITHIN: Duration = Duration::from_secs(1_200);

/// How long the last live record may take.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let backlog = scale.of(BACKLOG);
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await??;
    let (brokers, prefix) = (cluster.bootstrap(), kafka::unique("bench"));
    topic::fill(&brokers, &prefix, 0..backlog).await?;
    let root = tempfile::tempdir()?;
    let arguments = ["serve", "--roles", "ingest,deliver"];
    let product = Product::start(root.path(), &arguments, Some((&brokers, &prefix))).await?;

    let live = Sink::noting()?;
    product.endpoint(&json!({"name": "live", "url": live.url("/live"), "start": "now"})).await?;
    live::post(&product.admin, 0, |posted| posted < WARM_UP).await?;
    let alone = scale.of(LIVE_ALONE);
    let posted = live::post(&product.admin, WARM_UP, |posted| posted < alone).await?;
    live.wait_for(WARM_UP + alone, SETTLED_WITHIN).await?;
    let p99_alone = quantile(&live::latencies(&posted, &live.take_arrivals()), 0.99);

    let drain = Sink::counting()?;
    let began = Instant::now();
    product.endpoint(&draining("beside", &drain)).await?;
    let first = WARM_UP + alone;
    let under_way = |_| drain.count() < backlog && began.elapsed() < DRAINED_WITHIN;
    let posted = live::post(&product.admin, first, under_way).await?;
    let rate_beside = drain.count() as f64 / began.elapsed().as_secs_f64();
    ensure!(drain.count() >= backlog, "{} of {backlog} drained", drain.count());
    live.wait_for(first + posted.len(), SETTLED_WITHIN).await?;
    let p99_beside = quantile(&live::latencies(&posted, &live.take_arrivals()), 0.99);
    let all = backlog + first + posted.len();
    drain.wait_for(all, SETTLED_WITHIN).await?;

    let drain = Sink::counting()?;
    let began = Instant::now();
    product.endpoint(&draining("alone", &drain)).await?;
    drain.wait_for(all, DRAINED_WITHIN).await?;
    let rate_alone = all as f64 / began.elapsed().as_secs_f64();
    product.stop()?;

    let mut p99 = Figure::plain(
        "… p99 of the live traffic meanwhile",
        p99_beside,
        "ms",
        "≤ 1.5 of alone",
        Some(p99_beside <= 1.5 * p99_alone),
    );
    p99.raw = Some((p99_alone, "the live traffic alone"));
    Ok(vec![
        Figure::rate(
            "A backlog drains beside 200/s of live traffic",
            rate_beside,
            "records/s",
            (rate_alone, "the drain alone"),
            0.3,
            "≥ 0.3 of alone",
        ),
        p99,
    ])
}

fn draining(name: &str, sink: &Sink) -> serde_json::Value {
    json!({"name": name, "url": sink.url("/drain"), "start": "earliest", "max_in_flight": IN_FLIGHT})
}
