//! One record a request. Its raw limit, the same server with the append left out, is not measured yet: the figure
//! stands alone.

use anyhow::Result;
use flagtrail_testkit::kafka::{self, Cluster};

use crate::Scale;
use crate::figure::{Figure, quantile};
use crate::load;
use crate::product::Product;
use crate::sample;

/// Requests.
const REQUESTS: usize = 60_000;

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
    let load = load::post(&url, "application/json", CONNECTIONS, scale.of(REQUESTS), sample::posted).await?;
    product.stop()?;
    let p99 = quantile(&load.millis, 0.99);
    Ok(vec![
        Figure::plain(
            "POST /v1/records, one a request, 64 connections → Kafka",
            load.rate,
            "requests/s",
            "≥ 0.35 of no append",
            None,
        ),
        Figure::plain("… p99", p99, "ms", "≤ 25 ms", Some(p99 <= 25.0)),
    ])
}
