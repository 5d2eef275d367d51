//! Clients that are slow, many, or say too much.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use flagtrail_testkit::wait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{raw, send};
use crate::server::{ADMIN, SOON, Server, record};

#[tokio::test]
async fn a_client_that_sends_its_headers_too_slowly_is_cut() {
    let server =
        Server::start_with(|wanted| wanted.limits.header_read_timeout = Duration::from_millis(200)).await;
    let mut stream = TcpStream::connect(server.hooks).await.unwrap();
    stream.write_all(b"POST /v1/hooks/a/b HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "it hangs on");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_its_body_too_slowly_is_answered_408_and_harms_nobody() {
    let server = Server::start_with(|wanted| wanted.config.request_timeout = Duration::from_secs(3)).await;
    let mut stream = TcpStream::connect(server.admin).await.unwrap();
    let head = format!(
        "POST /v1/records HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{{\"action\""
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // On a slow machine the neighbour may be too late itself, and may have been taken in all the same.
    wait::until(SOON, "the neighbour is answered", || async {
        server.append("application/json", record("neighbour").to_string()).await.status == 201
    })
    .await;
    let mut answer = Vec::new();
    tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an answer").unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("application/problem+json"));
    let records = server.records().await;
    assert!(records.iter().all(|record| record["flag"]["key"] == "neighbour"), "{records:?}");
    server.stop().await;
}

#[tokio::test]
async fn headers_that_are_too_large_or_too_many_are_answered_431() {
    let server = Server::start().await;
    let large = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "x".repeat(64 * 1024));
    let many: String = (0..200).map(|index| format!("x-{index}: y\r\n")).collect();
    let many = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    for request in [large, many] {
        let answer = raw(server.hooks, request.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 431") || answer.is_empty(),
            "{}",
            answer.lines().next().unwrap_or_default()
        );
    }
    send("GET", &format!("http://{}/healthz", server.hooks), &[], "").await;
    server.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_and_are_served_when_there_is_room() {
    let server = Server::start_with(|wanted| wanted.limits.connections_max = 2).await;
    let mut idle = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.hooks).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        idle.push(stream);
    }
    let url = format!("http://{}/healthz", server.hooks);
    let mut third = tokio::spawn(async move { send("GET", &url, &[], "").await.status });
    assert!(
        tokio::time::timeout(Duration::from_millis(300), &mut third).await.is_err(),
        "there was no bound"
    );
    idle.clear();
    assert_eq!(tokio::time::timeout(SOON, third).await.expect("room").unwrap(), 200);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let server = Server::start_with(|wanted| {
        wanted.limits.write_stall_timeout = Duration::from_millis(300);
        wanted.limits.connections_max = 1;
    })
    .await;
    let mut deaf = TcpStream::connect(server.admin).await.unwrap();
    // Asks again and again and never listens, until the server's answers fit nowhere any more.
    let request = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2_000);
    let _ = tokio::time::timeout(SOON, deaf.write_all(&request)).await;
    let url = server.url("/healthz");
    let next = tokio::time::timeout(SOON, send("GET", &url, &[], "")).await.expect("room for the next");
    assert_eq!(next.status, 200);
    drop(deaf);
    server.stop().await;
}

/// Sends the head of a request and waits until the server asks for the body: it is under way then.
async fn under_way(address: SocketAddr, head: &str) -> TcpStream {
    const GO_ON: &[u8; 25] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut asked = [0; GO_ON.len()];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, GO_ON);
    stream
}

#[tokio::test]
async fn a_request_under_way_is_finished_when_the_server_stops_and_a_hanging_one_is_cut() {
    let server = Server::start_with(|wanted| wanted.limits.drain_timeout = Duration::from_secs(15)).await;
    let body = record("a").to_string();
    let head = format!(
        "POST /v1/records HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN}\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut finishing = under_way(server.admin, &head).await;
    let hanging = under_way(server.admin, &head).await;
    let started = Instant::now();
    let stopping = tokio::spawn(server.stop());
    finishing.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    finishing.read_to_end(&mut answer).await.unwrap();
    assert!(
        String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 201"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    stopping.await.unwrap();
    assert!(started.elapsed() < SOON);
    drop(hanging);
}
