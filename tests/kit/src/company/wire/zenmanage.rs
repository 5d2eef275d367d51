//! Zenmanage's webhook: a flag's target has another value. It never says who did it, and dates it to the second.

use serde_json::json;

use crate::company::year::Moment;

pub(in crate::company) fn target_changed(
    transaction: u64,
    project: &str,
    environment: &str,
    flag: &str,
    value: &str,
    at: Moment,
) -> String {
    json!({
        "type": "flag.target.changed",
        "timestamp": at.format("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
        "attributes": {
            "project_key": project, "environment_key": environment, "flag_key": flag, "new_target_value": value,
            "transaction_id": format!("wht_{transaction:08}"),
        },
    })
    .to_string()
}
