//! The bare way from a POST to an arrival: an HTTP server that appends to Kafka before it answers, and a loop that
//! fetches and posts. It checks, signs, remembers and repeats nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use flagtrail_testkit::kafka::{self, Cluster};
use rdkafka::config::ClientConfig;
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle as Task;

use super::kafka::consumer;

/// How long an append may take.
const APPEND_WAIT: Duration = Duration::from_secs(30);

/// How long the loop waits for a message before it looks whether it is to end.
const POLL: Duration = Duration::from_millis(100);

/// A running one.
pub(crate) struct Pipe {
    address: String,
    stop: Arc<AtomicBool>,
    server: Task<()>,
    reader: JoinHandle<()>,
}

#[derive(Clone)]
struct Append {
    producer: FutureProducer,
    topic: Arc<str>,
}

impl Pipe {
    /// Takes POSTs in and sends each to `target`, `in_flight` at a time.
    pub(crate) async fn start(cluster: &Cluster, target: &str, in_flight: usize) -> Result<Self> {
        let topic = kafka::unique("pipe");
        cluster.create_topic(&topic, 4, &[])?;
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap())
            .set("acks", "all")
            .set("linger.ms", "0")
            .create()?;
        let router = Router::new()
            .route("/v1/records", post(append))
            .with_state(Append { producer, topic: topic.clone().into() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(in_flight).build()?;
        let target: reqwest::Url = target.parse()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, runtime) = (Arc::clone(&stop), tokio::runtime::Handle::current());
        let consumer = consumer(&cluster.bootstrap(), &topic)?;
        let reader = std::thread::spawn(move || {
            let room = Arc::new(Semaphore::new(in_flight));
            while !stopped.load(Ordering::Relaxed) {
                let Some(Ok(message)) = consumer.poll(POLL) else { continue };
                let body = Bytes::copy_from_slice(message.payload().unwrap_or_default());
                let Ok(permit) = runtime.block_on(Arc::clone(&room).acquire_owned()) else { return };
                let request = client.post(target.clone()).body(body);
                runtime.spawn(async move {
                    if let Ok(answer) = request.send().await {
                        let _ = answer.bytes().await;
                    }
                    drop(permit);
                });
            }
        });
        Ok(Self { address, stop, server, reader })
    }

    /// Where to post.
    pub(crate) fn url(&self) -> String {
        format!("{}/v1/records", self.address)
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.server.abort();
        // It has nothing to say.
        let _ = self.reader.join();
    }
}

async fn append(State(append): State<Append>, body: Bytes) -> StatusCode {
    // No key: spread over the partitions.
    let record = FutureRecord::<(), _>::to(&append.topic).payload(&body[..]);
    match append.producer.send(record, Timeout::After(APPEND_WAIT)).await {
        Ok(_) => StatusCode::CREATED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
