//! Endpoints as people see and handle them: a server that delivers and archives, and a real receiver.

use std::time::Duration;

use audit_journal::{AppendOutcome, NewMessage, Placement, Topic};
use audit_record::Timestamp;
use flagtrail_testkit::receiver::{Answer as Receives, Receiver};
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::server::{SOON, Server, record};

/// How long an endpoint may take to come where it is wanted: on a slow machine it may have failed twice, and then waits
/// for half a minute.
const WITHIN: Duration = Duration::from_secs(120);

/// A server that delivers and archives.
async fn server() -> Server {
    Server::start_with(|wanted| {
        wanted.archive = true;
        wanted.deliver = true;
    })
    .await
}

/// Makes an endpoint that delivers changes of flags to the receiver; returns its path.
async fn endpoint(server: &Server, receiver: &Receiver, more: Value) -> String {
    let mut new = json!({"name": "cache", "url": receiver.url("/hook"), "events": ["flag.*"]});
    for (field, value) in more.as_object().into_iter().flatten() {
        new[field] = value.clone();
    }
    let made = server.call("POST", "/v1/endpoints", Some(new)).await.expect(201);
    format!("/v1/endpoints/{}", made["id"].as_str().unwrap())
}

/// Appends a change of a flag and returns the record's id.
async fn append(server: &Server, flag: &str) -> String {
    let answer = server.append("application/json", record(flag).to_string()).await.expect(201);
    answer["records"][0]["id"].as_str().unwrap().to_owned()
}

/// Waits until what `path` answers is as wanted, and returns it.
#[track_caller]
fn until(
    server: &Server,
    path: String,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> impl Future<Output = Value> {
    let what = what.to_owned();
    async move {
        let mut last = Value::Null;
        let began = std::time::Instant::now();
        loop {
            let answer = server.call("GET", &path, None).await;
            // The archive of a server that has just begun is not there yet.
            if answer.status == 200 {
                last = answer.expect(200);
                if wanted(&last) {
                    return last;
                }
            }
            assert!(began.elapsed() < WITHIN, "not within {WITHIN:?}: {what}: {last}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// Waits until the figures have these lines.
async fn metrics_tell(server: &Server, lines: &[String]) {
    let began = std::time::Instant::now();
    loop {
        let metrics = server.call("GET", "/metrics", None).await.text;
        let missing: Vec<&String> = lines.iter().filter(|line| !metrics.contains(*line)).collect();
        if missing.is_empty() {
            return;
        }
        assert!(began.elapsed() < SOON, "{missing:?} are not in\n{metrics}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn count(page: &Value, list: &str) -> usize {
    page[list].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn an_endpoint_shows_its_state_its_figures_and_the_last_error_until_a_success() {
    let (server, receiver) = (server().await, Receiver::start().unwrap());
    let path = endpoint(&server, &receiver, json!({})).await;
    append(&server, "one").await;
    receiver.wait_for(1, SOON).await;
    receiver.answer(Receives::status(503).body("busy"));
    append(&server, "two").await;
    // Progress and attempts are archived one after the other: what is waited for is both.
    let failed = until(&server, path.clone(), "the failure shows", |answer| {
        let status = &answer["status"];
        status["last_error"]["status"] == 503 && status["pending"] == 1 && status["next_due"].is_string()
    })
    .await;
    assert_eq!(failed["status"]["scope"], "deployment");
    assert!(failed["status"]["failing_since"].is_string(), "{failed}");
    receiver.answer(Receives::status(200));
    let well = until(&server, path, "the success clears the error", |answer| {
        let status = &answer["status"];
        status["last_error"].is_null()
            && status["window"]["delivered"] == 2
            && (&status["pending"], &status["state"]) == (&json!(0), &json!("caught_up"))
            && status["behind"] == json!({"records": 0, "seconds": 0})
    })
    .await;
    let window = &well["status"]["window"];
    assert_eq!(window["complete"], true);
    // One failure, or more where this machine was slow to see the first.
    let attempts = window["attempts"].as_u64().unwrap();
    assert!(attempts >= 3, "{window}");
    assert!((window["success_rate"].as_f64().unwrap() - 2.0 / attempts as f64).abs() < 1e-9, "{window}");
    assert!(window["p99_ms"].is_u64(), "{window}");
    let id = well["id"].as_str().unwrap();
    let lines = [
        format!("flagtrail_endpoint_attempts_total{{endpoint=\"{id}\",outcome=\"delivered\"}} 2"),
        format!("flagtrail_endpoint_attempts_total{{endpoint=\"{id}\",outcome=\"failed\"}} {}", attempts - 2),
        format!("flagtrail_endpoint_state{{endpoint=\"{id}\",state=\"caught_up\"}} 1"),
        format!("flagtrail_endpoint_attempt_seconds_count{{endpoint=\"{id}\"}} {attempts}"),
        "flagtrail_endpoints_without_figures 0".to_owned(),
    ];
    metrics_tell(&server, &lines).await;
    server.stop().await;
}

#[tokio::test]
async fn records_that_a_format_has_no_word_for_are_counted_by_the_reason() {
    let (server, receiver) = (server().await, Receiver::start().unwrap());
    let path = endpoint(&server, &receiver, json!({"format": "zenmanage"})).await;
    append(&server, "without-a-new-value").await;
    let mut archived = record("archived");
    archived["action"] = json!("flag.archived");
    server.append("application/json", archived.to_string()).await.expect(201);
    let are_skipped = |answer: &Value| answer["status"]["skipped"] == 2;
    let both = until(&server, path.clone(), "both are skipped", are_skipped).await;
    let id = both["id"].as_str().unwrap();
    let line =
        |reason: &str| format!("flagtrail_endpoint_skipped_total{{endpoint=\"{id}\",reason=\"{reason}\"}} 1");
    metrics_tell(&server, &[line("lacks"), line("no_event")]).await;
    let dir = server.stop().await;
    let server = Server::start_in(dir, |wanted| {
        wanted.archive = true;
        wanted.deliver = true;
    })
    .await;
    until(&server, path, "they are known to the next process", are_skipped).await;
    assert_eq!(receiver.count(), 0);
    server.stop().await;
}

#[tokio::test]
async fn attempts_are_listed_by_record_and_outcome_page_by_page() {
    let (server, receiver) = (server().await, Receiver::start().unwrap());
    let path = endpoint(&server, &receiver, json!({"headers": {"x-key": "a secret value"}})).await;
    receiver.script([Receives::status(500).body("out of order")]);
    let first = append(&server, "a").await;
    receiver.wait_for(1, SOON).await;
    for flag in ["b", "c", "d"] {
        append(&server, flag).await;
    }
    let all =
        until(&server, format!("{path}/deliveries"), "five attempts", |page| count(page, "deliveries") == 5)
            .await;
    let of_first = format!("{path}/deliveries?record={first}");
    let of_first = server.call("GET", &of_first, None).await.expect(200);
    let tries: Vec<_> =
        of_first["deliveries"].as_array().unwrap().iter().map(|a| (&a["attempt"], &a["outcome"])).collect();
    assert_eq!(tries, [(&json!(2), &json!("delivered")), (&json!(1), &json!("retry"))]);
    let failed = server.call("GET", &format!("{path}/deliveries?outcome=retry"), None).await.expect(200);
    let failed = &failed["deliveries"][0];
    assert_eq!(
        (&failed["status"], &failed["error"], &failed["excerpt"]),
        (&json!(500), &json!("status"), &json!("out of order"))
    );
    assert!(failed["next_due"].is_string() && failed["duration_ms"].is_u64(), "{failed}");
    let headers = &failed["request_headers"];
    assert_eq!((&headers["x-key"], &headers["webhook-id"]), (&json!("***"), &json!(first)));
    let (mut found, mut next) = (Vec::new(), String::new());
    loop {
        let page = server.call("GET", &format!("{path}/deliveries?limit=2{next}"), None).await.expect(200);
        found.extend(page["deliveries"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(found.len(), 5);
    assert!(all["deliveries"].as_array().unwrap().iter().all(|attempt| found.contains(attempt)));
    server.call("GET", &format!("{path}/deliveries?outcome=lost"), None).await.problem(400);
    server.call("GET", "/v1/endpoints/ep_none/deliveries", None).await.problem(404);
    server.stop().await;
}

#[tokio::test]
async fn a_delivery_that_was_given_up_is_a_dead_letter() {
    let (server, receiver) = (server().await, Receiver::start().unwrap());
    // No retry of what is older than a second: the first pause is longer.
    let path = endpoint(&server, &receiver, json!({"max_age": "1s"})).await;
    receiver.answer(Receives::status(500));
    let lost = append(&server, "lost").await;
    let letters = until(&server, format!("{path}/dead-letters"), "a dead letter", |page| {
        count(page, "dead_letters") == 1
    })
    .await;
    let letter = &letters["dead_letters"][0];
    assert_eq!(
        (&letter["record_id"], &letter["status"], &letter["attempts"]),
        (&json!(lost), &json!(500), &json!(1))
    );
    assert_eq!(
        (&letter["action"], &letter["delivered_since"]),
        (&json!("flag.state.changed"), &json!(false))
    );
    let others = endpoint(&server, &receiver, json!({"name": "other", "start": "now"})).await;
    let none = server.call("GET", &format!("{others}/dead-letters"), None).await.expect(200);
    assert_eq!(count(&none, "dead_letters"), 0);
    server.stop().await;
}

#[tokio::test]
async fn without_an_archive_the_process_tells_what_it_knows_itself() {
    let server = Server::start_with(|wanted| wanted.deliver = true).await;
    let receiver = Receiver::start().unwrap();
    let path = endpoint(&server, &receiver, json!({})).await;
    wait::until(SOON, "the process owns the partitions", || async {
        let answer = server.call("GET", &path, None).await.expect(200);
        answer["status"]["scope"] == "process" && answer["status"]["state"] == "caught_up"
    })
    .await;
    server.call("GET", &format!("{path}/deliveries"), None).await.problem(503);
    let list = server.call("GET", "/v1/endpoints?status=false", None).await.expect(200);
    assert_eq!(
        (&list["endpoints"][0]["name"], &list["endpoints"][0]["status"]),
        (&json!("cache"), &Value::Null)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_process_that_does_not_deliver_knows_from_the_attempts_that_an_endpoint_is_left_alone() {
    let server = Server::start_with(|wanted| wanted.archive = true).await;
    let new = json!({"name": "cache", "url": "https://example.com/hook"});
    let made = server.call("POST", "/v1/endpoints", Some(new)).await.expect(201);
    let id = made["id"].as_str().unwrap();
    let path = format!("/v1/endpoints/{id}");
    let now = chrono::Utc::now();
    let time =
        |seconds| Timestamp::try_new(now + chrono::TimeDelta::seconds(seconds)).expect("a time").to_string();
    // What another process logs of an attempt.
    let attempted = async |seconds: i64, more: Value| {
        let mut entry = json!({
            "v": 1, "endpoint": id, "record": "r", "partition": 0, "offset": 0, "attempt": 1,
            "at": time(seconds), "duration_ms": 1,
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            entry[field] = value.clone();
        }
        let message = NewMessage {
            key: id.to_owned().into(),
            headers: Vec::new(),
            value: Some(entry.to_string().into()),
            placement: Placement::Fixed(0),
        };
        let outcomes = server.journal.append(Topic::Deliveries, vec![message]).await;
        assert!(matches!(outcomes[..], [AppendOutcome::Appended(_)]), "{outcomes:?}");
    };
    let open_until = time(3_600);
    attempted(0, json!({"outcome": "retry", "circuit_open_until": open_until})).await;
    let open = until(&server, path.clone(), "it is left alone", |answer| {
        answer["status"]["state"] == "circuit_open"
    })
    .await;
    assert_eq!(open["status"]["circuit_open_until"], open_until);
    attempted(1, json!({"outcome": "delivered"})).await;
    until(&server, path, "it no longer is", |answer| {
        answer["status"]["state"] != "circuit_open" && answer["status"]["circuit_open_until"].is_null()
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_paused_endpoint_keeps_its_place_and_goes_on_there() {
    let (server, receiver) = (server().await, Receiver::start().unwrap());
    let path = endpoint(&server, &receiver, json!({})).await;
    let paused = server.call("POST", &format!("{path}/pause"), Some(json!({}))).await.expect(200);
    assert_eq!((&paused["paused"], &paused["status"]["state"]), (&json!(true), &json!("paused")));
    let old = [("if-match", "\"1\"")];
    server.call_as(crate::server::ADMIN, "POST", &format!("{path}/resume"), &old, None).await.problem(412);
    append(&server, "meanwhile").await;
    until(&server, path.clone(), "it is paused and behind", |answer| {
        let status = &answer["status"];
        status["state"] == "paused" && status["behind"]["records"].as_u64().is_some_and(|records| records > 0)
    })
    .await;
    assert_eq!(receiver.count(), 0);
    let resumed = server.call("POST", &format!("{path}/resume"), None).await.expect(200);
    assert_eq!((&resumed["paused"], &resumed["enabled"]), (&json!(false), &json!(true)));
    receiver.wait_for(1, SOON).await;
    server.call("POST", "/v1/endpoints/ep_none/pause", None).await.problem(404);
    server.stop().await;
}

#[tokio::test]
async fn a_test_is_signed_says_what_came_back_and_is_in_no_log() {
    let (server, receiver) = (server().await, Receiver::start().unwrap());
    let headers = json!({"authorization": "Bearer of-a-receiver"});
    let path = endpoint(&server, &receiver, json!({"headers": headers, "enabled": false})).await;
    receiver.script([Receives::status(418).body("no coffee for Bearer of-a-receiver")]);
    let tested = server.call("POST", &format!("{path}/test"), Some(json!({}))).await.expect(200);
    assert_eq!(
        (&tested["delivered"], &tested["status"], &tested["error"]),
        (&json!(false), &json!(418), &json!("status"))
    );
    assert_eq!(tested["excerpt"], "no coffee for ***");
    let sent = tested["request_headers"].as_array().unwrap();
    assert!(sent.contains(&json!(["authorization", "***"])), "{tested}");
    let request = &receiver.received()[0];
    assert_eq!(request.header("webhook-id"), tested["webhook_id"].as_str());
    assert!(request.header("webhook-signature").is_some_and(|signature| signature.starts_with("v1,")));
    assert_eq!(request.header("x-flagtrail-position"), None, "it stands nowhere");
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((&body["type"], &body["data"]["action"]), (&json!("webhook.test"), &json!("webhook.test")));
    assert!(server.messages(Topic::Deliveries).await.is_empty());
    server.call("POST", "/v1/endpoints/ep_none/test", None).await.problem(404);
    server.stop().await;
}

#[tokio::test]
async fn a_preview_is_the_request_that_would_be_sent_and_sends_nothing() {
    let (server, receiver) = (server().await, Receiver::start().unwrap());
    let path = endpoint(&server, &receiver, json!({"headers": {"x-key": "a secret value"}})).await;
    let id = append(&server, "one").await;
    let delivered = receiver.wait_for(1, SOON).await;
    let endpoint_id = path.rsplit('/').next().unwrap();
    until(&server, format!("/v1/records/{id}"), "the record is archived", |_| true).await;
    let asked = json!({"endpoint": endpoint_id, "record_id": id});
    let shown = server.call("POST", "/v1/endpoints/preview", Some(asked)).await.expect(200);
    assert_eq!(shown["url"].as_str(), Some(receiver.url("/hook").as_str()));
    assert_eq!(shown["body"].as_str().unwrap().as_bytes(), delivered[0].body);
    assert!(shown["headers"].as_array().unwrap().contains(&json!(["x-key", "***"])), "{shown}");
    let sample = server
        .call("POST", "/v1/endpoints/preview", Some(json!({"with": {"method": "PUT"}})))
        .await
        .expect(200);
    assert_eq!(sample["method"], "PUT");
    assert!(sample["body"].as_str().is_some_and(|body| body.contains("\"data\":{")), "{sample}");
    let wrong = json!({"with": {"timeout": "1y"}});
    server.call("POST", "/v1/endpoints/preview", Some(wrong)).await.problem(400);
    assert_eq!(receiver.count(), 1);
    server.stop().await;
}
