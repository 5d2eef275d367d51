//! Tokens: what a client of the administration may do.

mod form;

use std::fmt;

use audit_journal::Entity;
use audit_record::Timestamp;
use audit_secret::{Keyring, SealError};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::settings::declared::Declarable;
use crate::settings::named::Named;
use crate::settings::secret::{TokenHash, make_up};
use crate::settings::stored::Setting;

pub(crate) use form::NewToken;

/// The version of the document that this release writes; a higher one is not touched.
const VERSION: u32 = 1;

/// What a token of our own making begins with, so that secret scanners know it.
pub(crate) const MADE_UP_PREFIX: &str = "ft_";

/// One thing that a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum Scope {
    /// `POST /v1/records`.
    #[serde(rename = "records:write")]
    RecordsWrite,
    /// Queries, streams, reports.
    #[serde(rename = "records:read")]
    RecordsRead,
    /// Reading sources, endpoints, tokens and rejected requests.
    #[serde(rename = "settings:read")]
    SettingsRead,
    /// Changing them. To make a schedule of exports takes `exports`, too.
    #[serde(rename = "settings:write")]
    SettingsWrite,
    /// Asking for exports.
    #[serde(rename = "exports")]
    Exports,
    /// Everything.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RecordsWrite => "records:write",
            Self::RecordsRead => "records:read",
            Self::SettingsRead => "settings:read",
            Self::SettingsWrite => "settings:write",
            Self::Exports => "exports",
            Self::Admin => "admin",
        }
    }
}

impl Scope {
    /// Whether a token that is limited to projects may have it: settings and rejected requests are of all
    /// projects.
    pub(crate) fn fits_projects(self) -> bool {
        matches!(self, Self::RecordsWrite | Self::RecordsRead | Self::Exports)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A token, as it stands in `Control` under its id. The token itself is not there, only its hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    v: u32,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The organisation of records that it writes.
    pub organisation: Named,
    /// The source name of records that it writes.
    pub source: String,
    /// The projects that it may read and write, by id, key or name; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<String>>,
    /// When it stops working, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The configuration that it stands in. Then only that changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) declared_in: Option<String>,
    /// When it was made.
    pub created_at: String,
    hash: TokenHash,
}

/// A token that was just made: the only time that it can be shown.
pub(crate) struct MadeToken {
    pub(crate) id: String,
    pub(crate) token: Token,
    pub(crate) shown: SecretString,
}

impl Token {
    /// The admin token that the process was given: it stands in no settings, and may do everything.
    pub(crate) fn given(name: &str, organisation: Named, shown: &SecretString, at: Timestamp) -> Self {
        Self {
            v: VERSION,
            name: name.to_owned(),
            scopes: vec![Scope::Admin],
            organisation,
            source: name.to_owned(),
            projects: None,
            expires_at: None,
            declared_in: None,
            created_at: at.to_string(),
            hash: TokenHash::of(shown.expose_secret()),
        }
    }

    /// Whether `shown` is this token, in constant time.
    pub(crate) fn fits(&self, shown: &str) -> bool {
        self.hash.fits(shown)
    }

    /// Whether it has stopped working. An unreadable time counts as past.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.as_ref().is_some_and(|at| Timestamp::parse(at).map_or(true, |at| at <= now))
    }

    /// Whether it may do `scope`.
    pub(crate) fn allows(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| *own == scope || *own == Scope::Admin)
    }
}

impl Setting for Token {
    const KIND: &'static str = "token";
    const OBJECT_TYPE: &'static str = "FLAGTRAIL_TOKEN";
    const CREATED: &'static str = "flagtrail.token.created";
    const UPDATED: &'static str = "flagtrail.token.updated";
    const DELETED: (&'static str, &'static str) = ("flagtrail.token.revoked", "revoked");
    const COUNT_MAX: usize = 10_000;
    const FULL_HINT: &'static str = "revoke those that are not used";

    fn read(entity: &Entity) -> Option<Self> {
        Self::deserialize(&entity.value).ok().filter(|token| token.v <= VERSION)
    }

    /// It holds a hash, and nothing to seal.
    fn document(&self, _: &Keyring) -> Result<Value, SealError> {
        Ok(serde_json::to_value(self).expect("a token has string keys only"))
    }

    /// Without the hash.
    fn told(&self) -> Value {
        let mut value = serde_json::to_value(self).expect("a token has string keys only");
        if let Some(map) = value.as_object_mut() {
            map.remove("hash");
        }
        value
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Declarable for Token {
    fn declared_in(&self) -> Option<&str> {
        self.declared_in.as_deref()
    }

    fn set_declared_in(&mut self, file: Option<String>) {
        self.declared_in = file;
    }

    fn over(self, stored: &Self) -> Self {
        Self { created_at: stored.created_at.clone(), ..self }
    }

    /// A token of another text is another token.
    fn secret_differences(&self, _other: &Self, _keyring: &Keyring) -> Vec<&'static str> {
        Vec::new()
    }
}

/// A new token of our own making, with its id: `ft_<id>_<secret>`.
fn make_up_token() -> (String, SecretString) {
    let id = Uuid::now_v7().simple().to_string();
    let shown = SecretString::from(format!("{MADE_UP_PREFIX}{id}_{}", make_up().expose_secret()));
    (id, shown)
}

/// The id of a token whose text a configuration gives, so that a request finds it. It says nothing of the text to whoever
/// does not know `namespace`, which is secret to the deployment.
pub(crate) fn declared_id(namespace: Uuid, shown: &str) -> String {
    let id = Uuid::new_v5(&namespace, format!("declared token\0{shown}").as_bytes());
    id.simple().to_string()
}

/// The id inside a token as shown: `ft_<id>_<secret>`.
pub(crate) fn id_of(shown: &str) -> Option<&str> {
    shown.strip_prefix(MADE_UP_PREFIX)?.split_once('_').map(|(id, _)| id)
}
