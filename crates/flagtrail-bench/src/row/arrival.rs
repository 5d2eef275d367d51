//! POST a record until it arrives at an endpoint, 200 a second, through Kafka and through the embedded journal.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use flagtrail_testkit::kafka::{self, Cluster};
use flagtrail_testkit::receiver::Receiver;
use serde_json::Value;

use crate::Scale;
use crate::figure::{Figure, quantile};
use crate::product::{Product, TOKEN};
use crate::raw;
use crate::sample;

/// Records a second.
const RATE: usize = 200;

/// Records.
const RECORDS: usize = 6_000;

/// How long the last may take.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

/// The first ten seconds are left out: connections are made, and the broker compiles its own code.
const WARM_UP: usize = 2_000;

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
    let receiver = Receiver::start()?;
    product.endpoint(&receiver.url("/hook")).await?;
    let records = scale.of(RECORDS) + WARM_UP;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/v1/records", product.admin);
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / RATE as f64));
    let mut posts = Vec::new();
    for number in 0..records {
        ticks.tick().await;
        let (client, url) = (client.clone(), url.clone());
        posts.push(tokio::spawn(async move {
            let sent = Instant::now();
            let answer = client
                .post(url)
                .bearer_auth(TOKEN)
                .header("content-type", "application/json")
                .body(sample::posted(number))
                .send()
                .await?;
            ensure!(answer.status().is_success(), "{}", answer.text().await?);
            let answer: Value = answer.json().await?;
            Ok((answer["records"][0]["id"].as_str().unwrap_or_default().to_owned(), sent))
        }));
    }
    let mut sent = HashMap::new();
    for (number, post) in posts.into_iter().enumerate() {
        let (id, at) = post.await??;
        if number >= WARM_UP {
            sent.insert(id, at);
        }
    }
    receiver.wait_for(records, SETTLED_WITHIN).await;
    let arrived = |received: &flagtrail_testkit::receiver::Received| {
        let sent = sent.get(received.header("webhook-id")?)?;
        Some(received.instant.saturating_duration_since(*sent).as_secs_f64() * 1e3)
    };
    let mut millis: Vec<f64> = receiver.received().iter().filter_map(arrived).collect();
    ensure!(millis.len() >= sent.len(), "{} of {} arrived", millis.len(), sent.len());
    millis.sort_by(f64::total_cmp);
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
