//! An export passes as it was written, and every change to it is found and named. The exports here are made by
//! hand: what `audit-export` writes is checked in its own tests.

use std::fs;
use std::path::Path;

use audit_verify::{Report, verify_export};
use serde_json::json;
use sha2::{Digest, Sha256};

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn record(id: &str) -> String {
    json!({
        "id": id, "schema_version": 1, "action": "flag.state.changed", "log": "switched on", "occurred_at": "2026-01-02T03:04:05Z",
        "recorded_at": "2026-01-02T03:04:06Z", "author": {"type": "unknown"}, "organisation": {"key": "acme"}, "project": {"key": "shop"},
        "related_object_type": "FEATURE",
        "source": {"name": "s", "system": "native", "event": "e", "received_at": "2026-01-02T03:04:06Z", "authenticated": "token"},
    })
    .to_string()
}

/// Writes an export of two records, and its checksums over what `alter` leaves.
fn export(dir: &Path, alter: impl FnOnce(&mut String, &mut serde_json::Value)) {
    let mut payload = format!("{}\n{}\n", record("a"), record("b"));
    let original = payload.clone();
    let mut manifest = json!({
        "version": 1, "format": "ndjson", "records": 2,
        "files": [{"path": "data/records-00001.ndjson", "bytes": original.len(), "sha256": sha256(&original), "records": 2}],
        "partitions": [{"partition": 0, "start": 0, "end": 2, "complete": true, "records": 2}],
    });
    alter(&mut payload, &mut manifest);
    fs::create_dir_all(dir.join("data")).unwrap();
    fs::write(dir.join("data/records-00001.ndjson"), &payload).unwrap();
    let sums = format!("{}  data/records-00001.ndjson\n", sha256(&payload));
    let frame = [
        ("bagit.txt", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n".to_owned()),
        ("manifest.json", manifest.to_string()),
        ("manifest-sha256.txt", sums),
    ];
    let mut tags = String::new();
    for (name, text) in frame {
        fs::write(dir.join(name), &text).unwrap();
        tags += &format!("{}  {name}\n", sha256(text));
    }
    fs::write(dir.join("tagmanifest-sha256.txt"), tags).unwrap();
}

fn check(change: impl FnOnce(&Path)) -> Report {
    let dir = tempfile::tempdir().unwrap();
    export(dir.path(), |_, _| {});
    change(dir.path());
    verify_export(dir.path()).unwrap()
}

fn found(report: &Report, file: &str, words: &str) {
    let hit = report.findings.iter().any(|finding| finding.file == file && finding.problem.contains(words));
    assert!(hit, "{file}: {words}, not in {:?}", report.findings);
}

#[test]
fn an_export_as_it_was_written_passes_and_says_what_is_only_asserted() {
    let report = check(|_| {});
    assert!(report.passes(), "{:?}", report.findings);
    assert!(
        report.proven[0].contains("2 records")
            && report.asserted.iter().any(|said| said.contains("not signed"))
    );
}

#[test]
fn one_altered_byte_is_found_and_named() {
    let report = check(|dir| {
        let file = dir.join("data/records-00001.ndjson");
        let altered = fs::read_to_string(&file).unwrap().replacen("switched on", "switched 0n", 1);
        fs::write(&file, altered).unwrap();
    });
    found(&report, "data/records-00001.ndjson", "was altered");
}

#[test]
fn a_missing_file_and_a_file_nobody_lists_are_found() {
    let report = check(|dir| {
        fs::rename(dir.join("data/records-00001.ndjson"), dir.join("data/other.ndjson")).unwrap();
    });
    found(&report, "data/records-00001.ndjson", "can't be read");
    found(&report, "data/other.ndjson", "no checksum names it");
}

#[test]
fn a_forged_manifest_is_found_although_the_payload_is_untouched() {
    let report = check(|dir| {
        let file = dir.join("manifest.json");
        let forged = fs::read_to_string(&file).unwrap().replace("\"records\":2", "\"records\":1");
        fs::write(&file, forged).unwrap();
    });
    found(&report, "manifest.json", "was altered");
    found(&report, "data/records-00001.ndjson", "holds 2 records, the manifest says 1");
}

#[test]
fn a_record_taken_out_with_all_checksums_made_anew_is_found_by_the_counts() {
    let dir = tempfile::tempdir().unwrap();
    export(dir.path(), |payload, manifest| {
        *payload = format!("{}\n", record("a"));
        manifest["files"][0]["sha256"] = json!(sha256(&*payload));
        manifest["files"][0]["bytes"] = json!(payload.len());
    });
    found(
        &verify_export(dir.path()).unwrap(),
        "data/records-00001.ndjson",
        "holds 1 records, the manifest says 2",
    );
}

#[test]
fn a_file_emptied_with_all_checksums_made_anew_is_found_by_the_counts() {
    let dir = tempfile::tempdir().unwrap();
    export(dir.path(), |payload, manifest| {
        payload.clear();
        manifest["files"][0]["sha256"] = json!(sha256(""));
        manifest["files"][0]["bytes"] = json!(0);
    });
    let report = verify_export(dir.path()).unwrap();
    found(&report, "data/records-00001.ndjson", "holds 0 records, the manifest says 2");
    assert!(report.proven.is_empty(), "{:?}", report.proven);
}

#[test]
fn after_a_line_that_is_no_record_the_others_are_counted_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    export(dir.path(), |payload, manifest| {
        *payload = "{}\n".to_owned() + &(record("b") + "\n").repeat(2_000);
        manifest["records"] = json!(2_001);
        manifest["partitions"][0]["records"] = json!(2_001);
        manifest["files"][0]["records"] = json!(2_001);
        manifest["files"][0]["sha256"] = json!(sha256(&*payload));
        manifest["files"][0]["bytes"] = json!(payload.len());
    });
    let findings = verify_export(dir.path()).unwrap().findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].problem.starts_with("line 1:"), "{findings:?}");
}

#[test]
fn a_tag_manifest_that_names_nothing_vouches_for_nothing() {
    let report = check(|dir| fs::write(dir.join("tagmanifest-sha256.txt"), "").unwrap());
    found(&report, "manifest.json", "is not named by tagmanifest-sha256.txt");
}

#[test]
fn a_line_that_is_no_record_and_a_line_cut_short_are_found() {
    let altered = |text: &str| {
        let dir = tempfile::tempdir().unwrap();
        export(dir.path(), |payload, _| payload.push_str(text));
        verify_export(dir.path()).unwrap()
    };
    found(&altered("{}\n"), "data/records-00001.ndjson", "line 3");
    found(&altered("{\"id\""), "data/records-00001.ndjson", "middle of a line");
}

#[test]
fn a_partition_that_is_not_complete_fails_the_check() {
    let dir = tempfile::tempdir().unwrap();
    export(dir.path(), |_, manifest| manifest["partitions"][0]["complete"] = json!(false));
    found(&verify_export(dir.path()).unwrap(), "manifest.json", "partition 0 is not complete");
}

#[test]
fn a_path_that_leads_out_of_the_export_is_not_followed() {
    let report = check(|dir| {
        let sums = fs::read_to_string(dir.join("manifest-sha256.txt")).unwrap();
        fs::write(dir.join("manifest-sha256.txt"), sums + &format!("{}  ../../etc/passwd\n", "0".repeat(64)))
            .unwrap();
    });
    found(&report, "../../etc/passwd", "leads out of the export");
}

#[test]
fn a_folder_without_a_manifest_is_no_export() {
    let dir = tempfile::tempdir().unwrap();
    assert!(verify_export(dir.path()).unwrap_err().to_string().contains("holds no export"));
}
