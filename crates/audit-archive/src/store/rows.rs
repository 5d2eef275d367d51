//! Writing records, or whatever else a message holds, as rows.

use std::borrow::Cow;

use audit_journal::{Message, SALT_HEADER, TAGS_HEADER};
use audit_proof::{LeafRecord, NodeHash, Tags};
use rusqlite::{Connection, params};

use super::StoreError;
use super::erasure;
use super::heard::HeardUpdate;
use super::tree::TreeWriter;
use crate::decode::Fields;
use crate::things::{Kind, ThingError, Things};

/// `record.routing_key` of a message without a key.
const NO_KEY: i64 = 0;

/// Rows of this kind among those that one transaction adds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) duplicates: u64,
    pub(super) undecodable: u64,
    /// Of the duplicates, those whose body was erased before they came.
    pub(super) erased: u64,
}

/// Writes the rows of one transaction.
pub(super) struct RowWriter<'t> {
    pub(super) conn: &'t Connection,
    pub(super) things: &'t mut Things,
    pub(super) tree: &'t mut TreeWriter,
    pub(super) counts: &'t mut Counts,
    pub(super) heard: &'t mut HeardUpdate,
}

/// What of a message goes into its leaf, and the leaf's hash.
struct Evidence<'m> {
    salt: Option<&'m [u8]>,
    tags: Option<&'m [u8]>,
    body: [u8; 32],
    leaf: NodeHash,
    /// Which leaf it is.
    index: u64,
}

/// The columns of `record` that a readable record fills beside those every message has.
struct Numbers {
    organisation: Option<i64>,
    project: Option<i64>,
    environment: Option<i64>,
    flag: Option<i64>,
    object: Option<i64>,
    author: Option<i64>,
    action: Option<i64>,
    object_type: Option<i64>,
    source: Option<i64>,
    routing_key: i64,
}

impl RowWriter<'_> {
    /// Writes one message, whatever it holds. Returns what was read of it where it is a record that was not
    /// seen before.
    pub(super) fn write<'m>(
        &mut self,
        seq: u64,
        message: &'m Message,
    ) -> Result<Option<Fields<'m>>, StoreError> {
        let value = message.value.as_deref();
        match Fields::read(value).and_then(|fields| Ok((self.numbers(&fields, message)?, fields))) {
            Ok((numbers, fields)) => {
                // What `LeafRecord::read` would read again.
                let record = LeafRecord {
                    id: Cow::Borrowed(&fields.id),
                    action: Cow::Borrowed(&fields.action),
                    related_object_type: Cow::Borrowed(&fields.object_type),
                    occurred_at: fields.occurred_at,
                    recorded_at: fields.recorded_at,
                };
                let evidence = self.evidence(message, Some(record));
                self.write_record(seq, message, numbers?, fields, &evidence)
            }
            Err(problem) => {
                // A leaf asks less of a record than the archive.
                let evidence = self.evidence(message, value.and_then(LeafRecord::read));
                self.write_undecodable(seq, message, &problem, &evidence).map(|()| None)
            }
        }
    }

    /// Appends the message's leaf to the tree.
    fn evidence<'m>(&mut self, message: &'m Message, record: Option<LeafRecord<'_>>) -> Evidence<'m> {
        let header = |name| message.header(name).map(|value| &value[..]);
        let (salt, tags) = (header(SALT_HEADER), header(TAGS_HEADER));
        let body = audit_proof::body_hash(salt, message.value.as_deref());
        let index = self.tree.next();
        let leaf = self.tree.append(record, tags.map(Tags::from_header).unwrap_or_default(), body);
        Evidence { salt, tags, body, leaf, index }
    }

    /// `Err` where the record does not describe its things readably; inside, what SQLite says.
    fn numbers(
        &mut self,
        fields: &Fields<'_>,
        message: &Message,
    ) -> Result<Result<Numbers, StoreError>, String> {
        let key = String::from_utf8_lossy(&message.key);
        let mut number = |kind, text: Option<&str>| match text {
            None => Ok(None),
            Some(text) => self.things.number(self.conn, kind, text),
        };
        let mut all = || {
            Ok::<_, ThingError>(Numbers {
                organisation: number(Kind::Organisation, Some(fields.organisation))?,
                project: number(Kind::Project, fields.project)?,
                environment: number(Kind::Environment, fields.environment)?,
                flag: number(Kind::Flag, fields.flag)?,
                object: number(Kind::Object, fields.object)?,
                author: number(Kind::Author, Some(fields.author))?,
                action: number(Kind::Action, Some(&fields.action))?,
                object_type: number(Kind::ObjectType, Some(&fields.object_type))?,
                source: number(Kind::Source, Some(&fields.source))?,
                routing_key: number(Kind::RoutingKey, Some(&key))?.unwrap_or(NO_KEY),
            })
        };
        match all() {
            Ok(numbers) => Ok(Ok(numbers)),
            Err(ThingError::Unreadable(problem)) => Err(problem),
            Err(ThingError::Sqlite(error)) => Ok(Err(error.into())),
        }
    }

    fn write_record<'m>(
        &mut self,
        seq: u64,
        message: &'m Message,
        numbers: Numbers,
        fields: Fields<'m>,
        evidence: &Evidence<'_>,
    ) -> Result<Option<Fields<'m>>, StoreError> {
        match self.insert(seq, message, &numbers, &fields, evidence, None) {
            Ok(()) => {
                self.heard(&numbers, seq, message, true);
                Ok(Some(fields))
            }
            Err(error) if is_repeated_id(&error) => {
                let (first, erased_by): (u64, Option<u64>) = self
                    .conn
                    .prepare_cached(
                        "SELECT seq, erased_by FROM record
                         WHERE id = ?1 AND routing_key = ?2 AND duplicate_of IS NULL",
                    )?
                    .query_row((&fields.id, numbers.routing_key), |row| Ok((row.get(0)?, row.get(1)?)))?;
                self.insert(seq, message, &numbers, &fields, evidence, Some(first))?;
                // What was erased does not come back because it is sent again.
                if let Some(by) = erased_by {
                    erasure::drop_body(self.conn, seq, evidence.index, by)?;
                    self.conn.prepare_cached("UPDATE archive SET unscrubbed = 1")?.execute(())?;
                    self.counts.erased += 1;
                }
                self.counts.duplicates += 1;
                self.heard(&numbers, seq, message, false);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn heard(&mut self, numbers: &Numbers, seq: u64, message: &Message, is_new: bool) {
        if let Some(source) = numbers.source {
            self.heard.add(source, seq, message.appended_at_ms, is_new);
        }
    }

    fn insert(
        &self,
        seq: u64,
        message: &Message,
        numbers: &Numbers,
        fields: &Fields<'_>,
        evidence: &Evidence<'_>,
        duplicate_of: Option<u64>,
    ) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached(
                "INSERT INTO record (seq, log_offset, appended_at_ms, occurred_at_us, recorded_at_us, duplicate_of,
                   organisation, project, environment, flag, object, author, action, object_type, source,
                   routing_key, id, salt, tags, body_hash, leaf, headers, json)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
                   ?20, ?21, ?22, ?23)",
            )?
            .execute(params![
                seq,
                message.offset,
                message.appended_at_ms,
                fields.occurred_at.micros(),
                fields.recorded_at.micros(),
                duplicate_of,
                numbers.organisation,
                numbers.project,
                numbers.environment,
                numbers.flag,
                numbers.object,
                numbers.author,
                numbers.action,
                numbers.object_type,
                numbers.source,
                numbers.routing_key,
                fields.id,
                evidence.salt,
                evidence.tags,
                evidence.body,
                evidence.leaf.as_bytes(),
                other_headers(message, true),
                fields.json,
            ])
            .map(drop)
    }

    fn write_undecodable(
        &mut self,
        seq: u64,
        message: &Message,
        problem: &str,
        evidence: &Evidence<'_>,
    ) -> Result<(), StoreError> {
        let key = String::from_utf8_lossy(&message.key);
        let routing_key = match self.things.number(self.conn, Kind::RoutingKey, &key) {
            Ok(number) => number.unwrap_or(NO_KEY),
            Err(ThingError::Sqlite(error)) => return Err(error.into()),
            Err(ThingError::Unreadable(problem)) => return Err(StoreError::Broken(problem)),
        };
        self.conn
            .prepare_cached(
                "INSERT INTO record (seq, log_offset, appended_at_ms, routing_key, salt, tags, body_hash, leaf, problem,
                   headers, raw, key)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                seq,
                message.offset,
                message.appended_at_ms,
                routing_key,
                evidence.salt,
                evidence.tags,
                evidence.body,
                evidence.leaf.as_bytes(),
                problem,
                other_headers(message, false),
                message.value.as_deref(),
                std::str::from_utf8(&message.key).err().map(|_| &message.key[..]),
            ])?;
        self.counts.undecodable += 1;
        Ok(())
    }
}

fn is_repeated_id(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE)
}

/// The headers that have no column of their own, each as length, name, length, value (lengths of four bytes,
/// big-endian); `None` where there are none. Of a record the CloudEvents headers are left out: they are made from it.
fn other_headers(message: &Message, of_record: bool) -> Option<Vec<u8>> {
    let mut others = Vec::new();
    for (name, value) in &message.headers {
        let derived = of_record && (name.starts_with("ce_") || name == "content-type");
        if derived || name == SALT_HEADER || name == TAGS_HEADER {
            continue;
        }
        for part in [name.as_bytes(), value] {
            others.extend_from_slice(&(part.len() as u32).to_be_bytes());
            others.extend_from_slice(part);
        }
    }
    Some(others).filter(|others| !others.is_empty())
}
