#![doc = include_str!("coverage.md")]
//!
//! Data; the tests of this crate hold it against what is rendered, and `coverage.md` is [`markdown`].

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{abtasty, flagsmith, mozhno, unleash, zenmanage};

/// Where a field of the body comes from in a record of another platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The first of these fields of the record that it has, as it is; digits become a number where the
    /// platform's ids are numbers. Null, or left out, where it has none of them.
    Copied(&'static [&'static str]),
    /// Made of these fields, as the words say.
    Made(&'static [&'static str], &'static str),
    /// The platform's own field that no other platform knows: null.
    Null,
    /// Always the same.
    Fixed(&'static str),
}

/// What an event says of a record that came from another platform.
#[derive(Clone, Copy, Debug)]
pub struct Coverage {
    /// The format.
    pub format: &'static str,
    /// The events that look like this.
    pub events: &'static str,
    /// Each field of the body by its path, and where it comes from.
    pub fields: &'static [(&'static str, Origin)],
}

use Origin::{Copied, Fixed, Made, Null};

const WHO: &[&str] = &["author.email", "author.name", "author.id"];

/// Every format that is another platform's.
pub const COVERAGE: &[Coverage] = &[
    Coverage {
        format: "flagsmith",
        events: "FLAG_UPDATED and FLAG_DELETED, where a record tells of a flag's setting in an environment",
        fields: &[
            ("event_type", Made(&["action"], "the table of events")),
            (
                "data.changed_by",
                Made(WHO, "e-mail, else name, else id; `\"\"` for the system and for nobody known"),
            ),
            ("data.timestamp", Copied(&["occurred_at"])),
            (
                "data.new_state",
                Made(
                    &["change.after"],
                    "null where the flag is gone; the same fields for previous_state of change.before, which is left out where there is none",
                ),
            ),
            ("data.new_state.enabled", Made(&["change.after"], "its `enabled`")),
            (
                "data.new_state.feature_state_value",
                Made(&["change.after"], "its `value`, or the whole where it is no object"),
            ),
            ("data.new_state.environment.id", Copied(&["environment.id"])),
            ("data.new_state.environment.name", Copied(&["environment.name", "environment.key"])),
            ("data.new_state.feature.id", Copied(&["flag.id"])),
            ("data.new_state.feature.name", Copied(&["flag.key", "flag.name"])),
            ("data.new_state.feature.project.id", Copied(&["project.id"])),
            ("data.new_state.feature.project.name", Copied(&["project.name", "project.key"])),
            ("data.new_state.feature.created_date", Null),
            ("data.new_state.feature.default_enabled", Null),
            ("data.new_state.feature.description", Null),
            ("data.new_state.feature.initial_value", Null),
            ("data.new_state.feature.type", Null),
            ("data.new_state.feature_segment", Made(&["target.type"], "null unless the target is a segment")),
            ("data.new_state.feature_segment.segment.id", Copied(&["target.id"])),
            ("data.new_state.feature_segment.segment.name", Copied(&["target.name", "target.key"])),
            ("data.new_state.identity", Made(&["target.id"], "where the target is an identity, else null")),
            (
                "data.new_state.identity_identifier",
                Made(&["target.key"], "where the target is an identity, else null"),
            ),
            ("data.new_state.multivariate_feature_state_values", Fixed("[]")),
        ],
    },
    Coverage {
        format: "flagsmith",
        events: "AUDIT_LOG_CREATED, for every other record of a project; in `flagsmith-audit` what stands under data is the whole body",
        fields: &[
            ("event_type", Made(&["action"], "the table of events")),
            ("data.id", Null),
            ("data.created_date", Copied(&["occurred_at"])),
            ("data.log", Copied(&["log"])),
            ("data.author", Made(&["author.type"], "null unless it is a user")),
            ("data.author.id", Copied(&["author.id"])),
            ("data.author.email", Copied(&["author.email"])),
            ("data.author.first_name", Made(&["author.name"], "its first word")),
            ("data.author.last_name", Made(&["author.name"], "what follows")),
            ("data.environment", Made(&["environment.id"], "null where the record has none")),
            ("data.environment.id", Copied(&["environment.id"])),
            ("data.environment.name", Copied(&["environment.name", "environment.key"])),
            ("data.project.id", Copied(&["project.id"])),
            ("data.project.name", Copied(&["project.name", "project.key"])),
            (
                "data.project.organisation",
                Copied(&["organisation.id", "organisation.key", "organisation.name"]),
            ),
            ("data.related_object_id", Copied(&["related_object.id"])),
            ("data.related_object_uuid", Copied(&["related_object.uuid"])),
            ("data.related_object_type", Copied(&["related_object_type"])),
            ("data.is_system_event", Made(&["author.type"], "whether it is the system")),
        ],
    },
    Coverage {
        format: "zenmanage",
        events: "all four",
        fields: &[
            ("type", Made(&["action"], "the table of events")),
            ("timestamp", Made(&["occurred_at"], "in whole seconds")),
            ("attributes.project_key", Copied(&["project.key", "project.name", "project.id"])),
            (
                "attributes.environment_key",
                Copied(&["environment.key", "environment.name", "environment.id"]),
            ),
            ("attributes.flag_key", Copied(&["flag.key", "flag.name", "flag.id"])),
            (
                "attributes.new_target_value",
                Made(
                    &["change.after"],
                    "in flag.target.changed: its `value`, else its `enabled`, else the whole, as text",
                ),
            ),
            ("attributes.transaction_id", Made(&["id"], "after `wht_`")),
        ],
    },
    Coverage {
        format: "abtasty",
        events: "those of flags and campaigns, and the six of access",
        fields: &[
            ("event", Made(&["action", "access.scope.type"], "the table of events")),
            ("user_id", Copied(&["author.id"])),
            ("user_email", Copied(&["author.email"])),
            ("user_name", Copied(&["author.name"])),
            ("date", Made(&["occurred_at"], "in whole seconds")),
            ("project_id", Copied(&["project.id"])),
            ("project_key", Copied(&["project.key"])),
            ("project_name", Copied(&["project.name"])),
            ("environment_id", Copied(&["environment.id"])),
            ("environment_key", Copied(&["environment.key"])),
            ("environment_name", Copied(&["environment.name"])),
            ("campaign_id", Copied(&["related_object.id"])),
            ("campaign_key", Copied(&["related_object.key"])),
            ("campaign_name", Copied(&["related_object.name"])),
            ("campaign_previous_status", Made(&["change.before"], "its `status`")),
            ("campaign_status", Made(&["change.after"], "its `status`")),
            ("flag_id", Copied(&["flag.id"])),
            ("flag_key", Copied(&["flag.key"])),
            ("flag_name", Copied(&["flag.name"])),
            ("target_user_id", Copied(&["access.subject.id"])),
            ("target_user_email", Copied(&["access.subject.email"])),
            ("target_user_name", Copied(&["access.subject.name"])),
            ("role", Copied(&["access.role"])),
        ],
    },
    Coverage {
        format: "unleash",
        events: "all",
        fields: &[
            ("id", Null),
            ("type", Made(&["action"], "the table of events")),
            ("createdBy", Copied(&["author.name", "author.email", "author.id"])),
            ("createdAt", Made(&["occurred_at"], "in milliseconds")),
            (
                "createdByUserId",
                Made(&["author.id", "author.type"], "where it is digits, of a user or the system; else null"),
            ),
            ("data", Made(&["change.after"], "as it is; null where switching on or off says it all")),
            ("preData", Made(&["change.before"], "likewise")),
            ("tags", Fixed("[]")),
            ("featureName", Copied(&["flag.key", "flag.name", "flag.id"])),
            ("project", Copied(&["project.id", "project.key", "project.name"])),
            ("environment", Copied(&["environment.key", "environment.name", "environment.id"])),
            ("ip", Copied(&["request.ip"])),
        ],
    },
    Coverage {
        format: "mozhno",
        events: "all; the fields are the variables of a template",
        fields: &[
            ("action", Made(&["action"], "the table of events")),
            ("resourceType", Made(&["action"], "what stands before the event's dot")),
            (
                "resourceId",
                Made(
                    &["flag.id", "related_object.id"],
                    "the flag's where the event is of a flag, else the object's",
                ),
            ),
            (
                "resourceName",
                Made(
                    &["flag.name", "flag.key", "related_object.name", "related_object.key"],
                    "likewise; a name before a key",
                ),
            ),
            ("details", Copied(&["log"])),
            ("projectId", Copied(&["project.id", "project.key", "project.name"])),
            ("user.id", Copied(&["author.id"])),
            ("user.name", Copied(&["author.name"])),
            ("user.email", Copied(&["author.email"])),
            ("timestamp", Made(&["occurred_at"], "as Java writes an instant")),
        ],
    },
];

/// The fields of a record that the tables tell of, but for its attributes.
pub const RECORD_FIELDS: &[&str] = &[
    "id",
    "action",
    "log",
    "occurred_at",
    "recorded_at",
    "author.type",
    "author.id",
    "author.email",
    "author.name",
    "organisation.id",
    "organisation.key",
    "organisation.name",
    "project.id",
    "project.key",
    "project.name",
    "environment.id",
    "environment.key",
    "environment.name",
    "flag.id",
    "flag.key",
    "flag.name",
    "target.type",
    "target.id",
    "target.key",
    "target.name",
    "related_object_type",
    "related_object.id",
    "related_object.uuid",
    "related_object.key",
    "related_object.name",
    "change.before",
    "change.after",
    "change.fields",
    "change.unproven_before",
    "change.unproven_fields",
    "access.subject.type",
    "access.subject.id",
    "access.subject.email",
    "access.subject.name",
    "access.scope.type",
    "access.scope.id",
    "access.scope.key",
    "access.role",
    "access.effect",
    "approval",
    "reason",
    "ticket",
    "request.ip",
    "request.user_agent",
    "request.request_id",
    "source",
];

impl Coverage {
    /// The fields of the record that are not sent, in any form.
    pub fn not_sent(&self) -> Vec<&'static str> {
        let sent: BTreeSet<&str> = self
            .fields
            .iter()
            .flat_map(|(_, from)| match from {
                Copied(fields) | Made(fields, _) => *fields,
                Null | Fixed(_) => &[],
            })
            .copied()
            .collect();
        let is_sent = |field: &str| sent.contains(field) || (field == "change.before" && self.sends_before());
        RECORD_FIELDS.iter().copied().filter(|field| !is_sent(field)).collect()
    }

    /// A state event says of `change.before` what it says of `change.after`.
    fn sends_before(&self) -> bool {
        self.fields.iter().any(|(path, _)| path.starts_with("data.new_state"))
    }
}

/// The event that each format has for an action of another platform, where that does not depend on more: Flagsmith,
/// Zenmanage, AB Tasty, Unleash, mozhno.
pub fn events_of(action: &str) -> [Option<String>; 5] {
    let unleash = match action {
        "flag.state.changed" => Some("feature-environment-enabled, feature-environment-disabled".to_owned()),
        _ => unleash::type_of(action).map(str::to_owned),
    };
    let abtasty = match action {
        "access.granted" | "access.removed" | "access.role.granted" => {
            Some("by what the access is to".to_owned())
        }
        _ => abtasty::counterpart(action, None).map(str::to_owned),
    };
    [
        Some(flagsmith::event_in_words(action).to_owned()),
        zenmanage::counterpart(action).map(str::to_owned),
        abtasty,
        unleash,
        mozhno::counterpart(action).map(str::to_owned),
    ]
}

/// The tables as text.
pub fn markdown() -> String {
    let mut out = String::from(
        "What a format that is another platform's says of a record that did not come from there.\n\n\
         A record that came from the platform comes out as it was. Of any other, a table says where each field of the \
         body comes from; what the platform alone knows is null, and what no field of the body has room for is not sent. \
         A record that the platform has no event for is skipped.\n",
    );
    for table in COVERAGE {
        // Writing to a String can't fail.
        let _ =
            write!(out, "\n# `{}`: {}\n\n| body | of the record |\n|---|---|\n", table.format, table.events);
        for (path, from) in table.fields {
            let from = match from {
                Copied(fields) => code(fields, " or "),
                Made(fields, how) => format!("{}: {how}", code(fields, ", ")),
                Null => "null".to_owned(),
                Fixed(value) => format!("always `{value}`"),
            };
            let _ = writeln!(out, "| `{path}` | {from} |");
        }
        let _ = writeln!(out, "\nNot sent: {}.", code(&table.not_sent(), ", "));
    }
    out.push_str(
        "\n# Events\n\nAny other action is AUDIT_LOG_CREATED in Flagsmith where it concerns a project, and skipped by the others.\n\n\
         | action | flagsmith | zenmanage | abtasty | unleash | mozhno |\n|---|---|---|---|---|---|\n",
    );
    for action in catalogue() {
        let events = events_of(&action);
        // A row that says no more than that sentence would only grow the table.
        if events[1..].iter().all(Option::is_none) && flagsmith::is_audit_alone(&action) {
            continue;
        }
        let events = events.map(|event| event.unwrap_or_else(|| "skipped".to_owned()));
        let _ = writeln!(out, "| `{action}` | {} |", events.join(" | "));
    }
    out
}

/// The actions of the catalogue, in its order.
fn catalogue() -> Vec<String> {
    let catalogue: serde_json::Value = serde_json::from_str(audit_record::CATALOGUE_JSON).unwrap_or_default();
    let actions = catalogue["actions"].as_array().cloned().unwrap_or_default();
    actions.iter().filter_map(|entry| Some(entry["action"].as_str()?.to_owned())).collect()
}

fn code(fields: &[&str], between: &str) -> String {
    fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(between)
}
