//! The sentences of the audit log: each is recognised, with names that hold anything.

use audit_dialect::Platform;
use audit_record::{AuditRecord, Draft};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use crate::harness::Hook;

fn entry(kind: &str, log: &str) -> AuditRecord {
    let body = json!({"event_type": "AUDIT_LOG_CREATED", "data": {
        "id": 9, "created_date": "2026-08-21T17:30:57.006318Z", "log": log, "author": null,
        "environment": {"id": 23, "name": "Production"}, "project": {"id": 6, "name": "Web"},
        "related_object_id": 4, "related_object_type": kind, "is_system_event": false
    }});
    Hook::post(Platform::Flagsmith, body.to_string()).record()
}

fn flag(draft: &Draft) -> Option<&str> {
    draft.flag.as_ref()?.name.as_deref()
}

fn target(draft: &Draft) -> Option<(&str, &str)> {
    let target = draft.target.as_ref()?;
    Some((&target.kind, target.what.handle()?))
}

#[rstest]
#[case("FEATURE", "New Flag / Remote Config created: f", "flag.created", Some("f"), None)]
#[case("FEATURE", "Flag / Remote Config updated: f", "flag.updated", Some("f"), None)]
#[case("FEATURE", "Flag / Remote Config Deleted: f", "flag.deleted", Some("f"), None)]
#[case("FEATURE", "Multivariate option added to feature 'f'.", "flag.variant.added", Some("f"), None)]
#[case("FEATURE", "Multivariate option removed from feature 'f'.", "flag.variant.removed", Some("f"), None)]
#[case(
    "FEATURE",
    "Segment overrides re-ordered for feature 'f'.",
    "flag.override.reordered",
    Some("f"),
    None
)]
#[case("FEATURE", "Flag / Remote config value deleted for feature 'f' and segment 's'", "flag.override.removed", Some("f"), Some(("segment", "s")))]
#[case("FEATURE", "Flag state / Remote config value deleted for feature 'f' and segment 's'", "flag.override.removed", Some("f"), Some(("segment", "s")))]
#[case("FEATURE_STATE", "Flag state updated for feature: f", "flag.state.changed", Some("f"), None)]
#[case("FEATURE_STATE", "Remote config value updated for feature: f", "flag.value.changed", Some("f"), None)]
#[case(
    "FEATURE_STATE",
    "Multivariate value changed for feature 'f'.",
    "flag.variant.changed",
    Some("f"),
    None
)]
#[case("FEATURE_STATE", "Multivariate value changed for feature 'f' and identity 'i'.", "flag.override.changed", Some("f"), Some(("identity", "i")))]
#[case("FEATURE_STATE", "Multivariate value changed for feature 'f' and segment 's'.", "flag.override.changed", Some("f"), Some(("segment", "s")))]
#[case("FEATURE_STATE", "Flag state / Remote config value updated for feature 'f' and identity 'i'", "flag.override.changed", Some("f"), Some(("identity", "i")))]
#[case("FEATURE_STATE", "Remote config value updated for identity override on feature 'f' and identity 'i'.", "flag.override.changed", Some("f"), Some(("identity", "i")))]
#[case("FEATURE_STATE", "Flag state / Remote config value deleted for feature 'f' and identity 'i'", "flag.override.removed", Some("f"), Some(("identity", "i")))]
#[case("FEATURE_STATE", "Identity override scheduled for 21/08/2026 17:30:57 for feature 'f' and identity 'i'", "flag.change.scheduled", Some("f"), Some(("identity", "i")))]
#[case("FEATURE_STATE", "Flag state / Remote config value updated for feature 'f' and segment 's'", "flag.override.changed", Some("f"), Some(("segment", "s")))]
#[case("FEATURE_STATE", "Remote config updated for segment override on feature 'f' and segment 's'.", "flag.override.changed", Some("f"), Some(("segment", "s")))]
#[case("FEATURE_STATE", "Segment override scheduled for 21/08/2026 17:30:57 for feature 'f' and segment 's'", "flag.change.scheduled", Some("f"), Some(("segment", "s")))]
#[case(
    "FEATURE_STATE",
    "Segment rules updated for flag: f in environment: e",
    "flag.override.changed",
    Some("f"),
    None
)]
#[case(
    "FEATURE_STATE",
    "Flag state / Remote Config value update scheduled for 21/08/2026 17:30:57 for feature: f",
    "flag.change.scheduled",
    Some("f"),
    None
)]
#[case(
    "FEATURE_STATE",
    "Flag state for feature 'f' scheduled for update by Change Request 'c' at 2026-08-21 17:30:57+00:00.",
    "flag.change.scheduled",
    Some("f"),
    None
)]
#[case(
    "FEATURE_STATE",
    "Flag state / Remote config updated for feature: f by Change Request: c",
    "flag.changed",
    Some("f"),
    None
)]
#[case(
    "FEATURE_STATE",
    "Scheduled change to Flag state / Remote config value went live for feature: f by Change Request: c",
    "flag.changed",
    Some("f"),
    None
)]
#[case(
    "FEATURE_STATE",
    "Flag state / Remote config updated for feature: f by Release pipeline: p (stage: s)",
    "flag.changed",
    Some("f"),
    None
)]
#[case("EF_VERSION", "New version published for feature: f", "flag.version.published", Some("f"), None)]
#[case("EDGE_IDENTITY", "Feature override created for feature 'f' and identity 'i'", "flag.override.created", Some("f"), Some(("identity", "i")))]
#[case("EDGE_IDENTITY", "Feature override updated for feature 'f' and identity 'i'", "flag.override.changed", Some("f"), Some(("identity", "i")))]
#[case("EDGE_IDENTITY", "Feature override deleted for feature 'f' and identity 'i'", "flag.override.removed", Some("f"), Some(("identity", "i")))]
#[case("SEGMENT", "New Segment created: s", "flag.segment.created", None, Some(("segment", "s")))]
#[case("SEGMENT", "Segment updated: s", "flag.segment.changed", None, Some(("segment", "s")))]
#[case("SEGMENT", "Segment deleted: s", "flag.segment.removed", None, Some(("segment", "s")))]
#[case("ENVIRONMENT", "New Environment created: e", "environment.created", None, None)]
#[case("ENVIRONMENT", "Environment updated: e", "environment.updated", None, None)]
#[case("CHANGE_REQUEST", "Change Request: c created", "change_request.created", None, None)]
#[case("CHANGE_REQUEST", "Change Request: c approved", "change_request.approved", None, None)]
#[case("CHANGE_REQUEST", "Change Request: c committed", "change_request.committed", None, None)]
#[case("CHANGE_REQUEST", "Change Request: c deleted", "change_request.deleted", None, None)]
#[case("RELEASE_PIPELINE", "Release Pipeline: p created", "release_pipeline.created", None, None)]
#[case("RELEASE_PIPELINE", "Release Pipeline: p cloned", "release_pipeline.cloned", None, None)]
#[case("RELEASE_PIPELINE", "Release Pipeline: p updated", "release_pipeline.updated", None, None)]
#[case("RELEASE_PIPELINE", "Release Pipeline: p published", "release_pipeline.published", None, None)]
#[case(
    "RELEASE_PIPELINE",
    "Release Pipeline: p Converted to Draft",
    "release_pipeline.unpublished",
    None,
    None
)]
#[case("RELEASE_PIPELINE", "Release Pipeline: p deleted", "release_pipeline.deleted", None, None)]
#[case(
    "RELEASE_PIPELINE",
    "Feature: f added to Release Pipeline: p",
    "flag.release_pipeline.added",
    Some("f"),
    None
)]
#[case(
    "RELEASE_PIPELINE",
    "Feature: f removed from Release Pipeline: p",
    "flag.release_pipeline.removed",
    Some("f"),
    None
)]
#[case(
    "RELEASE_PIPELINE",
    "Phased rollout created for feature: f by release pipeline: p (stage: s)",
    "flag.rollout.created",
    Some("f"),
    None
)]
#[case(
    "RELEASE_PIPELINE",
    "Phased rollout split changed from '10%' to '25%' for feature 'f' by release pipeline 'p' (stage: 's')",
    "flag.rollout.changed",
    Some("f"),
    None
)]
#[case("IMPORT_REQUEST", "New LaunchDarkly import requested", "flag.import.requested", None, None)]
#[case("IMPORT_REQUEST", "LaunchDarkly import completed successfully", "flag.import.completed", None, None)]
#[case("IMPORT_REQUEST", "LaunchDarkly import failed", "flag.import.failed", None, None)]
#[case(
    "IMPORT_REQUEST",
    "LaunchDarkly import failed with errors:\n- no such project\n- no key",
    "flag.import.failed",
    None,
    None
)]
#[case(
    "FEATURE_HEALTH",
    "Health provider Grafana set up for project Web.",
    "health.provider.created",
    None,
    None
)]
#[case(
    "FEATURE_HEALTH",
    "Health provider Grafana removed from project Web.",
    "health.provider.deleted",
    None,
    None
)]
#[case(
    "FEATURE_HEALTH",
    "Health status changed to UNHEALTHY for feature f.",
    "health.changed",
    Some("f"),
    None
)]
#[case(
    "FEATURE_HEALTH",
    "Health status changed to UNHEALTHY for feature f.\n\nProvided by Grafana",
    "health.changed",
    Some("f"),
    None
)]
#[case(
    "FEATURE_HEALTH",
    "Health status changed to UNHEALTHY for feature f.\n\nReason:\ntoo slow.",
    "health.changed",
    Some("f"),
    None
)]
#[case(
    "FEATURE_HEALTH",
    "Health status changed to UNHEALTHY for feature f.\n\nProvided by Grafana\n\nReason:\ntoo slow.",
    "health.changed",
    Some("f"),
    None
)]
#[case(
    "WAREHOUSE_CONNECTION",
    "Warehouse connection created for environment e",
    "warehouse_connection.created",
    None,
    None
)]
#[case(
    "WAREHOUSE_CONNECTION",
    "Warehouse connection deleted for environment e",
    "warehouse_connection.deleted",
    None,
    None
)]
#[case(
    "WAREHOUSE_CONNECTION",
    "Warehouse connection tested for environment e",
    "warehouse_connection.updated",
    None,
    None
)]
#[case("METRIC", "Metric 'm' created", "metric.created", None, None)]
#[case("METRIC", "Metric 'm' updated", "metric.updated", None, None)]
#[case("METRIC", "Metric 'm' deleted", "metric.deleted", None, None)]
#[case("EXPERIMENT", "Experiment 'x' created for environment e", "flag.experiment.created", None, None)]
#[case("EXPERIMENT", "Experiment 'x' started for environment e", "flag.experiment.changed", None, None)]
#[case("EXPERIMENT", "Experiment 'x' deleted for environment e", "flag.experiment.removed", None, None)]
fn a_sentence_gives_a_precise_action_and_object(
    #[case] kind: &str,
    #[case] log: &str,
    #[case] action: &str,
    #[case] flag_named: Option<&str>,
    #[case] target_named: Option<(&str, &str)>,
) {
    let record = entry(kind, log);
    let draft = record.draft();
    assert_eq!(record.action().as_str(), action);
    assert_eq!(flag(draft), flag_named);
    assert_eq!(target(draft), target_named);
    assert_eq!(record.log(), log);
    assert!(!draft.attributes.contains_key("unrecognised_log"));
    assert!(!draft.attributes.contains_key("ambiguous_log"));
}

#[test]
fn what_else_a_sentence_says_is_kept() {
    let rollout = entry(
        "RELEASE_PIPELINE",
        "Phased rollout split changed from '10%' to '25%' for feature 'f' by release pipeline 'p' (stage: 's')",
    );
    let change = rollout.draft().change.clone().unwrap();
    assert_eq!((&change.fields[0].before, &change.fields[0].after), (&json!("10"), &json!("25")));
    assert_eq!(rollout.draft().attributes["release_pipeline"], "p");
    assert_eq!(rollout.draft().attributes["stage"], "s");
    assert_eq!(rollout.draft().related_object.what.name.as_deref(), Some("p"));

    let health = entry(
        "FEATURE_HEALTH",
        "Health status changed to UNHEALTHY for feature f.\n\nProvided by Grafana\n\nReason:\ntoo slow.",
    );
    let words = ["status", "provider", "reason"].map(|word| health.draft().attributes[word].clone());
    assert_eq!(words, [json!("UNHEALTHY"), json!("Grafana"), json!("too slow.")]);

    let scheduled = entry(
        "FEATURE_STATE",
        "Flag state for feature 'f' scheduled for update by Change Request 'at ' at 9' at 2026-08-21 17:30:57+00:00.",
    );
    assert_eq!(scheduled.draft().attributes["scheduled_for"], "2026-08-21 17:30:57+00:00");
    let approval = scheduled.draft().approval.clone().unwrap();
    assert_eq!(approval.change_request_id, None, "a name is no id");
    assert_eq!(approval.extra["change_request_name"], "at ' at 9");
}

#[test]
fn a_sentence_with_two_readings_is_read_with_the_plainer_flag_and_says_so() {
    let log = "Flag state / Remote config value updated for feature 'a' and segment 'b' and identity 'c'";
    let record = entry("FEATURE_STATE", log);
    assert_eq!(flag(record.draft()), Some("a"));
    assert_eq!(target(record.draft()), Some(("segment", "b' and identity 'c")));
    assert_eq!(record.draft().attributes["ambiguous_log"], true);
}

/// Names with everything that a sentence is made of, but not its joints.
fn name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        "[a-z_]{1,8}",
        prop::sample::select(vec![
            "'", "\"", "\n", " ", ".", "\\", "%", "{flag}", "🚀", "and", ": ", " by ", "é", "</b>",
            " created"
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat()).prop_filter("a joint", |name| {
        ![
            "' and segment '",
            "' and identity '",
            " by Change Request: ",
            " (stage: ",
            " by Release pipeline: ",
        ]
        .iter()
        .any(|joint| name.contains(joint))
    })
}

proptest! {
    #[test]
    fn a_flags_name_round_trips(name in name()) {
        for before in ["New Flag / Remote Config created: ", "Flag state updated for feature: ", "New version published for feature: "] {
            let record = entry("FEATURE_STATE", &format!("{before}{name}"));
            prop_assert_eq!(flag(record.draft()), Some(name.as_str()));
        }
        let record = entry("FEATURE", &format!("Multivariate option added to feature '{name}'."));
        prop_assert_eq!(flag(record.draft()), Some(name.as_str()));
    }

    #[test]
    fn two_names_round_trip(first in name(), second in name()) {
        let record = entry(
            "FEATURE_STATE",
            &format!("Flag state / Remote config value deleted for feature '{first}' and identity '{second}'"),
        );
        prop_assert_eq!(flag(record.draft()), Some(first.as_str()));
        prop_assert_eq!(target(record.draft()), Some(("identity", second.as_str())));
        prop_assert!(!record.draft().attributes.contains_key("ambiguous_log"));

        let record = entry("CHANGE_REQUEST", &format!("Change Request: {first} approved"));
        let approval = record.draft().approval.clone().unwrap();
        prop_assert_eq!(approval.extra["change_request_name"].as_str(), Some(first.as_str()));
    }
}
