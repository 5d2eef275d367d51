//! Endpoints that stand in a configuration: it alone makes, changes and lets go of them. Switching one on and off,
//! pausing it and moving it is operation, not configuration, and stays with everybody.

use std::collections::BTreeMap;

use audit_record::{Author, FieldChange, field_diff};
use secrecy::ExposeSecret;
use serde_json::Value;
use uuid::Uuid;

use super::settings::{Endpoints, Made};
use super::{Endpoint, EndpointError, EndpointId, EndpointUpdate, EndpointView, NewEndpoint};
use crate::operational;

/// What a declared endpoint is beside those there are.
#[derive(Clone, Debug, PartialEq)]
pub enum Declared {
    /// There is none of that name.
    New,
    /// There is one that is as declared.
    Same(EndpointId),
    /// There is one that is otherwise.
    Other {
        /// Which.
        id: EndpointId,
        /// What differs.
        fields: Vec<FieldChange>,
        /// Names of secret fields that differ.
        secret_fields: Vec<&'static str>,
    },
}

impl Endpoints {
    /// Compares what `file` declares with the endpoint of that name, if there is one.
    pub fn compare(&self, declared: &NewEndpoint, file: &str) -> Result<Declared, EndpointError> {
        let Some((before, _)) = self.of_name(&declared.name)? else {
            // What would be refused later is refused now.
            declared.clone().filled_in().check(&self.egress).map_err(EndpointError::Invalid)?;
            return Ok(Declared::New);
        };
        let after = self.as_declared(&before, declared.clone(), file)?;
        let (fields, secret_fields) = (differences(&before, &after), secret_differences(&before, &after));
        if fields.is_empty() && secret_fields.is_empty() {
            return Ok(Declared::Same(before.id));
        }
        Ok(Declared::Other { id: before.id, fields, secret_fields })
    }

    /// Makes the endpoint, or changes the one of that name, to be as `file` declares. Where it begins counts when it is
    /// made.
    ///
    /// Its id comes from its name, so that of two processes that make it at the same moment one gets a conflict.
    pub async fn declare(
        &self,
        declared: NewEndpoint,
        file: &str,
        author: Author,
    ) -> Result<EndpointView, EndpointError> {
        if let Some((before, version)) = self.of_name(&declared.name)? {
            let after = self.as_declared(&before, declared, file)?;
            if differences(&before, &after).is_empty() && secret_differences(&before, &after).is_empty() {
                // Another process was faster than our plan.
                return Ok(EndpointView::new(&before, version));
            }
            if after.url != before.url {
                self.check_destination(&after.url).await?;
            }
            return self.write(&after, version, "updated", author).await;
        }
        let made = Made {
            id: self.id_of(&declared.name),
            // An endpoint that was deleted and is declared again has the id that it had. What is known of its life
            // before must not count: every life begins with a higher number.
            incarnation: u64::try_from(operational::now().micros()).unwrap_or(1),
            declared_in: Some(file.to_owned()),
        };
        self.make(made, declared, author).await.map(|created| created.view)
    }

    /// Leaves the endpoint as it is, and to everybody to change.
    pub async fn release(&self, id: &EndpointId, author: Author) -> Result<EndpointView, EndpointError> {
        let (endpoint, version) = self.find(id)?;
        self.write(&Endpoint { declared_in: None, ..endpoint }, version, "updated", author).await
    }

    /// Deletes an endpoint that is no longer declared.
    pub async fn delete_declared(&self, id: &EndpointId, author: Author) -> Result<(), EndpointError> {
        let (endpoint, version) = self.find(id)?;
        self.remove(&endpoint, version, author).await
    }

    /// The endpoint of that name. One that was declared under it and renamed since has its id still.
    fn of_name(&self, name: &str) -> Result<Option<(Endpoint, u64)>, EndpointError> {
        let named = self.list().into_iter().find(|view| view.name == name);
        let id = named.map_or_else(|| self.id_of(name), |view| EndpointId::from(view.id.as_str()));
        match self.look_up(&id) {
            // A secret that does not open is replaced by the declared one.
            Ok((endpoint, _, version)) => Ok(Some((endpoint, version))),
            Err(EndpointError::Unknown(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn id_of(&self, name: &str) -> EndpointId {
        let namespace = self.journal.identity().namespace;
        let id = Uuid::new_v5(&namespace, format!("declared endpoint\0{name}").as_bytes());
        EndpointId::from(format!("ep_{}", id.simple()).as_str())
    }

    /// `before` with everything that a configuration says as it says.
    fn as_declared(
        &self,
        before: &Endpoint,
        declared: NewEndpoint,
        file: &str,
    ) -> Result<Endpoint, EndpointError> {
        let declared = NewEndpoint { enabled: Some(before.enabled), paused: Some(before.paused), ..declared };
        let choices = declared.filled_in().check(&self.egress).map_err(EndpointError::Invalid)?;
        Ok(Endpoint { declared_in: Some(file.to_owned()), ..before.clone().with(choices) })
    }
}

impl EndpointUpdate {
    /// Whether it changes what a configuration declares.
    pub(crate) fn is_configuration(&self) -> bool {
        let Self {
            name,
            description,
            url,
            method,
            headers,
            events,
            filter,
            secrets,
            tls,
            preset,
            format,
            ordered,
            collapse,
            rate_limit_per_second,
            max_age,
            max_in_flight,
            timeout,
            enabled: _,
            paused: _,
            start: _,
        } = self;
        let texts = [name, description, url, method].into_iter().any(Option::is_some);
        let which = events.is_some() || filter.is_some() || preset.is_some();
        let how = format.is_some() || ordered.is_some();
        let secret = headers.is_some() || secrets.is_some() || tls.is_some();
        let pace = collapse.is_some() || rate_limit_per_second.is_some() || max_in_flight.is_some();
        let time = max_age.is_some() || timeout.is_some();
        texts || which || how || secret || pace || time
    }
}

fn differences(before: &Endpoint, after: &Endpoint) -> Vec<FieldChange> {
    let shown = |endpoint: &Endpoint| -> Value {
        let mut value = serde_json::to_value(EndpointView::new(endpoint, 0)).unwrap_or_default();
        // The last characters of secrets are in the view; whether they differ is said apart.
        value.as_object_mut().map(|view| view.remove("secrets"));
        value
    };
    field_diff(&shown(before), &shown(after))
}

fn secret_differences(before: &Endpoint, after: &Endpoint) -> Vec<&'static str> {
    let secrets = |endpoint: &Endpoint| -> Vec<String> {
        endpoint.secrets.iter().map(|secret| secret.reveal().expose_secret().to_owned()).collect()
    };
    let headers = |endpoint: &Endpoint| -> BTreeMap<String, String> {
        endpoint.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
    };
    let key = |endpoint: &Endpoint| -> Option<String> {
        endpoint.tls.client_key.as_ref().map(|key| key.expose_secret().to_owned())
    };
    let differ = [
        ("secrets", secrets(before) != secrets(after)),
        ("headers", headers(before) != headers(after)),
        ("tls.client_key", key(before) != key(after)),
        // The view masks a password in it.
        ("url", before.url.password() != after.url.password()),
    ];
    differ.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect()
}
