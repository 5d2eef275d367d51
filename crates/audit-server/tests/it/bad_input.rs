//! Input that somebody will send one day: a clear error or a faithful record, never a panic, never a lost
//! neighbour.

use serde_json::{Value, json};

use crate::client::{raw, send};
use crate::server::{ADMIN, Server, record};

/// Appends `bad` between two good lines and returns the problem; then shows that the good ones still go.
async fn refused_with_its_neighbours(server: &Server, bad: &[u8]) -> Value {
    let mut body = format!("{}\n", record("before")).into_bytes();
    body.extend_from_slice(bad);
    body.extend_from_slice(format!("\n{}\n", record("after")).as_bytes());
    let problem = server.append("application/x-ndjson", body).await.problem(400);
    let errors = problem["errors"].as_array().unwrap();
    assert!(!errors.is_empty() && errors.iter().all(|error| error["line"] == 2), "{problem}");
    assert!(server.records().await.is_empty());
    problem
}

/// A record in which `attributes` holds `json` as it stands.
fn with_attributes(json: &str) -> String {
    let text = record("a").to_string();
    format!("{},\"attributes\":{json}}}", text.strip_suffix('}').unwrap())
}

#[tokio::test]
async fn invalid_utf8_lone_surrogates_double_keys_deep_nesting_and_cut_bodies_are_named_by_line() {
    let server = Server::start().await;
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    let cut = record("a").to_string();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("invalid UTF-8", with_attributes("{\"a\":\"X\"}").replace('X', "\u{1}").into_bytes()),
        ("raw bytes that are no UTF-8", {
            let mut bytes = with_attributes("{\"a\":\"X\"}").into_bytes();
            let at = bytes.iter().rposition(|byte| *byte == b'X').unwrap();
            bytes[at] = 0xff;
            bytes
        }),
        ("a lone surrogate", with_attributes(r#"{"a":"\ud800"}"#).into_bytes()),
        ("a key twice", with_attributes(r#"{"a":1,"a":2}"#).into_bytes()),
        ("deep nesting", with_attributes(&deep).into_bytes()),
        ("a body cut short", cut.as_bytes()[..cut.len() / 2].to_vec()),
        ("a NUL byte that is not escaped", with_attributes("{\"a\":\"\0\"}").into_bytes()),
        ("no object", b"[1]".to_vec()),
    ];
    for (name, bad) in cases {
        let problem = refused_with_its_neighbours(&server, &bad).await;
        assert!(
            problem["errors"][0]["problem"].as_str().is_some_and(|text| text.len() > 10),
            "{name}: {problem}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn absurd_dates_are_refused_by_field() {
    let server = Server::start().await;
    for date in [
        "0000-00-00T00:00:00Z",
        "9999999-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2026-02-30T00:00:00Z",
        "tomorrow",
        "2026-11-21",
    ] {
        let mut sent = record("a");
        sent["occurred_at"] = json!(date);
        let problem = refused_with_its_neighbours(&server, sent.to_string().as_bytes()).await;
        assert_eq!(problem["errors"][0]["field"], "occurred_at", "{date}");
    }
    server.stop().await;
}

#[tokio::test]
async fn odd_but_valid_text_and_numbers_come_out_as_they_went_in() {
    let server = Server::start().await;
    let flags = [
        "=cmd|' /C calc'!A0",
        "🚩🏳️‍🌈 emoji",
        "مفتاح \u{202e}txt.exe",
        "nul\u{0}inside",
        "a\"b\\c\nd",
        "größe 日本",
    ];
    let numbers = r#"{"big":9007199254740993,"huge":123456789012345678901234567890,"small":0.1000000000000000055511151231257827,"exp":1e400}"#;
    let mut lines = String::new();
    for flag in flags {
        lines.push_str(&format!("{}\n", record(flag)));
    }
    lines.push_str(&format!("{}\n", with_attributes(numbers)));
    server.append("application/x-ndjson", lines).await.expect(201);
    let messages = server.messages(audit_journal::Topic::Records).await;
    let texts: Vec<&str> =
        messages.iter().map(|m| std::str::from_utf8(m.value.as_deref().unwrap()).unwrap()).collect();
    for (flag, text) in flags.iter().zip(&texts) {
        let stored: Value = serde_json::from_str(text).unwrap();
        assert_eq!(stored["flag"]["key"], *flag);
    }
    for number in
        ["9007199254740993", "123456789012345678901234567890", "0.1000000000000000055511151231257827"]
    {
        assert!(texts.last().unwrap().contains(number), "{number} in {}", texts.last().unwrap());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_hundred_thousand_unknown_fields_are_kept_within_the_bound_of_a_record_and_refused_beyond_it() {
    const FIELDS: usize = 100_000;
    const RECORD_BYTES_MAX: usize = 1024 * 1024;
    let server = Server::start().await;
    let fields = |name: fn(usize) -> String| {
        let mut sent = record("a");
        for index in 0..FIELDS {
            sent[name(index)] = json!(0);
        }
        sent.to_string()
    };
    // Only their bytes count, not their number: with names of five letters at most they fit, with six they don't.
    let short = fields(|index| format!("{index:x}"));
    assert!(short.len() < RECORD_BYTES_MAX * 95 / 100, "{} bytes", short.len());
    server.append("application/json", short).await.expect(201);
    let stored = &server.records().await[0];
    assert!((0..FIELDS).all(|index| stored[format!("{index:x}")] == 0));
    let long = fields(|index| format!("x{index}"));
    assert!(long.len() > RECORD_BYTES_MAX, "{} bytes", long.len());
    let problem = server.append("application/json", long).await.problem(413);
    assert!(problem["detail"].as_str().unwrap().contains("1048576"), "{problem}");
    assert_eq!(server.records().await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_record_of_3_mib_is_refused_by_line_and_a_body_beyond_the_bound_as_a_whole() {
    let server = Server::start().await;
    let mut large = record("a");
    large["attributes"] = json!({"text": "x".repeat(3 * 1024 * 1024)});
    let problem = server.append("application/json", large.to_string()).await.problem(413);
    assert!(problem["detail"].as_str().unwrap().contains("1048576"), "{problem}");
    let problem = server.append("application/x-ndjson", vec![b' '; 17 * 1024 * 1024]).await.problem(413);
    assert!(problem["detail"].as_str().unwrap().contains("16777216"), "{problem}");
    assert!(server.records().await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn an_empty_body_is_refused_with_what_to_send() {
    let server = Server::start().await;
    for content_type in ["application/json", "application/x-ndjson"] {
        let problem = server.append(content_type, "").await.problem(400);
        assert!(problem["hint"].as_str().unwrap().contains("send"), "{problem}");
    }
    server.append("application/json", "[]").await.problem(400);
    server.stop().await;
}

#[tokio::test]
async fn a_connection_cut_within_the_body_appends_nothing_and_harms_nobody() {
    let server = Server::start().await;
    let body = record("a").to_string();
    let request = format!(
        "POST /v1/records HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len() + 10
    );
    let mut stream = tokio::net::TcpStream::connect(server.admin).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    drop(stream);
    server.append("application/json", record("b").to_string()).await.expect(201);
    assert_eq!(server.records().await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_http_is_answered_400_or_cut() {
    let server = Server::start().await;
    for bytes in [b"\x16\x03\x01\x02\x00\x01\x00".as_slice(), b"GET / HTTP/9.9\r\n\r\n", b"\0\0\0\0\r\n\r\n"]
    {
        let answer = raw(server.admin, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    server.append("application/json", record("b").to_string()).await.expect(201);
    server.stop().await;
}

/// The same through a hook: there what is refused is kept.
#[tokio::test]
async fn a_hook_keeps_whole_what_it_refuses() {
    let server = Server::start().await;
    let url = server.source("own", "native", json!({})).await;
    let deep = with_attributes(&format!("{}1{}", "[".repeat(500), "]".repeat(500)));
    let cases: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{\"action\":".to_vec(),
        vec![0xff, 0xfe, 0x00],
        with_attributes(r#"{"a":1,"a":2}"#).into_bytes(),
        with_attributes(r#"{"a":"\ud800"}"#).into_bytes(),
        deep.into_bytes(),
        b"\0".to_vec(),
    ];
    for case in &cases {
        let answer = send("POST", &url, &[("content-type", "application/json")], case.clone()).await;
        let problem = answer.problem(422);
        assert!(problem["detail"].as_str().unwrap().len() > 10);
    }
    let list = server.call("GET", "/v1/rejected", None).await.expect(200);
    let listed = list["rejected"].as_array().unwrap();
    assert_eq!(listed.len(), cases.len());
    // The youngest first.
    for (summary, case) in listed.iter().rev().zip(&cases) {
        let id = summary["id"].as_str().unwrap();
        let whole = server.call("GET", &format!("/v1/rejected/{id}"), None).await.expect(200);
        let body = base64_decoded(whole["body"].as_str().unwrap());
        assert_eq!(&body, case);
        assert_eq!(summary["body_bytes"], case.len());
        assert_eq!(summary["status"], 422);
    }
    assert!(server.records().await.is_empty());
    send("POST", &url, &[("content-type", "application/json")], record("fine").to_string()).await.expect(200);
    assert_eq!(server.records().await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_hook_of_3_mib_is_refused_and_its_beginning_is_kept() {
    let server = Server::start().await;
    let url = server.source("own", "native", json!({})).await;
    let body = vec![b'x'; 3 * 1024 * 1024];
    send("POST", &url, &[("content-type", "application/json")], body).await.problem(413);
    let list = server.call("GET", "/v1/rejected", None).await.expect(200);
    assert_eq!(list["rejected"][0]["is_cut"], true);
    assert_eq!(list["rejected"][0]["body_bytes"], 2 * 1024 * 1024);
    let id = list["rejected"][0]["id"].as_str().unwrap();
    server.call("POST", &format!("/v1/rejected/{id}/redrive"), Some(json!({}))).await.problem(409);
    server.stop().await;
}

fn base64_decoded(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
