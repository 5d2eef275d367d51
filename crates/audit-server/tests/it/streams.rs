use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::server::{ADMIN, SOON, Server, record};

/// A stream under way.
struct Events {
    body: Incoming,
    text: String,
}

impl Events {
    async fn open(server: &Server, token: &str, query: &str, last_id: Option<&str>) -> Self {
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let mut request = Request::get(server.url(&format!("/v1/records/stream{query}")))
            .header("authorization", format!("Bearer {token}"));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = client.request(request.body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), text: String::new() }
    }

    /// The next event's id and record.
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).map(|v| v.trim_start().to_owned())
                };
                let found =
                    field("data:").map(|data| (field("id:").unwrap(), serde_json::from_str(&data).unwrap()));
                self.text = rest.to_owned();
                match found {
                    Some(event) => return event,
                    None => continue,
                }
            }
            let frame = tokio::time::timeout(SOON, self.body.frame()).await.expect("an event in time");
            let data = frame.expect("the stream goes on").unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    async fn is_over(&mut self) -> bool {
        loop {
            match tokio::time::timeout(SOON, self.body.frame()).await.expect("an end in time") {
                None | Some(Err(_)) => return true,
                Some(Ok(_)) => {}
            }
        }
    }
}

async fn append(server: &Server, flag: &str) {
    server.append("application/json", record(flag).to_string()).await.expect(201);
}

#[tokio::test]
async fn a_stream_brings_what_matches_from_now_on_and_resumes_behind_the_last_event() {
    let server = Server::start().await;
    append(&server, "before").await;
    let mut events = Events::open(&server, ADMIN, "?flag=a&flag=c", None).await;
    for flag in ["a", "b", "c"] {
        append(&server, flag).await;
    }
    let (id, first) = events.next().await;
    assert_eq!(first["flag"]["key"], "a");
    assert_eq!(events.next().await.1["flag"]["key"], "c");
    drop(events);
    let mut events = Events::open(&server, ADMIN, "", Some(&id)).await;
    assert_eq!(events.next().await.1["flag"]["key"], "b");
    assert_eq!(events.next().await.1["flag"]["key"], "c");
    let mut all = Events::open(&server, ADMIN, "?from=earliest&action=flag.*", None).await;
    assert_eq!(all.next().await.1["flag"]["key"], "before");
    server.call("GET", "/v1/records/stream?limit=1", None).await.problem(400);
    let wrong = [("last-event-id", "9:9")];
    server.call_as(ADMIN, "GET", "/v1/records/stream", &wrong, None).await.problem(400);
    server.stop().await;
}

#[tokio::test]
async fn a_stream_of_a_limited_token_brings_only_its_projects() {
    let server = Server::start().await;
    let token = server.token(&["records:read"], json!({"projects": ["2"]})).await;
    let mut events = Events::open(&server, &token, "", None).await;
    append(&server, "theirs").await;
    let mut ours = record("ours");
    ours["project"] = json!({"id": "2"});
    server.append("application/json", ours.to_string()).await.expect(201);
    assert_eq!(events.next().await.1["flag"]["key"], "ours");
    server.stop().await;
}

#[tokio::test]
async fn streams_are_bounded_and_end_with_the_server() {
    let server = Server::start_with(|wanted| wanted.config.streams_max = 1).await;
    let mut events = Events::open(&server, ADMIN, "", None).await;
    server.call("GET", "/v1/records/stream", None).await.problem(429);
    let (_, over) = tokio::join!(server.stop(), events.is_over());
    assert!(over);
}
