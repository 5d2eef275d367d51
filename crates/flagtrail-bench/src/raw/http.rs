//! HTTP alone: what a person would write to post signed bodies as fast as it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use audit_digest::MacKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderValue};

use crate::sample;
use crate::sink::Sink;

/// Different bodies.
const BODIES: usize = 256;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Requests a second of a loop that signs bodies from memory and posts them: the URL parsed once, the timeout on the
/// client, no redirects, HTTP/1.
pub(crate) async fn post_signed(requests: usize, connections: usize) -> Result<f64> {
    let sink = Sink::counting()?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(connections)
        .timeout(TIMEOUT)
        .build()?;
    let url: Url = sink.url("/raw").parse()?;
    let bodies: Arc<[Bytes]> = (0..BODIES)
        .map(|number| {
            let record = sample::record(number);
            let mut body = format!(
                r#"{{"type":"{}","timestamp":"2026-01-02T03:04:06.000000Z","data":"#,
                record.action()
            )
            .into_bytes();
            body.extend_from_slice(record.canonical());
            body.push(b'}');
            Bytes::from(body)
        })
        .collect();
    let key = MacKey::new(b"a key of thirty-two bytes, no less");
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let senders: Vec<_> = (0..connections)
        .map(|_| {
            let (client, url, bodies) = (client.clone(), url.clone(), Arc::clone(&bodies));
            let (key, next) = (key.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= requests {
                        return Ok::<_, anyhow::Error>(());
                    }
                    let body = bodies[number % BODIES].clone();
                    let now_s =
                        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs().to_string();
                    let id = format!("0190a000-0000-7000-8000-{number:012x}");
                    let mac = key.mac(&[id.as_bytes(), b".", now_s.as_bytes(), b".", &body]);
                    let signature = format!("v1,{}", STANDARD.encode(mac));
                    let answer = client
                        .post(url.clone())
                        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                        .header("webhook-id", id)
                        .header("webhook-timestamp", now_s)
                        .header("webhook-signature", signature)
                        .body(body)
                        .send()
                        .await?;
                    ensure!(answer.status().is_success(), "{}", answer.status());
                    answer.bytes().await?;
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await??;
    }
    Ok(requests as f64 / began.elapsed().as_secs_f64())
}
