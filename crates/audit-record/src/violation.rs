//! What makes a record valid.

use std::fmt;

use crate::object_type::{is_well_formed, may_stand_above_projects};
use crate::parts::Ref;
use crate::record::Draft;

/// Longest id, in bytes.
const ID_BYTES_MAX: usize = 256;

/// One thing wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The dotted path of the field.
    pub field: String,
    /// What is wrong and how to mend it; reads on from the field's name.
    pub problem: String,
}

impl Violation {
    /// A problem with `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.problem)
    }
}

/// Everything that is missing or malformed in a tidied draft, in the order of the fields.
pub(crate) fn violations(draft: &Draft) -> Vec<Violation> {
    let mut problems = Vec::new();
    let mut require = |present: bool, field: &str, mend: &str| {
        if !present {
            problems.push(Violation::new(field, format!("is missing: {mend}")));
        }
    };
    require(draft.id.is_some(), "id", "a string unique to the record");
    require(draft.action.is_some(), "action", "a dotted word such as flag.state.changed");
    require(draft.log.is_some(), "log", "a sentence that says what happened");
    require(draft.occurred_at.is_some(), "occurred_at", "when it happened, RFC 3339");
    require(draft.recorded_at.is_some(), "recorded_at", "when it was appended, RFC 3339");
    require(draft.author.is_some(), "author", "who did it; {\"type\":\"unknown\"} where nobody knows");
    require(
        draft.organisation.as_ref().is_some_and(|o| !o.is_empty()),
        "organisation",
        "an object with id, key or name",
    );
    let kind = draft.related_object_type.as_deref().unwrap_or_default();
    require(
        draft.project.is_some() || needs_no_project(draft, kind),
        "project",
        "an object with id, key or name (for a webhook source add ?project=… to its URL)",
    );
    if let Some(target) = &draft.target {
        require(
            !target.kind.is_empty(),
            "target.type",
            "environment, segment, identity, rule or another word",
        );
    }
    require(!kind.is_empty(), "related_object_type", "such as FEATURE");
    for (index, change) in draft.change.iter().flat_map(|change| &change.fields).enumerate() {
        // The path is made for the rare one that is wrong.
        if change.field.is_empty() {
            require(false, &format!("change.fields[{index}].field"), "the dotted path of what changed");
        }
    }
    if let Some(access) = &draft.access {
        require(
            !access.subject.kind.is_empty(),
            "access.subject.type",
            "user, group, api_key or another word",
        );
        require(!access.scope.kind.is_empty(), "access.scope.type", "account, project or environment");
    }
    require(draft.source.is_some(), "source", "where the record came from");
    if let Some(source) = &draft.source {
        require(!source.name.is_empty(), "source.name", "the name of the source");
        require(!source.system.is_empty(), "source.system", "the platform");
        require(!source.event.is_empty(), "source.event", "what the platform calls the event");
    }
    if draft.project.as_ref().is_some_and(Ref::is_empty) {
        problems.push(Violation::new("project", "needs an id, a key or a name"));
    }
    if !kind.is_empty() && !is_well_formed(kind) {
        problems.push(Violation::new(
            "related_object_type",
            "must be upper-case letters, digits and _, such as FEATURE_STATE",
        ));
    }
    if draft.schema_version == Some(0) {
        problems.push(Violation::new("schema_version", "must be a whole number from 1"));
    }
    if let Some(id) = draft.id.as_deref()
        && (id.len() > ID_BYTES_MAX || id.chars().any(char::is_control))
    {
        problems.push(Violation::new(
            "id",
            format!("must be at most {ID_BYTES_MAX} bytes without control characters"),
        ));
    }
    problems
}

fn needs_no_project(draft: &Draft, kind: &str) -> bool {
    may_stand_above_projects(kind)
        || draft.access.as_ref().is_some_and(|access| access.scope.kind == "account")
}
