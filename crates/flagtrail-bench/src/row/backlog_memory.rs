//! Memory against backlog: ten thousand and ten million records that wait for an endpoint which refuses.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::Result;
use flagtrail_testkit::kafka::{self, Cluster};
use serde_json::json;

use crate::Scale;
use crate::figure::Figure;
use crate::product::Product;
use crate::topic;

/// Records that wait.
const FEW: usize = 10_000;
const MANY: usize = 10_000_000;

/// How long it fails before its memory is read: it has read ahead as far as it ever does.
const SETTLED_AFTER: Duration = Duration::from_secs(60);

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await??;
    let brokers = cluster.bootstrap();
    let few = resident(&brokers, FEW).await?;
    let many = resident(&brokers, scale.of(MANY)).await?;
    let what = format!("resident with {} records waiting for an endpoint", scale.of(MANY));
    let mut figure = Figure::plain(&what, many, "MB", "≤ 1.2 of ten thousand", Some(many <= 1.2 * few));
    figure.raw = Some((few, "with 10,000 waiting"));
    Ok(vec![figure])
}

async fn resident(brokers: &str, records: usize) -> Result<f64> {
    let prefix = kafka::unique("bench");
    topic::fill(brokers, &prefix, 0..records).await?;
    let root = tempfile::tempdir()?;
    let product =
        Product::start(root.path(), &["serve", "--roles", "deliver"], Some((brokers, &prefix))).await?;
    let refusing = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let url = format!("http://{refusing}/hook");
    product.endpoint(&json!({"name": "bench", "url": url, "start": "earliest"})).await?;
    tokio::time::sleep(SETTLED_AFTER).await;
    let memory = product.peak_mb()?;
    product.stop()?;
    Ok(memory)
}
