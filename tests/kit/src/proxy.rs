//! An HTTP proxy on loopback that makes tunnels (CONNECT), and keeps what it was asked for.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

/// The longest request that is read.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// What a proxy was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What stood after CONNECT.
    pub authority: String,
    /// The value of `proxy-authorization`.
    pub authorization: Option<String>,
}

/// A running proxy; it ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Option<oneshot::Sender<Infallible>>,
    server: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Makes every tunnel that it is asked for.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start() -> Result<Self> {
        Self::with(None)
    }

    /// Answers everything with this status.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn refusing(status: u16) -> Result<Self> {
        Self::with(Some(status))
    }

    fn with(refusal: Option<u16>) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let asked = Arc::new(Mutex::default());
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let kept = Arc::clone(&asked);
        let server = thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            runtime.block_on(async {
                let listener =
                    TcpListener::from_std(listener).expect("a nonblocking listener becomes tokio's");
                let accept = async {
                    loop {
                        let Ok((stream, _)) = listener.accept().await else { continue };
                        // An error is a side that went away.
                        let kept = Arc::clone(&kept);
                        tokio::spawn(async move { _ = tunnel(stream, refusal, &kept).await });
                    }
                };
                tokio::select! {
                    () = accept => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, asked, stop: Some(stop), server: Some(server) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked for so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(server) = self.server.take() {
            // It panicked or not: there is nothing left to end.
            let _ = server.join();
        }
    }
}

async fn tunnel(
    mut client: TcpStream,
    refusal: Option<u16>,
    kept: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX || client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let authority = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let authorization =
        head.lines().find_map(|line| Some(line.strip_prefix("proxy-authorization: ")?.to_owned()));
    kept.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(Asked { authority: authority.clone(), authorization });
    if let Some(status) = refusal {
        return client.write_all(format!("HTTP/1.1 {status} No\r\n\r\n").as_bytes()).await;
    }
    let mut server = TcpStream::connect(&authority).await?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}
