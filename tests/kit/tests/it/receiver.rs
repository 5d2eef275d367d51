//! The receiver keeps what it is sent and answers as it is told.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use flagtrail_testkit::{
    receiver::{Answer, Receiver},
    wait,
};

/// Longer than anything takes, on a machine busy with other tests.
const SOON: Duration = Duration::from_secs(60);

/// One request over a connection of its own; the response, or what came of it until the connection closed or `patience` was over.
fn post(address: SocketAddr, path: &str, body: &str, patience: Duration) -> String {
    response(ask(address, path, body), patience)
}

fn ask(address: SocketAddr, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: receiver\r\nwebhook-id: w-1\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream
}

fn response(mut stream: TcpStream, patience: Duration) -> String {
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut response = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        response.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8(response).unwrap()
}

#[tokio::test]
async fn a_request_is_kept_as_it_came_and_answered_200() {
    let receiver = Receiver::start().unwrap();
    let response = post(receiver.address(), "/hook?a=%20b", "{\"x\":1}", SOON);
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    let received = receiver.wait_for(1, SOON).await.remove(0);
    assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/hook?a=%20b"));
    assert_eq!(received.header("webhook-id"), Some("w-1"));
    assert_eq!(&received.body[..], b"{\"x\":1}");
    assert_eq!(receiver.connections(), 1);
}

#[test]
fn a_script_is_answered_line_by_line_before_the_rule_holds() {
    let receiver = Receiver::start().unwrap();
    receiver.answer_by(|received| Answer::status(if received.path == "/gone" { 410 } else { 204 }));
    receiver.script([Answer::status(429).header("retry-after", "2").body("later"), Answer::status(503)]);
    let status = |path: &str| post(receiver.address(), path, "", SOON).get(9..12).map(str::to_owned);
    let limited = post(receiver.address(), "/", "", SOON).to_lowercase();
    assert!(
        limited.contains("429") && limited.contains("retry-after: 2") && limited.ends_with("later"),
        "{limited}"
    );
    assert_eq!(status("/").as_deref(), Some("503"));
    assert_eq!(status("/").as_deref(), Some("204"));
    assert_eq!(status("/gone").as_deref(), Some("410"));
}

#[test]
fn an_answer_can_come_late_never_or_as_a_closed_connection() {
    let receiver = Receiver::start().unwrap();
    let delay = Duration::from_millis(150);
    receiver.script([Answer::status(200).after(delay), Answer::hang(), Answer::disconnect()]);
    let started = Instant::now();
    assert!(post(receiver.address(), "/", "", SOON).contains("200"));
    assert!(started.elapsed() >= delay);
    let unanswered = ask(receiver.address(), "/", "");
    wait::blocking(SOON, "the request has come in", || receiver.count() == 2);
    assert_eq!(response(unanswered, delay), "");
    // Patience was not needed: the connection closed.
    assert_eq!(post(receiver.address(), "/", "", Duration::from_secs(600)), "");
    assert_eq!(receiver.count(), 3);
}

#[test]
fn a_dropped_receiver_refuses_connections_and_can_come_back() {
    let receiver = Receiver::start().unwrap();
    let address = receiver.address();
    assert!(post(address, "/", "", SOON).contains("200"));
    drop(receiver);
    assert!(TcpStream::connect(address).is_err());
    let receiver = Receiver::start_at(address).unwrap();
    assert!(post(address, "/", "", SOON).contains("200"));
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
#[should_panic(expected = "a thing that never comes")]
async fn waiting_for_what_never_comes_fails_with_its_name() {
    wait::until(Duration::from_millis(50), "a thing that never comes", || async { false }).await;
}
