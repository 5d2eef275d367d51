//! Our body template for можно, and reading what it makes.
//!
//! можно puts values into the template as they are, escaping nothing, so no JSON template is safe: a quote in
//! a flag's name breaks it, and a name can pose as other fields. Here the values that only можно makes (words
//! and numbers) come first, one a line; then the values that people write, each between two marker lines. A
//! value may hold quotes, backslashes and newlines; only one that holds a whole marker line of ours is
//! ambiguous. Then the first part still holds, because nothing that people write comes before it, and the text
//! is kept whole, unread.

use super::event::Said;

/// The body to paste into можно's webhook.
pub const MOZHNO_TEMPLATE: &str = include_str!("../../../assets/mozhno-template.txt");

/// What the text begins with. The number is the template's version.
const FIRST_LINE: &str = "flagtrail mozhno 1";

/// The values that only можно makes, in the order of the template.
const WORDS: [&str; 6] = ["action", "resourceType", "resourceId", "projectId", "user.id", "timestamp"];

/// The values that people write, in the order of the template; the last marker ends the last of them.
const TEXTS: [&str; 5] = ["resourceName", "details", "user.email", "user.name", "end"];

/// Whether the text was made by our template, whole or not.
pub(super) fn is_ours(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with("flagtrail mozhno ")
}

/// Reads the text. `Err` says what is wrong with it.
pub(super) fn read(text: &str) -> Result<Said, String> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    // A form in a browser may have turned the template's line ends into CR LF: all of them or none.
    let first_line = text.split('\n').next().unwrap_or_default();
    let newline = if first_line.ends_with('\r') { "\r\n" } else { "\n" };
    let mut rest = text
        .strip_prefix(FIRST_LINE)
        .and_then(|rest| rest.strip_prefix(newline))
        .ok_or_else(|| format!("its first line is not {FIRST_LINE:?}, the version that is known"))?;

    let mut said = Said::default();
    for name in WORDS {
        let lacks = || format!("it has no line {name}=… where the template has it");
        let (line, after) = rest.split_once(newline).ok_or_else(lacks)?;
        let value = line.strip_prefix(name).and_then(|line| line.strip_prefix('=')).ok_or_else(lacks)?;
        said.set_ours(name, value);
        rest = after;
    }

    let markers = TEXTS.map(|name| format!("--- flagtrail {name} ---"));
    // Every marker after the first follows a value, so a newline stands before it.
    let rest = rest
        .strip_prefix(&markers[0])
        .ok_or_else(|| format!("it has no line {:?} where the template has it", markers[0]))?;
    let mut values = Vec::with_capacity(markers.len() - 1);
    let mut remaining = rest;
    for (index, marker) in markers.iter().enumerate().skip(1) {
        let closing = format!("{newline}{marker}");
        let (value, after) = remaining.split_once(&closing).ok_or_else(|| {
            format!("it has no line {marker:?}: it was cut short, or the template was altered")
        })?;
        values.push((TEXTS[index - 1], value.strip_prefix(newline).unwrap_or(value)));
        remaining = after;
    }
    // Each marker must stand in the text once: then there is one way to read it, and it is the true one.
    let is_plain = markers.iter().all(|marker| text.matches(marker.as_str()).count() == 1);
    if is_plain && remaining.trim().is_empty() {
        for (name, value) in values {
            said.set_ours(name, value);
        }
    } else {
        said.unread = Some(format!("{}{rest}", markers[0]));
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_has_the_fields_and_markers_in_the_order_they_are_read() {
        let mut expected = format!("{FIRST_LINE}\n");
        for name in WORDS {
            expected += &format!("{name}={{{{events.{name}}}}}\n");
        }
        for name in TEXTS {
            expected += &format!("--- flagtrail {name} ---\n");
            if name != "end" {
                expected += &format!("{{{{events.{name}}}}}\n");
            }
        }
        assert_eq!(MOZHNO_TEMPLATE, expected);
    }
}
