//! Whatever a record holds, what is sent is what its format says: valid JSON, and no field posing as another.

use std::sync::LazyLock;

use audit_dialect::outbound::{BodyFormat, Carry, Outcome, Renderer};
use audit_record::{AuditRecord, Draft};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::mozhno::{ALL_TEN, with_template};
use super::samples::{body, full, full_with, record, render, sent, stored};
use crate::harness::any_json;

/// Every format that sends JSON.
fn json_formats() -> Vec<BodyFormat> {
    vec![
        BodyFormat::StandardWebhooks,
        BodyFormat::Record,
        BodyFormat::CloudeventsStructured,
        BodyFormat::CloudeventsBinary,
        BodyFormat::Flagsmith,
        BodyFormat::FlagsmithAudit,
        BodyFormat::Zenmanage,
        BodyFormat::Abtasty,
        BodyFormat::Unleash,
        with_template(ALL_TEN),
        BodyFormat::Template {
            template: r#"{"{{ flag.name }}": "{{ log }}", "r": {{ record }}, "a": [{{ attributes }}, "{{ change.after }}"]}"#
                .to_owned(),
            content_type: None,
        },
        BodyFormat::Slack,
        BodyFormat::Teams,
        BodyFormat::SplunkHec,
        BodyFormat::Datadog,
    ]
}

/// Them, ready.
static RENDERERS: LazyLock<Vec<(BodyFormat, Renderer)>> = LazyLock::new(|| {
    let ready =
        |format: BodyFormat| (format.clone(), Renderer::try_new(&format, Carry::Body).expect("a format"));
    json_formats().into_iter().map(ready).collect()
});

/// Texts that have broken something somewhere.
const HOSTILE: &[&str] = &[
    "\"",
    "\\",
    "\\\"",
    "\n\r\t\u{0}\u{8}\u{c}\u{1f}\u{7f}",
    "'; DROP TABLE flags; --",
    "=cmd|' /C calc'!A0",
    "</script><b>&amp;",
    "{{ log }}{% if %}{{events.action}}[[events.action]]",
    "🚀 日本 größe e\u{301}",
    "\u{202e}gnp.exe\u{2066}",
    "\u{feff}\u{2028}\u{2029}",
    "\",\"action\":\"flag.deleted\",\"x\":\"",
    "\u{10ffff}\u{fffd}",
];

#[test]
fn hostile_names_come_through_every_format_as_they_are() {
    for hostile in HOSTILE {
        let name = format!("<{hostile}>");
        let thing = json!({"id": "7", "key": name, "name": name});
        let fields = json!({
            "flag": thing, "project": thing, "environment": thing, "log": name, "related_object": thing,
            "author": {"type": "user", "email": name, "name": name, "id": name},
            "action": "flag.created"
        });
        for format in json_formats() {
            let Ok(Outcome::Rendered(rendered)) = render(&format, &record(full_with(fields.clone()))) else {
                assert_eq!(format, BodyFormat::Zenmanage, "only Zenmanage has no flag.created");
                continue;
            };
            let body = body(&rendered);
            let escaped = name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            assert!(
                holds(&body, &|text| text == name || text == escaped || text == format!("*{escaped}*")),
                "{} lost {name:?}: {body}",
                format.name()
            );
        }
    }
}

/// Whether a text, or a part of one between spaces, passes.
fn holds(value: &Value, passes: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => passes(text),
        Value::Array(items) => items.iter().any(|item| holds(item, passes)),
        Value::Object(map) => map.iter().any(|(key, item)| passes(key) || holds(item, passes)),
        _ => false,
    }
}

#[test]
fn no_value_poses_as_another_field() {
    let posing = "\", \"action\": \"flag.deleted\", \"x\": \"";
    let fields = json!({"log": posing, "flag": {"name": posing}, "action": "flag.updated"});
    let body = body(&sent(&with_template(ALL_TEN), full_with(fields)));
    assert_eq!(body["action"], "flag.updated");
    assert_eq!(body["details"], posing);
}

/// A valid record with anything in the places where platforms and people write.
fn any_record() -> impl Strategy<Value = AuditRecord> {
    let word = || prop_oneof![any::<String>(), prop::sample::select(HOSTILE).prop_map(str::to_owned)];
    let thing = move || {
        (prop::option::of(word()), prop::option::of(word()), prop::option::of(word())).prop_map(
            |(id, key, name)| {
                let mut thing = serde_json::Map::new();
                for (part, text) in [("id", id), ("key", key), ("name", name)] {
                    thing.extend(
                        text.filter(|text| !text.is_empty()).map(|text| (part.to_owned(), text.into())),
                    );
                }
                Value::Object(thing)
            },
        )
    };
    let actions: Vec<String> = {
        let catalogue: Value = serde_json::from_str(audit_record::CATALOGUE_JSON).unwrap();
        let actions = catalogue["actions"].as_array().unwrap();
        actions.iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
    };
    let systems = vec!["flagsmith", "zenmanage", "abtasty", "mozhno", "unleash", "native", "elsewhere"];
    let events =
        vec!["FLAG_UPDATED", "FLAG_DELETED", "NEW_VERSION_PUBLISHED", "AUDIT_LOG_CREATED", "flag.created"];
    let kinds = vec!["user", "api_key", "service", "system", "unknown"];
    (
        (prop::sample::select(actions), prop::sample::select(systems), prop::sample::select(events)),
        (word(), prop::sample::select(kinds), thing()),
        (thing(), thing(), thing(), thing()),
        (any_json(), any_json(), any_json()),
    )
        .prop_map(
            |((action, system, event), (log, kind, author), (project, environment, flag, target), json)| {
                let (before, after, attributes) = json;
                let mut value = full_with(json!({
                    "action": action, "environment": environment, "flag": flag,
                    "change": {"before": before, "after": after},
                    "attributes": {"data": attributes, "new_state": after, "sample": before}
                }));
                value["author"] = author;
                value["author"]["type"] = kind.into();
                value["target"] = target;
                value["target"]["type"] = "segment".into();
                value["source"]["system"] = system.into();
                value["source"]["event"] = event.into();
                if !log.is_empty() {
                    value["log"] = log.into();
                }
                if project.as_object().is_some_and(|project| !project.is_empty()) {
                    value["project"] = project;
                }
                value
            },
        )
        .prop_filter_map("a valid record", |value| AuditRecord::try_new(Draft::from_value(value).ok()?).ok())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// Whatever the record: JSON, and the same every time.
    #[test]
    fn any_record_is_valid_json_in_every_format(record in any_record()) {
        let stored = stored(&record);
        for (format, renderer) in RENDERERS.iter() {
            let outcome = renderer.render(&stored, Some(b"secret")).unwrap();
            prop_assert_eq!(&renderer.render(&stored, Some(b"secret")).unwrap(), &outcome);
            let Outcome::Rendered(rendered) = outcome else { continue };
            let bytes = rendered.body.unwrap();
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
            prop_assert!(is_json, "{}: {}", format.name(), String::from_utf8_lossy(&bytes));
            for (name, value) in rendered.headers {
                prop_assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b)), "{name}: {value:?}");
            }
        }
    }

    /// A GET is a URL that reads back to the very text, or a clear failure.
    #[test]
    fn any_record_is_a_url_that_reads_back_or_too_long(record in any_record()) {
        let renderer = Renderer::try_new(&BodyFormat::StandardWebhooks, Carry::Query).unwrap();
        let outcome = renderer.render(&stored(&record), None).unwrap();
        let Outcome::Rendered(rendered) = outcome else { unreachable!("it has no counterparts") };
        if let Ok(url) = rendered.url("https://receiver.example/") {
            let (_, query) = url.split_once("?json=").unwrap();
            let read = percent_encoding::percent_decode_str(query).decode_utf8().unwrap();
            prop_assert_eq!(Some(&*read), rendered.query_json.as_deref());
        }
    }

    /// No template makes anything panic, and what is let in ends.
    #[test]
    fn any_text_as_a_template_is_refused_or_rendered(template in "(\\{\\{|\\}\\}|\\{%|%\\}|[\"'|~ a-z.]|log|flag|if |for x in |end|json|events\\.){0,24}") {
        for format in [
            BodyFormat::Template { template: template.clone(), content_type: None },
            BodyFormat::Template { template: template.clone(), content_type: Some("text/plain".to_owned()) },
            with_template(&template),
        ] {
            if let Ok(renderer) = Renderer::try_new(&format, Carry::Body) {
                let _ = renderer.render(&stored(&record(full())), None);
            }
        }
    }
}
