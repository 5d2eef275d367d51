//! The sample webhooks that `flagtrail demo` sends itself: what the four platforms send, with made-up
//! people and flags. Where the formats come from is said in `audit-dialect`.

use audit_digest::MacKey;
use chrono::{DateTime, SecondsFormat, Utc};

/// The secret that the demo gives its Flagsmith source.
pub(crate) const FLAGSMITH_SECRET: &str = "demo-secret";

/// One request that a platform would send.
pub(crate) struct Sample {
    /// The name of the demo's source that gets it.
    pub(crate) source: &'static str,
    /// The body.
    pub(crate) body: String,
    /// The body's type.
    pub(crate) content_type: &'static str,
    /// The platform's signature header.
    pub(crate) signature: Option<(&'static str, String)>,
}

/// A day at work: a flag is made and switched on by Ada, Grace changes what it gives, a rule is edited, and
/// somebody is let into a project.
pub(crate) fn day_at_work(now: DateTime<Utc>) -> Vec<Sample> {
    let at = |seconds: i64| {
        (now - chrono::Duration::seconds(seconds)).to_rfc3339_opts(SecondsFormat::Micros, true)
    };
    vec![
        flagsmith(audit(
            1001,
            "New Flag / Remote Config created: checkout",
            "FEATURE",
            ("Ada", "ada@example.com"),
            &at(50),
        )),
        flagsmith(updated("ada@example.com", (false, "blue"), (true, "blue"), &at(40))),
        flagsmith(updated("grace@example.com", (true, "blue"), (true, "green"), &at(30))),
        plain(
            "zenmanage",
            format!(
                r#"{{"type":"flag.target.changed","timestamp":"{}","attributes":{{"project_key":"shop","environment_key":"production","flag_key":"checkout","new_target_value":"true","transaction_id":"wht_4a2b4f3c8d1e5f6g"}}}}"#,
                at(20)
            ),
        ),
        plain(
            "abtasty",
            format!(
                r#"{{"event":"Project access granted to user","user_id":"u-7","user_email":"ada@example.com","user_role":"admin","date":"{}","account_id":"acc-1","account_name":"Example","project_id":"p-9","project_name":"Shop","granted_user_email":"linus@example.com"}}"#,
                at(15)
            ),
        ),
        mozhno(&[
            ("action", "flag.created"),
            ("resourceType", "flag"),
            ("resourceId", "17"),
            ("resourceName", "Say \"hi\" \\ there"),
            ("details", "Flag created: greeting"),
            ("projectId", "3"),
            ("user.id", "5"),
            ("user.name", "Olga"),
            ("user.email", "olga@example.com"),
            ("timestamp", &at(10)),
        ]),
    ]
}

fn plain(source: &'static str, body: String) -> Sample {
    Sample { source, body, content_type: "application/json", signature: None }
}

fn flagsmith(body: String) -> Sample {
    let signature = hex::encode(MacKey::new(FLAGSMITH_SECRET.as_bytes()).mac(&[body.as_bytes()]));
    Sample { signature: Some(("X-Flagsmith-Signature", signature)), ..plain("flagsmith", body) }
}

/// Fills the template that users paste into можно, exactly as можно does: without any escaping.
fn mozhno(values: &[(&str, &str)]) -> Sample {
    let template = audit_dialect::MOZHNO_TEMPLATE;
    let fill =
        |text: String, (name, value): &(&str, &str)| text.replace(&format!("{{{{events.{name}}}}}"), value);
    plain("mozhno", values.iter().fold(template.to_owned(), fill))
}

fn audit(id: u32, log: &str, kind: &str, (name, email): (&str, &str), at: &str) -> String {
    format!(
        r#"{{"data": {{"author": {{"email": "{email}", "first_name": "{name}", "id": 3, "last_name": "Lovelace"}}, "created_date": "{at}", "environment": null, "id": {id}, "is_system_event": false, "log": "{log}", "project": {{"id": 12, "name": "Shop", "organisation": 1}}, "related_object_id": 7, "related_object_type": "{kind}", "related_object_uuid": null}}, "event_type": "AUDIT_LOG_CREATED"}}"#
    )
}

fn updated(who: &str, before: (bool, &str), after: (bool, &str), at: &str) -> String {
    let state = |(enabled, value): (bool, &str)| {
        format!(
            r#"{{"enabled": {enabled}, "environment": {{"id": 23, "name": "Production"}}, "feature": {{"created_date": "{at}", "default_enabled": false, "description": null, "id": 7, "initial_value": "blue", "name": "checkout", "project": {{"id": 12, "name": "Shop"}}, "type": "STANDARD"}}, "feature_segment": null, "feature_state_value": "{value}", "identity": null, "identity_identifier": null, "multivariate_feature_state_values": []}}"#
        )
    };
    format!(
        r#"{{"data": {{"changed_by": "{who}", "new_state": {}, "previous_state": {}, "timestamp": "{at}"}}, "event_type": "FLAG_UPDATED"}}"#,
        state(after),
        state(before)
    )
}
