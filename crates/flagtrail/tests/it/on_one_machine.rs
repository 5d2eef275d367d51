//! `flagtrail up` and `flagtrail demo` with nothing installed.

use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, Node, flagtrail, http};

#[test]
fn the_demo_shows_the_whole_job_and_ends_with_what_to_do_next() {
    let dir = tempfile::tempdir().unwrap();
    let output = flagtrail().arg("demo").current_dir(dir.path()).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    for told in [
        "who changed the flag checkout?",
        "grace@example.com",
        "signature checked",
        "linus@example.com",
        "data directory",
        "admin.token",
        "flagtrail up",
        "flagtrail source create",
        "flagtrail tail",
    ] {
        assert!(shown.contains(told), "{told:?} is missing in:\n{shown}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "");
    node.start();
    node.ready().await;
    let record = json!({
        "action": "flag.state.changed", "log": "switched on", "author": {"type": "user", "email": "ada@example.com"},
        "project": {"key": "shop"}, "flag": {"key": "checkout"}, "related_object_type": "FEATURE",
    });
    let answer = http()
        .post(format!("{}/v1/records", node.admin))
        .bearer_auth(ADMIN_TOKEN)
        .json(&record)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    let id = answer.json::<Value>().await.unwrap()["records"][0]["id"].as_str().unwrap().to_owned();
    node.kill();
    node.start();
    node.ready().await;
    let export = root.path().join("export");
    node.command(&["export", "--flag", "checkout", "--out", export.to_str().unwrap()]);
    let payload = "data/records-00001.ndjson";
    let records = std::fs::read_to_string(export.join(payload)).unwrap();
    assert!(records.contains(&id));

    // The server keeps it: it can be looked at, fetched again and deleted.
    let listed = node.json(&["export", "list"]);
    let job = listed["exports"][0]["id"].as_str().unwrap();
    assert!(node.command(&["export", "list"]).contains(job));
    assert!(node.command(&["export", "show", job]).contains("\"complete\": true"));
    let again = root.path().join("again");
    node.command(&["export", "resume", job, "--out", again.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(again.join(payload)).unwrap(), records);
    assert_eq!(node.try_command(&["export", "--out", again.to_str().unwrap()]).status.code(), Some(64));
    assert_eq!(node.try_command(&["export"]).status.code(), Some(64));
    node.command(&["export", "delete", job]);
    assert_eq!(node.try_command(&["export", "show", job]).status.code(), Some(1));
    node.stop();
}

#[test]
fn a_wrong_command_line_or_configuration_is_exit_64_and_names_the_thing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("flagtrail.toml"), "[hooks]\nlisen = \"127.0.0.1:1\"\n").unwrap();
    let output = flagtrail().arg("up").current_dir(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("lisen"));
    assert_eq!(flagtrail().arg("upp").output().unwrap().status.code(), Some(64));
}

#[test]
fn no_server_is_exit_69_and_says_how_to_start_one() {
    let dir = tempfile::tempdir().unwrap();
    let output = flagtrail()
        .args(["--server", "http://127.0.0.1:9", "--token", "x", "query"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("flagtrail up"));
}
