//! One request on its way to drafts: what every dialect asks of the request and of its source.

use std::borrow::Cow;

use audit_record::{Action, Draft, Map, Ref, Source, Timestamp, parse_strict};
use serde_json::Value;

use super::hints::{self, HandleIs};
use super::{HookRequest, Refusal, SourceContext, identity, redact};
use crate::platform::Platform;

/// A request, the source it came to, and the platform that source stands for.
pub(crate) struct Intake<'a> {
    pub(crate) platform: Platform,
    pub(crate) source: &'a SourceContext<'a>,
    pub(crate) request: &'a HookRequest<'a>,
}

impl Intake<'_> {
    /// The payload's bytes: the body, or for `GET` the `json` query parameter.
    pub(crate) fn payload(&self) -> Result<Cow<'_, [u8]>, Refusal> {
        let bytes: Cow<'_, [u8]> = if self.request.method.eq_ignore_ascii_case("GET") {
            let json = self.request.query.iter().find(|(name, _)| name == "json");
            let (_, text) = json.ok_or_else(|| {
                Refusal::new("a GET carries its event in the json query parameter, and there is none")
            })?;
            text.as_bytes().into()
        } else {
            self.request.body.into()
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Refusal::new("the body is empty: the platform must send its JSON"));
        }
        Ok(bytes)
    }

    /// The payload as JSON, parsed strictly.
    pub(crate) fn json(&self) -> Result<Value, Refusal> {
        let bytes = self.payload()?;
        parse_strict(&bytes).map_err(|error| Refusal::new(format!("the body is {error}")))
    }

    /// A draft with what the source knows of every record: organisation, origin. `event` is the
    /// platform's own word.
    pub(crate) fn draft(&self, event: &str) -> Draft {
        Draft {
            organisation: Some(self.source.organisation.clone()),
            source: Some(Source {
                name: self.source.name.to_owned(),
                system: self.platform.as_str().to_owned(),
                event: event.to_owned(),
                delivery_id: None,
                received_at: self.received_at(),
                authenticated: self.source.authenticated,
                extra: Map::new(),
            }),
            ..Draft::default()
        }
    }

    /// When the request came in.
    pub(crate) fn received_at(&self) -> Timestamp {
        self.request.received_at
    }

    /// The project: the body's, else the URL's `?project=…`, else the source's.
    pub(crate) fn project(&self, body: Option<Ref>, handle_is: HandleIs) -> Option<Ref> {
        hints::settle(body, self.request.query, &hints::PROJECT, handle_is, self.source.project)
    }

    /// The same, or the refusal that names the hint to add; `what` is the event in words.
    pub(crate) fn require_project(
        &self,
        body: Option<Ref>,
        handle_is: HandleIs,
        what: &str,
    ) -> Result<Ref, Refusal> {
        self.project(body, handle_is).ok_or_else(|| {
            Refusal::new(format!(
                "{what} names no project: add ?project=… (and &environment=…) to the webhook's URL, \
                 or set a project on the source {:?}",
                self.source.name
            ))
        })
    }

    /// The environment: the body's, else the URL's `?environment=…`, else the source's.
    pub(crate) fn environment(&self, body: Option<Ref>, handle_is: HandleIs) -> Option<Ref> {
        hints::settle(body, self.request.query, &hints::ENVIRONMENT, handle_is, self.source.environment)
    }

    /// The record id behind the platform's own id; `kind` keeps its series of ids apart.
    pub(crate) fn id_from(&self, kind: &str, platform_id: &str) -> String {
        identity::from_platform_id(self.source.namespace, self.source.name, kind, platform_id)
    }

    /// The record id behind the bytes of a self-dating payload.
    pub(crate) fn id_from_body(&self) -> Result<String, Refusal> {
        Ok(identity::from_body(self.source.namespace, self.source.name, &self.payload()?))
    }

    /// Takes secrets out of `value`, the event as the platform sent it, by the dialect's `rules`, but what the source
    /// is told to keep.
    pub(crate) fn redact(&self, value: &mut Value, rules: &[&str]) -> Redacted {
        Redacted(redact::redact(value, rules, self.source.redact_keep))
    }

    /// The same of an object's fields.
    pub(crate) fn redact_fields(&self, fields: &mut Map, rules: &[&str]) -> Redacted {
        let mut object = Value::Object(std::mem::take(fields));
        let redacted = self.redact(&mut object, rules);
        // A rule is of a field's name, and the whole has none: it is still the object.
        if let Value::Object(left) = object {
            *fields = left;
        }
        redacted
    }
}

/// What was redacted, as JSON Pointers (RFC 6901) into the event as the platform sent it, to be noted in the draft
/// made of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redacted(Vec<String>);

impl Redacted {
    /// The same, where `value` was only what `pointer` points at in the event.
    pub(crate) fn under(self, pointer: &str) -> Self {
        Self(self.0.into_iter().map(|inner| format!("{pointer}{inner}")).collect())
    }

    /// These and others.
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Marks the redaction under `attributes.redacted`, after what is marked there already.
    pub(crate) fn note(&self, draft: &mut Draft) {
        if self.0.is_empty() {
            return;
        }
        let mut paths = match draft.attributes.remove(REDACTED) {
            Some(Value::Array(earlier)) => earlier,
            _ => Vec::new(),
        };
        paths.extend(self.0.iter().map(|path| Value::from(path.as_str())));
        draft.attributes.insert(REDACTED.to_owned(), paths.into());
    }
}

/// Where a record's attributes say what was redacted.
const REDACTED: &str = "redacted";

/// Where an access says that its role stands in place of every other that the subject had in that scope.
pub(crate) const REPLACES: &str = "replaces";

/// One of the dialects' own actions; all of them stand in the catalogue.
pub(crate) fn action(dotted: &'static str) -> Action {
    Action::try_new(dotted).expect("the dialects' tables hold dotted actions")
}
