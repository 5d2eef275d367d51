//! What a template may not do, found before it is ever filled.
//!
//! The engine bounds steps, and the sink bounds output; neither bounds a value on its way. A value twice as long as
//! another, forty times over, is a terabyte in forty steps. So nothing that makes a longer value out of shorter ones is
//! let in: no `~`, `+` or `*`, no `set`, `with`, macro or captured block to hold a longer one, and no call but
//! to the filters and tests given, which count what they handle.
//!
//! Nor do steps bound time where one of them handles as much as there is: texts of a megabyte compared fifty thousand
//! times are fifty thousand steps and fifty gigabytes, and lists within lists have no end at all. So a value is compared
//! with what is written out in the template, which is short; whether a text holds another is asked by a test that counts,
//! `containing`; and there are no slices and no methods.

/// The tags that there are.
const TAGS: &[&str] = &["if", "elif", "else", "endif", "for", "endfor"];

/// What makes a longer value out of shorter ones.
const GROWING: &[char] = &['~', '+', '*'];

/// Most bytes of a template that a value is compared with, which is what one comparison handles.
const COMPARED_BYTES_MAX: usize = 4 * 1024;

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
            check_steps(&tokens(code), is_tag).map_err(refuse)?;
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

/// A piece of code, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    /// A text or a number.
    Literal(&'t str),
    /// A name, or a word of the language.
    Word(&'t str),
    /// Anything else.
    Sign(&'t str),
}

impl Token<'_> {
    fn bytes(&self) -> usize {
        let (Self::Literal(text) | Self::Word(text) | Self::Sign(text)) = self;
        text.len()
    }
}

/// Takes code apart in which every string ends.
fn tokens(code: &str) -> Vec<Token<'_>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let until = |end: &dyn Fn(char) -> bool| rest.find(end).unwrap_or(rest.len());
        let length = match first {
            '"' | '\'' => string_bytes(rest, first),
            // A number may have a fraction.
            '0'..='9' => until(&|c| !is_word(c) && c != '.'),
            c if is_word(c) => until(&|c| !is_word(c)),
            '=' | '!' | '<' | '>' if rest[1..].starts_with('=') => 2,
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(match first {
            '"' | '\'' | '0'..='9' => Token::Literal(token),
            c if is_word(c) => Token::Word(token),
            _ => Token::Sign(token),
        });
        rest = after.trim_start();
    }
    tokens
}

/// How long the string is that a text begins with.
fn string_bytes(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Refuses what handles in one step more than the template itself says.
fn check_steps(tokens: &[Token<'_>], is_tag: bool) -> Result<(), String> {
    let word = tokens.iter().find(|token| matches!(token, Token::Word(_)));
    // What stands behind the first `in` of a loop is what it loops over.
    let mut begins_loop = is_tag && word == Some(&Token::Word("for"));
    for (at, token) in tokens.iter().enumerate() {
        let (before, after) = (&tokens[..at], &tokens[at + 1..]);
        match token {
            Token::Sign(":") => return Err("a slice is not allowed: use the filter truncate".to_owned()),
            Token::Sign("(") if is_method(before) => {
                return Err("a method is not allowed: call the filters".to_owned());
            }
            Token::Sign(sign @ ("==" | "!=" | "<" | "<=" | ">" | ">=")) => check_compared(sign, after)?,
            Token::Word("in") if before.last() == Some(&Token::Sign(".")) => {}
            Token::Word("in") if begins_loop => begins_loop = false,
            Token::Word("in") => check_compared("in", after)?,
            _ => {}
        }
    }
    Ok(())
}

/// Whether a bracket after this calls a method. Filters, tests and loops are called by a name alone.
fn is_method(before: &[Token<'_>]) -> bool {
    matches!(
        before,
        [.., Token::Sign("."), Token::Word(_)] | [.., Token::Literal(_) | Token::Sign(")" | "]")]
    )
}

/// Refuses to compare with what is not written out, or is long. `in` looks through a list alone: in a text it would
/// look for whatever it is given, written as a text.
fn check_compared(operator: &str, operand: &[Token<'_>]) -> Result<(), String> {
    let written = if operator == "in" { list(operand) } else { literal(operand).or_else(|| list(operand)) };
    let goes_on = |rest: &[Token<'_>]| matches!(rest, [Token::Sign("|" | "." | "[" | "("), ..]);
    match written.map(|length| operand.split_at(length)) {
        Some((written, rest)) if !goes_on(rest) => {
            let bytes: usize = written.iter().map(Token::bytes).sum();
            if bytes <= COMPARED_BYTES_MAX {
                return Ok(());
            }
            Err(format!("{bytes} bytes follow {operator}, {COMPARED_BYTES_MAX} are allowed"))
        }
        _ if operator == "in" => Err(
            "in must be followed by a list of texts and numbers written out; ask whether a text or a list holds a text with is containing(\"…\")"
                .to_owned(),
        ),
        _ => Err(format!("{operator} must be followed by a text, a number or a list of them written out")),
    }
}

/// How many tokens make the literal that an operand begins with.
fn literal(tokens: &[Token<'_>]) -> Option<usize> {
    match tokens {
        [Token::Literal(_), ..]
        | [Token::Word("true" | "false" | "none" | "True" | "False" | "None"), ..] => Some(1),
        [Token::Sign("-"), Token::Literal(_), ..] => Some(2),
        _ => None,
    }
}

/// How many make the list of literals.
fn list(tokens: &[Token<'_>]) -> Option<usize> {
    tokens.first().filter(|token| **token == Token::Sign("["))?;
    let mut at = 1;
    while tokens.get(at)? != &Token::Sign("]") {
        at += literal(&tokens[at..])?;
        match tokens.get(at)? {
            Token::Sign(",") => at += 1,
            Token::Sign("]") => {}
            _ => return None,
        }
    }
    Some(at + 1)
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
    #[case::comparing_two_fields("{% if log == reason %}", "== must be followed by a text")]
    #[case::comparing_with_what_a_filter_makes(r#"{{ log < ""|default(log) }}"#, "< must be followed by")]
    #[case::comparing_on_the_left(r#"{% if "a" == log %}"#, "== must be followed by a text")]
    #[case::comparing_in_a_chain(r#"{% if log > reason > "a" %}"#, "> must be followed by a text")]
    #[case::comparing_lists("{% for a in [[log, log]] if a != [a] %}", "!= must be followed by a text")]
    #[case::looking_through_a_text(r#"{% if "a" in log %}"#, "is containing")]
    #[case::looking_for_anything_in_a_text(r#"{% if record in "a" %}"#, "is containing")]
    #[case::looking_in_a_loop("{% for a in change.fields if a not in change.fields %}", "is containing")]
    #[case::cutting("{% for a in change.fields %}{{ log[1:] }}{% endfor %}", "a slice is not allowed")]
    #[case::a_method("{{ loop . changed (log) }}", "a method is not allowed")]
    #[case::a_method_in_brackets("{{ (loop.changed)(log) }}", "a method is not allowed")]
    #[case::no_end("{{ log", "}} is missing")]
    #[case::no_end_of_a_string("{{ 'log }}", "}} is missing")]
    fn what_could_grow_without_bound_is_refused(#[case] template: &str, #[case] words: &str) {
        let refused = check(template).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }

    #[test]
    fn what_is_compared_with_is_short() {
        let comparing = |bytes: usize| check(&format!("{{{{ log == '{}' }}}}", "a".repeat(bytes - 2)));
        assert_eq!(comparing(COMPARED_BYTES_MAX), Ok(()));
        let refused = comparing(COMPARED_BYTES_MAX + 1).unwrap_err().to_string();
        assert!(refused.contains("4097 bytes follow ==, 4096 are allowed"), "{refused}");
        let list = format!("{{{{ log in [{}] }}}}", "'a',".repeat(COMPARED_BYTES_MAX));
        assert!(check(&list).unwrap_err().to_string().contains("bytes follow in"), "{list}");
    }

    #[rstest]
    #[case(r#"{"a": {"b": "{{ log }}", "c": [1, 2]}, "~": "+*"}"#)]
    #[case("{%- if log -%}{{- log -}}{%+ else +%}{{+ '~ + * } %}' +}}{% endif %}")]
    #[case("{# {{ log ~ log }} {% set %} #}{ % }")]
    #[case(r#"{% if action == "flag.created" and loop.index > 1.5 or x != -1 %}{% endif %}"#)]
    #[case(r#"{% if action not in ["a \"b\"", 'c', 1,] and (flag.in == none) and x == [] %}{% endif %}"#)]
    #[case(
        r#"{% for a, b in (flag or target)|items if not loop.last and b is containing("x") %}{% endfor %}"#
    )]
    fn plain_values_conditions_and_loops_are_let_in(#[case] template: &str) {
        assert_eq!(check(template), Ok(()));
    }
}
