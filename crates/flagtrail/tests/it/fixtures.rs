//! Real traffic through the front door: every recorded request, out of the topic, the archive and the export.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flagtrail_testkit::clients::Clients;
use flagtrail_testkit::kafka::{self, Cluster};
use flagtrail_testkit::wait;
use serde_json::Value;

use crate::harness::{ADMIN_TOKEN, Node, PATIENT_APPENDS, http};

/// How long what is on the log may take to be seen there, on a machine busy with other tests.
const SEEN_WITHIN: Duration = Duration::from_secs(180);

/// The secrets of the recorded Flagsmith webhooks (tests/fixtures/README.md).
const FLAGSMITH_SECRETS: [&str; 5] =
    ["org-secret-1", "env-dev-sécret-✓", "env-ver-secret", "retry-secret", "test-secret"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_request_comes_out_of_the_embedded_log() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "");
    node.start();
    node.ready().await;
    all_fixtures(root.path(), &node).await;
    node.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_request_comes_out_of_kafka() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
    let root = tempfile::tempdir().unwrap();
    let prefix = kafka::unique("fixtures");
    let settings = format!(
        "[log]\nbackend = \"kafka\"\n[kafka]\nbrokers = {:?}\nprefix = \"{prefix}\"\npartitions = 3\n{PATIENT_APPENDS}",
        cluster.bootstrap()
    );
    let mut node = Node::new(root.path(), "one", &["up"], &settings);
    node.start();
    node.ready().await;
    let exported = all_fixtures(root.path(), &node).await;
    let archived = node.command(&["--json", "query", "--all"]);
    let archived: Vec<Value> = archived.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    node.stop();
    let topic = format!("{prefix}.records");
    a_client_that_knows_nothing_of_flagtrail_reads_every_record(
        &cluster.bootstrap(),
        &topic,
        &exported,
        &archived,
    );
}

/// It checks each value against the JSON Schema and each message against CloudEvents, and prints a line for each. What it
/// prints is what the export and the archive hold.
fn a_client_that_knows_nothing_of_flagtrail_reads_every_record(
    brokers: &str,
    topic: &str,
    exported: &[Value],
    archived: &[Value],
) {
    let Some(clients) = Clients::available() else { return };
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/audit-record.v1.schema.json");
    let output = clients.python("validate.py").args([brokers, topic]).arg(schema).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = String::from_utf8(output.stdout).unwrap();
    let read: Vec<Value> = read.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // What was recorded again stands there again under its id; the first is the one that counts.
    let read: BTreeMap<&str, &Value> =
        read.iter().rev().map(|line| (line["record"]["id"].as_str().unwrap(), &line["record"])).collect();
    for (place, records) in [("export", exported), ("archive", archived)] {
        for record in records {
            let id = record["id"].as_str().unwrap();
            for (field, value) in read[id].as_object().unwrap() {
                assert_eq!(&record[field], value, "{field} of {id} in the {place} and on the topic");
            }
        }
    }
    let ids = |records: &[Value]| -> BTreeSet<String> {
        records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
    };
    assert!(ids(exported).is_subset(&ids(archived)));
    let since: Vec<&Value> =
        archived.iter().filter(|record| !ids(exported).contains(record["id"].as_str().unwrap())).collect();
    let own = ["flagtrail.export.completed", "flagtrail.log.read"];
    assert!(
        since.iter().all(|record| own.contains(&record["action"].as_str().unwrap())),
        "more than the export's record of its own end, and of who read since: {since:?}"
    );
}

/// Sends every recorded request and checks what comes out; returns what was exported.
async fn all_fixtures(root: &Path, node: &Node) -> Vec<Value> {
    let urls = sources(root, node);
    let client = http();
    let (mut accepted, mut refused, mut unique) = (0, 0, BTreeSet::new());
    for (path, request) in requests() {
        let system = if path.components().any(|part| part.as_os_str() == "flagsmith") {
            "flagsmith"
        } else {
            "unleash"
        };
        let signed = header(&request, "x-flagsmith-signature").is_some();
        let url = match (system, signed) {
            ("flagsmith", true) => &urls["signed"],
            ("flagsmith", false) => &urls["unsigned"],
            _ => &urls["unleash"],
        };
        let mut sent =
            client.request(request["method"].as_str().unwrap().parse().unwrap(), format!("{url}?project=1"));
        for field in ["content-type", "x-flagsmith-signature", "authorization"] {
            if let Some(value) = header(&request, field) {
                sent = sent.header(field, value);
            }
        }
        let answer = sent.body(body(&request)).send().await.unwrap();
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap();
        match status.as_u16() {
            // 202: the log was slow, so it goes by way of the spool.
            200 | 202 => {
                assert_eq!(answer["spooled"], status == 202, "{}: {answer}", path.display());
                accepted += 1;
                unique.extend(
                    answer["records"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|record| record["id"].as_str().unwrap().to_owned()),
                );
            }
            422 => {
                // A template of the user's own that makes no JSON, or leaves out the flag.
                let is_no_event = ["not-json", "101-env-filter"];
                let name = path.to_string_lossy();
                assert!(is_no_event.iter().any(|part| name.contains(part)), "{name}: {answer}");
                refused += 1;
            }
            other => panic!("{}: {other} {answer}", path.display()),
        }
    }
    assert!(accepted > 250, "{accepted} accepted, {refused} refused");
    node.drained().await;
    // What went through the spool is to be seen a moment after it is on the log, in each partition in its own.
    wait::until(SEEN_WITHIN, "everything that was acknowledged is archived", || async {
        for id in &unique {
            let asked = client.get(format!("{}/v1/records/{id}", node.admin)).bearer_auth(ADMIN_TOKEN);
            if !asked.send().await.is_ok_and(|answer| answer.status() == 200) {
                return false;
            }
        }
        true
    })
    .await;
    let export = root.join("export");
    node.command(&["export", "--out", export.to_str().unwrap()]);
    let exported = lines(&export);
    let ids: BTreeSet<String> =
        exported.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), exported.len(), "an id stands once");
    assert!(unique.is_subset(&ids), "everything that was acknowledged is exported");
    let listed = wait::some(SEEN_WITHIN, "what was refused is kept", || async {
        let listed = node.json(&["rejected", "list", "--limit", "1000"]);
        listed["rejected"].as_array().map(Vec::len).filter(|listed| *listed >= refused)
    })
    .await;
    assert_eq!(listed, refused, "what was refused is kept once");
    who_changed_a_flag_finds_every_record_that_concerns_it(node, &exported);
    exported
}

/// Whatever the related object is: the flag's name in the sentence or the body is enough.
fn who_changed_a_flag_finds_every_record_that_concerns_it(node: &Node, exported: &[Value]) {
    let mut by_flag: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for record in exported {
        if let Some(flag) = record["flag"]["name"].as_str() {
            by_flag.entry(flag).or_default().insert(record["id"].as_str().unwrap());
        }
    }
    assert!(by_flag.contains_key("checkout_redesign"), "{:?}", by_flag.keys());
    for (flag, expected) in by_flag {
        let found = node.command(&["--json", "query", "--flag", flag, "--all"]);
        let found: Vec<Value> = found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let found: BTreeSet<&str> = found.iter().map(|record| record["id"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{flag}");
    }
}

fn sources(root: &Path, node: &Node) -> BTreeMap<&'static str, String> {
    let secrets: Vec<PathBuf> = FLAGSMITH_SECRETS
        .iter()
        .enumerate()
        .map(|(index, secret)| {
            let file = root.join(format!("secret-{index}"));
            std::fs::write(&file, secret).unwrap();
            file
        })
        .collect();
    let mut signed = vec!["source", "create", "signed", "--platform", "flagsmith", "--organisation", "acme"];
    signed.extend(secrets.iter().flat_map(|file| ["--secret-file", file.to_str().unwrap()]));
    let url = |made: Value| made["url"].as_str().unwrap().to_owned();
    BTreeMap::from([
        ("signed", url(node.json(&signed))),
        (
            "unsigned",
            url(node.json(&[
                "source",
                "create",
                "unsigned",
                "--platform",
                "flagsmith",
                "--organisation",
                "acme",
            ])),
        ),
        (
            "unleash",
            url(node.json(&[
                "source",
                "create",
                "unleash",
                "--platform",
                "unleash",
                "--organisation",
                "acme",
            ])),
        ),
    ])
}

fn requests() -> Vec<(PathBuf, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let folders = ["flagsmith", "unleash"].map(|folder| root.join(folder));
    let mut files: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| !file.file_name().unwrap().to_string_lossy().starts_with("rest-"));
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let json = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            (file, json)
        })
        .collect()
}

fn header(request: &Value, name: &str) -> Option<String> {
    let headers = request["headers"].as_array()?;
    let found = headers
        .iter()
        .find(|header| header[0].as_str().is_some_and(|found| found.eq_ignore_ascii_case(name)))?;
    Some(found[1].as_str()?.to_owned())
}

fn body(request: &Value) -> Vec<u8> {
    match request["body_base64"].as_str() {
        Some(base64) => STANDARD.decode(base64).unwrap(),
        None => request["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
    }
}

fn lines(export: &Path) -> Vec<Value> {
    let files = std::fs::read_dir(export.join("data")).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|file| file.file_name().unwrap().to_string_lossy().starts_with("records-"))
        .flat_map(|file| {
            std::fs::read_to_string(file)
                .unwrap()
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}
