//! Sources: one installation of a platform, and how its webhooks are known.

mod form;

use audit_dialect::Platform;
use audit_journal::Entity;
use audit_record::Timestamp;
use audit_secret::{Keyring, OpenError, Place, SealError, SealedField};
use audit_webhook::Span;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::settings::declared::Declarable;
use crate::settings::named::Named;
use crate::settings::secret::{TokenHash, make_up};
use crate::settings::stored::Setting;

pub(crate) use form::{NewSource, SourcePatch};

/// The version of the document that this release writes where there are sealed secrets; a higher one is not touched.
const VERSION: u32 = 2;

/// The version of a document without sealed secrets. Earlier releases wrote secrets in clear under it: they are read
/// still, and sealed when they are next written.
const VERSION_WITHOUT_SEALED: u32 = 1;

/// The field that secrets are sealed for.
const SECRETS: &str = "secrets";

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Most secrets of one source: the present one, and those that are being rotated out.
pub(crate) const SECRETS_MAX: usize = 8;

/// Longest secret, in bytes.
pub(crate) const SECRET_BYTES_MAX: usize = 1024;

/// A source, as it stands in `Control` under its name. The name is part of the routing key of its records,
/// so it never changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Source {
    v: u32,
    /// Its name.
    pub name: String,
    /// The word of its [`Platform`].
    platform: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The organisation of its records.
    pub organisation: Named,
    /// The project where neither the body nor the URL names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Named>,
    /// The environment where neither the body nor the URL names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Named>,
    /// What the platform signs with; none where it does not sign. They must be known in clear to check a signature,
    /// and are opened for every check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets: Vec<SealedField>,
    /// After how long without a sign of it the source counts as silent; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) silent_after: Option<Span>,
    /// Whether its webhooks are taken.
    pub enabled: bool,
    /// The configuration that it stands in. Then only that changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) declared_in: Option<String>,
    /// When it was made.
    pub created_at: String,
    token_hash: TokenHash,
}

impl Source {
    /// A new source and the token of its URL, which is not known again.
    pub(crate) fn make(
        name: String,
        platform: Platform,
        organisation: Named,
        at: Timestamp,
    ) -> (Self, SecretString) {
        let token = make_up();
        let source = Self {
            v: VERSION_WITHOUT_SEALED,
            name,
            platform: platform.as_str().to_owned(),
            description: None,
            organisation,
            project: None,
            environment: None,
            secrets: Vec::new(),
            silent_after: None,
            enabled: true,
            declared_in: None,
            created_at: at.to_string(),
            token_hash: TokenHash::of(token.expose_secret()),
        };
        (source, token)
    }

    /// The same with `token` in its URL.
    pub(crate) fn with_token(self, token: &SecretString) -> Self {
        Self { token_hash: TokenHash::of(token.expose_secret()), ..self }
    }

    /// Gives it a new token; the old one stops working.
    pub(crate) fn rotate_token(&mut self) -> SecretString {
        let token = make_up();
        self.token_hash = TokenHash::of(token.expose_secret());
        token
    }

    /// What the platform signs with, in clear.
    pub(crate) fn open_secrets(&self, keyring: &Keyring) -> Result<Vec<SecretString>, OpenError> {
        let place = self.place_of_secrets();
        self.secrets.iter().map(|field| field.open(keyring, place)).collect()
    }

    /// Whether a secret stands in clear, or is sealed with another key than the current one.
    pub(crate) fn is_outdated(&self, keyring: &Keyring) -> bool {
        self.secrets.iter().any(|field| field.is_outdated(keyring))
    }

    fn place_of_secrets(&self) -> Place<'_> {
        Place { kind: Self::KIND, id: &self.name, field: SECRETS }
    }

    /// The platform.
    pub fn platform(&self) -> Platform {
        Platform::parse(&self.platform).expect("checked by make and read")
    }

    /// Whether `token` is the one of its URL, in constant time.
    pub(crate) fn fits(&self, token: &str) -> bool {
        self.token_hash.fits(token)
    }
}

impl Setting for Source {
    const KIND: &'static str = "source";
    const OBJECT_TYPE: &'static str = "FLAGTRAIL_SOURCE";
    const CREATED: &'static str = "flagtrail.source.created";
    const UPDATED: &'static str = "flagtrail.source.updated";
    const DELETED: (&'static str, &'static str) = ("flagtrail.source.deleted", "deleted");
    /// Each is a path and a set of counters.
    const COUNT_MAX: usize = 1_000;
    const FULL_HINT: &'static str = "several webhooks of one installation may share a source";

    fn read(entity: &Entity) -> Option<Self> {
        let source = Self::deserialize(&entity.value).ok()?;
        (source.v <= VERSION && Platform::parse(&source.platform).is_some()).then_some(source)
    }

    /// A secret that does not open stays as it is: it may open again where its key is.
    fn document(&self, keyring: &Keyring) -> Result<Value, SealError> {
        let place = self.place_of_secrets();
        let seal = |field: &SealedField| match field {
            SealedField::Clear(secret) => SealedField::seal(keyring, place, secret.expose_secret()),
            SealedField::Sealed(_) => Ok(field.resealed(keyring, place).unwrap_or_else(|_| field.clone())),
        };
        let secrets: Vec<SealedField> = self.secrets.iter().map(seal).collect::<Result<_, _>>()?;
        let v = if secrets.is_empty() { VERSION_WITHOUT_SEALED } else { VERSION };
        let sealed = Self { v, secrets, ..self.clone() };
        Ok(serde_json::to_value(sealed).expect("a source has string keys only, and its secrets are sealed"))
    }

    /// Without secrets and hash, but with their number.
    fn told(&self) -> Value {
        let without = Self { secrets: Vec::new(), ..self.clone() };
        let mut value = serde_json::to_value(without).expect("a source has string keys only");
        if let Some(map) = value.as_object_mut() {
            map.remove("token_hash");
            map.insert("secret_count".to_owned(), self.secrets.len().into());
        }
        value
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Declarable for Source {
    fn declared_in(&self) -> Option<&str> {
        self.declared_in.as_deref()
    }

    fn set_declared_in(&mut self, file: Option<String>) {
        self.declared_in = file;
    }

    fn over(self, stored: &Self) -> Self {
        Self { v: stored.v, enabled: stored.enabled, created_at: stored.created_at.clone(), ..self }
    }

    fn secret_differences(&self, other: &Self, keyring: &Keyring) -> Vec<&'static str> {
        let secrets = |source: &Self| -> Option<Vec<String>> {
            let opened = source.open_secrets(keyring).ok()?;
            Some(opened.iter().map(|secret| secret.expose_secret().to_owned()).collect())
        };
        // What does not open is not what is declared.
        let same_secrets = secrets(self).is_some_and(|own| secrets(other) == Some(own));
        let differs = [("secrets", !same_secrets), ("token", self.token_hash != other.token_hash)];
        differs.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect()
    }
}

/// What is wrong with `name` as a source's name, to read on from the field's name.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
    (!fits).then(|| {
        format!("must be 1 to {NAME_BYTES_MAX} of a-z, 0-9, - _ and ., a letter or digit first, such as flagsmith-main")
    })
}
