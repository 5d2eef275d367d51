//! Records as OCSF events: judged by a validator that is not ours, over everything that was ever recorded and every action
//! there is.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use audit_dialect::Platform;
use audit_dialect::outbound::ocsf::{Activity, Class, LogPlace, classify, ocsf_event};
use audit_record::{AuditRecord, Draft, Timestamp};
use flagtrail_testkit::clients::Clients;
use rstest::rstest;
use serde_json::{Value, json};

use super::samples::{full, full_with, record};
use crate::harness::{RECEIVED_AT, finish};
use crate::recording;

const PLACE: LogPlace = LogPlace { partition: 3, seq: 41 };

fn event(record: &AuditRecord) -> Value {
    ocsf_event(record, std::str::from_utf8(record.canonical()).unwrap(), Some(PLACE))
}

/// Everything recorded from platforms.
fn recorded() -> Vec<AuditRecord> {
    let all = [Platform::Flagsmith, Platform::Unleash].into_iter().flat_map(recording::all);
    all.filter(|recording| recording.hook().translate().is_ok())
        .flat_map(|recording| recording.hook().records())
        .collect()
}

/// The examples of valid records.
fn examples() -> Vec<AuditRecord> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/examples/valid");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    let received_at = Timestamp::parse(RECEIVED_AT).unwrap();
    let drafts = files.filter_map(|bytes| Draft::from_value(audit_record::parse_strict(&bytes).ok()?).ok());
    drafts.map(|draft| finish(draft, received_at)).collect()
}

/// For every action of the catalogue and every type of object it knows: a record with everything in it, and one with next to
/// nothing.
fn catalogued() -> Vec<AuditRecord> {
    let catalogue: Value = serde_json::from_str(audit_record::CATALOGUE_JSON).unwrap();
    let mut records = Vec::new();
    for entry in catalogue["actions"].as_array().unwrap() {
        for object_type in entry["related_object_types"].as_array().unwrap() {
            let named = json!({"action": entry["action"], "related_object_type": object_type});
            records.push(record(full_with(named.clone())));
            let mut bare = named;
            for absent in
                ["access", "approval", "change", "flag", "request", "target", "attributes", "environment"]
            {
                bare[absent] = Value::Null;
            }
            bare["author"] = json!({"type": "unknown"});
            bare["related_object"] = json!({});
            records.push(record(full_with(bare)));
        }
    }
    records
}

#[test]
fn a_validator_that_is_not_ours_takes_every_record_for_an_event_of_its_class() {
    let records: Vec<AuditRecord> = [recorded(), examples(), catalogued()].concat();
    assert!(records.len() > 400, "{}", records.len());
    let Some(clients) = Clients::available() else { return };
    let mut validating =
        clients.python("ocsf.py").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut events = validating.stdin.take().unwrap();
    // It reads all before it says anything.
    for record in &records {
        writeln!(events, "{}", event(record)).unwrap();
    }
    drop(events);
    let output = validating.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.trim(), format!("{} valid events", records.len()));
}

#[rstest]
#[case::flag_created("flag.created", "FEATURE", 300_401)]
#[case::first_state_of_a_flag("flag.created", "FEATURE_STATE", 300_401)]
#[case::flag_updated("flag.updated", "FEATURE", 300_403)]
#[case::value_changed("flag.value.changed", "FEATURE_STATE", 300_403)]
#[case::flag_deleted("flag.deleted", "FEATURE", 300_404)]
#[case::flag_moved("flag.moved", "FEATURE", 300_405)]
#[case::a_tag_of_a_flag_is_a_change_of_the_flag("flag.tag.removed", "FEATURE", 300_403)]
#[case::an_override_of_a_flag_too("flag.override.created", "FEATURE_STATE", 300_403)]
#[case::a_rule_is_a_thing_of_its_own("flag.rule.created", "TARGETING_RULE", 300_401)]
#[case::so_is_a_segment("flag.segment.removed", "SEGMENT", 300_404)]
#[case::under_a_pipeline("flag.release_pipeline.added", "RELEASE_PIPELINE", 300_406)]
#[case::access_granted("access.granted", "PROJECT_ACCESS", 300_501)]
#[case::role_granted("access.role.granted", "PROJECT_ACCESS", 300_501)]
#[case::role_created("role.created", "ROLE", 300_401)]
#[case::role_updated("role.updated", "ROLE", 300_403)]
#[case::role_deleted("role.deleted", "ROLE", 300_404)]
#[case::group_created("group.created", "GROUP", 300_606)]
#[case::group_deleted("group.deleted", "GROUP", 300_605)]
#[case::api_key_created("api_key.created", "API_KEY", 300_401)]
#[case::api_key_deleted("api_key.deleted", "API_KEY", 300_404)]
#[case::user_created("user.created", "USER", 300_101)]
#[case::user_deleted("user.deleted", "USER", 300_106)]
#[case::user_updated_has_no_activity("user.updated", "USER", 300_199)]
#[case::change_request_approved("change_request.approved", "CHANGE_REQUEST", 300_403)]
#[case::endpoint_switched_off("webhook.disabled", "FLAGTRAIL_ENDPOINT", 300_409)]
#[case::an_action_of_tomorrow("teapot.boiled.over", "TEAPOT", 300_499)]
fn each_action_has_the_class_and_activity_that_fits(
    #[case] action: &str,
    #[case] object_type: &str,
    #[case] type_uid: u32,
) {
    let record = record(full_with(json!({"action": action, "related_object_type": object_type})));
    let event = event(&record);
    assert_eq!(event["type_uid"], type_uid);
    assert_eq!(classify(&record).type_uid(), type_uid);
    assert_eq!(
        event["class_uid"].as_u64().unwrap() * 100 + event["activity_id"].as_u64().unwrap(),
        u64::from(type_uid)
    );
}

#[rstest]
#[case(json!({"fields": [{"field": "enabled", "before": false, "after": true}]}), Activity::Enable)]
#[case(json!({"fields": [{"field": "enabled", "before": true, "after": false}]}), Activity::Disable)]
#[case(json!({"after": {"enabled": false}}), Activity::Disable)]
#[case(json!({"fields": [{"field": "state", "before": "a", "after": "b"}]}), Activity::Update)]
#[case(Value::Null, Activity::Update)]
fn a_flag_is_switched_on_or_off_where_the_record_says_which(
    #[case] change: Value,
    #[case] activity: Activity,
) {
    let record = record(full_with(json!({"change": change})));
    assert_eq!((classify(&record).class, classify(&record).activity), (Class::EntityManagement, activity));
}

#[rstest]
#[case("user", "removed", 300_502)]
#[case("group", "granted", 300_601)]
#[case("group", "removed", 300_602)]
#[case("user", "snapshot", 300_599)]
fn access_goes_by_whom_it_is_about_and_what_became_of_it(
    #[case] subject: &str,
    #[case] effect: &str,
    #[case] type_uid: u32,
) {
    let mut access = full()["access"].clone();
    access["subject"]["type"] = json!(subject);
    access["effect"] = json!(effect);
    let event = event(&record(full_with(json!({"action": "access.role.granted", "access": access}))));
    assert_eq!(event["type_uid"], type_uid);
    assert_eq!(event["privileges"], json!(["role:access-role"]));
}

#[test]
fn an_event_says_who_what_where_and_keeps_the_record_itself() {
    let record = record(full());
    let event = event(&record);
    let raw = std::str::from_utf8(record.canonical()).unwrap();
    assert_eq!(event["raw_data"], raw);
    assert_eq!(event["metadata"]["version"], "1.8.0");
    assert_eq!(event["metadata"]["uid"], "record-id");
    assert_eq!(event["metadata"]["sequence"], 41);
    assert_eq!(event["metadata"]["tenant_uid"], "organisation-id");
    assert_eq!(event["metadata"]["product"], json!({"name": "elsewhere", "uid": "source-name"}));
    assert_eq!(event["actor"]["user"]["email_addr"], "author@example.com");
    assert_eq!(event["src_endpoint"]["ip"], "192.0.2.77");
    assert_eq!(event["time"], 1_787_333_457_006_u64);
    assert_eq!(event["entity"]["type"], "Feature Flag");
    assert_eq!(event["entity"]["uid"], "flag-id");
    assert_eq!(event["entity"]["data"]["value"], "before-value");
    assert_eq!(event["entity_result"]["data"]["value"], "after-value");
    assert_eq!(event["comment"], "the-reason");
    assert_eq!(event["unmapped"]["environment"]["key"], "environment-key");
    assert_eq!(event["unmapped"]["partition"], 3);
}

#[test]
fn what_a_platform_does_not_prove_of_a_change_is_said_beside_it() {
    let unmapped = event(&record(full()))["unmapped"].clone();
    assert_eq!(unmapped["changed_fields"][0]["field"], "changed-field");
    assert_eq!(unmapped["unproven_before"], true);
    assert_eq!(unmapped["unproven_fields"], json!([{"field": "unproven-field", "before": 1, "after": 2}]));
    let proven = json!({"change": {"fields": [{"field": "enabled", "before": false, "after": true}]}});
    let unmapped = event(&record(full_with(proven)))["unmapped"].clone();
    assert_eq!((unmapped.get("unproven_before"), unmapped.get("unproven_fields")), (None, None));
}

#[test]
fn what_failed_and_what_went_past_approval_stands_out() {
    let failed = event(&record(full_with(json!({"action": "change_request.failed"}))));
    assert_eq!((&failed["status"], &failed["severity"]), (&json!("Failure"), &json!("Low")));
    let bypassed = event(&record(full_with(json!({"approval": {"bypassed": true}}))));
    assert_eq!((&bypassed["status"], &bypassed["severity"]), (&json!("Success"), &json!("Medium")));
}

#[test]
fn what_ocsf_would_not_take_for_an_address_is_left_to_the_raw_record() {
    let odd = json!({
        "author": {"type": "user", "email": "somebody, somewhere"},
        "request": {"ip": "behind a proxy"},
    });
    let event = event(&record(full_with(odd)));
    assert_eq!(event["actor"]["user"]["name"], "somebody, somewhere");
    assert!(
        event["actor"]["user"].get("email_addr").is_none() && event.get("src_endpoint").is_none(),
        "{event}"
    );
}
