//! Settings that stand in the configuration, by the shipped binary.

use flagtrail_testkit::wait;

use crate::harness::{Node, READY_WITHIN, flagtrail};

/// But for the path of the token.
const TABLES: &str = r#"
[[source]]
name = "shop"
platform = "native"
organisation = { key = "acme" }
token = "shop-url-token-0123456789abcdef"

[[token]]
name = "ci"
scopes = ["records:write"]
token_file = CI_TOKEN_FILE
"#;

#[tokio::test]
async fn declared_settings_are_there_after_a_start_and_config_diff_shows_what_another_would_change() {
    let root = tempfile::tempdir().unwrap();
    let token = root.path().join("ci.token");
    std::fs::write(&token, "ci-client-token-0123456789abcdef\n").unwrap();
    let tables = TABLES.replace("CI_TOKEN_FILE", &format!("{token:?}"));
    let mut node = Node::new(root.path(), "one", &["up"], &tables);
    node.start();
    node.ready().await;
    let config = node.dir.join("flagtrail.toml");
    let config = config.to_str().unwrap();
    // A start waits a few seconds for them and then goes on.
    wait::until(READY_WITHIN, "everything is as the file says", || async {
        let diff = node.try_command(&["--config", config, "config", "diff"]);
        String::from_utf8_lossy(&diff.stdout).contains("everything is as")
    })
    .await;
    let listed = node.command(&["source", "list"]);
    assert!(listed.contains("shop"), "{listed}");
    let refused = node.try_command(&["source", "delete", "shop"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains(config), "{refused:?}");
    let changed = std::fs::read_to_string(config).unwrap().replace("\"native\"", "\"unleash\"");
    let (changed, _) = changed.split_once("[[token]]").unwrap();
    std::fs::write(config, changed).unwrap();
    let diff = node.try_command(&["--config", config, "config", "diff"]);
    assert_eq!(diff.status.code(), Some(1), "{diff:?}");
    let shown = String::from_utf8_lossy(&diff.stdout);
    assert!(shown.contains("source shop") && shown.contains("platform: native → unleash"), "{shown}");
    assert!(shown.contains("released token ci"), "{shown}");
    node.stop();
}

#[test]
fn a_declared_setting_that_is_wrong_is_exit_64_and_names_the_table() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("flagtrail.toml"), "[[source]]\nname = \"shop\"\nplatform = \"native\"\n")
        .unwrap();
    let output = flagtrail().arg("up").current_dir(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("[[source]] \"shop\""), "{output:?}");
}
