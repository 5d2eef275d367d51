//! A webhook receiver that costs as little as one can: it counts, and where it is asked to it notes when what came.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Pause between two looks at the count.
const POLL: Duration = Duration::from_millis(5);

/// What a path begins with that is never answered.
const HANGING: &str = "/hang";

/// A delivery that came.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// Its `webhook-id`.
    pub(crate) id: String,
    /// When its body was complete.
    pub(crate) at: Instant,
}

/// A running receiver; it ends when dropped.
pub(crate) struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    count: AtomicUsize,
    /// Kept only where it is wanted: a million of them are no small thing.
    arrivals: Option<Mutex<Vec<Arrival>>>,
}

impl Sink {
    /// Counts what comes.
    pub(crate) fn counting() -> Result<Self> {
        Self::start(None)
    }

    /// Counts what comes, and notes when.
    pub(crate) fn noting() -> Result<Self> {
        Self::start(Some(Mutex::default()))
    }

    fn start(arrivals: Option<Mutex<Vec<Arrival>>>) -> Result<Self> {
        // A runtime of its own: what sends must not wait for what receives.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("sink")
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { count: AtomicUsize::new(0), arrivals });
        let served = Arc::clone(&shared);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a nonblocking listener becomes tokio's");
            loop {
                // A connection that is gone before it is accepted is no end of the server.
                let Ok((stream, _)) = listener.accept().await else { continue };
                let shared = Arc::clone(&served);
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    let service = service_fn(|request| respond(request, &shared));
                    // An error is a sender that went away.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { address, shared, runtime: Some(runtime) })
    }

    /// The URL of a path on it, which begins with `/`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The URL of a path that is never answered.
    pub(crate) fn hanging_url(&self, number: usize) -> String {
        self.url(&format!("{HANGING}/{number}"))
    }

    /// How many requests it has answered.
    pub(crate) fn count(&self) -> usize {
        self.shared.count.load(Ordering::Relaxed)
    }

    /// Waits until it has answered `count` requests.
    pub(crate) async fn wait_for(&self, count: usize, within: Duration) -> Result<()> {
        let began = Instant::now();
        while self.count() < count {
            ensure!(began.elapsed() < within, "{} of {count} arrived within {within:?}", self.count());
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// What came and when, taken out.
    pub(crate) fn take_arrivals(&self) -> Vec<Arrival> {
        let arrivals = self.shared.arrivals.as_ref();
        arrivals.map_or_else(Vec::new, |all| {
            std::mem::take(&mut *all.lock().unwrap_or_else(PoisonError::into_inner))
        })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn respond(request: Request<Incoming>, shared: &Shared) -> Result<Response<Empty<Bytes>>, Infallible> {
    if request.uri().path().starts_with(HANGING) {
        std::future::pending::<()>().await;
    }
    let id = shared.arrivals.as_ref().map(|_| {
        let id = request.headers().get("webhook-id").and_then(|id| id.to_str().ok());
        id.unwrap_or_default().to_owned()
    });
    // A body that was cut short did not arrive; the sender is gone and hears no answer.
    if request.into_body().collect().await.is_ok() {
        if let (Some(arrivals), Some(id)) = (&shared.arrivals, id) {
            let arrival = Arrival { id, at: Instant::now() };
            arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
        }
        shared.count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(Response::new(Empty::new()))
}
