//! What a template may not do, found before it is ever filled.
//!
//! The engine bounds steps, and the sink bounds output; neither bounds a value on its way. A value twice as long as
//! another, forty times over, is a terabyte in forty steps. So nothing that makes a longer value out of shorter ones is
//! let in: no `~`, `+` or `*`, no `set`, `with`, macro or captured block to hold a longer one, and no call but
//! to the filters given, which count what they handle.

/// The tags that there are.
const TAGS: &[&str] = &["if", "elif", "else", "endif", "for", "endfor"];

/// What makes a longer value out of shorter ones.
const GROWING: &[char] = &['~', '+', '*'];

/// Why a template is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the template: {problem}")]
pub(super) struct Refused {
    line: usize,
    problem: String,
}

/// Looks through the tags of a template.
pub(super) fn check(text: &str) -> Result<(), Refused> {
    let mut at = 0;
    while let Some(found) = text[at..].find('{') {
        let start = at + found;
        let inside = &text[start..];
        let refuse = |problem: String| Refused { line: 1 + text[..start].matches('\n').count(), problem };
        at = if inside.starts_with("{#") {
            // The engine finds a comment that does not end.
            inside.find("#}").map_or(text.len(), |end| start + end + 2)
        } else if inside.starts_with("{{") || inside.starts_with("{%") {
            let is_tag = inside.starts_with("{%");
            let close = if is_tag { "%}" } else { "}}" };
            let code = code(&inside[2..], close).map_err(refuse)?;
            if is_tag {
                check_tag(code).map_err(refuse)?;
            }
            start + 2 + code.len() + close.len()
        } else {
            start + 1
        };
    }
    Ok(())
}

/// The code up to `close`. Braces inside it are refused, so that `close` can stand in strings alone, and the
/// engine finds the same end.
fn code<'t>(text: &'t str, close: &str) -> Result<&'t str, String> {
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => drop(chars.next()),
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, _) if text[at..].starts_with(close) => return Ok(&text[..at]),
            // Beside the braces a + keeps white space.
            (None, '+') if at == 0 || text[at + 1..].starts_with(close) => {}
            (None, c) if GROWING.contains(&c) => {
                return Err(format!("{c} is not allowed: write the values one after the other"));
            }
            (None, '{' | '}') => {
                return Err("braces inside a tag are not allowed: write no map there".to_owned());
            }
            (None, _) => {}
        }
    }
    Err(format!("{close} is missing"))
}

fn check_tag(code: &str) -> Result<(), String> {
    let mut words = code
        .trim_start_matches(['-', '+'])
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty());
    let tag = words.next().unwrap_or_default();
    if !TAGS.contains(&tag) {
        return Err(format!("{{% {tag} %}} is not allowed; there are {}", TAGS.join(", ")));
    }
    if tag == "for" && words.any(|word| word == "recursive") {
        return Err("a loop may not be recursive".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::joining("{{ log ~ log }}", "~ is not allowed")]
    #[case::repeating("{{ log * 1000000000 }}", "* is not allowed")]
    #[case::adding("\n\n{% if log + log %}{% endif %}", "line 3 of the template: + is not allowed")]
    #[case::setting("{% set x = log %}", "{% set %} is not allowed")]
    #[case::a_macro("{%- macro x() %}{% endmacro %}", "{% macro %} is not allowed")]
    #[case::capturing("{% filter upper %}x{% endfilter %}", "{% filter %} is not allowed")]
    #[case::raw("{% raw %}{{ log ~ log }}{% endraw %}", "{% raw %} is not allowed")]
    #[case::including("{% include 'x' %}", "{% include %} is not allowed")]
    #[case::recursion("{% for a in change.fields recursive %}{% endfor %}", "may not be recursive")]
    #[case::hidden_behind_a_map("{{ {'a': {'b': 1}} ~ log }}", "braces inside a tag")]
    #[case::hidden_behind_a_quote(r#"{{ "\"}}" ~ log }}"#, "~ is not allowed")]
    #[case::no_end("{{ log", "}} is missing")]
    #[case::no_end_of_a_string("{{ 'log }}", "}} is missing")]
    fn what_could_grow_without_bound_is_refused(#[case] template: &str, #[case] words: &str) {
        let refused = check(template).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }

    #[rstest]
    #[case(r#"{"a": {"b": "{{ log }}", "c": [1, 2]}, "~": "+*"}"#)]
    #[case("{%- if log -%}{{- log -}}{%+ else +%}{{+ '~ + * } %}' +}}{% endif %}")]
    #[case("{# {{ log ~ log }} {% set %} #}{ % }")]
    fn plain_values_conditions_and_loops_are_let_in(#[case] template: &str) {
        assert_eq!(check(template), Ok(()));
    }
}
