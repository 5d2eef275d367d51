//! The clients in other languages read what is in order, and the one that checks finds what is not.
//!
//! The messages are made here by Kafka's own producer: whether Flagtrail's are in order is for tests that run Flagtrail.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use flagtrail_testkit::{
    clients::Clients,
    kafka::{self, Cluster},
    process::Process,
    wait,
};

/// The topic that the programs which subscribe name.
const TOPIC: &str = "flagtrail.records";

/// Long enough for a JVM that compiles its program on a busy machine.
const SOON: Duration = Duration::from_secs(240);

const RECORD: &str = r#"{"id":"r-1","schema_version":1,"action":"flag.created","log":"Flag checkout created","occurred_at":"2026-11-21T10:00:00.000001Z","recorded_at":"2026-11-21T10:00:00.100000Z","author":{"type":"user","email":"ada@example.com"},"organisation":{"key":"acme"},"project":{"id":"1"},"flag":{"key":"checkout"},"related_object_type":"FEATURE","related_object":{"id":"4"},"source":{"name":"web","system":"flagsmith","event":"AUDIT_LOG_CREATED","received_at":"2026-11-21T10:00:00.000001Z","authenticated":"signature"}}"#;

const HEADERS: &str =
    "ce_specversion:1.0,ce_id:r-1,ce_type:flag.created,ce_source:/acme/web,content-type:application/json";

/// Sends messages of headers, key and value.
fn produce(cluster: &Cluster, topic: &str, messages: &[(&str, &str)]) {
    let lines: String =
        messages.iter().map(|(headers, value)| format!("{headers}\tacme/web/1\t{value}\n")).collect();
    let arguments = ["--topic", topic, "--property", "parse.headers=true", "--property", "parse.key=true"];
    cluster.run_tool_with_input("org.apache.kafka.tools.ConsoleProducer", &arguments, &lines).unwrap();
}

fn validate(clients: &Clients, cluster: &Cluster, topic: &str) -> Output {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/audit-record.v1.schema.json");
    clients.python("validate.py").arg(cluster.bootstrap()).arg(topic).arg(schema).output().unwrap()
}

#[test]
fn every_program_that_subscribes_prints_the_flag_that_changed() {
    let (Some(_), Some(clients)) = (kafka::available(), Clients::available()) else { return };
    let cluster = Cluster::start(1).unwrap();
    cluster.create_topic(TOPIC, 3, &[]).unwrap();
    let other = RECORD.replace("flag.created", "project.created");
    produce(&cluster, TOPIC, &[(HEADERS, &other), (HEADERS, RECORD)]);
    let programs: [(&str, Command); 3] = [
        ("python", clients.python("subscribe.py")),
        ("node", clients.node("subscribe.js")),
        ("java", clients.java("Subscribe.java").unwrap()),
    ];
    for (language, mut program) in programs {
        let directory = tempfile::tempdir().unwrap();
        program.env("KAFKA", cluster.bootstrap());
        let process = Process::start(language, &program, &directory.path().join("log")).unwrap();
        wait::blocking(SOON, &format!("the flag in what {language} prints"), || {
            process.log_tail().contains("Flag checkout created")
        });
        assert!(!process.log_tail().contains("project.created"), "{}", process.log_tail());
    }
}

#[test]
fn the_program_that_validates_passes_what_is_in_order_and_names_what_is_not() {
    let (Some(_), Some(clients)) = (kafka::available(), Clients::available()) else { return };
    let cluster = Cluster::shared();
    let topic = kafka::unique("validated");
    cluster.create_topic(&topic, 1, &[]).unwrap();
    produce(cluster, &topic, &[(HEADERS, RECORD)]);
    let output = validate(&clients, cluster, &topic);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);

    let undated = RECORD.replace("2026-11-21T10:00:00.100000Z", "yesterday");
    let wrong = [
        (HEADERS.replace("ce_id:r-1", "ce_id:r-2"), RECORD, "ce_id"),
        (HEADERS.replace("ce_specversion:1.0,", ""), RECORD, "ce_specversion is missing"),
        (HEADERS.to_owned(), undated.as_str(), "$.recorded_at"),
        (HEADERS.to_owned(), "no record", "no JSON"),
    ];
    let messages: Vec<(&str, &str)> =
        wrong.iter().map(|(headers, value, _)| (headers.as_str(), *value)).collect();
    produce(cluster, &topic, &messages);
    let output = validate(&clients, cluster, &topic);
    assert_eq!(output.status.code(), Some(1));
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    for (offset, (_, _, complaint)) in (1..).zip(&wrong) {
        let named = |line: &str| {
            line.starts_with(&format!("partition 0 offset {offset}:")) && line.contains(complaint)
        };
        assert!(complaints.lines().any(named), "no {complaint} at offset {offset} in:\n{complaints}");
    }
    assert!(!complaints.contains("offset 0:"), "{complaints}");
}
