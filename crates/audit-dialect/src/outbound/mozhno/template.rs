//! A template of можно, taken apart once. Of each placeholder it is known whether it stands inside a JSON
//! string: there its value is escaped; anywhere else it becomes a JSON value of its own, an id of digits a
//! number, so that no value can break the body or pose as another field.

use audit_record::parse_strict;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::outbound::format::Escape;
use crate::outbound::json_value::number_or_text;
use crate::outbound::rendered::InvalidFormat;

/// Longest template, in bytes.
const TEMPLATE_BYTES_MAX: usize = 64 * 1024;

/// What a body of можно may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::outbound) enum Variable {
    Action,
    ResourceType,
    ResourceId,
    ResourceName,
    Details,
    ProjectId,
    UserId,
    UserName,
    UserEmail,
    Timestamp,
}

/// Every variable by its name in a template.
const VARIABLES: &[(&str, Variable)] = &[
    ("action", Variable::Action),
    ("resourceType", Variable::ResourceType),
    ("resourceId", Variable::ResourceId),
    ("resourceName", Variable::ResourceName),
    ("details", Variable::Details),
    ("projectId", Variable::ProjectId),
    ("user.id", Variable::UserId),
    ("user.name", Variable::UserName),
    ("user.email", Variable::UserEmail),
    ("timestamp", Variable::Timestamp),
];

impl Variable {
    /// The variables that are numbers in можно.
    fn is_id(self) -> bool {
        matches!(self, Self::ResourceId | Self::ProjectId | Self::UserId)
    }
}

/// How a placeholder's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// As it is.
    Raw,
    /// Escaped, inside a JSON string of the template.
    InString,
    /// As a JSON value.
    Bare,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Value(Variable, Place),
}

/// A template that can be filled.
#[derive(Clone, Debug)]
pub(in crate::outbound) struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    /// Reads a template. With [`Escape::Json`] it must be JSON whatever the values are.
    pub(in crate::outbound) fn parse(text: &str, escape: Escape) -> Result<Self, InvalidFormat> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(InvalidFormat::new(format!(
                "the template has {} bytes, {TEMPLATE_BYTES_MAX} are allowed",
                text.len()
            )));
        }
        let template = Self { pieces: pieces(text, escape)? };
        if escape == Escape::Json {
            let refused = |error: &dyn std::fmt::Display| {
                InvalidFormat::new(format!(
                    "the template makes no JSON ({error}): mend it, or set escape to none for a body that is none"
                ))
            };
            parse_strict(&template.fill(|_| Some("1"))).map_err(|error| refused(&error))?;
            // What goes with digits alone need not go with a word, or with no value at all.
            for value in [Some("word"), None] {
                serde_json::from_slice::<IgnoredAny>(&template.fill(|_| value))
                    .map_err(|error| refused(&error))?;
            }
        }
        Ok(template)
    }

    /// Fills it; a variable without a value is `""`, and `null` where it stands alone.
    pub(in crate::outbound) fn fill<'v>(&self, value: impl Fn(Variable) -> Option<&'v str>) -> Vec<u8> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value(variable, Place::Raw) => out.push_str(value(*variable).unwrap_or_default()),
                Piece::Value(variable, Place::InString) => {
                    let quoted = Value::from(value(*variable).unwrap_or_default()).to_string();
                    out.push_str(&quoted[1..quoted.len() - 1]);
                }
                Piece::Value(variable, Place::Bare) => {
                    let value = value(*variable);
                    let value = if variable.is_id() {
                        number_or_text(value)
                    } else {
                        value.map_or(Value::Null, Value::from)
                    };
                    out.push_str(&value.to_string());
                }
            }
        }
        out.into_bytes()
    }
}

/// Takes the text apart, following whether it is inside a JSON string.
fn pieces(text: &str, escape: Escape) -> Result<Vec<Piece>, InvalidFormat> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut in_string = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some((name, after)) = placeholder(rest) {
            let variable = VARIABLES.iter().find(|(known, _)| *known == name);
            let (_, variable) = variable.ok_or_else(|| {
                let known: Vec<&str> = VARIABLES.iter().map(|(name, _)| *name).collect();
                InvalidFormat::new(format!(
                    "events.{name} is no variable of mozhno; the ten are events. and {}",
                    known.join(", ")
                ))
            })?;
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Value(
                *variable,
                match (escape, in_string) {
                    (Escape::None, _) => Place::Raw,
                    (Escape::Json, true) => Place::InString,
                    (Escape::Json, false) => Place::Bare,
                },
            ));
            rest = after;
            continue;
        }
        let taken = match c {
            '\\' if in_string => c.len_utf8() + rest[1..].chars().next().map_or(0, char::len_utf8),
            _ => c.len_utf8(),
        };
        in_string ^= c == '"';
        literal.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

/// The name in a placeholder at the text's beginning, and what follows it. As in можно no space may stand
/// between the braces.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    [("{{events.", "}}"), ("[[events.", "]]")].iter().find_map(|(open, close)| {
        let inner = text.strip_prefix(open)?;
        let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))?;
        let after = inner[end..].strip_prefix(close)?;
        (end > 0).then_some((&inner[..end], after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn filled(template: &str, escape: Escape, value: Option<&str>) -> String {
        let template = Template::parse(template, escape).expect("a template");
        String::from_utf8(template.fill(|_| value)).unwrap()
    }

    #[rstest]
    #[case::in_a_string(r#"{"a":"x {{events.details}}"}"#, Some("q\"\n\\"), r#"{"a":"x q\"\n\\"}"#)]
    #[case::in_square_brackets(r#"{"a":"[[events.details]]"}"#, Some("d"), r#"{"a":"d"}"#)]
    #[case::an_id_stays_a_number(r#"{"id":{{events.resourceId}}}"#, Some("12"), r#"{"id":12}"#)]
    #[case::an_id_that_is_a_word_is_text(r#"{"id":[[events.resourceId]]}"#, Some("web"), r#"{"id":"web"}"#)]
    #[case::a_bare_text_is_quoted(r#"{"n":{{events.resourceName}}}"#, Some("1"), r#"{"n":"1"}"#)]
    #[case::nothing_is_empty_in_a_string(r#"["{{events.details}}"]"#, None, r#"[""]"#)]
    #[case::nothing_is_null_elsewhere(r#"[{{events.details}}]"#, None, "[null]")]
    #[case::after_an_escaped_quote(r#"["\"{{events.details}}"]"#, Some("\""), r#"["\"\""]"#)]
    #[case::spaces_make_no_placeholder(
        r#"["{{ events.details }}"]"#,
        Some("x"),
        r#"["{{ events.details }}"]"#
    )]
    #[case::a_value_is_not_read_again(
        r#"["{{events.details}}"]"#,
        Some("{{events.action}}"),
        r#"["{{events.action}}"]"#
    )]
    fn a_value_is_written_as_its_place_asks(
        #[case] template: &str,
        #[case] value: Option<&str>,
        #[case] body: &str,
    ) {
        assert_eq!(filled(template, Escape::Json, value), body);
    }

    #[test]
    fn without_escaping_values_stand_as_they_are() {
        assert_eq!(filled("a={{events.details}}\n", Escape::None, Some("\"q\"\n")), "a=\"q\"\n\n");
    }

    #[rstest]
    #[case::no_json("action={{events.action}}", "escape to none")]
    #[case::a_misspelt_variable(r#"{"a":"{{events.acton}}"}"#, "events.acton is no variable")]
    #[case::json_with_digits_alone("[1{{events.resourceId}}]", "makes no JSON")]
    #[case::a_number_of_two_ids("[{{events.projectId}}{{events.user.id}}]", "makes no JSON")]
    #[case::a_name_that_may_be_null(r#"{ {{events.details}}: 1}"#, "makes no JSON")]
    fn a_template_that_can_make_no_json_is_refused(#[case] template: &str, #[case] words: &str) {
        let error = Template::parse(template, Escape::Json).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}
