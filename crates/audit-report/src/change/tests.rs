//! The rule over what Flagsmith really sent, and over planted records.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use audit_dialect::{HookRequest, Platform, SourceContext, translate};
use audit_record::{AuditRecord, Authenticated, Draft, Ref, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::assemble::{Change, ChangeType, assemble};
use super::trace::Trace;
use crate::compliance::Compliance;
use crate::pattern::Pattern;

/// The records of the recorded requests, each under the number of the recording that it first came in.
fn recorded(numbers: Option<&[&str]>) -> BTreeMap<String, AuditRecord> {
    let mut seen = BTreeSet::new();
    let mut records = BTreeMap::new();
    for path in recordings() {
        let number = path.file_name().unwrap().to_string_lossy()[..3].to_owned();
        if numbers.is_some_and(|numbers| !numbers.contains(&number.as_str())) {
            continue;
        }
        let recording: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let translated = of_recording(&recording);
        for record in translated.into_iter().filter(|record| seen.insert(record.id().to_owned())) {
            records.insert(number.clone(), record);
        }
    }
    records
}

fn recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/flagsmith");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files
        .retain(|file| file.file_name().unwrap().to_string_lossy().starts_with(|c: char| c.is_ascii_digit()));
    files.sort();
    files
}

fn of_recording(recording: &Value) -> Vec<AuditRecord> {
    let received_at = Timestamp::parse(recording["received_at"].as_str().unwrap()).unwrap();
    let hints = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let query = if recording["path"] == "/flagsmith/env-ver-signed" {
        hints(&[("project", "1"), ("environment", "5"), ("environment_name", "Versioned")])
    } else {
        Vec::new()
    };
    let source = SourceContext {
        name: "main",
        organisation: &Ref::by_key("acme"),
        project: None,
        environment: None,
        authenticated: Authenticated::Signature,
        namespace: Uuid::from_u128(7),
        redact_keep: &[],
    };
    let body = recording["body"].as_str().unwrap();
    let request =
        HookRequest { method: "POST", query: &query, headers: &[], body: body.as_bytes(), received_at };
    let drafts =
        translate(Platform::Flagsmith, &source, &request).map(|done| done.drafts).unwrap_or_default();
    let finish = |mut draft: Draft| {
        draft.id.get_or_insert_with(|| Uuid::new_v5(&Uuid::nil(), body.as_bytes()).to_string());
        draft.recorded_at = Some(received_at);
        AuditRecord::try_new(draft).unwrap()
    };
    drafts.into_iter().map(finish).collect()
}

/// The changes of records, in production wherever they are.
fn changes(records: &[&AuditRecord]) -> Vec<Change> {
    let compliance = Compliance { production: vec![Pattern::try_new("*").unwrap()], ..Compliance::default() };
    changes_under(records, &compliance)
}

fn changes_under(records: &[&AuditRecord], compliance: &Compliance) -> Vec<Change> {
    let mut flags = Vec::new();
    let mut requests = Vec::new();
    for (seq, record) in (0..).zip(records) {
        let trace = Trace::new(record, 0, seq);
        match record.action().as_str().split('.').next() {
            Some("flag") => flags.push(trace),
            Some("change_request") => requests.push(trace),
            _ => {}
        }
    }
    flags.sort_by_key(|trace| (trace.at, trace.seq));
    requests.sort_by_key(|trace| (trace.at, trace.seq));
    assemble(&flags, &requests, compliance)
}

/// The changes of these recordings, each as the recordings that it is made of.
fn side_by_side(numbers: &[&str]) -> Vec<Vec<String>> {
    let records = recorded(Some(numbers));
    let number_of = |id: &String| records.iter().find(|(_, record)| record.id() == id).unwrap().0.clone();
    let changes = changes(&records.values().collect::<Vec<_>>());
    changes
        .iter()
        .map(|change| {
            let mut numbers: Vec<String> = change.record_ids.iter().map(number_of).collect();
            numbers.sort();
            numbers
        })
        .collect()
}

#[test]
fn one_save_of_state_and_value_is_one_change() {
    assert_eq!(side_by_side(&["105", "108", "110"]), [["105", "108", "110"]]);
    assert_eq!(side_by_side(&["128", "129", "132"]), [["128", "129", "132"]]);
    assert_eq!(side_by_side(&["461", "466", "469"]), [["461", "466", "469"]]);
}

#[test]
fn a_state_that_came_twice_and_on_two_webhooks_is_one_record_of_one_change() {
    assert_eq!(side_by_side(&["080", "082", "085", "087"]), [["080", "085"]]);
}

#[test]
fn an_override_of_a_segment_or_an_identity_is_one_change_apart_from_the_flags_own() {
    assert_eq!(side_by_side(&["178", "182", "183", "185"]), [["178", "182", "183"]]);
    assert_eq!(side_by_side(&["491", "492", "497"]), [["491", "492", "497"]]);
    assert_eq!(side_by_side(&["736", "741", "743", "748"]), [["741", "743"], ["736", "748"]]);
}

#[test]
fn quick_saves_stay_apart_although_both_show_the_last_state() {
    assert_eq!(side_by_side(&["697", "700", "703", "706"]), [vec!["700"], vec!["697", "706"]]);
}

#[test]
fn a_new_flag_is_one_change_in_each_environment_with_the_entry_above_them_as_evidence() {
    let expected = [vec!["768", "771"], vec!["768", "772", "773"]];
    assert_eq!(side_by_side(&["768", "771", "772", "773"]), expected);
}

#[test]
fn an_edited_segment_is_one_change_although_it_also_reads_like_a_new_one() {
    assert_eq!(side_by_side(&["174", "177"]), [["174", "177"]]);
    let records = recorded(Some(&["174", "177"]));
    let changes = changes(&records.values().collect::<Vec<_>>());
    assert_eq!(changes[0].action, "flag.segment.changed");
    assert_eq!(side_by_side(&["164"]), [["164"]], "a new segment is one");
}

#[test]
fn a_deleted_flag_is_dated_by_its_entry_and_not_by_the_change_before() {
    let numbers = ["784", "786", "787", "788"];
    assert_eq!(side_by_side(&numbers), [vec!["784", "786", "788"], vec!["787", "788"]]);
    let records = recorded(Some(&numbers));
    let changes = changes(&records.values().collect::<Vec<_>>());
    assert_eq!(changes[0].applied_at, records["786"].occurred_at());
    assert!(changes[0].old.is_some(), "what is gone stands in FLAG_DELETED");
}

#[test]
fn a_published_version_is_one_change_with_its_states_and_its_uuid() {
    assert_eq!(side_by_side(&["410", "411", "413", "414"]), [["410", "413", "414"]]);
    assert_eq!(side_by_side(&["416", "417", "420"]), [["416", "420"]]);
}

#[test]
fn a_change_request_that_was_committed_is_one_change_with_who_asked_and_who_approved() {
    let records = recorded(Some(&["629", "631", "633", "635", "636"]));
    let changes = changes(&records.values().collect::<Vec<_>>());
    assert_eq!(changes.len(), 1);
    let change = &changes[0];
    assert_eq!(change.kind, ChangeType::Standard);
    assert_eq!(change.author.shown(), "ada.owner@example.com");
    let approvers: Vec<_> = change.approvers_in_time().iter().map(|approval| approval.who.shown()).collect();
    assert_eq!(approvers, ["bob.dev@example.com"]);
    assert_eq!(change.applied_at, records["633"].occurred_at(), "not when its draft was saved");
    assert_eq!(change.requested_at, Some(records["629"].occurred_at()));
    assert!(change.new.as_ref().is_some_and(|new| new.contains("by cr")), "{:?}", change.new);
    assert_eq!(change.record_ids.len(), 4, "the entry, the state, and both records of the request");
}

#[test]
fn of_all_recordings_every_record_of_a_flag_is_in_a_change_and_only_entries_above_environments_in_several() {
    let records = recorded(None);
    let all: Vec<&AuditRecord> = records.values().collect();
    let changes = changes(&all);
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for id in changes.iter().flat_map(|change| &change.record_ids) {
        *times.entry(id).or_default() += 1;
    }
    for record in all.iter().filter(|record| record.action().as_str().starts_with("flag.")) {
        let times = times.get(record.id()).copied().unwrap_or(0);
        let is_above = record.draft().environment.is_none();
        assert!(
            times == 1 || times > 1 && is_above,
            "{} is in {times} changes: {}",
            record.id(),
            record.log()
        );
    }
    let flags = all.iter().filter(|record| record.action().as_str().starts_with("flag.")).count();
    assert!(changes.len() < flags, "{} changes of {flags} records", changes.len());
}

/// A record of a program of one's own, with the fields of `over` replaced.
fn native(id: &str, minute: u32, over: Value) -> AuditRecord {
    let at = format!("2026-09-30T12:{minute:02}:00Z");
    let mut fields = json!({
        "id": id, "action": "flag.value.changed", "log": "The value of checkout was changed", "occurred_at": at,
        "recorded_at": at, "author": {"type": "user", "email": "ada@example.com"}, "organisation": {"key": "acme"},
        "project": {"key": "shop"}, "environment": {"key": "production"}, "flag": {"key": "checkout"},
        "related_object_type": "FEATURE_STATE",
        "source": {"name": "own", "system": "native", "event": "e", "received_at": at, "authenticated": "token"},
    });
    fields.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
    AuditRecord::try_new(Draft::from_value(fields).unwrap()).unwrap()
}

fn request(id: &str, minute: u32, action: &str, who: &str, over: Value) -> AuditRecord {
    let mut fields = json!({
        "action": format!("change_request.{action}"), "related_object_type": "CHANGE_REQUEST",
        "related_object": {"id": "cr-1"}, "author": {"type": "user", "email": who},
        "approval": {"change_request_id": "cr-1"},
    });
    fields.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
    native(id, minute, fields)
}

fn by_request(minute: u32, over: Value) -> AuditRecord {
    let mut fields = json!({"approval": {"change_request_id": "cr-1"}});
    fields.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
    native("applied", minute, fields)
}

/// The rules that planted records break.
fn broken(records: &[AuditRecord]) -> Vec<&'static str> {
    let compliance = Compliance::default();
    let changes = changes_under(&records.iter().collect::<Vec<_>>(), &compliance);
    assert_eq!(changes.len(), 1);
    crate::reports::breaches(&changes[0], &compliance)
}

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

#[test]
fn a_change_that_another_person_approved_in_time_breaks_no_rule() {
    let created = request("1", 0, "created", ADA, json!({}));
    let approved = request("2", 1, "approved", BOB, json!({}));
    assert!(broken(&[created, approved, by_request(2, json!({}))]).is_empty());
}

#[test]
fn each_rule_is_broken_by_what_it_says_and_by_nothing_else() {
    let created = || request("1", 0, "created", ADA, json!({}));
    let approved = |minute, who| request("2", minute, "approved", who, json!({}));
    let committed = |who| request("3", 2, "committed", who, json!({}));
    let applied = || by_request(2, json!({"author": {"type": "system"}}));
    let own = [created(), approved(1, "ADA@example.com"), applied()];
    assert_eq!(broken(&own), ["author=approver"]);
    assert_eq!(broken(&[created(), approved(1, BOB), committed(BOB), applied()]), ["applier sole approver"]);
    assert_eq!(broken(&[created(), approved(5, BOB), applied()]), ["approval after apply"]);
    assert_eq!(broken(&[created(), applied()]), ["no approval"]);
    let updated = request("4", 2, "updated", ADA, json!({}));
    let changed = [created(), approved(1, BOB), updated, by_request(3, json!({}))];
    assert_eq!(broken(&changed), ["approved content != applied content"]);
    let asked = request("1", 0, "created", ADA, json!({"change": {"after": {"value": "10"}}}));
    let other = by_request(2, json!({"change": {"before": {"value": "1"}, "after": {"value": "90"}}}));
    assert_eq!(broken(&[asked, approved(1, BOB), other]), ["approved content != applied content"]);
}

#[test]
fn people_are_the_same_by_number_or_address_and_not_by_name_alone() {
    let created = request(
        "1",
        0,
        "created",
        ADA,
        json!({"author": {"type": "user", "id": "7", "email": ADA, "name": "Ada"}}),
    );
    let approved = |who: Value| request("2", 1, "approved", BOB, json!({"author": who}));
    let applied = by_request(2, json!({"author": {"type": "system"}}));
    let renamed = approved(json!({"type": "user", "id": "7", "email": "ada.new@example.com", "name": "Ada"}));
    assert_eq!(broken(&[created.clone(), renamed, applied.clone()]), ["author=approver"]);
    let namesake = approved(json!({"type": "user", "id": "8", "email": BOB, "name": "Ada"}));
    assert!(broken(&[created, namesake, applied]).is_empty());
}

#[test]
fn a_bypass_is_an_emergency_and_no_missing_approval() {
    let bypassed = native("1", 0, json!({"approval": {"bypassed": true}, "reason": "outage"}));
    let compliance = Compliance::default();
    let changes = changes_under(&[&bypassed], &compliance);
    assert_eq!(changes[0].kind, ChangeType::Emergency);
    assert!(crate::reports::breaches(&changes[0], &compliance).is_empty());
    let urgent = by_request(1, json!({"approval": {"change_request_id": "cr-1", "bypassed": true}}));
    let afterwards = request("2", 5, "approved", BOB, json!({}));
    assert!(broken(&[urgent, afterwards]).is_empty(), "looked at afterwards, it is a reviewed emergency");
}

#[test]
fn approvals_in_the_record_itself_count() {
    let over = json!({"approval": {"approvers": [{"type": "user", "email": BOB}]}});
    assert!(broken(&[native("1", 0, over)]).is_empty());
    assert_eq!(broken(&[native("1", 0, json!({}))]), ["no approval"]);
}

#[test]
fn what_puts_back_the_change_before_says_so() {
    let change = |before: &str, after: &str| {
        json!({"change": {"before": {"value": before}, "after": {"value": after},
        "fields": [{"field": "value", "before": before, "after": after}]}})
    };
    let first = native("1", 0, change("a", "b"));
    let second = native("2", 1, change("b", "a"));
    let third = native("3", 2, change("a", "c"));
    let changes = changes(&[&first, &second, &third]);
    let rollbacks: Vec<_> = changes.iter().map(|change| change.rollback_of.as_deref()).collect();
    assert_eq!(rollbacks, [None, Some("1"), None]);
}
