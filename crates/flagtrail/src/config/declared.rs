//! From configuration to declared settings: `[[source]]`, `[[endpoint]]`, `[[token]]`, `[[schedule]]`, with their secrets read from files.

use std::path::PathBuf;

use audit_server::{Declaration, Named};
use secrecy::ExposeSecret;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::Config;
use crate::exit::{Exit, Stop};
use crate::secret_file;

/// What stands in place of a secret where a configuration is shown.
const REDACTED: &str = "[REDACTED]";

/// What becomes of settings that are taken out of the file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Declared {
    pub(crate) prune: bool,
}

/// Tables as they were written. `Debug` shows nothing of them.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Tables(Vec<Map<String, Value>>);

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tables", self.0.len())
    }
}

impl Serialize for Tables {
    /// Secrets are masked.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tables = serializer.serialize_seq(Some(self.0.len()))?;
        for table in &self.0 {
            let mut shown = table.clone();
            for (key, value) in &mut shown {
                match (key.as_str(), value) {
                    ("token" | "secrets", value) => *value = REDACTED.into(),
                    ("headers", Value::Object(headers)) => {
                        headers.values_mut().for_each(|value| *value = REDACTED.into());
                    }
                    ("tls", Value::Object(tls)) => {
                        tls.entry("client_key").and_modify(|key| *key = REDACTED.into());
                    }
                    ("url", Value::String(url)) => mask_password(url),
                    _ => {}
                }
            }
            tables.serialize_element(&shown)?;
        }
        tables.end()
    }
}

/// `https://user:password@host` without the password.
fn mask_password(url: &mut String) {
    let Some(start) = url.find("://").map(|scheme| scheme + 3) else { return };
    let authority = url[start..].find('/').map_or(url.len(), |end| start + end);
    let Some(end) = url[start..authority].rfind('@').map(|end| start + end) else { return };
    if let Some(colon) = url[start..end].find(':') {
        url.replace_range(start + colon + 1..end, REDACTED);
    }
}

impl Config {
    /// What the configuration declares, secrets read and everything checked; `None` where there is no file, which then
    /// declares nothing and lets go of nothing.
    pub(crate) fn declaration(&self) -> anyhow::Result<Option<Declaration>> {
        let Some(file) = &self.file else { return Ok(None) };
        let read = |name: &str, tables: &Tables| {
            let table = |table: &Map<String, Value>| with_files(table.clone(), &format!("[[{name}]]"));
            tables.0.iter().map(table).collect::<anyhow::Result<Vec<_>>>()
        };
        let declaration = Declaration {
            file: file.display().to_string(),
            organisation: Named::by_key(&self.admin.organisation),
            prune: self.declared.prune,
            source: read("source", &self.source)?,
            endpoint: read("endpoint", &self.endpoint)?,
            token: read("token", &self.token)?,
            schedule: read("schedule", &self.schedule)?,
        };
        let wrong = |error| Stop::error(Exit::Usage, format!("{}: {error}", file.display()));
        declaration.check().map_err(wrong)?;
        Ok(Some(declaration))
    }
}

impl Config {
    /// The files that secrets of declared settings come from.
    pub(crate) fn declared_secret_files(&self) -> Vec<PathBuf> {
        let tables = [&self.source, &self.endpoint, &self.token, &self.schedule]
            .into_iter()
            .flat_map(|tables| &tables.0);
        tables.flat_map(files_named_in).collect()
    }
}

/// What [`with_files`] reads.
fn files_named_in(table: &Map<String, Value>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (key, value) in table {
        match value {
            Value::Object(inner) => files.extend(files_named_in(inner)),
            Value::String(path) if key.ends_with("_file") => files.push(path.into()),
            Value::Array(paths) if key.ends_with("_files") => {
                files.extend(paths.iter().filter_map(Value::as_str).map(PathBuf::from));
            }
            _ => {}
        }
    }
    files
}

/// `token_file = "path"` becomes `token` with what is in the file, `secret_files = ["path", …]` becomes `secrets`.
fn with_files(table: Map<String, Value>, place: &str) -> anyhow::Result<Map<String, Value>> {
    let mut read = Map::new();
    for (key, value) in table {
        let (key, value) = match value {
            Value::Object(inner) => {
                let inner = with_files(inner, &format!("{place} {key}"))?;
                (key, Value::Object(inner))
            }
            Value::String(path) => match key.strip_suffix("_file") {
                Some(bare) => (bare.to_owned(), text_of(&path, &format!("{place} {key}"))?),
                None => (key, Value::String(path)),
            },
            Value::Array(paths) => match key.strip_suffix("_files") {
                Some(bare) => {
                    let place = format!("{place} {key}");
                    let text = |path: &Value| text_of(path.as_str().unwrap_or_default(), &place);
                    (format!("{bare}s"), paths.iter().map(text).collect::<anyhow::Result<_>>()?)
                }
                None => (key, Value::Array(paths)),
            },
            value => (key, value),
        };
        if read.insert(key.clone(), value).is_some() {
            return Err(Stop::error(Exit::Usage, format!("{place}: {key} is given twice, once as a file")));
        }
    }
    Ok(read)
}

fn text_of(path: &str, place: &str) -> anyhow::Result<Value> {
    let text = secret_file::read(path.as_ref())
        .map_err(|error| Stop::error(Exit::Usage, format!("{place}: {path:?} {error}")))?;
    Ok(text.expose_secret().trim_end_matches(['\r', '\n']).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        for (url, shown) in [
            ("https://ada:hunter2@example.com/x", "https://ada:[REDACTED]@example.com/x"),
            ("https://ada@example.com", "https://ada@example.com"),
            ("https://example.com/a:b@c", "https://example.com/a:b@c"),
            ("nonsense", "nonsense"),
        ] {
            let mut url = url.to_owned();
            mask_password(&mut url);
            assert_eq!(url, shown);
        }
    }
}
