//! HTTP load: connections that each wait for an answer before they send the next request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::product::TOKEN;

/// What a load showed.
pub(crate) struct Load {
    /// Requests a second.
    pub(crate) rate: f64,
    /// How long each answer took, milliseconds, sorted.
    pub(crate) millis: Vec<f64>,
}

/// Sends `requests` requests over `connections`, `body(number)` each.
pub(crate) async fn post(
    url: &str,
    content_type: &'static str,
    connections: usize,
    requests: usize,
    body: impl Fn(usize) -> String + Send + Sync + 'static,
) -> Result<Load> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(connections)
        .timeout(Duration::from_secs(60))
        .build()?;
    let (body, next) = (Arc::new(body), Arc::new(AtomicUsize::new(0)));
    let began = Instant::now();
    let senders: Vec<_> = (0..connections)
        .map(|_| {
            let (client, url, body, next) = (client.clone(), url.to_owned(), body.clone(), next.clone());
            tokio::spawn(async move {
                let mut millis = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= requests {
                        return Ok::<_, anyhow::Error>(millis);
                    }
                    let text = body(number);
                    let sent = Instant::now();
                    let answer = client
                        .post(&url)
                        .bearer_auth(TOKEN)
                        .header("content-type", content_type)
                        .body(text)
                        .send()
                        .await?;
                    let status = answer.status();
                    let said = answer.bytes().await?;
                    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&said));
                    millis.push(sent.elapsed().as_secs_f64() * 1e3);
                }
            })
        })
        .collect();
    let mut millis = Vec::with_capacity(requests);
    for sender in senders {
        millis.extend(sender.await??);
    }
    let rate = requests as f64 / began.elapsed().as_secs_f64();
    millis.sort_by(f64::total_cmp);
    Ok(Load { rate, millis })
}
