//! From a record to what is sent: one module a format. Pure functions: what is sent depends on the record's
//! stored bytes, the endpoint's format and the secret, and on nothing else, so that a retry sends the same.
//!
//! A [`Renderer`] is made once for an endpoint, which finds out whether its template is one; then it renders
//! record by record.

mod abtasty;
pub mod coverage;
mod flagsmith;
mod format;
mod json_value;
mod mozhno;
pub mod ocsf;
mod rendered;
mod sample;
mod standard;
mod stored;
mod template;
mod unleash;
mod zenmanage;

pub use format::{BodyFormat, Escape};
pub use rendered::{Carry, InvalidFormat, Outcome, RenderError, Rendered, Skip, URL_BYTES_MAX};
pub use sample::sample_record;
pub use standard::envelope;
pub use stored::StoredRecord;

/// A format, ready to render.
#[derive(Clone, Debug)]
pub struct Renderer {
    carry: Carry,
    kind: Kind,
}

/// What a format needs at work.
#[derive(Clone, Debug)]
enum Kind {
    StandardWebhooks,
    Record,
    CloudeventsStructured,
    CloudeventsBinary,
    Flagsmith,
    FlagsmithAudit,
    Zenmanage,
    Abtasty,
    Unleash,
    Mozhno(Option<mozhno::Template>),
    Template(template::Template),
    Nothing,
}

impl Renderer {
    /// Prepares `format`; `carry` says where its text will go.
    pub fn try_new(format: &BodyFormat, carry: Carry) -> Result<Self, InvalidFormat> {
        let kind = match format {
            BodyFormat::StandardWebhooks => Kind::StandardWebhooks,
            BodyFormat::Record => Kind::Record,
            BodyFormat::CloudeventsStructured => Kind::CloudeventsStructured,
            BodyFormat::CloudeventsBinary if carry == Carry::Query => {
                return Err(InvalidFormat::new(
                    "a binary CloudEvent has its data in the body, and a GET has none: use cloudevents-structured",
                ));
            }
            BodyFormat::CloudeventsBinary => Kind::CloudeventsBinary,
            BodyFormat::Flagsmith => Kind::Flagsmith,
            BodyFormat::FlagsmithAudit => Kind::FlagsmithAudit,
            BodyFormat::Zenmanage => Kind::Zenmanage,
            BodyFormat::Abtasty => Kind::Abtasty,
            BodyFormat::Unleash => Kind::Unleash,
            BodyFormat::Mozhno { template, escape } => {
                let template = template.as_deref().filter(|template| !template.is_empty());
                Kind::Mozhno(template.map(|text| mozhno::Template::parse(text, *escape)).transpose()?)
            }
            BodyFormat::Template { template, content_type } => {
                Kind::Template(template::Template::parse(template, content_type.as_deref())?)
            }
            BodyFormat::Slack => ready_made(template::SLACK)?,
            BodyFormat::Teams => ready_made(template::TEAMS)?,
            BodyFormat::SplunkHec => ready_made(template::SPLUNK_HEC)?,
            BodyFormat::Datadog => ready_made(template::DATADOG)?,
            BodyFormat::None => Kind::Nothing,
        };
        Ok(Self { carry, kind })
    }

    /// Renders one record. `secret` is what a platform's own signature header is made with (the secret's text in UTF-8,
    /// as platforms take it), and only Flagsmith has one. The headers of Standard Webhooks are not made here.
    pub fn render(&self, stored: &StoredRecord, secret: Option<&[u8]>) -> Result<Outcome, RenderError> {
        let mut rendered = match self.fill(stored)? {
            Ok(rendered) => rendered,
            Err(skip) => return Ok(Outcome::Skipped(skip)),
        };
        if self.carry == Carry::Query
            && let Some(body) = rendered.body.take()
        {
            let text = String::from_utf8(body.into());
            rendered.query_json =
                Some(text.map_err(|_| RenderError::NotARecord("it is not UTF-8".to_owned()))?);
            rendered.content_type = None;
        }
        if let (Kind::Flagsmith | Kind::FlagsmithAudit, Some(secret)) = (&self.kind, secret)
            && !secret.is_empty()
        {
            let signature = flagsmith::signature(secret, rendered.signed_bytes());
            rendered.headers.push((flagsmith::SIGNATURE_HEADER, signature));
        }
        Ok(Outcome::Rendered(rendered))
    }

    fn fill(&self, stored: &StoredRecord) -> Result<Result<Rendered, Skip>, RenderError> {
        let bytes = stored.bytes();
        Ok(match &self.kind {
            Kind::StandardWebhooks => Ok(standard::standard_webhooks(bytes)?),
            Kind::Record => Ok(standard::record(bytes)?),
            Kind::CloudeventsStructured => Ok(standard::cloudevents_structured(bytes, stored.record()?)),
            Kind::CloudeventsBinary => Ok(standard::cloudevents_binary(bytes, stored.record()?)),
            Kind::Flagsmith => flagsmith::event(stored.record()?),
            Kind::FlagsmithAudit => flagsmith::audit_body(stored.record()?),
            Kind::Zenmanage => zenmanage::event(stored.record()?),
            Kind::Abtasty => abtasty::event(stored.record()?),
            Kind::Unleash => unleash::event(stored.record()?),
            Kind::Mozhno(template) => mozhno::event(stored.record()?, template.as_ref()),
            Kind::Template(template) => Ok(template.fill(stored.record()?)?),
            Kind::Nothing => Ok(standard::nothing(bytes)?),
        })
    }
}

fn ready_made(template: &str) -> Result<Kind, InvalidFormat> {
    template::Template::parse(template, None).map(Kind::Template)
}
