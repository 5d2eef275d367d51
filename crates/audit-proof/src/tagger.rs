//! Tags for a stream of records, in which the same projects, environments, flags and people come again and again.

use std::collections::HashMap;

use audit_record::{AuditRecord, RoutingKey};

use crate::tags::{ScopeKey, Subject, Tag, TagKey, Tags};

/// Most scopes that are remembered. Beyond it all is forgotten and begins anew.
pub const SCOPES_KNOWN_MAX: usize = 4_096;

/// Most tags that are remembered, over all scopes; about 100 bytes each. Beyond it all is forgotten and begins anew.
pub const TAGS_KNOWN_MAX: usize = 32_768;

/// Longest subject that is remembered, in bytes.
const SUBJECT_BYTES_MAX: usize = 256;

/// Makes the tags of records as [`ScopeKey::tags`] does, and remembers them: a tag costs a few hundred bytes of
/// SHA-256, remembering it costs looking it up.
#[derive(Clone, Debug)]
pub struct Tagger {
    key: TagKey,
    scopes: HashMap<RoutingKey, KnownScope>,
    /// How many tags all scopes have.
    known: usize,
    subject: Vec<u8>,
}

#[derive(Clone, Debug)]
struct KnownScope {
    key: ScopeKey,
    tag: Tag,
    tags: HashMap<Box<[u8]>, Tag>,
}

impl Tagger {
    /// One that remembers nothing yet.
    pub fn new(key: TagKey) -> Self {
        Self { key, scopes: HashMap::new(), known: 0, subject: Vec::new() }
    }

    /// The tags of a record of this scope.
    pub fn tags(&mut self, scope: &RoutingKey, record: &AuditRecord) -> Tags {
        if self.scopes.len() >= SCOPES_KNOWN_MAX || self.known >= TAGS_KNOWN_MAX {
            self.scopes.clear();
            self.known = 0;
        }
        let Self { key, scopes, known, subject } = self;
        if !scopes.contains_key(scope) {
            let key = key.scope(scope);
            let tag = key.scope_tag(scope);
            scopes.insert(scope.clone(), KnownScope { key, tag, tags: HashMap::new() });
        }
        let in_scope = scopes.get_mut(scope).expect("inserted above where it was missing");
        let mut tag = |of: Option<Subject<'_>>| {
            of?.write(subject);
            if let Some(tag) = in_scope.tags.get(subject.as_slice()) {
                return Some(*tag);
            }
            let tag = in_scope.key.written(subject);
            if subject.len() <= SUBJECT_BYTES_MAX {
                in_scope.tags.insert(subject.as_slice().into(), tag);
                *known += 1;
            }
            Some(tag)
        };
        let draft = record.draft();
        let environment = tag(draft.environment.as_ref().and_then(Subject::environment));
        let flag = tag(draft.flag.as_ref().and_then(Subject::flag));
        let author = tag(Subject::author(record.author()));
        Tags { scope: Some(in_scope.tag), environment, flag, author }
    }
}
