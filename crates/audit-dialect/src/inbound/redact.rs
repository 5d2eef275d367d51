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

/// Replaces every value that a rule fits and no entry of `keep` does, and returns where in `value` they stood, as JSON
/// Pointers (RFC 6901), those included that somebody redacted before. `null` and `""` stay: there is nothing to hide.
pub(crate) fn redact(value: &mut Value, rules: &[&str], keep: &[String]) -> Vec<String> {
    let mut redacted = Vec::new();
    let is_secret = |names: &[String]| {
        rules.iter().any(|rule| fits(rule, names)) && !keep.iter().any(|kept| fits(kept, names))
    };
    walk(value, &mut Vec::new(), "", &is_secret, &mut redacted);
    redacted
}

/// A JSON Pointer to the field `name` of what `pointer` points at.
pub(crate) fn pointer_to(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// `names` are the fields that lead to `value`, `pointer` is the whole way with the places in arrays.
fn walk(
    value: &mut Value,
    names: &mut Vec<String>,
    pointer: &str,
    is_secret: &dyn Fn(&[String]) -> bool,
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
        redacted.push(pointer.to_owned());
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                names.push(name.clone());
                walk(inner, names, &pointer_to(pointer, name), is_secret, redacted);
                names.pop();
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter_mut().enumerate() {
                walk(inner, names, &format!("{pointer}/{index}"), is_secret, redacted);
            }
        }
        _ => {}
    }
}

/// Whether the path ends with `rule`; places in arrays are not part of it.
fn fits(rule: &str, names: &[String]) -> bool {
    let mut path = names.iter().rev();
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
        assert_eq!(redacted, ["/data/environment/api_key", "/data/list/0/Secret"]);
        assert_eq!(
            value,
            json!({"data": {"environment": {"api_key": "[REDACTED]"}, "api_key": "other", "list": [{"Secret": "[REDACTED]"}]}})
        );
    }

    #[test]
    fn a_rule_with_a_star_fits_every_name_with_that_ending() {
        let mut value = json!({"deploy_TOKEN": "t", "dbPassword": "p", "tokens": 3, "ключ_token": "k"});
        assert_eq!(redact(&mut value, USUAL_SECRETS, &[]), ["/dbPassword", "/deploy_TOKEN", "/ключ_token"]);
        assert_eq!(value["tokens"], 3);
    }

    #[test]
    fn a_pointer_finds_what_was_redacted_whatever_its_name() {
        let mut value = json!({"a/b": {"~[0].x": [{}, {"token": "t"}]}, "": {"token": "t"}});
        let redacted = redact(&mut value, USUAL_SECRETS, &[]);
        assert_eq!(redacted, ["//token", "/a~1b/~0[0].x/1/token"]);
        assert!(redacted.iter().all(|pointer| value.pointer(pointer) == Some(&REDACTED.into())));
    }

    #[test]
    fn what_was_redacted_before_is_marked_again() {
        let mut value = json!({"secret": REDACTED, "other": REDACTED});
        assert_eq!(redact(&mut value, &["secret"], &[]), ["/secret"]);
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
