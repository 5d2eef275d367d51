//! One record a request. Its raw limit is the same server with the append left out: a dry run, which reads, checks and
//! answers the same records.

use anyhow::Result;
use flagtrail_testkit::kafka::{self, Cluster};

use crate::Scale;
use crate::figure::{Figure, quantile};
use crate::load;
use crate::product::Product;
use crate::sample;

/// Requests.
const REQUESTS: usize = 60_000;

/// Requests before those that count: the broker compiles its own code while it serves the first ones.
const WARM_UP: usize = 20_000;

/// Connections.
const CONNECTIONS: usize = 64;

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await??;
    let root = tempfile::tempdir()?;
    let prefix = kafka::unique("bench");
    let brokers = cluster.bootstrap();
    let product =
        Product::start(root.path(), &["serve", "--roles", "ingest"], Some((&brokers, &prefix))).await?;
    let url = format!("{}/v1/records", product.admin);
    let requests = scale.of(REQUESTS);
    let dry_url = format!("{url}?dry_run=true");
    let dry = load::post(&dry_url, "application/json", CONNECTIONS, requests, sample::posted).await?;
    load::post(&url, "application/json", CONNECTIONS, scale.of(WARM_UP), sample::posted).await?;
    let load = load::post(&url, "application/json", CONNECTIONS, requests, sample::posted).await?;
    product.stop()?;
    let p99 = quantile(&load.millis, 0.99);
    Ok(vec![
        Figure::rate(
            "POST /v1/records, one a request, 64 connections → Kafka",
            load.rate,
            "requests/s",
            (dry.rate, "the same server, the append left out"),
            0.35,
            "≥ 0.35 of no append",
        ),
        Figure::plain("… p99", p99, "ms", "≤ 25 ms", Some(p99 <= 25.0)),
    ])
}
