//! A request that became no record, as it may be kept readable: without the secrets that its platform's records
//! would be without.
//!
//! Where the payload does not parse nothing can be told apart, and it stays as it came.

use std::borrow::Cow;

use audit_record::parse_strict;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::redact::{REDACTED, USUAL_SECRETS, is_secret, pointer_to, redact};
use super::{flagsmith, unleash};
use crate::platform::Platform;

/// What stays as it is in the value of a query parameter.
const UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'[').remove(b']');

/// Where the pointers to what was redacted in the body begin, and those to the query's parameters.
const BODY: &str = "/body";
const QUERY: &str = "/query";

/// The query parameter that holds the payload of a GET.
const JSON: &str = "json";

/// A request without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// The query string.
    pub query: Option<String>,
    /// The body.
    pub body: Cow<'a, [u8]>,
    /// What was redacted, as JSON Pointers (RFC 6901) into `{"body": …, "query": {parameter: …}}`, and on into the JSON that a
    /// string of the payload holds. Empty: everything is as it came.
    pub redacted: Vec<String>,
    /// Whether translating this is refused or not as translating what came is: false where the body breaks a rule that
    /// its redacted form can't show, such as a key that stands twice.
    pub is_faithful: bool,
}

/// Takes the secrets of `platform` out of a request, but for fields of the names in `keep`. `query` is the query string
/// as it came, and its parameters decoded.
pub fn shown<'a>(
    platform: Platform,
    keep: &[String],
    query: Option<(&str, &[(String, String)])>,
    body: &'a [u8],
) -> Shown<'a> {
    let mut shown = Shown {
        query: query.map(|(raw, _)| raw.to_owned()),
        body: body.into(),
        redacted: Vec::new(),
        is_faithful: true,
    };
    if let Some(without) = without_secrets(platform, body, keep) {
        (shown.body, shown.is_faithful) = (without.text.into_bytes().into(), without.is_strict);
        shown.redacted = without.paths.into_iter().map(|path| format!("{BODY}{path}")).collect();
    }
    let rules = rules(platform, &Value::Null);
    let mut parameters = Vec::new();
    let mut is_changed = false;
    for (name, value) in query.map(|(_, pairs)| pairs).unwrap_or_default() {
        let pointer = pointer_to(QUERY, name);
        let mut value = Cow::Borrowed(value.as_str());
        if is_secret(name, &rules, keep) && !value.is_empty() {
            value = REDACTED.into();
            shown.redacted.push(pointer);
            is_changed = true;
        } else if name == JSON
            && let Some(without) = without_secrets(platform, value.as_bytes(), keep)
        {
            value = without.text.into();
            shown.is_faithful &= without.is_strict;
            shown.redacted.extend(without.paths.into_iter().map(|path| pointer.clone() + &path));
            is_changed = true;
        }
        parameters.push(format!("{}={}", encoded(name), encoded(&value)));
    }
    if is_changed {
        shown.query = Some(parameters.join("&"));
    }
    shown
}

/// JSON that had secrets.
struct Without {
    text: String,
    /// Whether what came was strict JSON.
    is_strict: bool,
    /// The pointers to what was redacted.
    paths: Vec<String>,
}

/// The payload without secrets, and without those of JSON in a string of it: a body template may have put the event
/// there. `None` where it is no JSON or has no secret.
fn without_secrets(platform: Platform, payload: &[u8], keep: &[String]) -> Option<Without> {
    let (mut value, mut is_strict) = read(payload)?;
    let known = rules(platform, &value);
    let mut paths = redact(&mut value, &known, keep);
    for (name, inner) in value.as_object_mut().into_iter().flatten() {
        let text = inner.as_str().filter(|text| text.starts_with('{'));
        let Some((mut held, is_held_strict)) = text.and_then(|text| read(text.as_bytes())) else { continue };
        let known = rules(platform, &held);
        let held_paths = redact(&mut held, &known, keep);
        if !held_paths.is_empty() {
            *inner = held.to_string().into();
            is_strict &= is_held_strict;
            let pointer = pointer_to("", name);
            paths.extend(held_paths.into_iter().map(|path| pointer.clone() + &path));
        }
    }
    (!paths.is_empty()).then(|| Without { text: value.to_string(), is_strict, paths })
}

/// JSON, and whether it is strict.
fn read(text: &[u8]) -> Option<(Value, bool)> {
    let strict = parse_strict(text).ok().map(|value| (value, true));
    strict.or_else(|| Some((serde_json::from_slice(text).ok()?, false)))
}

/// What is a secret in `value`, which a platform sent: what its dialect says, and what usually is one. What was refused may
/// be of any form, so it is better to hide too much than too little.
fn rules(platform: Platform, value: &Value) -> Vec<&'static str> {
    let (own, further): (&[&str], &[&str]) = match platform {
        Platform::Flagsmith => (flagsmith::SECRETS, &[]),
        Platform::Unleash => (unleash::SECRETS, unleash::further_secrets(value)),
        Platform::Zenmanage
        | Platform::AbTasty
        | Platform::Mozhno
        | Platform::CloudEvents
        | Platform::Native => (&[], &[]),
    };
    [own, further, USUAL_SECRETS].concat()
}

fn encoded(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, UNRESERVED).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn secrets_of_a_body_and_of_its_query_are_taken_out_and_named() {
        let body = br#"{"environment": {"api_key": "k", "name": "Production"}, "password": "p"}"#;
        let query = pairs(&[("project", "a b"), ("access_token", "t"), ("json", r#"{"secret":"s","x":1}"#)]);
        let raw = "project=a%20b&access_token=t&json=…";
        let shown = shown(Platform::Flagsmith, &[], Some((raw, &query)), body);
        assert_eq!(
            shown.redacted,
            ["/body/environment/api_key", "/body/password", "/query/access_token", "/query/json/secret"]
        );
        assert_eq!(
            String::from_utf8_lossy(&shown.body),
            r#"{"environment":{"api_key":"[REDACTED]","name":"Production"},"password":"[REDACTED]"}"#
        );
        assert_eq!(
            shown.query.as_deref(),
            Some(
                "project=a%20b&access_token=[REDACTED]&json=%7B%22secret%22%3A%22[REDACTED]%22%2C%22x%22%3A1%7D"
            )
        );
        assert!(shown.is_faithful);
    }

    #[test]
    fn what_has_no_secret_or_does_not_parse_stays_byte_for_byte() {
        for body in [&b"{ \"name\" : 1e2 }"[..], b"password=p", b"{\"password\": \"p\"", b"\xff\x00"] {
            let shown = shown(Platform::Zenmanage, &[], Some(("a=%20", &pairs(&[("a", " ")]))), body);
            assert_eq!((&*shown.body, shown.query.as_deref()), (body, Some("a=%20")));
            assert!(shown.redacted.is_empty() && shown.is_faithful);
        }
    }

    #[test]
    fn a_body_that_breaks_a_rule_of_ours_is_redacted_all_the_same_and_said_to_be_another() {
        let shown = shown(Platform::Native, &[], None, br#"{"token": "t", "a": 1, "a": 2}"#);
        assert_eq!(shown.redacted, ["/body/token"]);
        assert!(!shown.is_faithful);
    }

    #[test]
    fn secrets_of_an_event_that_a_template_put_into_a_string_are_taken_out_and_named() {
        let event = r#"{"id":5,"type":"api-token-created","data":{"secret":"s"}}"#;
        let body = serde_json::json!({"json": event, "note": "{no JSON", "password": "p"}).to_string();
        let shown = shown(Platform::Unleash, &[], None, body.as_bytes());
        assert_eq!(shown.redacted, ["/body/password", "/body/json/data/secret"]);
        let body: Value = serde_json::from_slice(&shown.body).unwrap();
        let held: Value = serde_json::from_str(body["json"].as_str().unwrap()).unwrap();
        assert_eq!(held["data"]["secret"], REDACTED);
        assert_eq!(body["note"], "{no JSON");
        assert!(shown.is_faithful);
    }

    #[test]
    fn a_secret_in_a_string_that_breaks_a_rule_of_ours_is_taken_out_and_said_to_be_another() {
        let body = serde_json::json!({"json": r#"{"token": "t", "a": 1, "a": 2}"#}).to_string();
        let shown = shown(Platform::Unleash, &[], None, body.as_bytes());
        assert_eq!((shown.redacted, shown.is_faithful), (vec!["/body/json/token".to_owned()], false));
    }

    #[test]
    fn whoever_has_the_link_to_sign_up_in_unleash_can() {
        let url = "https://unleash.example/new-user?invite=abc";
        let event = |kind: &str| serde_json::json!({"id": 5, "type": kind, "data": {"url": url}}).to_string();
        let redacted = |body: String| shown(Platform::Unleash, &[], None, body.as_bytes()).redacted;
        assert_eq!(redacted(event("public-signup-token-created")), ["/body/data/url"]);
        let wrapped = serde_json::json!({"json": event("public-signup-token-created")}).to_string();
        assert_eq!(redacted(wrapped), ["/body/json/data/url"]);
        assert!(redacted(event("addon-config-created")).is_empty(), "other addresses are no secrets");
    }

    #[test]
    fn what_is_to_be_kept_is_kept() {
        let body = br#"{"environment": {"api_key": "k"}}"#;
        let keep = ["environment.api_key".to_owned(), "api_key".to_owned()];
        assert!(shown(Platform::Flagsmith, &keep, None, body).redacted.is_empty());
    }
}
