//! JSON as Python's `json.dumps(…, sort_keys=True)` writes it, which is what Flagsmith signs: keys sorted by
//! code point, `", "` and `": "` between things, and everything outside printable ASCII as `\u` escapes.
//! Numbers keep their digits.

use serde_json::Value;

/// The bytes.
pub(super) fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = String::new();
    write(value, &mut out);
    out.into_bytes()
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(number.as_str()),
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            // The order of UTF-8 is that of code points.
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                string(key, out);
                out.push_str(": ");
                write(item, out);
            }
            out.push('}');
        }
    }
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_written_as_python_writes_it() {
        // What `json.dumps({"b": "é\x7f\x00🚀\n\t\b\f\"\\/", "a": [1, 2.50, None, True]}, sort_keys=True)` gives,
        // but for 2.50, which Python would have read as 2.5.
        let value = audit_record::parse_strict(
            "{\"b\":\"é\u{7f}\\u0000🚀\\n\\t\\b\\f\\\"\\\\/\",\"a\":[1,2.50,null,true],\"{}\":{},\"[]\":[]}"
                .as_bytes(),
        );
        let text = String::from_utf8(to_vec(&value.unwrap())).unwrap();
        assert_eq!(
            text,
            r#"{"[]": [], "a": [1, 2.50, null, true], "b": "\u00e9\u007f\u0000\ud83d\ude80\n\t\b\f\"\\/", "{}": {}}"#
        );
    }
}
