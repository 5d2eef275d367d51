//! Making and changing endpoints.

use audit_journal::SettingsChange;
use audit_record::Author;
use audit_webhook::{EndpointError, EndpointUpdate, KIND, NewEndpoint};
use serde_json::{Value, json};

use crate::world::World;

fn author() -> Author {
    Author::user("ada@example.com")
}

async fn problems(world: &World, new: Value) -> Vec<(String, String)> {
    let new: NewEndpoint = serde_json::from_value(new).expect("the fields of an endpoint");
    match world.endpoints.create(new, author()).await {
        Err(EndpointError::Invalid(problems)) => problems.into_iter().map(|p| (p.field, p.problem)).collect(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once_with_its_mend() {
    let world = World::new().await;
    let found = problems(
        &world,
        json!({
            "name": "", "url": "http://example.com/", "method": "DELETE", "events": ["flag.*", "Flag!"],
            "headers": { "Webhook-Id": "x", "content-length": "3", "x-ok": "a\nb" },
            "format": { "format": "template", "template": "{{" }, "collapse": { "window": "1h" }, "rate_limit_per_second": 0, "max_in_flight": 0,
            "timeout": "1h", "max_age": "5ms",
        }),
    )
    .await;
    let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "name",
            "url",
            "method",
            "headers.webhook-id",
            "headers.content-length",
            "headers.x-ok",
            "events[1]",
            "format",
            "collapse.window",
            "max_age",
            "rate_limit_per_second",
            "max_in_flight",
            "timeout",
        ]
    );
    assert!(found[1].1.contains("egress.allow_hosts"), "{}", found[1].1);
    let private = problems(&world, json!({ "name": "a", "url": "https://10.0.0.1/" })).await;
    assert!(private[0].1.contains("egress.allow_networks"), "{}", private[0].1);
}

#[tokio::test]
async fn a_secret_is_shown_once_and_masked_from_then_on() {
    let world = World::new().await;
    let more = json!({ "headers": { "Authorization": "Bearer s3cr3t" } });
    let (view, secret) = world.endpoint_with_secret("https://example.com/hook", more).await;
    let shown = serde_json::to_string(&view).expect("JSON");
    assert!(!shown.contains("s3cr3t") && !shown.contains(&secret), "{shown}");
    assert!(view.secrets[0].starts_with("whsec_…") && secret.ends_with(&view.secrets[0][9..]));
    let told = world.records_of("flagtrail.endpoint.created").await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["author"]["email"], "ada@example.com");
    assert!(!told[0].to_string().contains("s3cr3t") && !told[0].to_string().contains(&secret));
}

#[tokio::test]
async fn of_two_changes_to_one_version_the_second_is_refused() {
    let world = World::new().await;
    let view = world.endpoint("https://example.com/hook", json!({})).await;
    let id = view.id.as_str().into();
    let update = |description: &str| EndpointUpdate {
        description: Some(description.to_owned()),
        ..EndpointUpdate::default()
    };
    let first = world.endpoints.update(&id, view.version, update("one"), author()).await.expect("the first");
    assert_eq!((first.description.as_str(), first.version), ("one", view.version + 1));
    let second = world.endpoints.update(&id, view.version, update("two"), author()).await;
    assert!(matches!(second, Err(EndpointError::Conflict)), "{second:?}");
    assert_eq!(world.endpoints.get(&id).expect("it").description, "one");
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let world = World::new().await;
    let more = json!({
        "events": ["flag.*"], "headers": { "x-team": "platform" }, "max_age": "1h", "timeout": "5s",
        "filter": { "project": ["alpha"] }, "method": "PUT", "max_in_flight": 3, "ordered": true,
        "collapse": { "by": "flag+environment", "window": "2s" }, "rate_limit_per_second": 7, "paused": true,
        "format": { "format": "template", "template": "{{ log }}" },
    });
    let view = world.endpoint("https://example.com/hook", more).await;
    let changed =
        world.update(&view.id, json!({ "max_age": null, "url": "https://example.org/other" })).await;
    let mut expected = view.clone();
    expected.version += 1;
    expected.max_age = None;
    expected.url = "https://example.org/other".to_owned();
    assert_eq!(changed, expected);
}

#[tokio::test]
async fn a_name_is_given_once() {
    let world = World::new().await;
    world.endpoint("https://example.com/hook", json!({ "name": "cache" })).await;
    let new = NewEndpoint {
        name: "cache".to_owned(),
        url: "https://example.com/other".to_owned(),
        ..NewEndpoint::default()
    };
    let second = world.endpoints.create(new, author()).await;
    assert!(matches!(&second, Err(EndpointError::NameTaken(name)) if name == "cache"), "{second:?}");
}

#[tokio::test]
async fn a_preset_fills_in_what_was_not_chosen() {
    let world = World::new().await;
    let chosen = json!({ "preset": "cache", "max_age": "1m" });
    let cache = world.endpoint("https://example.com/cache", chosen).await;
    assert!(cache.ordered && cache.collapse.is_some());
    assert_eq!(cache.max_age.expect("an age").to_string(), "1m");
    assert_eq!(cache.events.iter().map(|event| event.as_str()).collect::<Vec<_>>(), ["flag.*"]);
    // What is changed afterwards stays changed, whatever else is changed later.
    world.update(&cache.id, json!({ "ordered": false, "collapse": null })).await;
    let later = world.update(&cache.id, json!({ "description": "x" })).await;
    assert!(!later.ordered && later.collapse.is_none());
    let audit = world.endpoint("https://example.com/audit", json!({ "preset": "audit" })).await;
    assert!(!audit.ordered && audit.collapse.is_none() && audit.max_age.is_none());
}

#[tokio::test]
async fn bursts_are_not_collapsed_in_a_format_that_may_have_no_word_for_the_newest_record() {
    let world = World::new().await;
    let url = "https://127.0.0.1/hook";
    for format in ["flagsmith", "flagsmith-audit", "zenmanage", "abtasty", "unleash", "mozhno"] {
        let collapse = json!({ "window": "2s" });
        let new =
            json!({ "name": "a", "url": url, "format": format, "preset": "cache", "collapse": collapse });
        let found = problems(&world, new).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "collapse");
        assert!(found[0].1.contains(format) && found[0].1.contains("set collapse to null"), "{}", found[0].1);
        // What only the preset asks for is left out.
        let cache = world.endpoint(url, json!({ "preset": "cache", "format": format })).await;
        assert!(cache.ordered && cache.collapse.is_none(), "{format}");
        let plain = world.endpoint(url, json!({ "format": format })).await;
        let changed = world.update(&plain.id, json!({ "preset": "cache" })).await;
        assert!(changed.ordered && changed.collapse.is_none(), "{format}");
    }
}

#[tokio::test]
async fn an_endpoint_that_collapses_gets_a_platforms_format_once_it_no_longer_does() {
    let world = World::new().await;
    let cache = world.endpoint("https://127.0.0.1/hook", json!({ "preset": "cache" })).await;
    let (id, to) = (cache.id.as_str().into(), json!({ "format": "unleash" }));
    let update: EndpointUpdate = serde_json::from_value(to).expect("the fields of an update");
    let refused = world.endpoints.update(&id, cache.version, update, author()).await;
    let found = match refused {
        Err(EndpointError::Invalid(found)) => found,
        other => panic!("not refused: {other:?}"),
    };
    assert_eq!(found.iter().map(|problem| problem.field.as_str()).collect::<Vec<_>>(), ["collapse"]);
    let changed = world.update(&cache.id, json!({ "format": "unleash", "collapse": null })).await;
    assert!(changed.collapse.is_none() && changed.preset.is_some());
}

#[tokio::test]
async fn an_endpoint_that_an_earlier_release_let_collapse_in_a_platforms_format_no_longer_does() {
    let world = World::new().await;
    let view = world.endpoint("https://127.0.0.1/hook", json!({ "format": "unleash" })).await;
    let mut old = world.control.get(KIND, &view.id).expect("it is there").value.clone();
    old["collapse"] = json!({ "window": "2s" });
    let change = SettingsChange {
        kind: KIND.to_owned(),
        id: view.id.clone(),
        base_version: view.version,
        value: Some(old),
    };
    world.control.write(change, None).await.expect("written");
    let read = world.endpoints.get(&view.id.as_str().into()).expect("it is there");
    assert!(read.version > view.version && read.collapse.is_none());
}
