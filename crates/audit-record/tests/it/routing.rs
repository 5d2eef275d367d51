//! The routing key. These are golden: a key that changes moves a project to another partition.

use audit_record::{Ref, RoutingKey, routing_key};
use rstest::rstest;
use serde_json::json;

use crate::sample::{least, least_with, record};

#[rstest]
#[case::plain("acme", "main", "shop", "acme/main/shop")]
#[case::slash_percent_tilde("a/b", "c%d", "~e", "a%2Fb/c%25d/%7Ee")]
#[case::spaces_and_emoji("a b", "größe", "🚀", "a%20b/gr%C3%B6%C3%9Fe/%F0%9F%9A%80")]
#[case::kept("A.b_c-9", "m", "p", "A.b_c-9/m/p")]
#[case::reserved_words_of_others(
    "~flagtrail",
    "~organisation",
    "~organisation",
    "%7Eflagtrail/%7Eorganisation/%7Eorganisation"
)]
#[case::dots_and_control(".", "..", "a\n\u{0}b", "./../a%0A%00b")]
fn a_key_is_organisation_source_and_project_percent_encoded(
    #[case] organisation: &str,
    #[case] source: &str,
    #[case] project: &str,
    #[case] expected: &str,
) {
    let key = routing_key(&Ref::by_id(organisation), source, Some(&Ref::by_id(project)));
    assert_eq!(key.as_str(), expected);
}

#[test]
fn a_project_counts_by_id_before_key_before_name() {
    let organisation = Ref::by_id("o");
    let key = |project: Ref| routing_key(&organisation, "s", Some(&project)).to_string();
    let full =
        Ref { id: Some("7".into()), key: Some("shop".into()), name: Some("Shop".into()), ..Ref::default() };
    assert_eq!(key(full.clone()), "o/s/7");
    assert_eq!(key(Ref { id: None, ..full.clone() }), "o/s/shop");
    assert_eq!(key(Ref { id: None, key: None, ..full }), "o/s/Shop");
}

#[test]
fn a_change_above_projects_has_a_key_that_no_project_can_have() {
    let organisation = Ref::by_id("o");
    let above = routing_key(&organisation, "s", None);
    assert_eq!(above.as_str(), "o/s/~organisation");
    assert_ne!(above, routing_key(&organisation, "s", Some(&Ref::by_name("~organisation"))));
}

#[test]
fn our_own_records_have_one_key_that_no_organisation_named_like_us_can_take() {
    assert_eq!(RoutingKey::own().as_str(), "~flagtrail/~flagtrail/~organisation");
    assert_eq!(routing_key(&Ref::by_key("~flagtrail"), "anything", None), RoutingKey::own());
    assert_ne!(routing_key(&Ref::by_name("~flagtrail"), "~flagtrail", None), RoutingKey::own());
}

#[test]
fn all_four_flagsmith_events_of_one_project_have_one_key() {
    // AUDIT_LOG_CREATED names project and organisation, FLAG_UPDATED and FLAG_DELETED the project only,
    // NEW_VERSION_PUBLISHED neither: the organisation is the source's, the project comes by hint.
    let events = [
        (
            "AUDIT_LOG_CREATED",
            json!({"id": "6", "name": "Shop", "uuid": "7b0a6f1c-1a54-4a3b-8d77-7c0c5e6f9a01"}),
        ),
        ("FLAG_UPDATED", json!({"id": "6", "name": "Shop"})),
        ("FLAG_DELETED", json!({"id": "6", "name": "Renamed since"})),
        ("NEW_VERSION_PUBLISHED", json!({"id": "6"})),
    ];
    for (event, project) in events {
        let mut value = least_with(json!({"project": project}));
        value["source"]["event"] = event.into();
        assert_eq!(record(&value).routing_key().as_str(), "1/main/6", "{event}");
    }
    assert_eq!(record(&least()).routing_key().as_str(), "1/main/6");
}
