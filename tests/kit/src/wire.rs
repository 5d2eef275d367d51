//! A server that acts on bytes, for what no HTTP server does: it hangs, resets, drips, floods, lies. Real sockets, TLS where
//! a test wants it.
//!
//! Like the receiver it runs on a thread and a runtime of its own.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Result;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

/// The longest request that is read.
const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One thing that the server does on a connection.
#[derive(Debug, Clone)]
pub enum Act {
    /// Reads a request: its head, and as much body as the head says.
    Read,
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes one at a time, with a pause before each.
    Drip(Vec<u8>, Duration),
    /// Sends these bytes over and over, so many times.
    Flood(Vec<u8>, usize),
    /// Does nothing until the other side closes.
    Hang,
    /// Closes with a reset instead of in good order. Only without TLS, and only as the last act.
    Reset,
}

/// `Act::Send` of text.
#[must_use]
pub fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    sent: AtomicU64,
}

/// A running server: it does its acts on every connection, in order, and closes it. It ends when dropped.
pub struct Wire {
    address: SocketAddr,
    counts: Arc<Counts>,
    stop: Option<oneshot::Sender<Infallible>>,
    server: Option<JoinHandle<()>>,
}

impl Wire {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(acts: Vec<Act>) -> Result<Self> {
        Self::with(acts, None)
    }

    /// The same behind TLS.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start_tls(acts: Vec<Act>, config: Arc<ServerConfig>) -> Result<Self> {
        Self::with(acts, Some(config.into()))
    }

    fn with(acts: Vec<Act>, tls: Option<TlsAcceptor>) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let served = Arc::clone(&counts);
        let server = thread::Builder::new().name("wire".to_owned()).spawn(move || {
            runtime.block_on(async {
                let listener =
                    TcpListener::from_std(listener).expect("a nonblocking listener becomes tokio's");
                tokio::select! {
                    () = accept(&listener, acts, tls, &served) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, counts, stop: Some(stop), server: Some(server) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were opened so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// How many bytes the other sides, or the buffers on the way to them, have taken so far.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(server) = self.server.take() {
            // It panicked or not: there is nothing left to end.
            let _ = server.join();
        }
    }
}

async fn accept(listener: &TcpListener, acts: Vec<Act>, tls: Option<TlsAcceptor>, counts: &Arc<Counts>) {
    loop {
        // A connection that is gone before it is accepted is no end of the server.
        let Ok((stream, _)) = listener.accept().await else { continue };
        counts.connections.fetch_add(1, Ordering::Relaxed);
        let (acts, tls, counts) = (acts.clone(), tls.clone(), Arc::clone(counts));
        tokio::spawn(async move {
            // An error is a client that went away, or that did not like the certificate.
            let _ = serve(stream, &acts, tls, &counts).await;
        });
    }
}

async fn serve(
    mut stream: TcpStream,
    acts: &[Act],
    tls: Option<TlsAcceptor>,
    counts: &Counts,
) -> std::io::Result<()> {
    if let Some(tls) = tls {
        let mut stream = match tls.accept(stream).into_fallible().await {
            Ok(stream) => stream,
            Err((error, mut refused)) => {
                // Why stands in an alert. What comes until the client has read that is taken: left unread it would
                // reset the connection.
                refused.shutdown().await?;
                let mut bytes = [0; 1024];
                while refused.read(&mut bytes).await? > 0 {}
                return Err(error);
            }
        };
        perform(&mut stream, acts, counts).await?;
        return stream.shutdown().await;
    }
    let resets = matches!(acts.last(), Some(Act::Reset));
    perform(&mut stream, acts, counts).await?;
    if resets { stream.set_zero_linger() } else { stream.shutdown().await }
}

async fn perform<S>(stream: &mut S, acts: &[Act], counts: &Counts) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for act in acts {
        match act {
            Act::Read => read_request(stream).await?,
            Act::Send(bytes) => write(stream, bytes, counts).await?,
            Act::Drip(bytes, pause) => {
                for byte in bytes {
                    tokio::time::sleep(*pause).await;
                    write(stream, &[*byte], counts).await?;
                }
            }
            Act::Flood(bytes, times) => {
                for _ in 0..*times {
                    write(stream, bytes, counts).await?;
                }
            }
            Act::Hang => {
                let mut bytes = [0; 1024];
                while stream.read(&mut bytes).await? > 0 {}
            }
            Act::Reset => {}
        }
    }
    Ok(())
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8], counts: &Counts) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await?;
    counts.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    Ok(())
}

async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<()> {
    let mut request = Vec::new();
    loop {
        if let Some(end) = whole(&request)
            && request.len() >= end
        {
            return Ok(());
        }
        if request.len() > REQUEST_BYTES_MAX || stream.read_buf(&mut request).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// How long a request is, once its head is there.
fn whole(request: &[u8]) -> Option<usize> {
    let head = request.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    Some(head + length.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn a_request_is_as_long_as_its_head_says() {
        assert_eq!(whole(b"POST / HTTP/1.1\r\ncontent-length: 3\r\n"), None);
        assert_eq!(whole(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n"), Some(41));
        assert_eq!(whole(b"GET / HTTP/1.1\r\n\r\n"), Some(18));
    }
}
