//! 200 records a second, each matching 10 of 1,000 endpoints, of which 10 hang and 10 refuse; against the same without
//! those 20.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Result, ensure};
use flagtrail_testkit::kafka::{self, Cluster};
use serde_json::json;

use crate::Scale;
use crate::figure::{Figure, quantile};
use crate::live::{self, WARM_UP};
use crate::product::Product;
use crate::sample::PROJECTS;
use crate::sink::Sink;

/// Endpoints, ten for each project.
const ENDPOINTS: usize = 10 * PROJECTS;

/// Endpoints that never answer, and as many that refuse: one of each ten, in the first twenty projects.
const HANGING: usize = 10;
const REFUSING: usize = 10;

/// Records.
const RECORDS: usize = 12_000;

/// How long the last may take.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await??;
    let brokers = cluster.bootstrap();
    let healthy = p99(&brokers, scale, false).await?;
    let beside_bad = p99(&brokers, scale, true).await?;
    let mut figure = Figure::plain(
        "1,000 endpoints, 20 of them bad: p99 of the others",
        beside_bad,
        "ms",
        "≤ 1.5 of without them",
        Some(beside_bad <= 1.5 * healthy),
    );
    figure.raw = Some((healthy, "the same without the 20 bad ones"));
    Ok(vec![figure])
}

async fn p99(brokers: &str, scale: Scale, with_bad: bool) -> Result<f64> {
    let root = tempfile::tempdir()?;
    let prefix = kafka::unique("bench");
    let product =
        Product::start(root.path(), &["serve", "--roles", "ingest,deliver"], Some((brokers, &prefix)))
            .await?;
    let sink = Sink::noting()?;
    // Nobody listens there any more.
    let refusing = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    for number in 0..ENDPOINTS {
        let url = match number {
            0..HANGING => sink.hanging_url(number),
            number if number < HANGING + REFUSING => format!("http://{refusing}/{number}"),
            _ => sink.url(&format!("/{number}")),
        };
        if number < HANGING + REFUSING && !with_bad {
            continue;
        }
        let project = (number % PROJECTS).to_string();
        let filter = json!({"project": [project]});
        product.endpoint(&json!({"name": format!("bench-{number}"), "url": url, "filter": filter})).await?;
    }
    let records = scale.of(RECORDS);
    live::post(&product.admin, 0, |posted| posted < WARM_UP).await?;
    let posted = live::post(&product.admin, WARM_UP, |posted| posted < records).await?;
    sink.wait_for(expected(0..WARM_UP + records), SETTLED_WITHIN).await?;
    let millis = live::latencies(&posted, &sink.take_arrivals());
    ensure!(millis.len() >= expected(WARM_UP..WARM_UP + records), "{} arrived", millis.len());
    product.stop()?;
    Ok(quantile(&millis, 0.99))
}

/// How many deliveries to healthy endpoints these records make.
fn expected(numbers: std::ops::Range<usize>) -> usize {
    let a_project = ENDPOINTS / PROJECTS;
    numbers.map(|number| a_project - usize::from(number % PROJECTS < HANGING + REFUSING)).sum()
}
