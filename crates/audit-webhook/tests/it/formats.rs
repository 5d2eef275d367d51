//! What is sent, in the format and by the method that an endpoint asks for.

use audit_dialect::outbound::BodyFormat;
use audit_record::AuditRecord;
use audit_webhook::{AttemptOutcome, FailureClass};
use flagtrail_testkit::receiver::{Received, Receiver};
use flagtrail_testkit::wait;
use hmac::{Hmac, KeyInit, Mac};
use rstest::rstest;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::world::{LIMIT, World, record, record_of};

/// What arrives of one record, at an endpoint with these settings besides.
async fn delivered(record: &AuditRecord, more: Value) -> Received {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let mut fields = json!({ "events": ["flag.*"] });
    for (field, value) in more.as_object().expect("an object") {
        fields[field] = value.clone();
    }
    world.endpoint(&receiver.url("/hook?a=b"), fields).await;
    let running = world.start();
    world.append(std::slice::from_ref(record)).await;
    let received = receiver.wait_for(1, LIMIT).await.remove(0);
    running.stop().await;
    received
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_record_is_the_bytes_on_the_log() {
    let record = record("alpha", 1);
    let received = delivered(&record, json!({ "format": "record" })).await;
    assert_eq!(received.body, record.canonical());
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert!(received.header("webhook-signature").is_some_and(|value| value.starts_with("v1,")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloudevent_has_its_attributes_in_the_headers_or_around_the_record() {
    let record = record("alpha", 1);
    let received = delivered(&record, json!({ "format": "cloudevents_binary" })).await;
    assert_eq!(received.body, record.canonical());
    assert_eq!(received.header("ce-id"), Some("alpha-00001"));
    assert_eq!(received.header("ce-type"), Some("flag.state.changed"));
    let received = delivered(&record, json!({ "format": "cloudevents_structured" })).await;
    assert_eq!(received.header("content-type"), Some("application/cloudevents+json"));
    let event: Value = serde_json::from_slice(&received.body).expect("JSON");
    assert_eq!((&event["specversion"], &event["id"]), (&json!("1.0"), &json!("alpha-00001")));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_platforms_format_its_own_signature_header_is_made_with_the_text_it_shares() {
    let more = json!({ "format": "flagsmith", "secrets": ["s3cret"] });
    let received = delivered(&record("alpha", 1), more).await;
    let mut mac = Hmac::<Sha256>::new_from_slice(b"s3cret").expect("a key");
    mac.update(&received.body);
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(received.header("x-flagsmith-signature"), Some(expected.as_str()));
    assert_eq!(received.header("webhook-signature"), None, "a text makes no signature of Standard Webhooks");
    let body: Value = serde_json::from_slice(&received.body).expect("JSON");
    assert!(body["event_type"].is_string(), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_makes_the_body_and_a_header_of_the_endpoints_own_stands_in_the_place_of_content_type() {
    let more = json!({
        "format": { "format": "template", "template": "{{ action }} of {{ flag.key }}", "content_type": "text/plain" },
        "headers": { "Content-Type": "text/x-flag", "User-Agent": "cache-refresher" },
    });
    let received = delivered(&record("alpha", 1), more).await;
    assert_eq!(received.body, "flag.state.changed of flag-1");
    assert_eq!(received.header("content-type"), Some("text/x-flag"));
    assert_eq!(received.header("user-agent"), Some("cache-refresher"));
}

#[rstest]
#[case::post("POST")]
#[case::put("PUT")]
#[case::patch("PATCH")]
#[tokio::test(flavor = "multi_thread")]
async fn a_method_with_a_body_may_have_none(#[case] method: &str) {
    let received = delivered(&record("alpha", 1), json!({ "method": method, "format": "none" })).await;
    assert_eq!(received.method.as_str(), method);
    assert_eq!((received.body.len(), received.header("content-type")), (0, None));
    assert_eq!(received.path, "/hook?a=b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_carries_the_json_in_its_query() {
    let received = delivered(&record("alpha", 1), json!({ "method": "GET" })).await;
    assert_eq!(received.method.as_str(), "GET");
    assert_eq!(received.body.len(), 0);
    let query = received.path.strip_prefix("/hook?a=b&json=").expect("the parameter");
    let json = percent_encoding::percent_decode_str(query).decode_utf8().expect("UTF-8");
    let body: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(body["data"]["id"], "alpha-00001");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_whose_url_would_be_too_long_is_given_up_at_once_and_says_so() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    world.endpoint(&receiver.url("/"), json!({ "method": "GET", "events": ["flag.*"] })).await;
    let mut long: Value = serde_json::from_slice(record("alpha", 1).canonical()).expect("JSON");
    long["attributes"]["long"] = json!("a".repeat(8 * 1024));
    let long = AuditRecord::from_json(long.to_string().as_bytes()).expect("a record");
    let running = world.start();
    world.append(&[long]).await;
    wait::until(LIMIT, "a dead letter", || async {
        !world.records_of("webhook.dead_lettered").await.is_empty()
    })
    .await;
    running.stop().await;
    let attempts = world.attempts().await;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].outcome, AttemptOutcome::DeadLettered);
    assert_eq!(attempts[0].error, Some(FailureClass::UrlTooLong));
    assert!(attempts[0].detail.as_deref().is_some_and(|detail| detail.contains("8192 are allowed")));
    assert_eq!(receiver.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_arrives_in_every_format() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    for (index, name) in BodyFormat::NAMES.into_iter().enumerate() {
        let template = json!({ "format": name, "template": "{{ action }}" });
        let format = if name == "template" { template } else { json!(name) };
        let endpoint = world.endpoint(&receiver.url("/"), json!({ "format": format })).await;
        let answer = world.endpoints.test(&endpoint.id.as_str().into()).await.expect("a test");
        assert!(answer.delivered, "{name}: {answer:?}");
        assert_eq!(receiver.count(), index + 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_platform_has_no_word_for_is_skipped_counted_and_settled() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let more = json!({ "format": "zenmanage", "events": ["user.*", "flag.*"] });
    let endpoint = world.endpoint(&receiver.url("/"), more).await;
    let running = world.start();
    world.append(&[record_of("user.created", "alpha", 1)]).await;
    wait::until(LIMIT, "the record is skipped", || async {
        let status = running.deliverer.status().await;
        status.iter().any(|status| status.totals.skipped.get("no_event") == Some(&1))
    })
    .await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    assert_eq!(receiver.count(), 0);
    assert_eq!(world.attempts().await, []);
}
