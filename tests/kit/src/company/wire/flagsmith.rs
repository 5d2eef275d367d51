//! Flagsmith's organisation webhook: AUDIT_LOG_CREATED and FLAG_UPDATED, as Flagsmith 2.265.0 was recorded to send them.
//! Both state when the change was made.

use serde_json::{Value, json};

use crate::company::people::Person;
use crate::company::projects::{Environment, Project};
use crate::company::year::{Moment, rfc3339};

/// An entry of the audit log.
pub(in crate::company) struct Entry<'a> {
    pub(in crate::company) id: u64,
    pub(in crate::company) at: Moment,
    pub(in crate::company) log: String,
    /// Nobody: what a change request or an API key does.
    pub(in crate::company) author: Option<&'a Person>,
    pub(in crate::company) by_system: bool,
    pub(in crate::company) project: &'a Project,
    pub(in crate::company) environment: Option<&'a Environment>,
    pub(in crate::company) object_type: &'a str,
    pub(in crate::company) object_id: u64,
}

/// The body of AUDIT_LOG_CREATED.
pub(in crate::company) fn audit(entry: &Entry<'_>) -> String {
    let Entry { id, at, log, author, by_system, project, environment, object_type, object_id } = entry;
    let author = author.map(|person| {
        let (first, last) = person.name.split_once(' ').unwrap_or((&person.name, ""));
        json!({
            "email": person.email_at(*at), "first_name": first, "last_name": last, "id": person.flagsmith_id(),
            "last_login": rfc3339(*at), "uuid": uuid(1, person.flagsmith_id()),
        })
    });
    let body = json!({
        "data": {
            "author": author,
            "created_date": rfc3339(*at),
            "environment": environment.map(|environment| environment_of(project, environment)),
            "id": id,
            "is_system_event": by_system,
            "log": log,
            "project": project_of(project),
            "related_object_id": object_id,
            "related_object_type": object_type,
            "related_object_uuid": null,
        },
        "event_type": "AUDIT_LOG_CREATED",
    });
    python(&body)
}

/// What a flag's setting is in one environment.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::company) struct State {
    pub(in crate::company) enabled: bool,
    pub(in crate::company) value: Value,
}

/// The body of FLAG_UPDATED. `changed_by` is an e-mail or the name of an API key.
pub(in crate::company) fn flag_updated(
    project: &Project,
    environment: &Environment,
    flag: &str,
    at: Moment,
    changed_by: &str,
    (before, after): (&State, &State),
) -> String {
    let state = |state: &State| {
        json!({
            "enabled": state.enabled,
            "environment": {"id": environment.number, "name": environment.name},
            "feature": {
                "created_date": "2024-05-02T09:00:00.000001Z", "default_enabled": false, "description": null,
                "id": flag_number(project, flag), "initial_value": null, "name": flag,
                "project": {"id": project.number(), "name": project.name}, "type": "STANDARD",
            },
            "feature_segment": null,
            "feature_state_value": state.value,
            "identity": null,
            "identity_identifier": null,
            "multivariate_feature_state_values": [],
        })
    };
    python(&json!({
        "data": {
            "changed_by": changed_by, "new_state": state(after), "previous_state": state(before), "timestamp": rfc3339(at),
        },
        "event_type": "FLAG_UPDATED",
    }))
}

/// A number that is the flag's own.
pub(in crate::company) fn flag_number(project: &Project, flag: &str) -> u64 {
    let digits: u64 = flag.bytes().map(u64::from).fold(7, |sum, byte| (sum * 31 + byte) % 9_973);
    project.number() * 10_000 + digits
}

fn environment_of(project: &Project, environment: &Environment) -> Value {
    json!({
        "allow_client_traits": true, "api_key": format!("client-side-{}", environment.number), "banner_colour": null,
        "banner_text": null, "description": null, "hide_disabled_flags": null, "hide_sensitive_data": false,
        "id": environment.number, "is_creating": false,
        "minimum_change_request_approvals": environment.approvals, "name": environment.name,
        "project": project.number(), "use_identity_composite_key_for_hashing": true,
        "use_identity_overrides_in_local_eval": true, "use_mv_v2_evaluation": true, "use_v2_feature_versioning": false,
        "uuid": uuid(2, environment.number),
    })
}

fn project_of(project: &Project) -> Value {
    json!({
        "edge_v2_migration_status": "NOT_STARTED", "enable_dynamo_db": false, "enable_realtime_updates": false,
        "enforce_feature_owners": false, "feature_name_regex": null, "hide_disabled_flags": false, "id": project.number(),
        "migration_status": "NOT_APPLICABLE", "minimum_change_request_approvals": null, "name": project.name,
        "only_allow_lower_case_feature_names": true, "organisation": 1, "prevent_flag_defaults": false,
        "show_edge_identity_overrides_for_feature": false, "stale_flags_limit_days": 30, "use_edge_identities": false,
        "uuid": uuid(3, project.number()),
    })
}

fn uuid(kind: u64, number: u64) -> String {
    format!("{kind:08x}-0000-4000-8000-{number:012x}")
}

/// As Python's `json.dumps(…, sort_keys=True)` writes it: what Flagsmith signs. The maps are sorted already.
fn python(value: &Value) -> String {
    use serde_json::ser::Formatter;
    use std::io::{Result, Write};

    struct Python;

    impl Formatter for Python {
        fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> Result<()> {
            out.write_all(if first { b"" } else { b", " })
        }

        fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> Result<()> {
            out.write_all(if first { b"" } else { b", " })
        }

        fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
            out.write_all(b": ")
        }

        fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> Result<()> {
            for c in fragment.chars() {
                match c {
                    ' '..='~' => write!(out, "{c}")?,
                    _ => c
                        .encode_utf16(&mut [0; 2])
                        .iter()
                        .try_for_each(|unit| write!(out, "\\u{unit:04x}"))?,
                }
            }
            Ok(())
        }
    }

    let mut out = Vec::new();
    serde::Serialize::serialize(value, &mut serde_json::Serializer::with_formatter(&mut out, Python))
        .expect("a value is written to memory");
    String::from_utf8(out).expect("it is ASCII")
}
