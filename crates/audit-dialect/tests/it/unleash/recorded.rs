//! Every request that a real Unleash sent.

use std::collections::{BTreeMap, BTreeSet};

use audit_dialect::Platform;
use audit_record::AuthorKind;
use rstest::rstest;

use crate::harness::{matches_snapshot, shown};
use crate::recording::{self, Recording};

const FLAGS: &[&str] = &["checkout-redesign", "kill.sw_1", "checkout-clone", "made-by-token", "late-feature"];

/// Templates of one's own that make no JSON, or leave out which flag it was.
fn is_no_event(recording: &Recording) -> bool {
    recording.name.ends_with("not-json") || recording.name.starts_with("101-env-filter")
}

#[test]
fn every_event_becomes_one_valid_record_and_everything_else_is_refused() {
    for recording in recording::all(Platform::Unleash) {
        let is_event = !is_no_event(&recording);
        match recording.hook().translate() {
            Ok(_) => {
                assert!(is_event, "{}", recording.name);
                assert_eq!(recording.hook().record().source().system, "unleash");
            }
            Err(refusal) => assert!(!is_event, "{}: {refusal}", recording.name),
        }
    }
}

#[test]
fn who_changed_a_flag_finds_every_request_that_concerns_it() {
    let mut found = BTreeSet::new();
    for recording in recording::all(Platform::Unleash).iter().filter(|recording| !is_no_event(recording)) {
        let record = recording.hook().record();
        let body = String::from_utf8(recording.body.clone()).unwrap();
        let concerned: Vec<&&str> = FLAGS.iter().filter(|flag| body.contains(**flag)).collect();
        match record.draft().flag.as_ref().and_then(|flag| flag.name.as_deref()) {
            Some(flag) => {
                assert!(concerned.contains(&&flag), "{} is not about {flag}", recording.name);
                found.insert(flag.to_owned());
            }
            None => assert!(concerned.is_empty(), "{} concerns {concerned:?}", recording.name),
        }
    }
    assert_eq!(found.len(), FLAGS.len());
}

#[test]
fn an_event_has_one_id_whichever_integration_and_template_sent_it() {
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for recording in recording::all(Platform::Unleash) {
        for draft in recording.hook().translate().into_iter().flat_map(|translation| translation.drafts) {
            let Some(event) = draft.attributes.get("id") else { continue };
            ids.entry(event.to_string()).or_default().insert(draft.id.clone().unwrap());
        }
    }
    assert!(ids.values().all(|ids| ids.len() == 1));
    assert_eq!(ids.values().flatten().collect::<BTreeSet<_>>().len(), ids.len(), "and no other event has it");
}

#[test]
fn an_admin_token_is_no_user_though_it_has_the_users_name() {
    let author = |number| recording::numbered(Platform::Unleash, number).hook().record().author().clone();
    assert_eq!((author("001").kind, author("001").id.as_deref()), (AuthorKind::User, Some("1")));
    assert_eq!((author("069").kind, author("069").id), (AuthorKind::ApiKey, None));
    assert_eq!(author("001").name, author("069").name);
}

#[rstest]
#[case("markdown", "023")]
#[case("unescaped_template", "090")]
#[case("redirected", "091")]
#[case("template_without_the_flag", "101")]
fn what_is_no_event_is_refused_with_the_template_to_use(#[case] name: &str, #[case] number: &str) {
    let recording = recording::numbered(Platform::Unleash, number);
    let refusal = recording.hook().translate().unwrap_err();
    matches_snapshot(&format!("unleash.refused.{name}"), &recording.name, &refusal.reason);
}

#[rstest]
#[case("flag_created", "001")]
#[case("strategy_added", "003")]
#[case("strategy_changed", "006")]
#[case("strategy_removed", "011")]
#[case("switched_on", "010")]
#[case("switched_off", "008")]
#[case("tagged", "013")]
#[case("metadata_updated", "017")]
#[case("stale_on", "019")]
#[case("stale_off", "020")]
#[case("completed", "041")]
#[case("uncompleted", "042")]
#[case("archived", "046")]
#[case("deleted", "111")]
#[case("dependency_added", "106")]
#[case("created_by_an_admin_token", "069")]
#[case("through_the_placeholder_template", "031")]
#[case("segment_created", "043")]
#[case("segment_updated", "044")]
#[case("segment_deleted", "045")]
#[case("user_created", "058")]
#[case("user_deleted", "060")]
#[case("api_token_created", "061")]
#[case("api_token_deleted", "062")]
#[case("personal_token_created", "063")]
#[case("environment_removed_from_project", "064")]
#[case("environment_added_to_project", "065")]
#[case("context_field_created", "066")]
#[case("tag_type_created", "067")]
#[case("custom_strategy_created", "068")]
#[case("integration_created", "078")]
fn an_event(#[case] name: &str, #[case] number: &str) {
    let recording = recording::numbered(Platform::Unleash, number);
    let record = recording.hook().record();
    matches_snapshot(&format!("unleash.{name}"), &recording.name, &shown(record.into_draft()));
}
