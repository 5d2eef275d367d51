//! The data of NEW_VERSION_PUBLISHED.

use audit_record::{AuditRecord, Map};
use serde_json::Value;

use super::{kept, kept_fields, kept_object, named, person, state};
use crate::outbound::json_value::text;

pub(super) fn data(record: &AuditRecord) -> Map {
    let draft = record.draft();
    let mut data = kept_fields(record, &["feature", "published_by"]);
    data.insert("uuid".to_owned(), text(draft.related_object.uuid.as_deref()));
    data.insert("feature".to_owned(), named(draft.flag.as_ref(), kept_object(record, "feature")));
    data.insert("published_by".to_owned(), person::published_by(record));
    if kept(record, "feature_states").is_none() {
        data.insert("feature_states".to_owned(), feature_states(record));
    }
    data
}

fn feature_states(record: &AuditRecord) -> Value {
    let after = record.draft().change.as_ref().and_then(|change| change.after.as_ref());
    let settings = after.and_then(|after| after.get("feature_states")).and_then(Value::as_array);
    let state = |setting: &Value| {
        let mut fields = Map::new();
        for field in ["enabled", "value"] {
            fields.extend(setting.get(field).map(|value| (field.to_owned(), value.clone())));
        }
        fields.insert("multivariate_feature_state_values".to_owned(), state::shares(setting));
        Value::Object(fields)
    };
    settings.into_iter().flatten().map(state).collect()
}
