//! Who had access, from the command line: a list is imported, changes follow, and a moment is asked for.

use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, Node, READY_WITHIN, http};

const LIST: &str = "\
kind,subject_id,subject_email,scope_type,scope_id,scope_name,role
user,7,ada@example.com,project,1,Shop,editor
user,8,bob@example.com,project,1,Shop,viewer
user,9,cyd@example.com,account,,,Admin
";

fn rows(node: &Node, arguments: &[&str]) -> Vec<Value> {
    let text = node.command(&[&["--json", "access"], arguments].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn append(node: &Node, subject: &str, effect: &str, at: &str) {
    let record = json!({
        "action": format!("access.{effect}"), "log": format!("access {effect}"), "occurred_at": at,
        "author": {"type": "user", "email": "grace@example.com"}, "project": {"id": "1"},
        "related_object_type": "PROJECT_ACCESS",
        "access": {
            "subject": {"type": "user", "id": subject}, "scope": {"type": "project", "id": "1"}, "role": "viewer",
            "effect": effect,
        },
    });
    let url = format!("{}/v1/records?source=main", node.admin);
    let answer = http().post(url).bearer_auth(ADMIN_TOKEN).json(&record).send().await.unwrap();
    assert_eq!(answer.status(), 201);
}

async fn found(node: &Node, arguments: &[&str], count: usize) -> Vec<Value> {
    wait::some(READY_WITHIN, "the archive has it", || async {
        Some(rows(node, arguments)).filter(|rows| rows.len() == count)
    })
    .await
}

#[tokio::test]
async fn an_imported_list_is_where_an_access_review_starts() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "");
    node.start();
    node.ready().await;
    node.command(&["source", "create", "main", "--platform", "flagsmith", "--organisation", "acme"]);
    let list = root.path().join("users.csv");
    let import = |list: &str| {
        ["access", "import", "--source", "main", "--as-of", "2026-09-30", list].map(str::to_owned)
    };
    let run = |list: &std::path::Path| {
        let arguments = import(list.to_str().unwrap());
        node.try_command(&arguments.each_ref().map(String::as_str))
    };

    // Before anything is appended everything is looked at, and every bad line is named.
    std::fs::write(
        &list,
        LIST.replace("project,1,Shop,viewer", "project,,Shop,viewer").replace("account", "planet"),
    )
    .unwrap();
    let refused = run(&list);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said.contains("line 3 does not say which project") && said.contains("line 4 scope_type"),
        "{said}"
    );
    assert!(rows(&node, &["list"]).is_empty());

    append(&node, "10", "granted", "2026-05-01T00:00:00Z").await;
    std::fs::write(&list, LIST).unwrap();
    for _ in 0..2 {
        let done = run(&list);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(String::from_utf8_lossy(&done.stdout).starts_with("3 rows of main as of 2026-09-30"));
    }
    let missing = |rows: &[Value]| -> Vec<Value> {
        let missing = rows.iter().filter(|row| row["missing_from_snapshot"].is_string());
        missing.map(|row| row["subject"]["id"].clone()).collect()
    };
    // What is not on the list is missing from it once all of the list is archived.
    let held = wait::some(READY_WITHIN, "the archive has the whole list", || async {
        Some(rows(&node, &["list", "--at", "2026-10-01"]))
            .filter(|rows| !missing(rows).is_empty() && rows.len() == 4)
    })
    .await;
    assert_eq!(missing(&held), ["10"]);
    assert_eq!(held.iter().filter(|row| row["baseline"] == true).count(), 3);
    append(&node, "8", "removed", "2026-10-10T00:00:00Z").await;
    found(&node, &["list"], 3).await;
    assert_eq!(rows(&node, &["list", "--at", "2026-10-01", "--project", "Shop"]).len(), 3);
    assert_eq!(
        rows(&node, &["list", "--at", "2026-09-01"]).len(),
        1,
        "what the list says begins with its moment"
    );

    let shown = node.command(&["access", "list", "--at", "2026-10-01"]);
    for part in [
        "bob@example.com",
        "project Shop",
        "2026-10-10",
        "not in the import of 2026-09-30",
        "found by an import",
    ] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    let shown = node.command(&["access", "history", "bob@example.com"]);
    assert!(shown.contains("2026-10-10"), "{shown}");
    // Repeated, it was known by its ids: three rows, and that they are all.
    let duplicates = || {
        let status = node.json(&["archive", "status"]);
        let partitions = status["partitions"].as_array().unwrap().iter();
        partitions.filter_map(|partition| partition["duplicates"].as_u64()).sum::<u64>()
    };
    wait::until(READY_WITHIN, "the archive has both imports", || async { duplicates() >= 4 }).await;
    assert_eq!(duplicates(), 4);
    node.stop();
}
