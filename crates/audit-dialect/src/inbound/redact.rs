//! Taking secrets out of what a platform said, visibly.
//!
//! A rule is a field's name, or the last names of its path (`environment.api_key`); case does not
//! matter, and a name may begin with `*` for any beginning (`*_token`). It fits wherever the path of a value ends with it, at any depth.

use serde_json::Value;

/// What stands where a secret stood.
pub(crate) const REDACTED: &str = "[REDACTED]";

/// What is a secret in most systems: the rules of a platform that documents none of its own.
pub(crate) const USUAL_SECRETS: &[&str] = &[
    "*password",
    "passwd",
    "*secret",
    "token",
    "*_token",
    "*-token",
    "api_key",
    "apikey",
    "*_api_key",
    "*private_key",
    "authorization",
    "cookie",
];

/// Whether a field of that name is a secret by the rules, wherever it stands.
pub(crate) fn is_secret(name: &str, rules: &[&str], keep: &[String]) -> bool {
    let names = [name.to_owned()];
    rules.iter().any(|rule| fits(rule, &names)) && !keep.iter().any(|kept| fits(kept, &names))
}

/// Replaces every value that a rule fits and no entry of `keep` does, and returns the paths of what was
/// replaced, those included that somebody redacted before. `null` and `""` stay: there is nothing to hide.
pub(crate) fn redact(value: &mut Value, rules: &[&str], keep: &[String]) -> Vec<String> {
    let mut redacted = Vec::new();
    walk(
        value,
        &mut Vec::new(),
        &mut |names| rules.iter().any(|rule| fits(rule, names)) && !keep.iter().any(|kept| fits(kept, names)),
        &mut redacted,
    );
    redacted
}

/// `names` is the path so far: names of fields, and `[n]` for places in arrays.
fn walk(
    value: &mut Value,
    names: &mut Vec<String>,
    is_secret: &mut dyn FnMut(&[String]) -> bool,
    redacted: &mut Vec<String>,
) {
    let nothing_to_hide = match &*value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    if nothing_to_hide {
        return;
    }
    if is_secret(names) {
        *value = REDACTED.into();
        redacted.push(names.join(".").replace(".[", "["));
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                names.push(name.clone());
                walk(inner, names, is_secret, redacted);
                names.pop();
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter_mut().enumerate() {
                names.push(format!("[{index}]"));
                walk(inner, names, is_secret, redacted);
                names.pop();
            }
        }
        _ => {}
    }
}

/// Whether the path ends with `rule`; places in arrays are skipped.
fn fits(rule: &str, names: &[String]) -> bool {
    let mut path = names.iter().rev().filter(|name| !name.starts_with('['));
    !rule.is_empty() && rule.rsplit('.').all(|part| path.next().is_some_and(|name| is_called(name, part)))
}

/// Whether a field's name is the one that a rule's part means.
fn is_called(name: &str, part: &str) -> bool {
    let Some(ending) = part.strip_prefix('*') else { return name.eq_ignore_ascii_case(part) };
    let (name, ending) = (name.as_bytes(), ending.as_bytes());
    name.len() >= ending.len() && name[name.len() - ending.len()..].eq_ignore_ascii_case(ending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rule_fits_the_end_of_a_path_at_any_depth_and_leaves_a_mark() {
        let mut value =
            json!({"data": {"environment": {"api_key": "k"}, "api_key": "other", "list": [{"Secret": 1}]}});
        let redacted = redact(&mut value, &["environment.api_key", "secret"], &[]);
        assert_eq!(redacted, ["data.environment.api_key", "data.list[0].Secret"]);
        assert_eq!(
            value,
            json!({"data": {"environment": {"api_key": "[REDACTED]"}, "api_key": "other", "list": [{"Secret": "[REDACTED]"}]}})
        );
    }

    #[test]
    fn a_rule_with_a_star_fits_every_name_with_that_ending() {
        let mut value = json!({"deploy_TOKEN": "t", "dbPassword": "p", "tokens": 3, "ключ_token": "k"});
        assert_eq!(redact(&mut value, USUAL_SECRETS, &[]), ["dbPassword", "deploy_TOKEN", "ключ_token"]);
        assert_eq!(value["tokens"], 3);
    }

    #[test]
    fn what_was_redacted_before_is_marked_again() {
        let mut value = json!({"secret": REDACTED, "other": REDACTED});
        assert_eq!(redact(&mut value, &["secret"], &[]), ["secret"]);
        assert_eq!(value, json!({"secret": REDACTED, "other": REDACTED}));
    }

    #[test]
    fn what_is_to_be_kept_is_kept_and_nothing_is_not_marked() {
        let mut value = json!({"environment": {"api_key": "k"}, "secret": null, "other": {"secret": ""}});
        let before = value.clone();
        assert!(redact(&mut value, &["environment.api_key", "secret"], &["api_key".to_owned()]).is_empty());
        assert_eq!(value, before);
    }
}
