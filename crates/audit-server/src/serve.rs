//! One listener's life: accept, serve, drain.
//!
//! Our own accept loop over hyper, because `axum::serve` bounds neither connections nor headers nor the drain.
//! TLS wraps the accepted stream in the connection's own task, so a slow handshake holds up nobody.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Limits;
use crate::stall::StallGuard;
use crate::tls::ServerTls;

/// Pause after `accept` failed for want of a resource (file descriptors), so that the loop does not spin.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `shutdown`, then takes no more connections, lets requests under way
/// finish for at most [`Limits::drain_timeout`], and cuts what remains. `name` is for the log. With `tls` it speaks nothing
/// else.
pub async fn serve(
    name: &'static str,
    listener: TcpListener,
    tls: Option<ServerTls>,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(listener = name, %address, tls = tls.is_some(), "listening");
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    while let Some((stream, slot)) = accept(&listener, &slots, &shutdown).await {
        let acceptor = tls.as_ref().map(ServerTls::acceptor);
        let connection = take_connection(stream, acceptor, router.clone(), limits.clone(), shutdown.clone());
        let connection = async move {
            connection.await;
            drop(slot);
        };
        let cut = cut.clone();
        connections.spawn(async move { cut.run_until_cancelled(connection).await });
    }
    drop(listener);
    connections.close();
    let left = connections.len();
    if tokio::time::timeout(limits.drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!(
            listener = name,
            connections = connections.len(),
            "the drain took too long: connections are cut"
        );
        cut.cancel();
        connections.wait().await;
    }
    tracing::info!(listener = name, %address, drained = left, "closed");
    Ok(())
}

/// The next connection and its slot; `None` on shutdown. The slot is taken first, so a full listener leaves
/// newcomers in the kernel's backlog and spends nothing on them.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    loop {
        let next = async {
            let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, slot)
        };
        match shutdown.run_until_cancelled(next).await? {
            (Ok((stream, _)), slot) => return Some((stream, slot)),
            (Err(error), _) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
            }
        }
    }
}

async fn take_connection(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    // Answers are small and waited for. A socket that refuses the option still works.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else {
        return serve_connection(stream, router, limits, shutdown).await;
    };
    let handshake = tokio::time::timeout(limits.tls_handshake_timeout, acceptor.accept(stream));
    match shutdown.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => serve_connection(stream, router, limits, shutdown).await,
        // One that speaks no TLS, or trusts us not, is its own affair.
        Some(Ok(Err(error))) => tracing::debug!(%error, "a TLS handshake failed"),
        Some(Err(_)) => tracing::debug!("a TLS handshake took too long"),
        None => {}
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let io = TokioIo::new(StallGuard::new(stream, limits.write_stall_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_header_size(limits.header_bytes_max)
        .max_headers(limits.header_count_max)
        .serve_connection(io, TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // A client that hangs up or sends no HTTP is its own affair.
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
