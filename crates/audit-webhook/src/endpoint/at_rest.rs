//! The secrets of an endpoint at rest: for which places they are sealed, and what of them does not open.

use std::collections::BTreeMap;

use audit_journal::Entity;
use audit_secret::{Keyring, OpenError, Place, SealedField};
use serde::Deserialize;

use super::{EndpointUpdate, KIND, StoredError};

/// The field that signing secrets are sealed for.
pub(super) const SECRETS: &str = "secrets";

/// The field that a client certificate's key is sealed for.
pub(super) const TLS_CLIENT_KEY: &str = "tls.client_key";

/// What the fields of header values begin with.
const HEADERS: &str = "headers.";

/// The field that a header's value is sealed for.
pub(super) fn header(name: &str) -> String {
    format!("{HEADERS}{name}")
}

/// Where a field of an endpoint belongs.
pub(super) fn place<'a>(id: &'a str, field: &'a str) -> Place<'a> {
    Place { kind: KIND, id, field }
}

/// The secrets of an endpoint that don't open with the keys at hand, by field. The rest of it can be shown and deleted; it
/// can be changed by who gives it others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locked(BTreeMap<String, OpenError>);

impl Locked {
    /// Notes a field that does not open.
    pub(super) fn note(&mut self, field: &str, error: OpenError) {
        self.0.insert(field.to_owned(), error);
    }

    /// Why the endpoint can't be delivered to; none if everything opens.
    pub(super) fn why(&self) -> Option<&OpenError> {
        self.0.values().next()
    }

    /// The names of the headers whose values don't open.
    pub(super) fn headers(&self) -> impl Iterator<Item = &str> {
        self.0.keys().filter_map(|field| field.strip_prefix(HEADERS))
    }

    /// What would remain locked after a change.
    pub(super) fn after(mut self, update: &EndpointUpdate) -> Self {
        self.0.retain(|field, _| match field.as_str() {
            SECRETS => update.secrets.is_none(),
            TLS_CLIENT_KEY => update.tls.is_none(),
            _ => update.headers.is_none(),
        });
        self
    }

    /// An error if anything is locked.
    pub(super) fn check(&self) -> Result<(), StoredError> {
        self.why().map_or(Ok(()), |why| Err(why.clone().into()))
    }
}

/// Whether an endpoint's document holds a secret that is not sealed with the current key. One of a later release is left
/// to that release.
pub(super) fn is_outdated(entity: &Entity, keyring: &Keyring) -> bool {
    #[derive(Deserialize)]
    struct Tls {
        client_key: Option<SealedField>,
    }
    #[derive(Deserialize)]
    struct Secrets {
        #[serde(default)]
        headers: BTreeMap<String, SealedField>,
        secrets: Vec<SealedField>,
        tls: Option<Tls>,
    }
    let Ok(stored) = Secrets::deserialize(&entity.value) else { return false };
    let client_key = stored.tls.and_then(|tls| tls.client_key);
    let mut fields = stored.secrets.iter().chain(stored.headers.values()).chain(&client_key);
    fields.any(|field| field.is_outdated(keyring))
}
