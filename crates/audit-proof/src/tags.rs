//! Tags: what a record concerns, for those who may know, while its leaf is shown to everybody.
//!
//! A tag is 16 bytes of an HMAC. Its key belongs to one scope, which is a routing key: organisation, source
//! and project. Whoever is given a scope's key can tell which leaves are of that scope, and which of its
//! environments, flags and authors each concerns, and so can count that none is missing; about other scopes
//! the same leaves say nothing but that there are some.
//!
//! The keys of all scopes follow from one [`TagKey`] of the deployment.

use std::fmt;

use audit_digest::MacKey;
use audit_record::{AuditRecord, Author, Ref, RoutingKey};

/// How many bytes a tag has.
pub const TAG_BYTES: usize = 16;

/// How many bytes [`Tags`] have: four tags.
pub const TAGS_BYTES: usize = 4 * TAG_BYTES;

/// Precedes a routing key where a scope's key is made of it.
const SCOPE_KEY_LABEL: &[u8] = b"flagtrail scope key v1\0";

/// Precedes a person's name where a tag is made of it.
const PERSON_LABEL: &[u8] = b"flagtrail person v1\0";

/// Precedes what a holder of access is known by where a tag is made of it.
const HOLDER_LABEL: &[u8] = b"flagtrail access holder v1\0";

/// Precedes an order to erase where what vouches for it is made of it.
const ORDER_LABEL: &[u8] = b"flagtrail erasure order v1\0";

/// Precedes the secret's own use here, so that no other use of the same secret gives the same key.
const TAG_KEY_LABEL: &[u8] = b"flagtrail tag key v1";

/// A tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag([u8; TAG_BYTES]);

impl Tag {
    /// From its bytes; sixteen zeros stand for no tag.
    pub fn from_bytes(bytes: [u8; TAG_BYTES]) -> Option<Self> {
        (bytes != [0; TAG_BYTES]).then_some(Self(bytes))
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; TAG_BYTES] {
        &self.0
    }
}

/// The tags of one record. As bytes, in the message's `tags` header: scope, environment, flag, author, one
/// after another, sixteen zeros for one that is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// Organisation, source and project. Always there where Flagtrail appended the record.
    pub scope: Option<Tag>,
    /// The environment, where the record names one.
    pub environment: Option<Tag>,
    /// The flag, where the record names one.
    pub flag: Option<Tag>,
    /// The author, where the record names one.
    pub author: Option<Tag>,
}

impl Tags {
    /// Reads a `tags` header. Of a length that it doesn't have, it holds no tags.
    pub fn from_header(bytes: &[u8]) -> Self {
        if bytes.len() != TAGS_BYTES {
            return Self::default();
        }
        let tag = |index: usize| {
            let bytes = bytes.get(index * TAG_BYTES..)?.first_chunk()?;
            Tag::from_bytes(*bytes)
        };
        Self { scope: tag(0), environment: tag(1), flag: tag(2), author: tag(3) }
    }

    /// As they stand in the `tags` header.
    pub fn to_header(&self) -> [u8; TAGS_BYTES] {
        let mut header = [0; TAGS_BYTES];
        let tags = [self.scope, self.environment, self.flag, self.author];
        for (slot, tag) in header.chunks_exact_mut(TAG_BYTES).zip(tags) {
            if let Some(tag) = tag {
                slot.copy_from_slice(&tag.0);
            }
        }
        header
    }
}

/// The deployment's key, of which those of all scopes are made.
#[derive(Clone)]
pub struct TagKey(MacKey);

impl TagKey {
    /// From the deployment's secret, which may have other uses.
    pub fn derive(secret: &[u8]) -> Self {
        Self(MacKey::new(&MacKey::new(secret).mac(&[TAG_KEY_LABEL])))
    }

    /// The tag of a person, in no scope: what an erasure tells of whom it was about. Case makes no difference.
    pub fn person(&self, name: &str) -> Tag {
        self.tag(&[PERSON_LABEL, fold_case(name.trim()).as_bytes()])
    }

    /// The tag of a holder of access, which stands for him where every record that named him was erased: the same in every
    /// partition.
    pub fn holder(&self, source: &str, kind: &str, identity: &str) -> Tag {
        self.tag(&[HOLDER_LABEL, source.as_bytes(), b"\0", kind.as_bytes(), b"\0", identity.as_bytes()])
    }

    fn tag(&self, parts: &[&[u8]]) -> Tag {
        let whole = self.0.mac(parts);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&whole[..TAG_BYTES]);
        Tag(tag)
    }

    /// What vouches for an order to erase: nobody makes it who has not the deployment's secret.
    pub fn order_mac(&self, order: &[u8]) -> [u8; 32] {
        self.0.mac(&[ORDER_LABEL, order])
    }

    /// Whether this vouches for that order.
    pub fn vouches_for_order(&self, order: &[u8], mac: &[u8]) -> bool {
        self.0.vouches(&[ORDER_LABEL, order], mac)
    }

    /// The key of one scope.
    pub fn scope(&self, scope: &RoutingKey) -> ScopeKey {
        ScopeKey::from_bytes(self.0.mac(&[SCOPE_KEY_LABEL, scope.as_str().as_bytes()]))
    }
}

impl fmt::Debug for TagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TagKey([REDACTED])")
    }
}

/// The key of one scope. To be given to those who audit that scope, and to nobody else.
#[derive(Clone)]
pub struct ScopeKey {
    bytes: [u8; 32],
    mac: MacKey,
}

impl ScopeKey {
    /// From the bytes that were disclosed.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes, mac: MacKey::new(&bytes) }
    }

    /// The bytes to disclose.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The tags of a record of this scope.
    pub fn tags(&self, scope: &RoutingKey, record: &AuditRecord) -> Tags {
        let draft = record.draft();
        Tags {
            scope: Some(self.scope_tag(scope)),
            environment: draft.environment.as_ref().and_then(|what| self.environment(what)),
            flag: draft.flag.as_ref().and_then(|what| self.flag(what)),
            author: self.author(record.author()),
        }
    }

    /// The tag of the scope itself.
    pub fn scope_tag(&self, scope: &RoutingKey) -> Tag {
        self.tag(&[b"scope\0", scope.as_str().as_bytes()])
    }

    /// The tag of an environment: by its id, else its key, else its name, as routing goes.
    pub fn environment(&self, environment: &Ref) -> Option<Tag> {
        Subject::environment(environment).map(|subject| self.subject(&subject))
    }

    /// The tag of a flag: by its id, else its key, else its name, as routing goes.
    pub fn flag(&self, flag: &Ref) -> Option<Tag> {
        Subject::flag(flag).map(|subject| self.subject(&subject))
    }

    /// The tag of an author: by id, else e-mail address, else name; none of one whom nobody named.
    pub fn author(&self, author: &Author) -> Option<Tag> {
        Subject::author(author).map(|subject| self.subject(&subject))
    }

    fn subject(&self, subject: &Subject<'_>) -> Tag {
        let Subject { what, label, text } = subject;
        self.tag(&[what.as_bytes(), b"\0", label.as_bytes(), b"\0", text.as_bytes()])
    }

    /// The tag of a subject as [`Subject::write`] has it.
    pub(crate) fn written(&self, subject: &[u8]) -> Tag {
        self.tag(&[subject])
    }

    fn tag(&self, parts: &[&[u8]]) -> Tag {
        let whole = self.mac.mac(parts);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&whole[..TAG_BYTES]);
        Tag(tag)
    }
}

/// A text in which case is no difference any more: every letter is the small one, by Unicode and wherever it stands, so that what
/// is part of a text is part of the folded one. Byte for byte ASCII's where there is nothing else.
pub fn fold_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // A sigma at the end of a word is a letter of its own that is no capital's.
    text.chars().flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

/// What a tag stands for: the first label that says something. Which of them it was is part of the tag: the flag
/// whose key is `5` is not the flag whose id is `5`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    what: &'static str,
    label: &'static str,
    text: &'a str,
}

impl<'a> Subject<'a> {
    pub(crate) fn environment(environment: &'a Ref) -> Option<Self> {
        Self::thing("environment", environment)
    }

    pub(crate) fn flag(flag: &'a Ref) -> Option<Self> {
        Self::thing("flag", flag)
    }

    pub(crate) fn author(author: &'a Author) -> Option<Self> {
        Self::first("author", [("id", &author.id), ("email", &author.email), ("name", &author.name)])
    }

    fn thing(what: &'static str, thing: &'a Ref) -> Option<Self> {
        Self::first(what, [("id", &thing.id), ("key", &thing.key), ("name", &thing.name)])
    }

    fn first(what: &'static str, labels: [(&'static str, &'a Option<String>); 3]) -> Option<Self> {
        labels.into_iter().find_map(|(label, text)| {
            text.as_deref().filter(|text| !text.is_empty()).map(|text| Self { what, label, text })
        })
    }

    /// The bytes that its tag is made of, into `out`; what that held is lost.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        for part in [self.what, "\0", self.label, "\0", self.text] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

impl fmt::Debug for ScopeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScopeKey([REDACTED])")
    }
}
