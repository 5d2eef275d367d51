//! A platform of one source, `zen`: what it sends, and what became of that.

use reqwest::StatusCode;
use serde_json::Value;

use crate::harness::{ADMIN_TOKEN, Node, http};

/// The flags of all records of the source, in the log's order; what the archive could be asked of it so far, which may be none.
pub(crate) async fn flags(node: &Node) -> Vec<String> {
    let query = format!("{}/v1/records?source=zen&order=oldest&limit=100", node.admin);
    let flag = |record: &Value| Some(record["flag"]["key"].as_str()?.to_owned());
    let (mut flags, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = http().get(format!("{query}{cursor}")).bearer_auth(ADMIN_TOKEN).send().await;
        let Ok(answer) = answer else { return flags };
        let page: Value = serde_json::from_str(&answer.text().await.unwrap_or_default()).unwrap_or_default();
        flags.extend(page["records"].as_array().into_iter().flatten().filter_map(flag));
        // On a slow machine a page may be a part of one.
        let Some(next) = page["next"].as_str() else { return flags };
        cursor = format!("&cursor={next}");
    }
}

/// Sends that a flag was changed.
pub(crate) async fn hook(url: &str, flag: &str) -> StatusCode {
    let body = format!(
        r#"{{"type":"flag.target.changed","timestamp":"2026-01-02T03:04:05+00:00","attributes":{{"project_key":"shop","environment_key":"production","flag_key":"{flag}","new_target_value":"on"}}}}"#
    );
    let sent = http().post(url).header("content-type", "application/json").body(body).send().await;
    sent.expect("the hook is answered").status()
}
