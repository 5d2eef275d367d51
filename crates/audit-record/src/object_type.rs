//! `related_object_type`: what kind of thing a record is about.

/// The names known today. The set is open: a record may carry another upper-case name.
pub const KNOWN_OBJECT_TYPES: &[&str] = &[
    // Flagsmith's thirteen (its api/audit/related_object_type.py).
    "FEATURE",
    "FEATURE_STATE",
    "SEGMENT",
    "ENVIRONMENT",
    "CHANGE_REQUEST",
    "EDGE_IDENTITY",
    "IMPORT_REQUEST",
    "EF_VERSION",
    "FEATURE_HEALTH",
    "RELEASE_PIPELINE",
    "WAREHOUSE_CONNECTION",
    "EXPERIMENT",
    "METRIC",
    // What other platforms have beside them.
    "FLAG_TARGET",
    "TARGETING_RULE",
    "STRATEGY",
    "CAMPAIGN",
    "PROJECT",
    "ACCOUNT",
    "USER",
    "ROLE",
    "GROUP",
    "PROJECT_ACCESS",
    "ACCOUNT_ACCESS",
    "API_KEY",
    "TAG",
    "TAG_TYPE",
    "CONTEXT_DEFINITION",
    "CONTEXT_VALUE",
    "WEBHOOK",
];

/// Flagtrail's own objects: `FLAGTRAIL_ENDPOINT`, `FLAGTRAIL_SOURCE`, …
const OWN_PREFIX: &str = "FLAGTRAIL_";

/// Longest name accepted, in bytes.
const TYPE_BYTES_MAX: usize = 64;

/// Whether `name` has the form of an object type: upper-case letters, digits and `_`, a letter first.
pub(crate) fn is_well_formed(name: &str) -> bool {
    name.len() <= TYPE_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}

/// Whether a change of this kind may concern no project at all. Of every other kind a record
/// without a project is refused, because its order and its readers hang on the project.
pub fn may_stand_above_projects(name: &str) -> bool {
    name.starts_with(OWN_PREFIX)
        || matches!(
            name,
            "ACCOUNT"
                | "ACCOUNT_ACCESS"
                | "USER"
                | "ROLE"
                | "GROUP"
                | "API_KEY"
                | "WEBHOOK"
                | "PROJECT"
                | "TAG"
                | "TAG_TYPE"
                | "ENVIRONMENT"
                | "CONTEXT_DEFINITION"
                | "CONTEXT_VALUE"
                | "STRATEGY"
                // Unleash's segments belong to the whole installation unless one is bound to a project.
                | "SEGMENT"
        )
}
