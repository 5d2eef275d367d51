//! A webhook receiver: a real HTTP server on loopback that keeps what it was sent and answers as the test wants.
//!
//! It runs on a thread and a runtime of its own, so that neither a test that blocks nor one that pauses its clock stops it.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, body::Incoming, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::oneshot};

use crate::ports;

/// The longest body that is taken.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How many requests are kept; those beyond are answered 507, which no test expects.
const RECEIVED_MAX: usize = 1_000_000;

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Received {
    /// The method.
    pub method: Method,
    /// The path with its query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
    /// When the body was complete, by the wall clock.
    pub at: SystemTime,
    /// When the body was complete, for measuring.
    pub instant: Instant,
}

impl Received {
    /// A header as text; `None` where it is absent or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub struct Answer {
    end: End,
    delay: Duration,
}

#[derive(Debug, Clone)]
enum End {
    Respond { status: StatusCode, headers: Vec<(String, String)>, body: Bytes },
    Hang,
    Disconnect,
}

impl Answer {
    /// A status and an empty body.
    ///
    /// # Panics
    /// When the status is not one of HTTP's.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("an HTTP status");
        Self { end: End::Respond { status, headers: Vec::new(), body: Bytes::new() }, delay: Duration::ZERO }
    }

    /// None, ever: the connection stays open until the other side gives up.
    #[must_use]
    pub fn hang() -> Self {
        Self { end: End::Hang, delay: Duration::ZERO }
    }

    /// None: the connection is closed. The request was received, and its sender cannot know.
    #[must_use]
    pub fn disconnect() -> Self {
        Self { end: End::Disconnect, delay: Duration::ZERO }
    }

    /// As it is, but later.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// With one more header; nothing where there is no response.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let End::Respond { headers, .. } = &mut self.end {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// With this body; nothing where there is no response.
    #[must_use]
    pub fn body(mut self, text: impl Into<Bytes>) -> Self {
        if let End::Respond { body, .. } = &mut self.end {
            *body = text.into();
        }
        self
    }
}

type Rule = Box<dyn Fn(&Received) -> Answer + Send>;

/// What the server's connections share.
struct Shared {
    received: Mutex<Vec<Received>>,
    script: Mutex<VecDeque<Answer>>,
    rule: Mutex<Rule>,
    connections: AtomicU64,
}

/// A running receiver; it stops listening and closes its connections when dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Ends the server's runtime, and with it every connection.
    stop: Option<oneshot::Sender<Infallible>>,
    server: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Listens on a free port of loopback, which stays free while it is away, and answers 200.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start() -> Result<Self> {
        Self::serve(ports::free(1)?.remove(0))
    }

    /// Listens on a given address: that of a receiver dropped before, which so comes back with nothing received.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn start_at(address: SocketAddr) -> Result<Self> {
        Self::serve(std::net::TcpListener::bind(address).with_context(|| format!("listen on {address}"))?)
    }

    fn serve(listener: std::net::TcpListener) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            script: Mutex::default(),
            rule: Mutex::new(Box::new(|_| Answer::status(200))),
            connections: AtomicU64::new(0),
        });
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let served = Arc::clone(&shared);
        let server = thread::Builder::new().name("receiver".to_owned()).spawn(move || {
            runtime.block_on(async {
                let listener =
                    TcpListener::from_std(listener).expect("a nonblocking listener becomes tokio's");
                tokio::select! {
                    () = accept(&listener, &served) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, shared, stop: Some(stop), server: Some(server) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path on it, which begins with `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers every request so, once the script is used up.
    pub fn answer(&self, answer: Answer) {
        self.answer_by(move |_| answer.clone());
    }

    /// Answers every request as `rule` says, once the script is used up.
    pub fn answer_by(&self, rule: impl Fn(&Received) -> Answer + Send + 'static) {
        *lock(&self.shared.rule) = Box::new(rule);
    }

    /// Answers the next requests so, one each, in the order in which their bodies are complete.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.shared.script).extend(answers);
    }

    /// What has come in so far, in order of arrival, whatever it was answered.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// How many requests have come in so far.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.shared.received).len()
    }

    /// How many connections were opened so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until at least `count` requests have come in, and returns all.
    ///
    /// # Panics
    /// When they have not within `limit`.
    pub async fn wait_for(&self, count: usize, limit: Duration) -> Vec<Received> {
        let what = format!("{count} requests at the receiver");
        crate::wait::until(limit, &what, || async { self.count() >= count }).await;
        self.received()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(server) = self.server.take() {
            // It panicked or not: there is nothing left to end.
            let _ = server.join();
        }
    }
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        // A connection that is gone before it is accepted is no end of the server.
        let Ok((stream, _)) = listener.accept().await else { continue };
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            let service = service_fn(|request| respond(request, &shared));
            // An error is a sender that went away, or an answer that is a disconnection.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Ends the connection without a response.
#[derive(Debug)]
struct Disconnected;

impl std::fmt::Display for Disconnected {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the test wants this connection closed")
    }
}

impl std::error::Error for Disconnected {}

async fn respond(request: Request<Incoming>, shared: &Shared) -> Result<Response<Full<Bytes>>, Disconnected> {
    let (head, body) = request.into_parts();
    // A body that was cut short was not received.
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else { return Err(Disconnected) };
    let path = head.uri.path_and_query().map_or_else(|| head.uri.to_string(), ToString::to_string);
    let received = Received {
        method: head.method,
        path,
        headers: head.headers,
        body: body.to_bytes(),
        at: SystemTime::now(),
        instant: Instant::now(),
    };
    let answer = keep(received, shared);
    tokio::time::sleep(answer.delay).await;
    match answer.end {
        End::Hang => std::future::pending().await,
        End::Disconnect => Err(Disconnected),
        End::Respond { status, headers, body } => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::new(body)).expect("the test's headers are valid"))
        }
    }
}

/// Keeps a request and decides its answer, as one step: the script follows the order of arrival.
fn keep(received: Received, shared: &Shared) -> Answer {
    let mut all = lock(&shared.received);
    if all.len() >= RECEIVED_MAX {
        return Answer::status(507);
    }
    let scripted = lock(&shared.script).pop_front();
    let answer = scripted.unwrap_or_else(|| lock(&shared.rule)(&received));
    all.push(received);
    answer
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
