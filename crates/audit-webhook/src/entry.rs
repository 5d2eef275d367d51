//! A message of the log on its way to endpoints. What every endpoint needs of it is made once.

use std::borrow::Cow;
use std::sync::OnceLock;

use audit_journal::{Message, Offset};
use audit_record::AuditRecord;
use serde::Deserialize;
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::send::Parcel;

/// One message.
#[derive(Debug)]
pub(crate) struct Entry {
    message: Message,
    /// When it came.
    pub(crate) arrived: Instant,
    head: OnceLock<Option<Head>>,
    record: OnceLock<Option<AuditRecord>>,
}

#[derive(Debug)]
struct Head {
    action: String,
    parcel: Parcel,
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

impl Entry {
    pub(crate) fn new(message: Message) -> Self {
        Self { message, arrived: Instant::now(), head: OnceLock::new(), record: OnceLock::new() }
    }

    pub(crate) fn message(&self) -> &Message {
        &self.message
    }

    pub(crate) fn offset(&self) -> Offset {
        self.message.offset
    }

    /// What it occupies, about.
    pub(crate) fn bytes(&self) -> usize {
        let headers: usize = self.message.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.message.key.len() + headers + self.message.value.as_ref().map_or(0, bytes::Bytes::len)
    }

    /// What is sent; `None` for a message that is no record, which is sent to nobody.
    pub(crate) fn parcel(&self) -> Option<&Parcel> {
        self.head().map(|head| &head.parcel)
    }

    /// The action; empty for a message that is no record.
    pub(crate) fn action(&self) -> &str {
        self.head().map_or("", |head| &head.action)
    }

    /// Whether the endpoint wants it.
    pub(crate) fn is_for(&self, endpoint: &Endpoint, filters: bool) -> bool {
        let Some(head) = self.head() else { return false };
        endpoint.events.iter().any(|pattern| pattern.matches(&head.action))
            && (!filters || self.record().is_some_and(|record| endpoint.filter.matches(record)))
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
            Some(Head { action: fields.action.into_owned(), parcel })
        };
        self.head.get_or_init(read).as_ref()
    }

    /// The whole record, for filters.
    fn record(&self) -> Option<&AuditRecord> {
        let value = self.message.value.as_ref()?;
        self.record.get_or_init(|| AuditRecord::from_json(value).ok()).as_ref()
    }
}
