//! Live traffic: records posted at an even pace, and how long each took until it arrived.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::product::TOKEN;
use crate::sample;
use crate::sink::Arrival;

/// Records a second.
pub(crate) const RATE: usize = 200;

/// The first ten seconds are left out: connections are made, and the broker compiles its own code.
pub(crate) const WARM_UP: usize = 2_000;

/// When each record was posted, by its id.
pub(crate) type Posted = HashMap<String, Instant>;

/// Posts record `first` and those after it, `RATE` a second, for as long as `goes_on(how many)`. However slow
/// an answer is, the next is posted in time.
pub(crate) async fn post(admin: &str, first: usize, goes_on: impl Fn(usize) -> bool) -> Result<Posted> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{admin}/v1/records");
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / RATE as f64));
    let mut posts = Vec::new();
    while goes_on(posts.len()) {
        ticks.tick().await;
        let (client, url, number) = (client.clone(), url.clone(), first + posts.len());
        posts.push(tokio::spawn(async move {
            let posted = Instant::now();
            let answer = client
                .post(url)
                .bearer_auth(TOKEN)
                .header("content-type", "application/json")
                .body(sample::posted(number))
                .send()
                .await?;
            ensure!(answer.status().is_success(), "{}", answer.text().await?);
            let answer: Value = answer.json().await?;
            Ok((answer["records"][0]["id"].as_str().unwrap_or_default().to_owned(), posted))
        }));
    }
    let mut posted = Posted::new();
    for post in posts {
        let (id, at) = post.await??;
        posted.insert(id, at);
    }
    Ok(posted)
}

/// Milliseconds from post to arrival, sorted; what was not among `posted` is left out.
pub(crate) fn latencies(posted: &Posted, arrivals: &[Arrival]) -> Vec<f64> {
    let mut millis: Vec<f64> = arrivals
        .iter()
        .filter_map(|arrival| {
            let posted = posted.get(&arrival.id)?;
            Some(arrival.at.saturating_duration_since(*posted).as_secs_f64() * 1e3)
        })
        .collect();
    millis.sort_by(f64::total_cmp);
    millis
}
