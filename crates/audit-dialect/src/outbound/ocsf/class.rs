//! Which class and activity a record is of.

use audit_record::{AuditRecord, Effect};
use serde_json::Value;

/// A class of OCSF's category Identity & Access Management.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Something was created, changed, deleted.
    EntityManagement,
    /// Somebody's privileges were.
    UserAccess,
    /// A group was, or its privileges.
    GroupManagement,
    /// An account was.
    AccountChange,
}

impl Class {
    /// OCSF's number for it.
    pub fn uid(self) -> u32 {
        match self {
            Self::AccountChange => 3001,
            Self::EntityManagement => 3004,
            Self::UserAccess => 3005,
            Self::GroupManagement => 3006,
        }
    }

    /// OCSF's name for it.
    pub fn caption(self) -> &'static str {
        match self {
            Self::AccountChange => "Account Change",
            Self::EntityManagement => "Entity Management",
            Self::UserAccess => "User Access Management",
            Self::GroupManagement => "Group Management",
        }
    }
}

/// What was done. Not every class has a number for every activity: then it is [`Activity::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It came to be.
    Create,
    /// It changed.
    Update,
    /// It is gone.
    Delete,
    /// It is somewhere else, or has another name.
    Move,
    /// It was put under the rule of something.
    Enroll,
    /// It was taken out of it.
    Unenroll,
    /// It was switched on.
    Enable,
    /// It was switched off.
    Disable,
    /// Privileges were given.
    Assign,
    /// Privileges were taken away.
    Revoke,
    /// The event says in the record's own words what.
    Other,
}

impl Activity {
    /// OCSF's number for it in a class; 99 where the class has none.
    pub fn id(self, class: Class) -> u32 {
        self.known(class).map_or(99, |(id, _)| id)
    }

    /// OCSF's name for it in a class, where it has one.
    pub fn caption(self, class: Class) -> Option<&'static str> {
        self.known(class).map(|(_, caption)| caption)
    }

    fn known(self, class: Class) -> Option<(u32, &'static str)> {
        match (class, self) {
            (Class::EntityManagement, Self::Create) => Some((1, "Create")),
            (Class::EntityManagement, Self::Update) => Some((3, "Update")),
            (Class::EntityManagement, Self::Delete) => Some((4, "Delete")),
            (Class::EntityManagement, Self::Move) => Some((5, "Move")),
            (Class::EntityManagement, Self::Enroll) => Some((6, "Enroll")),
            (Class::EntityManagement, Self::Unenroll) => Some((7, "Unenroll")),
            (Class::EntityManagement, Self::Enable) => Some((8, "Enable")),
            (Class::EntityManagement, Self::Disable) => Some((9, "Disable")),
            (Class::UserAccess | Class::GroupManagement, Self::Assign) => Some((1, "Assign Privileges")),
            (Class::UserAccess | Class::GroupManagement, Self::Revoke) => Some((2, "Revoke Privileges")),
            (Class::GroupManagement, Self::Delete) => Some((5, "Delete")),
            (Class::GroupManagement, Self::Create) => Some((6, "Create")),
            (Class::AccountChange, Self::Create) => Some((1, "Create")),
            (Class::AccountChange, Self::Enable) => Some((2, "Enable")),
            (Class::AccountChange, Self::Disable) => Some((5, "Disable")),
            (Class::AccountChange, Self::Delete) => Some((6, "Delete")),
            _ => None,
        }
    }
}

/// What a record is in OCSF's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its class.
    pub class: Class,
    /// What was done.
    pub activity: Activity,
    /// The action's last word, where the activity does not say it.
    pub detail: Option<String>,
    /// Whether it tells of a failure.
    pub has_failed: bool,
}

impl Event {
    /// OCSF's number for class and activity together.
    pub fn type_uid(&self) -> u32 {
        self.class.uid() * 100 + self.activity.id(self.class)
    }
}

/// The words that actions end with, and what each does to what the action is about.
const VERBS: &[(&str, Activity)] = &[
    ("created", Activity::Create),
    ("added", Activity::Create),
    ("requested", Activity::Create),
    ("cloned", Activity::Create),
    ("updated", Activity::Update),
    ("changed", Activity::Update),
    ("reordered", Activity::Update),
    ("synchronized", Activity::Update),
    ("published", Activity::Update),
    ("unpublished", Activity::Update),
    ("completed", Activity::Update),
    ("uncompleted", Activity::Update),
    ("marked", Activity::Update),
    ("unmarked", Activity::Update),
    ("suspected", Activity::Update),
    ("archived", Activity::Update),
    ("unarchived", Activity::Update),
    ("approved", Activity::Update),
    ("rejected", Activity::Update),
    ("committed", Activity::Update),
    ("scheduled", Activity::Update),
    ("failed", Activity::Update),
    ("rotated", Activity::Update),
    ("deleted", Activity::Delete),
    ("removed", Activity::Delete),
    ("revoked", Activity::Delete),
    ("moved", Activity::Move),
    ("enabled", Activity::Enable),
    ("disabled", Activity::Disable),
];

/// Words that say no more than the activity does.
const PLAIN: &[&str] = &["created", "added", "updated", "changed", "deleted", "removed", "granted"];

/// Words that tell of a failure.
const FAILURES: &[&str] = &["failed", "failing", "dead_lettered"];

/// What a flag consists of: a change to one of them is a change of the flag.
const PARTS_OF_A_FLAG: &[&str] =
    &["FEATURE", "FEATURE_STATE", "FLAG_TARGET", "EDGE_IDENTITY", "EF_VERSION", "RELEASE_PIPELINE"];

/// What `record` is. Total: whatever its action is, there is an event for it.
pub fn classify(record: &AuditRecord) -> Event {
    let action = record.action().as_str();
    let verb = action.rsplit('.').next().unwrap_or(action);
    let (class, activity) = match action.split('.').next().unwrap_or(action) {
        "access" => access(record, verb),
        "user" if record.draft().related_object.what.is_empty() => entity(record, action, verb),
        "user" => (Class::AccountChange, of_verb(verb)),
        "group" if record.draft().related_object.what.is_empty() => entity(record, action, verb),
        "group" => (Class::GroupManagement, of_verb(verb)),
        _ => entity(record, action, verb),
    };
    Event {
        class,
        activity,
        detail: (!PLAIN.contains(&verb)).then(|| verb.to_owned()),
        has_failed: FAILURES.contains(&verb),
    }
}

fn of_verb(verb: &str) -> Activity {
    VERBS.iter().find(|(word, _)| *word == verb).map_or(Activity::Other, |(_, activity)| *activity)
}

fn access(record: &AuditRecord, verb: &str) -> (Class, Activity) {
    // Without a subject that has a name there is nobody whose access it could be.
    let Some(access) = record.draft().access.as_ref().filter(|access| {
        let subject = &access.subject;
        subject.id.is_some() || subject.email.is_some() || subject.name.is_some()
    }) else {
        return (Class::EntityManagement, of_verb(verb));
    };
    let activity = match access.effect {
        Effect::Granted => Activity::Assign,
        Effect::Removed => Activity::Revoke,
        // Whoever stands in a baseline had that access before: nothing was given.
        Effect::Snapshot => Activity::Other,
    };
    let class = if access.subject.kind == "group" { Class::GroupManagement } else { Class::UserAccess };
    (class, activity)
}

fn entity(record: &AuditRecord, action: &str, verb: &str) -> (Class, Activity) {
    let activity = if !is_about_the_flag(record) {
        of_verb(verb)
    } else {
        match action {
            "flag.release_pipeline.added" => Activity::Enroll,
            "flag.release_pipeline.removed" => Activity::Unenroll,
            "flag.state.changed" => switched(record),
            // Of a part of it.
            _ if action.matches('.').count() > 1 && of_verb(verb) != Activity::Other => Activity::Update,
            _ => of_verb(verb),
        }
    };
    (Class::EntityManagement, activity)
}

/// Whether the entity of a record is the flag itself, whatever part of it the platform's own record points at.
pub(super) fn is_about_the_flag(record: &AuditRecord) -> bool {
    record.action().as_str().starts_with("flag.")
        && PARTS_OF_A_FLAG.contains(&record.related_object_type())
        && record.draft().flag.as_ref().is_some_and(|flag| !flag.is_empty())
}

/// Whether a flag was switched on or off; a change where the record does not tell.
fn switched(record: &AuditRecord) -> Activity {
    let Some(change) = &record.draft().change else { return Activity::Update };
    let of_fields = change.fields.iter().find(|field| field.field == "enabled").map(|field| &field.after);
    let of_whole = change.after.as_ref().and_then(|after| after.get("enabled"));
    match of_fields.or(of_whole) {
        Some(Value::Bool(true)) => Activity::Enable,
        Some(Value::Bool(false)) => Activity::Disable,
        _ => Activity::Update,
    }
}
