//! What tags tell, and whom.

use audit_proof::{SCOPES_KNOWN_MAX, ScopeKey, TAGS_BYTES, TAGS_KNOWN_MAX, TagKey, Tagger, Tags, fold_case};
use audit_record::{Author, AuthorKind, Ref};
use serde_json::json;

use crate::sample::record;

fn key() -> TagKey {
    TagKey::derive(b"the deployment's secret")
}

#[test]
fn whoever_has_a_scopes_key_makes_the_same_tags() {
    let record = record(json!({}));
    let scope = record.routing_key();
    let made = key().scope(&scope).tags(&scope, &record);
    let disclosed = ScopeKey::from_bytes(*key().scope(&scope).as_bytes());
    assert_eq!(made.scope, Some(disclosed.scope_tag(&scope)));
    assert_eq!(made.flag, disclosed.flag(&Ref::by_id("5")));
    assert_eq!(made.environment, disclosed.environment(&Ref::by_key("prod")));
    let ada = Author { id: Some("7".to_owned()), ..Author::new(AuthorKind::User) };
    assert_eq!(made.author, disclosed.author(&ada));
    assert_eq!(Tags::from_header(&made.to_header()), made);
}

#[test]
fn tags_are_these_bytes() {
    let record = record(json!({}));
    let scope = record.routing_key();
    let tags = key().scope(&scope).tags(&scope, &record);
    let hexed: Vec<String> = tags.to_header().chunks(16).map(hex::encode).collect();
    // As Python's hmac makes them.
    assert_eq!(
        hexed,
        [
            "d2bf8531417f7491441c97da10bd2814",
            "f0b57bc65929c72720f85c9d7a1db966",
            "5320bd2c703f440ae8fde3765f612b9d",
            "8715bf8eeed814c5d1ada4724b60ce6b",
        ]
    );
}

#[test]
fn another_scope_another_deployment_and_another_label_give_other_tags() {
    let shop = record(json!({}));
    let blog = record(json!({"project": {"id": "2"}}));
    let (in_shop, in_blog) = (shop.routing_key(), blog.routing_key());
    let of = |key: &TagKey| key.scope(&in_shop).tags(&in_shop, &shop);
    let ours = of(&key());
    let theirs = key().scope(&in_blog).tags(&in_blog, &blog);
    assert!(ours.flag != theirs.flag && ours.author != theirs.author && ours.scope != theirs.scope);
    assert_ne!(of(&TagKey::derive(b"another secret")), ours);
    let scope_key = key().scope(&in_shop);
    assert_ne!(scope_key.flag(&Ref::by_id("5")), scope_key.flag(&Ref::by_key("5")));
    assert_ne!(scope_key.flag(&Ref::by_key("5")), scope_key.environment(&Ref::by_key("5")));
}

#[test]
fn what_a_record_does_not_name_has_no_tag() {
    let record = record(json!({"flag": null, "environment": {}, "author": {"type": "unknown"}}));
    let scope = record.routing_key();
    let tags = key().scope(&scope).tags(&scope, &record);
    assert!(tags.scope.is_some());
    assert_eq!((tags.environment, tags.flag, tags.author), (None, None, None));
    assert_eq!(tags.to_header()[16..], [0; 48]);
}

#[test]
fn a_header_of_another_length_holds_no_tags() {
    assert_eq!(Tags::from_header(&[1; TAGS_BYTES - 1]), Tags::default());
    assert_eq!(Tags::from_header(&[1; TAGS_BYTES + 1]), Tags::default());
    assert_ne!(Tags::from_header(&[1; TAGS_BYTES]), Tags::default());
}

#[test]
fn keys_do_not_show_themselves() {
    let scope = record(json!({})).routing_key();
    assert_eq!(format!("{:?} {:?}", key(), key().scope(&scope)), "TagKey([REDACTED]) ScopeKey([REDACTED])");
}

#[test]
fn a_tagger_that_remembers_and_forgets_makes_the_tags_that_the_key_makes() {
    let mut tagger = Tagger::new(key());
    // More scopes than it remembers, and then in one of them more flags.
    let projects = (0..SCOPES_KNOWN_MAX + 10).map(|n| json!({"project": {"id": n.to_string()}}));
    let flags = (0..TAGS_KNOWN_MAX + 10).map(|n| json!({"flag": {"key": n.to_string()}}));
    let long = json!({"flag": {"name": "long".repeat(1_000)}});
    for (n, over) in projects.chain(flags).chain([long.clone(), long]).enumerate() {
        let record = record(over);
        let scope = record.routing_key();
        let made = tagger.tags(&scope, &record);
        // Each once more by the key would take long.
        if n % 11 == 0 || n > SCOPES_KNOWN_MAX + TAGS_KNOWN_MAX {
            assert_eq!(made, key().scope(&scope).tags(&scope, &record));
            assert_eq!(tagger.tags(&scope, &record), made);
        }
    }
}

#[test]
fn a_person_is_the_same_in_capitals_of_any_script() {
    let of = |name: &str| key().person(name);
    for (name, same) in [
        ("ada@example.com", " ADA@Example.COM "),
        ("ärztin@example.com", "ÄRZTIN@EXAMPLE.COM"),
        ("Αλέξης", "ΑΛΈΞΗΣ"),
        ("вера", "ВЕРА"),
    ] {
        assert_eq!(of(name), of(same), "{name}");
    }
    assert_ne!(of("ärztin@example.com"), of("arztin@example.com"));
    // What stands within a text stands within it however it is written: no letter depends on its neighbours.
    assert!(fold_case("ΣΟΦΟΣ ΣΟΦΟΣ").contains(&fold_case("σοφος σ")));
}
