//! Messages, as they go onto the log and as they come back.

use std::fmt;

use audit_digest::Sha256;
use audit_proof::Tags;
use audit_record::{AuditRecord, ce_headers};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::header::HeaderName;
use crate::position::{Offset, Partition};

/// Which partition a new message goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// By murmur2 of its key, modulo the log's partition count.
    ByKey,
    /// To this one: state and attempts stay beside the records they are about.
    Fixed(Partition),
}

/// A message to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Its key.
    pub key: Bytes,
    /// Its headers, in order.
    pub headers: Vec<(HeaderName, Bytes)>,
    /// Its value; `None` deletes the key from a compacted topic.
    pub value: Option<Bytes>,
    /// Where it goes.
    pub placement: Placement,
}

impl NewMessage {
    /// What the message weighs: key, headers and value, in bytes.
    pub fn bytes(&self) -> usize {
        bytes_of(&self.key, &self.headers, self.value.as_ref())
    }
}

fn bytes_of(key: &Bytes, headers: &[(HeaderName, Bytes)], value: Option<&Bytes>) -> usize {
    let headers: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    key.len() + headers + value.map_or(0, Bytes::len)
}

/// A message that stands on the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// When the log took it, milliseconds since 1970.
    pub appended_at_ms: i64,
    /// Its key.
    pub key: Bytes,
    /// Its headers, in order.
    pub headers: Vec<(HeaderName, Bytes)>,
    /// Its value.
    pub value: Option<Bytes>,
}

impl Message {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().find(|(header, _)| **header == *name).map(|(_, value)| value)
    }

    /// What the message weighs: key, headers and value, in bytes.
    pub fn bytes(&self) -> usize {
        bytes_of(&self.key, &self.headers, self.value.as_ref())
    }

    /// What the message is: a hash of key, headers and value, and of nothing that the broker may
    /// restamp. Each part is preceded by its length, so no two messages run together.
    pub fn hash(&self) -> MessageHash {
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        part(&self.key);
        for (name, value) in &self.headers {
            part(name.as_bytes());
            part(value);
        }
        if let Some(value) = &self.value {
            part(value);
        }
        MessageHash(hasher.finalize())
    }
}

/// SHA-256 of a message's key, headers and value. As text: lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageHash([u8; 32]);

impl MessageHash {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for MessageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MessageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<MessageHash> for String {
    fn from(hash: MessageHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for MessageHash {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let digit = |i: usize| text.get(i..i + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return Err("a message hash has 64 hex digits".to_owned());
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = digit(index * 2).ok_or("a message hash has 64 hex digits")?;
        }
        Ok(Self(bytes))
    }
}

/// The header of a record's message with 16 random bytes, which let the body be erased one day while every proof
/// over the log stays valid.
pub const SALT_HEADER: &str = "salt";

/// The header of a record's message that says whom and what the record concerns, for those who may know.
pub const TAGS_HEADER: &str = "tags";

/// A record as a message: CloudEvents binary mode, with a fresh random `salt`, and with these `tags`. Of a
/// [`crate::Journal`] at hand, [`crate::Journal::record_message`] knows the tags.
pub fn record_message(record: &AuditRecord, tags: Tags) -> NewMessage {
    let mut headers: Vec<(HeaderName, Bytes)> =
        ce_headers(record).into_iter().map(|(name, value)| (name.into(), Bytes::from(value))).collect();
    headers.push((SALT_HEADER.into(), Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes())));
    headers.push((TAGS_HEADER.into(), Bytes::copy_from_slice(&tags.to_header())));
    NewMessage {
        key: Bytes::from(record.routing_key().to_string()),
        headers,
        value: Some(Bytes::copy_from_slice(record.canonical())),
        placement: Placement::ByKey,
    }
}
