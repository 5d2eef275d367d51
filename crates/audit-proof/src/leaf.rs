//! Leaves: what the tree keeps of a message.
//!
//! A leaf's entry is a *header*: one line of JSON in RFC 8785 form (JCS), small and always of the same twelve
//! fields. What was said stays out of it but for its hash, and whom it concerns is there as tags only. So a
//! header can be shown to an auditor who may not see the record, and a body can be erased while every root,
//! proof and header stays valid.
//!
//! A leaf is a function of its message's number, headers and value, and of nothing else: not of offsets, which
//! differ when a log is copied, and not of any key. A message that is no record has a leaf too, with nulls
//! where a record would say something.

use std::borrow::Cow;

use audit_digest::Sha256;
use audit_record::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::hash::{NodeHash, leaf_hash};
use crate::tags::{TAG_BYTES, Tag, Tags};

/// The version of the header that this release makes, its field `v`.
pub const LEAF_VERSION: u64 = 1;

/// How many bytes the `salt` header has. One of another length is none.
pub const SALT_BYTES: usize = 16;

/// Longest id, action or object type that a header carries, in bytes: far longer than a valid record's. A message
/// with a longer one counts as no record.
pub const TEXT_BYTES_MAX: usize = 2_048;

/// Longest entry, as tlog-tiles has it: its length is written in two bytes. [`TEXT_BYTES_MAX`] keeps all headers
/// below.
pub const LEAF_BYTES_MAX: usize = u16::MAX as usize;

/// What a header usually takes, in bytes: where its buffer starts.
const LEAF_BYTES_USUAL: usize = 640;

/// What a leaf says of a record.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LeafRecord<'a> {
    /// Its id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Its action.
    #[serde(borrow)]
    pub action: Cow<'a, str>,
    /// Its object type.
    #[serde(borrow)]
    pub related_object_type: Cow<'a, str>,
    /// Event time.
    #[serde(deserialize_with = "moment")]
    pub occurred_at: Timestamp,
    /// Append time, as the record has it.
    #[serde(deserialize_with = "moment")]
    pub recorded_at: Timestamp,
}

/// A leaf: a message's header in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// Its index in the tree.
    pub seq: u64,
    /// What the record says; `None` where the message holds no record.
    pub record: Option<LeafRecord<'a>>,
    /// What the record concerns.
    pub tags: Tags,
    /// The hash of salt and value.
    pub body: [u8; 32],
}

/// A text that is borrowed where it can be, which a `Cow` by itself never is.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn moment<'de, D: Deserializer<'de>>(text: D) -> Result<Timestamp, D::Error> {
    let Text(text) = Text::deserialize(text)?;
    Timestamp::parse(&text).map_err(D::Error::custom)
}

impl<'a> LeafRecord<'a> {
    /// Reads a message's value; `None` where it is no record as far as a leaf is concerned: no JSON object in
    /// UTF-8 with these five fields as texts, each once, the times in RFC 3339.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let json = std::str::from_utf8(value).ok()?;
        let record: Self = serde_json::from_str(json).ok()?;
        record.fits().then_some(record)
    }

    /// Whether a header has room for it. Of a record that does not fit, a leaf has nothing.
    pub fn fits(&self) -> bool {
        [&self.id, &self.action, &self.related_object_type].iter().all(|text| text.len() <= TEXT_BYTES_MAX)
    }
}

impl<'a> Leaf<'a> {
    /// The leaf of a message by its `salt` and `tags` headers and its value.
    pub fn of(seq: u64, salt: Option<&[u8]>, tags: Option<&[u8]>, value: Option<&'a [u8]>) -> Self {
        Self {
            seq,
            record: value.and_then(LeafRecord::read),
            tags: tags.map(Tags::from_header).unwrap_or_default(),
            body: body_hash(salt, value),
        }
    }

    /// The entry: its header as JSON in RFC 8785 form, without a line feed.
    pub fn header(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(LEAF_BYTES_USUAL);
        self.write_header(&mut json);
        json
    }

    /// The entry, appended to `out`.
    pub fn write_header(&self, out: &mut Vec<u8>) {
        let mut header = Header { out, first: true };
        let record = self.record.as_ref().filter(|record| record.fits());
        let tag = |tag: Option<Tag>| tag.map(|tag| STANDARD.encode(tag.as_bytes()));
        header.text("action", record.map(|record| &*record.action));
        header.plain("author", tag(self.tags.author));
        header.plain("body", Some(STANDARD.encode(self.body)));
        header.plain("environment", tag(self.tags.environment));
        header.plain("flag", tag(self.tags.flag));
        header.text("id", record.map(|record| &*record.id));
        header.plain("occurred_at", record.map(|record| record.occurred_at.to_string()));
        header.plain("recorded_at", record.map(|record| record.recorded_at.to_string()));
        header.text("related_object_type", record.map(|record| &*record.related_object_type));
        header.plain("scope", tag(self.tags.scope));
        header.number("seq", self.seq);
        header.number("v", LEAF_VERSION);
        out.push(b'}');
    }

    /// Its hash in the tree. `buffer` is where the header is made; what it held is lost.
    pub fn hash(&self, buffer: &mut Vec<u8>) -> NodeHash {
        buffer.clear();
        self.write_header(buffer);
        leaf_hash(buffer)
    }
}

/// A header in the making: its fields are given in the order of their names, as RFC 8785 asks.
struct Header<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl Header<'_> {
    fn name(&mut self, name: &str) {
        self.out.push(if std::mem::take(&mut self.first) { b'{' } else { b',' });
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }

    fn text(&mut self, name: &str, text: Option<&str>) {
        self.name(name);
        match text {
            // serde_json escapes as RFC 8785 asks. Writing to a Vec can't fail.
            Some(text) => drop(serde_json::to_writer(&mut *self.out, text)),
            None => self.null(),
        }
    }

    /// A text that needs no escaping.
    fn plain(&mut self, name: &str, text: Option<String>) {
        self.name(name);
        match text {
            Some(text) => {
                self.out.push(b'"');
                self.out.extend_from_slice(text.as_bytes());
                self.out.push(b'"');
            }
            None => self.null(),
        }
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        self.out.extend_from_slice(number.to_string().as_bytes());
    }
}

/// `SHA-256(salt ‖ value)`: what a leaf keeps of a message's value. A salt that is not [`SALT_BYTES`] long is none;
/// of a message without a value it is the hash of the salt.
pub fn body_hash(salt: Option<&[u8]>, value: Option<&[u8]>) -> [u8; 32] {
    let salt = salt.filter(|salt| salt.len() == SALT_BYTES).unwrap_or_default();
    Sha256::new().chain_update(salt).chain_update(value.unwrap_or_default()).finalize()
}

/// The bytes are no header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLeaf {
    /// Not the fields of a header.
    #[error("it is no leaf header: {0}")]
    Fields(String),
    /// Of a version that this release does not know.
    #[error("it is a leaf header of version {0}, of a later release")]
    Newer(u64),
    /// The fields of a header in another form than the one that was hashed.
    #[error("it is not in the form of RFC 8785, so its hash is not the leaf's")]
    NotCanonical,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireHeader<'a> {
    #[serde(borrow)]
    action: Option<Cow<'a, str>>,
    #[serde(borrow)]
    author: Option<Cow<'a, str>>,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(borrow)]
    environment: Option<Cow<'a, str>>,
    #[serde(borrow)]
    flag: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    occurred_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    recorded_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    related_object_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    scope: Option<Cow<'a, str>>,
    seq: u64,
    #[serde(rename = "v")]
    _version: u64,
}

#[derive(Deserialize)]
struct OnlyVersion {
    v: u64,
}

impl<'a> Leaf<'a> {
    /// Reads a header, as exports carry it. What it returns makes exactly these bytes again.
    pub fn parse(header: &'a [u8]) -> Result<Self, InvalidLeaf> {
        let fields = |error: serde_json::Error| InvalidLeaf::Fields(error.to_string());
        let OnlyVersion { v } = serde_json::from_slice(header).map_err(fields)?;
        if v > LEAF_VERSION {
            return Err(InvalidLeaf::Newer(v));
        }
        let wire: WireHeader<'a> = serde_json::from_slice(header).map_err(fields)?;
        let time = |text: Cow<'_, str>| Timestamp::parse(&text).ok();
        let record = match (wire.id, wire.action, wire.related_object_type) {
            (Some(id), Some(action), Some(related_object_type)) => {
                let times = wire.occurred_at.and_then(time).zip(wire.recorded_at.and_then(time));
                let (occurred_at, recorded_at) =
                    times.ok_or_else(|| InvalidLeaf::Fields("a record without its times".to_owned()))?;
                Some(LeafRecord { id, action, related_object_type, occurred_at, recorded_at })
            }
            // Anything in between does not make the same bytes again.
            _ => None,
        };
        let tag = |text: Option<Cow<'_, str>>| {
            let bytes: [u8; TAG_BYTES] = STANDARD.decode(&*text?).ok()?.try_into().ok()?;
            Tag::from_bytes(bytes)
        };
        let body = STANDARD.decode(&*wire.body).ok().and_then(|bytes| bytes.try_into().ok());
        let leaf = Self {
            seq: wire.seq,
            record,
            tags: Tags {
                scope: tag(wire.scope),
                environment: tag(wire.environment),
                flag: tag(wire.flag),
                author: tag(wire.author),
            },
            body: body.ok_or_else(|| InvalidLeaf::Fields("body is not 32 bytes of base64".to_owned()))?,
        };
        if leaf.header() == header { Ok(leaf) } else { Err(InvalidLeaf::NotCanonical) }
    }
}

/// Appends an entry to an entry bundle of tlog-tiles: its length in two bytes, then itself. Returns whether it
/// fits; a header always does.
pub fn write_bundle(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else { return false };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    true
}

/// The entries of an entry bundle of tlog-tiles; `None` where it ends within one.
pub fn read_bundle(mut bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while !bundle.is_empty() {
        let (length, rest) = bundle.split_first_chunk()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        bundle = rest;
    }
    Some(entries)
}
