//! A message of the log on its way to endpoints. What several endpoints need of it is made once.

use std::borrow::Cow;
use std::sync::OnceLock;

use audit_journal::{Message, Offset};
use audit_record::AuditRecord;
use serde::Deserialize;
use tokio::time::Instant;

use crate::lane::{Burst, Key};
use crate::operational;
use crate::send::Parcel;

/// One message.
#[derive(Debug)]
pub(crate) struct Entry {
    message: Message,
    /// When it came.
    pub(crate) arrived: Instant,
    head: OnceLock<Option<Head>>,
    burst: OnceLock<Option<Burst>>,
}

#[derive(Debug)]
struct Head {
    action: String,
    parcel: Parcel,
    /// The endpoint that it tells of, where it is one of our own about an endpoint.
    about: Option<String>,
}

/// The few fields that a delivery needs. Reading them checks, too, that the value is JSON.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    occurred_at: Cow<'a, str>,
}

/// What our own records tell of.
#[derive(Deserialize)]
struct About {
    related_object: Thing,
}

/// What makes a burst: the flag, and where it changed.
#[derive(Deserialize)]
struct Place {
    flag: Option<Thing>,
    environment: Option<Thing>,
}

/// A thing by what is most stable of it.
#[derive(Deserialize)]
struct Thing {
    id: Option<String>,
    key: Option<String>,
    name: Option<String>,
}

impl Thing {
    fn stable(self) -> Option<String> {
        self.id.or(self.key).or(self.name)
    }
}

/// Actions of records that can belong to a burst begin so.
const FLAG_ACTIONS: &str = "flag.";

impl Entry {
    pub(crate) fn new(message: Message) -> Self {
        Self { message, arrived: Instant::now(), head: OnceLock::new(), burst: OnceLock::new() }
    }

    pub(crate) fn message(&self) -> &Message {
        &self.message
    }

    pub(crate) fn offset(&self) -> Offset {
        self.message.offset
    }

    /// What it comes to occupy, about: its value twice, for the first endpoint that is sent it makes the envelope, which
    /// holds the value and stays.
    pub(crate) fn bytes(&self) -> usize {
        let headers: usize = self.message.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.message.key.len() + headers + 2 * self.message.value.as_ref().map_or(0, bytes::Bytes::len)
    }

    /// What is sent; `None` for a message that is no record, which is sent to nobody.
    pub(crate) fn parcel(&self) -> Option<&Parcel> {
        self.head().map(|head| &head.parcel)
    }

    /// The action; empty for a message that is no record.
    pub(crate) fn action(&self) -> &str {
        self.head().map_or("", |head| &head.action)
    }

    /// Its project: what order is kept within.
    pub(crate) fn key(&self) -> &Key {
        &self.message.key
    }

    /// The endpoint that it tells of: how its deliveries go, or that it was made.
    pub(crate) fn about(&self) -> Option<&str> {
        self.head()?.about.as_deref()
    }

    /// The burst that it belongs to, where endpoints collapse: changes of one flag in one environment.
    pub(crate) fn burst(&self) -> Option<&Burst> {
        let read = || {
            let value = self.message.value.as_ref().filter(|_| self.action().starts_with(FLAG_ACTIONS))?;
            let Place { flag, environment } = serde_json::from_slice(value).ok()?;
            let project = String::from_utf8_lossy(&self.message.key);
            let (flag, environment) = (flag?.stable()?, environment.and_then(Thing::stable));
            // As a list of JSON, so that no two things run together.
            Some(serde_json::json!([project, environment, flag]).to_string().into())
        };
        self.burst.get_or_init(read).as_ref()
    }

    fn head(&self) -> Option<&Head> {
        let read = || {
            let value = self.message.value.as_ref()?;
            let fields: Fields<'_> = match serde_json::from_slice(value) {
                Ok(fields) => fields,
                Err(error) => {
                    let (partition, offset) = (self.message.partition, self.message.offset);
                    tracing::warn!(partition, offset, %error, "a message on the log is no record: sent to nobody");
                    return None;
                }
            };
            let parcel = Parcel::new(
                fields.id.into_owned(),
                &fields.action,
                fields.occurred_at.into_owned(),
                value.clone(),
            );
            let action = fields.action.into_owned();
            let about = if operational::is_about_itself(&action) {
                serde_json::from_slice::<About>(value).ok().and_then(|about| about.related_object.id)
            } else {
                None
            };
            Some(Head { action, parcel, about })
        };
        self.head.get_or_init(read).as_ref()
    }

    /// The whole record, for filters; formats have it from the parcel, too.
    pub(crate) fn record(&self) -> Option<&AuditRecord> {
        self.parcel()?.stored().record().ok()
    }
}
