//! Secrets of endpoints at rest: sealed on the log, opened with the key, and what happens without it.

use audit_journal::{SettingsChange, Topic};
use audit_record::Author;
use audit_secret::{Keyring, SecretKey};
use audit_webhook::{EndpointError, EndpointId, EndpointUpdate, EndpointView, Endpoints, KIND, NewEndpoint};
use flagtrail_testkit::receiver::Receiver;
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::world::{LIMIT, World, records};

const HEADER: &str = "Bearer planted-header-value";

fn author() -> Author {
    Author::user("ada@example.com")
}

/// The endpoints of `world` as a process with other keys sees them.
fn seen_with(world: &World, keyring: Keyring) -> Endpoints {
    Endpoints::new(world.journal.clone(), world.control.clone(), world.config.egress.clone(), keyring)
}

fn document(world: &World, id: &str) -> Value {
    world.control.get(KIND, id).expect("it is there").value.clone()
}

/// Everything that settings say on the log, as text.
async fn control_text(world: &World) -> String {
    let messages = world.all(Topic::Control).await;
    messages.iter().map(|m| String::from_utf8_lossy(m.value.as_deref().unwrap_or_default())).collect()
}

/// Writes an endpoint's document as the release before wrote it: version 1, secrets in clear.
async fn in_clear(world: &World, view: &EndpointView, secret: &str) {
    let mut old = document(world, &view.id);
    old["v"] = json!(1);
    old["secrets"] = json!([secret]);
    old["headers"] = json!({ "authorization": HEADER });
    let change = SettingsChange {
        kind: KIND.to_owned(),
        id: view.id.clone(),
        base_version: view.version,
        value: Some(old),
    };
    world.control.write(change, None).await.expect("written");
}

#[tokio::test]
async fn no_secret_of_an_endpoint_is_on_the_log_in_clear() {
    let world = World::new().await;
    let more = json!({ "headers": { "Authorization": HEADER } });
    let (view, secret) = world.endpoint_with_secret("https://example.com/hook", more).await;
    world.update(&view.id, json!({ "description": "changed" })).await;
    let text = control_text(&world).await;
    assert!(text.contains(&view.id) && text.contains("ciphertext"), "{text}");
    assert!(!text.contains(&secret[6..]) && !text.contains("planted-header-value"), "{text}");
}

#[tokio::test]
async fn without_a_key_no_endpoint_is_made_and_the_refusal_names_the_setting() {
    let world = World::new().await;
    let endpoints = seen_with(&world, Keyring::empty());
    let new = NewEndpoint {
        name: "cache".to_owned(),
        url: "https://example.com/hook".to_owned(),
        ..NewEndpoint::default()
    };
    let refused = endpoints.create(new, author()).await.expect_err("there is no key");
    assert!(matches!(&refused, EndpointError::Seal(_)), "{refused}");
    assert!(refused.to_string().contains("secrets.key_file"), "{refused}");
    assert!(endpoints.list().is_empty());
}

#[tokio::test]
async fn an_endpoint_whose_key_is_not_there_is_shown_and_changed_only_with_new_secrets() {
    let world = World::new().await;
    let more = json!({ "headers": { "Authorization": HEADER } });
    let view = world.endpoint("https://example.com/hook", more).await;
    let id = EndpointId::from(view.id.as_str());
    let other = Keyring::new(SecretKey::generate(), Vec::new()).expect("one key");
    let endpoints = seen_with(&world, other);
    let shown = endpoints.get(&id).expect("it is shown");
    let why = shown.locked.as_deref().expect("it says why");
    assert!(why.contains("secrets.former_key_files") && why.contains(&view.id), "{why}");
    assert_eq!(shown.headers.keys().collect::<Vec<_>>(), ["authorization"]);
    let renamed = EndpointUpdate { name: Some("other".to_owned()), ..EndpointUpdate::default() };
    let refused = endpoints.update(&id, view.version, renamed, author()).await;
    assert!(matches!(&refused, Err(EndpointError::Stored(_))), "{refused:?}");
    let secrets_alone: EndpointUpdate = serde_json::from_value(json!({ "secrets": [] })).expect("fields");
    let refused = endpoints.update(&id, view.version, secrets_alone, author()).await;
    assert!(matches!(&refused, Err(EndpointError::Stored(_))), "its header is still locked: {refused:?}");
    let mended: EndpointUpdate =
        serde_json::from_value(json!({ "secrets": [], "headers": {} })).expect("fields");
    let mended = endpoints.update(&id, view.version, mended, author()).await.expect("both are given anew");
    assert_eq!((mended.locked, mended.headers.len()), (None, 0));
    endpoints.delete(&id, mended.version, author()).await.expect("deleted");
}

#[tokio::test]
async fn deliveries_wait_for_the_key_and_go_on_when_it_comes() {
    let mut world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let view = world.endpoint(&receiver.url("/hook"), json!({ "events": ["flag.*"] })).await;
    let key = SecretKey::generate();
    let keyring = Keyring::new(key.clone(), Vec::new()).expect("one key");
    // As after a restart with a new key, the old one forgotten.
    world.config.keyring = keyring.clone();
    let running = world.start();
    world.append(&records("alpha", 0..3)).await;
    let healthy = Endpoints::new(
        world.journal.clone(),
        world.control.clone(),
        world.config.egress.clone(),
        keyring.clone(),
    );
    // An endpoint made with the new key gets its records meanwhile.
    let other = Receiver::start().expect("a receiver");
    let new: NewEndpoint = serde_json::from_value(
        json!({ "name": "other", "url": other.url("/hook"), "start": "earliest", "events": ["flag.*"] }),
    )
    .expect("fields");
    healthy.create(new, author()).await.expect("created");
    other.wait_for(3, LIMIT).await;
    assert_eq!(receiver.count(), 0);
    assert!(healthy.get(&EndpointId::from(view.id.as_str())).expect("it").locked.is_some());
    keyring.replace(key, vec![world.key.clone()]).expect("one former key");
    receiver.wait_for(3, LIMIT).await;
    running.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_others_seal_with_a_key_that_is_not_here_yet_misses_nothing() {
    let mut world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let view = world.endpoint(&receiver.url("/hook"), json!({ "events": ["flag.*"] })).await;
    let keyring = Keyring::new(world.key.clone(), Vec::new()).expect("one key");
    world.config.keyring = keyring.clone();
    let running = world.start();
    world.append(&records("alpha", 0..3)).await;
    receiver.wait_for(3, LIMIT).await;
    running.caught_up(&view.id).await;
    let next = SecretKey::generate();
    let elsewhere = Keyring::new(next.clone(), vec![world.key.clone()]).expect("two keys");
    let id = EndpointId::from(view.id.as_str());
    seen_with(&world, elsewhere).reseal(&id, author()).await.expect("resealed");
    wait::until(LIMIT, "the deliverer has heard of it", || async {
        running.deliverer.status().await.is_empty()
    })
    .await;
    world.append(&records("alpha", 3..6)).await;
    world
        .documents_are(&view.id, "its place is written down", |documents| {
            documents.iter().any(|document| document["cursor"].is_u64())
        })
        .await;
    assert_eq!(receiver.count(), 3);
    keyring.replace(next, vec![world.key.clone()]).expect("one former key");
    receiver.wait_for(6, LIMIT).await;
    running.stop().await;
}

#[tokio::test]
async fn what_stands_in_clear_is_delivered_to_and_sealed_by_the_next_write() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let more = json!({ "events": ["flag.*"] });
    let (view, secret) = world.endpoint_with_secret(&receiver.url("/hook"), more).await;
    in_clear(&world, &view, &secret).await;
    assert!(document(&world, &view.id).to_string().contains(&secret));
    let running = world.start();
    world.append(&records("alpha", 0..1)).await;
    let received = receiver.wait_for(1, LIMIT).await.remove(0);
    assert_eq!(received.header("authorization"), Some(HEADER));
    assert_eq!(world.endpoints.outdated().len(), 1);
    world.update(&view.id, json!({ "description": "changed" })).await;
    let after = document(&world, &view.id);
    assert_eq!(after["v"], 2);
    assert!(!after.to_string().contains(&secret) && !after.to_string().contains("planted"), "{after}");
    assert!(world.endpoints.outdated().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn resealing_changes_the_key_and_nothing_else() {
    let world = World::new().await;
    let more = json!({ "headers": { "Authorization": HEADER } });
    let view = world.endpoint("https://example.com/hook", more).await;
    let id = EndpointId::from(view.id.as_str());
    let before = document(&world, &view.id);
    let next = SecretKey::generate();
    world.config.keyring.replace(next.clone(), vec![world.key.clone()]).expect("one former key");
    assert_eq!(world.endpoints.outdated(), std::slice::from_ref(&id));
    world.endpoints.reseal(&id, author()).await.expect("resealed");
    assert!(world.endpoints.outdated().is_empty());
    // The old key is not needed any more.
    world.config.keyring.replace(next.clone(), Vec::new()).expect("no former key");
    let mut expected = view.clone();
    expected.version += 1;
    assert_eq!(world.endpoints.get(&id).expect("it opens"), expected);
    let mut after = document(&world, &view.id);
    assert_eq!(after["secrets"][0]["key"], next.id().to_string());
    for field in ["secrets", "headers"] {
        after[field] = before[field].clone();
    }
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_sealed_header_copied_to_another_endpoint_does_not_open_there() {
    let world = World::new().await;
    let more = json!({ "headers": { "Authorization": HEADER } });
    let one = world.endpoint("https://example.com/one", more.clone()).await;
    let other = world.endpoint("https://example.com/other", more).await;
    let mut forged = document(&world, &other.id);
    forged["headers"] = document(&world, &one.id)["headers"].clone();
    let change = SettingsChange {
        kind: KIND.to_owned(),
        id: other.id.clone(),
        base_version: other.version,
        value: Some(forged),
    };
    world.control.write(change, None).await.expect("written");
    let locked = world.endpoints.get(&EndpointId::from(other.id.as_str())).expect("it is shown").locked;
    assert!(locked.expect("it says why").contains("copied from another setting"));
}
