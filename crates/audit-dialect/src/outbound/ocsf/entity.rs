//! What it was done to: the objects that each class requires.

use audit_record::{Access, AuditRecord, Map, Ref};
use serde_json::{Value, json};

use super::class::is_about_the_flag;
use super::person;

/// OCSF's number for an entity that it has no type for.
const OTHER: u8 = 99;

/// The fields of a class, by name.
pub(super) type Fields = Vec<(&'static str, Value)>;

/// The entity before and after.
pub(super) fn managed(record: &AuditRecord) -> Fields {
    let (draft, object) = (record.draft(), &record.draft().related_object);
    let flag = draft.flag.as_ref().filter(|_| is_about_the_flag(record));
    let kind = if flag.is_some() { "Feature Flag".to_owned() } else { caption(record.related_object_type()) };
    let what = flag.unwrap_or(&object.what);
    let uid = what.stable().or(object.uuid.as_deref().filter(|_| flag.is_none()));
    let mut entity = Map::new();
    entity.insert("type_id".to_owned(), json!(OTHER));
    entity.insert("type".to_owned(), json!(kind));
    if let Some(uid) = uid {
        entity.insert("uid".to_owned(), json!(uid));
    }
    if let Some(name) = name(what) {
        entity.insert("name".to_owned(), json!(name));
    } else if uid.is_none() {
        // One of the two has to be there; that there was none to be told stands in its type.
        entity.insert("name".to_owned(), json!(kind));
    }
    let change = draft.change.as_ref();
    let with_data = |data: Option<&Value>| {
        data.map(|data| {
            let mut entity = entity.clone();
            entity.insert("data".to_owned(), data.clone());
            Value::Object(entity)
        })
    };
    let after = with_data(change.and_then(|change| change.after.as_ref()));
    let before = with_data(change.and_then(|change| change.before.as_ref()));
    vec![("entity", before.unwrap_or(Value::Object(entity))), ("entity_result", after.unwrap_or(Value::Null))]
}

/// User, privileges and what they are for.
pub(super) fn user_access(record: &AuditRecord) -> Fields {
    let Some(access) = &record.draft().access else { return Vec::new() };
    let user = person::subject(&access.subject).map_or(Value::Null, Value::Object);
    vec![("user", user), ("privileges", privileges(access)), ("resources", resources(record, access))]
}

/// The group; its privileges, where they changed.
pub(super) fn group(record: &AuditRecord) -> Fields {
    if let Some(access) = &record.draft().access {
        let subject = &access.subject;
        let what = Ref {
            id: subject.id.clone(),
            key: None,
            name: subject.name.clone().or(subject.email.clone()),
            extra: Map::new(),
        };
        return vec![
            ("group", identified(&what)),
            ("privileges", privileges(access)),
            ("resource", resource(record, access).unwrap_or(Value::Null)),
        ];
    }
    vec![("group", identified(&record.draft().related_object.what))]
}

/// The account, before and after.
pub(super) fn account(record: &AuditRecord) -> Fields {
    let object = &record.draft().related_object.what;
    // A user's key is the name to sign in with, often an address.
    let user = person::user(1, "User", object.id.as_deref(), object.key.as_deref(), object.name.as_deref());
    vec![("user", user.map_or(Value::Null, Value::Object))]
}

/// `role:NAME`, or `access` where no role is named.
fn privileges(access: &Access) -> Value {
    json!([access.role.as_ref().map_or_else(|| "access".to_owned(), |role| format!("role:{role}"))])
}

fn resources(record: &AuditRecord, access: &Access) -> Value {
    resource(record, access).map_or(Value::Null, |resource| json!([resource]))
}

fn resource(record: &AuditRecord, access: &Access) -> Option<Value> {
    let (draft, scope) = (record.draft(), &access.scope);
    let named = match scope.kind.as_str() {
        "project" => draft.project.as_ref(),
        "environment" => draft.environment.as_ref(),
        _ => Some(record.organisation()),
    };
    let uid = scope.id.as_deref().or(scope.key.as_deref()).or(named.and_then(Ref::stable));
    let name = named.and_then(name).or(uid)?;
    let mut resource = Map::new();
    resource.insert("type".to_owned(), json!(scope.kind));
    resource.insert("name".to_owned(), json!(name));
    if let Some(uid) = uid {
        resource.insert("uid".to_owned(), json!(uid));
    }
    Some(Value::Object(resource))
}

fn identified(what: &Ref) -> Value {
    let mut found = Map::new();
    for (field, value) in [("uid", what.stable()), ("name", name(what))] {
        if let Some(value) = value {
            found.insert(field.to_owned(), json!(value));
        }
    }
    Value::Object(found)
}

fn name(what: &Ref) -> Option<&str> {
    what.name.as_deref().or(what.key.as_deref())
}

/// `CHANGE_REQUEST` as `Change Request`.
fn caption(object_type: &str) -> String {
    let word = |word: &str| match word {
        "API" => "API".to_owned(),
        "FEATURE" => "Feature Flag".to_owned(),
        "EF" => "Environment Feature".to_owned(),
        _ => {
            let (first, rest) = word.split_at(word.len().min(1));
            first.to_owned() + &rest.to_ascii_lowercase()
        }
    };
    object_type.split('_').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::caption;

    #[test]
    fn object_types_are_told_in_words() {
        for (object_type, words) in [
            ("CHANGE_REQUEST", "Change Request"),
            ("API_KEY", "API Key"),
            ("FEATURE", "Feature Flag"),
            ("FEATURE_STATE", "Feature Flag State"),
            ("FLAGTRAIL_EXPORT", "Flagtrail Export"),
            ("ROLE", "Role"),
        ] {
            assert_eq!(caption(object_type), words);
        }
    }
}
