//! What a body of можно says, whatever template made it.

use audit_record::{Action, Map};

/// The ten variables of a template, as far as it used them, and what it said beside them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) action: Option<String>,
    pub(super) resource_type: Option<String>,
    pub(super) resource_id: Option<String>,
    pub(super) resource_name: Option<String>,
    pub(super) details: Option<String>,
    pub(super) project_id: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) user_name: Option<String>,
    pub(super) user_email: Option<String>,
    pub(super) timestamp: Option<String>,
    /// Text of our own template that can be read in more than one way.
    pub(super) unread: Option<String>,
    /// What the template said beside the variables.
    pub(super) rest: Map,
    /// Whether a placeholder came unresolved.
    pub(super) saw_placeholder: bool,
}

impl Said {
    /// Sets a variable by a name that a user's template may have for it; false where the name is none, or the
    /// variable is set already. A placeholder that was left as it was counts as absent.
    pub(super) fn set(&mut self, name: &str, value: &str) -> bool {
        if self.slot(name).is_none() {
            return false;
        }
        if is_placeholder(value) {
            self.saw_placeholder = true;
            return true;
        }
        self.put(name, value)
    }

    /// Sets a variable from our template, where it has its own name. Only its own placeholder counts as
    /// absent: any other text is what somebody wrote.
    pub(super) fn set_ours(&mut self, name: &str, value: &str) {
        if value == format!("{{{{events.{name}}}}}") {
            self.saw_placeholder = true;
        } else {
            self.put(name, value);
        }
    }

    /// An empty value is none: можно sends "" for what it does not have.
    fn put(&mut self, name: &str, value: &str) -> bool {
        match self.slot(name) {
            Some(slot @ None) => {
                *slot = Some(value.to_owned()).filter(|value| !value.is_empty());
                true
            }
            _ => false,
        }
    }

    /// Where the variable of that name is kept: letters count, not how they are written, nor what they are
    /// wrapped in.
    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        let letters: String =
            name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        let unwrapped = ["events", "payload", "data"].iter().find_map(|wrap| letters.strip_prefix(wrap));
        Some(match unwrapped.filter(|rest| !rest.is_empty()).unwrap_or(&letters) {
            "action" | "event" | "eventaction" | "eventtype" => &mut self.action,
            "resourcetype" => &mut self.resource_type,
            "resourceid" => &mut self.resource_id,
            "resourcename" | "resource" => &mut self.resource_name,
            "details" | "detail" => &mut self.details,
            "projectid" | "project" => &mut self.project_id,
            "userid" => &mut self.user_id,
            "username" | "user" => &mut self.user_name,
            "useremail" | "email" => &mut self.user_email,
            "timestamp" | "time" | "date" => &mut self.timestamp,
            _ => return None,
        })
    }
}

/// `[[events.action]]`, which можно sends as it stands, or `{{events.misspelt}}`, which it leaves as it is.
fn is_placeholder(value: &str) -> bool {
    let value = value.trim();
    [("[[", "]]"), ("{{", "}}")].iter().any(|(open, close)| {
        value
            .strip_prefix(open)
            .and_then(|rest| rest.strip_suffix(close))
            .is_some_and(|inner| inner.trim().starts_with("events."))
    })
}

/// The action and the object type behind an event's name. `flagCreated` and its like are names of old.
pub(super) fn meaning(event: &str) -> Option<(Action, String)> {
    let event = dotted(event);
    let (kind, verb) = event.split_once('.')?;
    let action = match (kind, verb) {
        ("strategy", "created") => "flag.strategy.created",
        ("strategy", "updated") => "flag.strategy.changed",
        ("strategy", "deleted") => "flag.strategy.removed",
        ("segment", "created") => "flag.segment.created",
        ("segment", "updated") => "flag.segment.changed",
        ("segment", "deleted") => "flag.segment.removed",
        ("environment", "deleted") => "flag.environment.removed",
        ("project", "deleted") => "flag.project.removed",
        ("project", "logo_updated") => "project.updated",
        ("user", "avatar_updated") => "user.updated",
        ("user", "invited") => "user.created",
        ("apikey", "created") => "api_key.created",
        ("apikey", "updated") => "api_key.updated",
        ("apikey", "deleted") => "api_key.deleted",
        _ => event.as_str(),
    };
    let object_type = match kind {
        "flag" => "FEATURE".to_owned(),
        "apikey" => "API_KEY".to_owned(),
        other => other.to_ascii_uppercase(),
    };
    Action::try_new(action).ok().map(|action| (action, object_type))
}

/// `flag.created` as it is, and `flagCreated` as the same.
fn dotted(event: &str) -> String {
    let event = event.trim();
    if event.contains('.') {
        return event.to_ascii_lowercase();
    }
    let mut out = String::with_capacity(event.len() + 1);
    for c in event.chars() {
        if c.is_ascii_uppercase() {
            out.push('.');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
