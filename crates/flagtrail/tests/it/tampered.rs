//! What was done to an archive or to a log behind the product's back is said by `flagtrail verify`, of the folder and of the
//! server that runs on it.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, Node, http};

/// How long records may take until they are sealed, on a busy machine.
const SEALED_WITHIN: Duration = Duration::from_secs(180);

/// What one record says, and what it is made to say: as long, so that nothing else of the file is moved.
const SAID: &str = "first-light";
const MADE_TO_SAY: &str = "first-night";

fn append(node: &Node, ids: Range<usize>) {
    let record = |id: usize| {
        let log = if id == 7 { SAID } else { "switched on" };
        json!({
            "id": format!("r{id}"), "action": "flag.state.changed", "log": log, "author": {"type": "user", "id": "7"},
            "project": {"key": "shop"}, "flag": {"key": "checkout"}, "related_object_type": "FEATURE",
        })
    };
    let file = node.dir.join("records.json");
    std::fs::write(&file, json!(ids.map(record).collect::<Vec<_>>()).to_string()).unwrap();
    node.command(&["append", file.to_str().unwrap()]);
}

/// Keeps a checkpoint that covers so many leaves; returns the path of its file.
async fn kept(node: &Node, name: &str, size: u64) -> String {
    let note = wait::some(SEALED_WITHIN, "a checkpoint of what was appended", || async {
        let asked = http().get(format!("{}/v1/checkpoints", node.admin)).bearer_auth(ADMIN_TOKEN);
        let listed: Value = asked.send().await.ok()?.json().await.ok()?;
        let head = listed["checkpoints"].as_array()?.first()?;
        let note = head["note"].as_str()?.to_owned();
        (head["size"].as_u64()? >= size).then_some(note)
    })
    .await;
    let file = node.dir.join(name);
    std::fs::write(&file, note).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Puts `with` in the place of `text`, which is as long, in the files of a folder.
fn replace(folder: &Path, text: &str, with: &str) {
    let mut replaced = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let windows = bytes.windows(text.len()).enumerate();
        let places: Vec<usize> =
            windows.filter(|(_, window)| *window == text.as_bytes()).map(|(place, _)| place).collect();
        for place in &places {
            bytes[*place..place + with.len()].copy_from_slice(with.as_bytes());
        }
        replaced += places.len();
        std::fs::write(path, bytes).unwrap();
    }
    assert!(replaced > 0, "{text} stands in {}", folder.display());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// `verify` does not pass, and a line of it says so in these words.
fn is_wrong(node: &Node, what: &[&str], words: &str) {
    let output = node.try_command(&[&["verify"][..], what].concat());
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{what:?}: {told}");
    let is_said = |line: &str| line.starts_with("WRONG") && line.contains(words);
    assert!(told.lines().any(is_said), "{what:?}, {words}: {told}");
}

#[tokio::test]
async fn an_altered_archive_and_a_log_that_was_put_back_are_named_of_the_folder_and_of_the_server() {
    let root = tempfile::tempdir().unwrap();
    let settings = "[log]\npartitions = 1\n[seal]\ninterval = \"1ms\"\n";
    let mut node = Node::new(root.path(), "one", &["up"], settings);
    let (data, archive) = (node.dir.join("data"), node.dir.join("data/archive"));
    let (server, folder) = (node.admin.clone(), archive.to_str().unwrap().to_owned());
    node.start();
    node.ready().await;
    append(&node, 0..20);
    let earlier = kept(&node, "earlier", 20).await;
    node.command(&["verify", &server, "--leaves", "--against", &earlier]);
    node.stop();

    // One file for each partition, and nothing beside it that SQLite would prefer.
    let plain = node.dir.join("plain");
    node.command(&["archive", "backup", plain.to_str().unwrap()]);
    std::fs::remove_dir_all(&archive).unwrap();
    copy(&plain, &archive);
    replace(&archive, SAID, MADE_TO_SAY);
    node.start();
    node.ready().await;
    kept(&node, "of-the-altered", 20).await;
    is_wrong(&node, &[&folder], "the body is not the one that was archived");
    is_wrong(&node, &[&server, "--leaves"], "its leaves do not lead to the root that was signed");
    node.stop();

    std::fs::remove_dir_all(&archive).unwrap();
    copy(&plain, &archive);
    let backup = node.dir.join("backup");
    copy(&data, &backup);
    node.start();
    node.ready().await;
    append(&node, 20..80);
    let later = kept(&node, "later", 80).await;
    node.command(&["verify", &folder, "--against", &later]);
    node.stop();

    // Everything is put back as it was, as if nothing had come since.
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    node.start();
    node.ready().await;
    kept(&node, "of-the-former", 20).await;
    node.command(&["verify", &server, "--against", &earlier]);
    is_wrong(&node, &[&server, "--against", &later], "the log was truncated");
    is_wrong(&node, &[&folder, "--against", &later], "it is behind, or the log was truncated");
    node.stop();
}
