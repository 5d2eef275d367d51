//! What a configuration declares, as it is written, and its check.

use std::collections::BTreeSet;
use std::fmt;

use audit_export::Schedule;
use audit_record::Map;
use audit_webhook::NewEndpoint;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::Problem;
use crate::settings::declared::Declarable;
use crate::settings::named::Named;
use crate::settings::schedule::make as make_schedule;
use crate::settings::source::{NewSource, Source};
use crate::settings::token::{MADE_UP_PREFIX, NewToken, Token, declared_id};

/// The length of a token that a configuration gives, in bytes: it is not made up here, so it might be guessed.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 24..=256;

/// Settings as they stand in a configuration, each a table of the form that the API takes; a source and a token also
/// have a `token`. Secrets stand here in clear.
#[derive(Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// The file they stand in.
    pub file: String,
    /// The organisation of tokens that name none.
    pub organisation: Named,
    /// Whether what is taken out of the file is deleted rather than released.
    #[serde(default)]
    pub prune: bool,
    /// `[[source]]`
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub source: Vec<Map>,
    /// `[[endpoint]]`
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub endpoint: Vec<Map>,
    /// `[[token]]`
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub token: Vec<Map>,
    /// `[[schedule]]`
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub schedule: Vec<Map>,
}

impl fmt::Debug for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Declaration")
            .field("file", &self.file)
            .field("prune", &self.prune)
            .finish_non_exhaustive()
    }
}

/// A declared setting is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("[[{table}]] {which}: {problem}")]
pub struct DeclarationError {
    /// `source`, `endpoint`, `token` or `schedule`.
    table: &'static str,
    /// Its name, or which of the tables it is.
    which: String,
    /// What is wrong.
    problem: String,
}

/// A declaration whose every table was read and checked.
pub(crate) struct Checked {
    pub(crate) file: String,
    pub(crate) prune: bool,
    pub(crate) sources: Vec<(String, Source)>,
    pub(crate) tokens: Vec<(String, Token)>,
    pub(crate) schedules: Vec<(String, Schedule)>,
    pub(crate) endpoints: Vec<NewEndpoint>,
}

impl Declaration {
    /// Names the first table that is wrong. Whether an endpoint may be where it is, is not said here.
    pub fn check(&self) -> Result<(), DeclarationError> {
        self.read(Uuid::nil()).map(drop)
    }

    /// Reads every table. `namespace` is the deployment's.
    pub(crate) fn read(&self, namespace: Uuid) -> Result<Checked, DeclarationError> {
        let sources = each("source", &self.source, |mut table| {
            let token = take_token(&mut table)?;
            let source = from_table::<NewSource>(table)?.make().map_err(problem)?.0.with_token(&token);
            Ok((source.name.clone(), self.mark(source)))
        })?;
        let tokens = each("token", &self.token, |mut table| {
            let shown = take_token(&mut table)?;
            let token =
                from_table::<NewToken>(table)?.declare(&self.organisation, &shown).map_err(problem)?;
            Ok((declared_id(namespace, shown.expose_secret()), self.mark(token)))
        })?;
        let schedules = each("schedule", &self.schedule, |table| {
            let schedule = make_schedule(from_table(table)?).map_err(problem)?;
            Ok((schedule.asked.name.clone(), self.mark(schedule)))
        })?;
        let mut texts = BTreeSet::new();
        if let Some((_, token)) = tokens.iter().find(|(id, _)| !texts.insert(id)) {
            let problem = "token is the same as another one's: give each its own".to_owned();
            return Err(DeclarationError { table: "token", which: format!("{:?}", token.name), problem });
        }
        let endpoints = each("endpoint", &self.endpoint, |table| {
            for switch in ["enabled", "paused"] {
                must_not_hold(&table, switch)?;
            }
            let endpoint = from_table::<NewEndpoint>(table)?;
            if endpoint.secrets.is_empty() {
                return Err(
                    "secrets must hold one at least: whsec_ and the base64 of 24 to 64 bytes".to_owned()
                );
            }
            Ok(endpoint)
        })?;
        Ok(Checked { file: self.file.clone(), prune: self.prune, sources, tokens, schedules, endpoints })
    }

    fn mark<S: Declarable>(&self, mut setting: S) -> S {
        setting.set_declared_in(Some(self.file.clone()));
        setting
    }
}

/// Reads tables one by one; names must differ.
fn each<T>(
    table: &'static str,
    tables: &[Map],
    read: impl Fn(Map) -> Result<T, String>,
) -> Result<Vec<T>, DeclarationError> {
    let mut names = BTreeSet::new();
    let mut found = Vec::with_capacity(tables.len());
    for (index, entry) in tables.iter().enumerate() {
        let name = entry.get("name").and_then(Value::as_str);
        let which = name.map_or_else(|| format!("number {}", index + 1), |name| format!("{name:?}"));
        let wrong = |problem| DeclarationError { table, which: which.clone(), problem };
        if name.is_some_and(|name| !names.insert(name)) {
            return Err(wrong("stands there twice".to_owned()));
        }
        found.push(read(entry.clone()).map_err(wrong)?);
    }
    Ok(found)
}

fn from_table<T: for<'de> Deserialize<'de>>(table: Map) -> Result<T, String> {
    serde_json::from_value(Value::Object(table)).map_err(|error| without_text(&error.to_string()))
}

/// What is said of a value of the wrong kind quotes it, and a secret may stand where a list of them should: its text is left
/// out.
fn without_text(problem: &str) -> String {
    match problem.split_once(" string \"").zip(problem.rsplit_once("\", expected ")) {
        Some(((what, _), (_, expected))) => format!("{what} a text, expected {expected}"),
        None => problem.to_owned(),
    }
}

fn problem(problem: Problem) -> String {
    problem.detail().to_owned()
}

fn must_not_hold(table: &Map, field: &str) -> Result<(), String> {
    if table.contains_key(field) {
        return Err(format!("{field} is no configuration: switch it over the API or the command line"));
    }
    Ok(())
}

/// The token of a source's URL, or of a client.
fn take_token(table: &mut Map) -> Result<SecretString, String> {
    let token = match table.remove("token") {
        Some(Value::String(token)) => token,
        Some(_) => return Err("token must be a text".to_owned()),
        None => return Err("needs a token, or a token_file: openssl rand -hex 32 makes one".to_owned()),
    };
    if token.starts_with(MADE_UP_PREFIX) {
        return Err(format!("token must not begin with {MADE_UP_PREFIX}: tokens that Flagtrail makes up do"));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !TOKEN_BYTES.contains(&token.len()) || !token.bytes().all(fits) {
        return Err(format!(
            "token must be {} to {} letters, digits and -._~: openssl rand -hex 32 makes one",
            TOKEN_BYTES.start(),
            TOKEN_BYTES.end()
        ));
    }
    Ok(token.into())
}
