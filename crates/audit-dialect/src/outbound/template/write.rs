//! Writing a value into a template's output.

use std::fmt::{self, Write};
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, Output, State, Value};

use super::context;

/// A number in the digits it came in.
#[derive(Debug)]
pub(super) struct Digits(pub(super) String);

impl Object for Digits {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// For a body of JSON: inside a string escaped for it, elsewhere a JSON value.
pub(super) fn as_json(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let progress = context::progress(state)
        .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "the output is not known"))?;
    if progress.is_in_string() {
        plain(&mut Escaping(out), value).map_err(Error::from)
    } else {
        json(out, value).map_err(Error::from)
    }
}

/// For any other body: as it is.
pub(super) fn as_text(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    plain(out, value).map_err(Error::from)
}

/// Text as it is, null as nothing, and what is no text as JSON.
fn plain(out: &mut impl Write, value: &Value) -> fmt::Result {
    match (value.as_str(), value.kind()) {
        (Some(text), _) => out.write_str(text),
        (None, ValueKind::None | ValueKind::Undefined) => Ok(()),
        (None, _) => json(out, value),
    }
}

/// As JSON.
pub(super) fn json(out: &mut impl Write, value: &Value) -> fmt::Result {
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => out.write_str("null"),
        ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => write!(out, "{value}"),
        ValueKind::Plain if value.downcast_object_ref::<Digits>().is_some() => write!(out, "{value}"),
        ValueKind::Seq | ValueKind::Iterable => {
            out.write_char('[')?;
            for (index, item) in value.try_iter().map_err(|_| fmt::Error)?.enumerate() {
                out.write_str(if index > 0 { "," } else { "" })?;
                json(out, &item)?;
            }
            out.write_char(']')
        }
        ValueKind::Map => {
            out.write_char('{')?;
            for (index, key) in value.try_iter().map_err(|_| fmt::Error)?.enumerate() {
                out.write_str(if index > 0 { "," } else { "" })?;
                string(out, &key.to_string())?;
                out.write_char(':')?;
                json(out, &value.get_item(&key).map_err(|_| fmt::Error)?)?;
            }
            out.write_char('}')
        }
        _ => match value.as_str() {
            Some(text) => string(out, text),
            None => string(out, &value.to_string()),
        },
    }
}

fn string(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    Escaping(out).write_str(text)?;
    out.write_char('"')
}

/// Escapes what goes through for the inside of a JSON string.
struct Escaping<'w, W>(&'w mut W);

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.0.write_str(&text[plain..at])?;
            plain = at + 1;
            match byte {
                b'"' => self.0.write_str("\\\"")?,
                b'\\' => self.0.write_str("\\\\")?,
                b'\n' => self.0.write_str("\\n")?,
                b'\r' => self.0.write_str("\\r")?,
                b'\t' => self.0.write_str("\\t")?,
                _ => write!(self.0, "\\u{byte:04x}")?,
            }
        }
        self.0.write_str(&text[plain..])
    }
}
