//! What the words of a filter stand for: which scopes, and which environments, flags and authors by the labels that
//! their tags are made of.
//!
//! A filter names a project by whatever its records call it; a scope, and a tag, is made of the most stable label alone.
//! So the records are asked, and not the labels: two installations may both have a project 5, and a word that is the name
//! of the one must not lead to the other. What is found here is never too little: every record that fits the filter is of
//! one of these scopes, and concerns one of these subjects. And it is of records that fit organisation, source and project
//! alone: nothing is told of anybody else's.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use audit_record::{Filter, OWN_SOURCE_FORMER, RoutingKey};
use rusqlite::{Connection, OptionalExtension};

use super::budget::Budget;
use super::page::{Order, Query, QueryError};
use super::pool::File;
use super::reader::Reader;
use super::walk::{Step, Walk};
use crate::things::{Kind, labelled};

/// A thing by the label that its tag is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StableLabel {
    /// Which label: `id`, `key`, `name`, or for authors `email`.
    pub label: &'static str,
    /// What it says.
    pub text: String,
}

/// What a filter's words stand for. `None` where the filter has none of them; and all of them where it names neither
/// organisation, source nor project, for tags are read with the keys of scopes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The scopes that organisations, sources and projects lead to.
    pub scopes: Option<BTreeSet<RoutingKey>>,
    /// The environments, in those scopes.
    pub environments: Option<BTreeSet<StableLabel>>,
    /// The flags, in those scopes.
    pub flags: Option<BTreeSet<StableLabel>>,
    /// The authors, in those scopes.
    pub authors: Option<BTreeSet<StableLabel>>,
}

impl Reader {
    /// What the words of a filter stand for in the records that are archived here; `None` where `is_stopped` said so. It
    /// goes through the records of the filter's projects in short sessions, up to where each of the scopes was met, and to
    /// the end where environments, flags or authors are named.
    pub fn named(&self, filter: &Filter, is_stopped: &dyn Fn() -> bool) -> Result<Option<Named>, QueryError> {
        let Filter { organisation, source, project, .. } = filter;
        if organisation.is_empty() && source.is_empty() && project.is_empty() {
            return Ok(Some(Named::default()));
        }
        let within = Filter {
            organisation: organisation.clone(),
            source: source.clone(),
            project: project.clone(),
            ..Filter::default()
        };
        let mut search = Search::new(filter, Query { filter: within, ..Query::default() });
        for end in self.ends()? {
            let mut left = 0..end.seq;
            search.unmet = None;
            while !left.is_empty() {
                if is_stopped() {
                    return Ok(None);
                }
                let session = self.pool.session(Some(end.partition))?;
                let Some(file) = session.files.first() else {
                    return Err(QueryError::Storage {
                        file: format!("partition {}", end.partition),
                        problem: "its file is gone".to_owned(),
                    });
                };
                left = search.look_on(file, left).map_err(|error| file.error(error))?;
            }
        }
        Ok(Some(search.named))
    }
}

/// What is looked for, and what was found of it.
struct Search<'f> {
    filter: &'f Filter,
    /// Organisation, source and project of the filter.
    within: Query,
    /// The scopes of the partition at hand that may be meant, by their labels, and of which no such record was met; `None`
    /// until they are looked up.
    unmet: Option<BTreeSet<RoutingKey>>,
    named: Named,
}

impl<'f> Search<'f> {
    fn new(filter: &'f Filter, within: Query) -> Self {
        let found = |words: &[String]| (!words.is_empty()).then(BTreeSet::new);
        let named = Named {
            scopes: Some(BTreeSet::new()),
            environments: found(&filter.environment),
            flags: found(&filter.flag),
            authors: found(&filter.author),
        };
        Self { filter, within, unmet: None, named }
    }

    /// Looks at some of the records numbered `left`; returns those that are left then, none where nothing more can be found.
    fn look_on(&mut self, file: &File, left: Range<u64>) -> rusqlite::Result<Range<u64>> {
        let none = left.end..left.end;
        let transaction = file.conn.unchecked_transaction()?;
        let mut unmet = match self.unmet.take() {
            Some(unmet) => unmet,
            None => {
                let candidates = candidates(&transaction, self.filter)?;
                if candidates.is_empty() {
                    return Ok(none);
                }
                candidates
            }
        };
        // Numbers are those of this session: a file that is made anew has others.
        let mut subjects = self.subjects(&transaction)?;
        let has_subjects = self.has_subjects();
        let mut walk = Walk::plan(&transaction, file.partition, &self.within, None, Order::Oldest, left)?;
        let mut budget = Budget::of_a_page();
        while has_subjects || !unmet.is_empty() {
            let is_spent = match walk.step(&transaction, &mut budget)? {
                Step::Match(row) => {
                    self.take(&transaction, row.seq, &mut unmet, &mut subjects)?;
                    // A step always moves, so where all records match it never says that the budget is spent.
                    budget.is_spent()
                }
                Step::End => return Ok(none),
                Step::Spent => true,
            };
            if is_spent {
                self.unmet = Some(unmet);
                return Ok(walk.left());
            }
        }
        Ok(none)
    }

    fn has_subjects(&self) -> bool {
        let Filter { environment, flag, author, .. } = self.filter;
        [environment, flag, author].into_iter().any(|words| !words.is_empty())
    }

    /// The environments, flags and authors that the filter's words may mean, by number.
    fn subjects(&self, conn: &Connection) -> rusqlite::Result<HashMap<i64, Kind>> {
        let mut subjects = HashMap::new();
        for (kind, words) in [
            (Kind::Environment, &self.filter.environment),
            (Kind::Flag, &self.filter.flag),
            (Kind::Author, &self.filter.author),
        ] {
            for word in words {
                subjects.extend(labelled(conn, kind, word)?.into_iter().map(|thing| (thing, kind)));
            }
        }
        Ok(subjects)
    }

    /// Takes in the scope and the subjects of a record that fits.
    fn take(
        &mut self,
        conn: &Connection,
        seq: u64,
        unmet: &mut BTreeSet<RoutingKey>,
        subjects: &mut HashMap<i64, Kind>,
    ) -> rusqlite::Result<()> {
        let mut select = conn.prepare_cached(
            "SELECT k.key, r.environment, r.flag, r.author FROM record r JOIN thing k ON k.thing = r.routing_key
             WHERE r.seq = ?1",
        )?;
        let found = select
            .query_row([seq], |row| {
                let key: Option<String> = row.get(0)?;
                let things: [Option<i64>; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
                Ok((key, things))
            })
            .optional()?;
        let Some((Some(key), things)) = found else { return Ok(()) };
        let Ok(scope) = RoutingKey::parse(&key) else { return Ok(()) };
        let scopes = self.named.scopes.get_or_insert_default();
        if unmet.remove(&scope) {
            scopes.insert(scope.clone());
        }
        // What stands under another key than its own labels make is no reason to disclose that key.
        if !scopes.contains(&scope) {
            return Ok(());
        }
        for thing in things.into_iter().flatten() {
            let Some(kind) = subjects.remove(&thing) else { continue };
            let found = match kind {
                Kind::Environment => &mut self.named.environments,
                Kind::Flag => &mut self.named.flags,
                _ => &mut self.named.authors,
            };
            found.get_or_insert_default().extend(stable(conn, kind, thing)?);
        }
        Ok(())
    }
}

/// The scopes whose labels may be those of the filter's organisations, sources and projects. In Flagtrail's own, records
/// may be of any project, and name more than one source.
fn candidates(conn: &Connection, filter: &Filter) -> rusqlite::Result<BTreeSet<RoutingKey>> {
    let Filter { organisation, source, project, .. } = filter;
    let texts = |kind, words: &[String]| -> rusqlite::Result<BTreeSet<String>> {
        let mut texts = BTreeSet::new();
        for word in words {
            for thing in labelled(conn, kind, word)? {
                texts.extend(stable(conn, kind, thing)?.map(|label| label.text));
            }
        }
        Ok(texts)
    };
    let organisations = texts(Kind::Organisation, organisation)?;
    let projects = texts(Kind::Project, project)?;
    let may_fit = |scope: &RoutingKey| {
        let (parts, is_own) = (scope.parts(), *scope == RoutingKey::own());
        let is_of = |name: &String| *name == parts.source || is_own && name == OWN_SOURCE_FORMER;
        (organisation.is_empty() || organisations.contains(&parts.organisation))
            && (source.is_empty() || source.iter().any(is_of))
            && (project.is_empty()
                || is_own
                || parts.project.as_ref().is_some_and(|project| projects.contains(project)))
    };
    let mut select = conn.prepare_cached("SELECT label FROM label WHERE kind = ?1")?;
    let keys = select.query_map([Kind::RoutingKey.as_str()], |row| row.get::<_, String>(0))?;
    let mut scopes = BTreeSet::new();
    for key in keys {
        scopes.extend(RoutingKey::parse(&key?).ok().filter(may_fit));
    }
    Ok(scopes)
}

/// A thing by its most stable label.
fn stable(conn: &Connection, kind: Kind, thing: i64) -> rusqlite::Result<Option<StableLabel>> {
    let label = conn
        .prepare_cached("SELECT id, key, name, email FROM thing WHERE thing = ?1")?
        .query_row([thing], |row| {
            let labels = match kind {
                Kind::Author => [("id", 0), ("email", 3), ("name", 2)],
                _ => [("id", 0), ("key", 1), ("name", 2)],
            };
            for (label, column) in labels {
                if let Some(text) = row.get::<_, Option<String>>(column)? {
                    return Ok(Some(StableLabel { label, text }));
                }
            }
            Ok(None)
        })
        .optional()?;
    Ok(label.flatten())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::samples::{message, record, store};

    /// A reader of an archive of these records.
    fn archive(dir: &std::path::Path, overs: Vec<Value>) -> Reader {
        let mut store = store(dir);
        let batch: Vec<_> = (0..)
            .zip(overs)
            .map(|(offset, over)| message(offset, &record(&format!("r{offset}"), over)))
            .collect();
        store.append(&batch, 0, batch.len() as u64).expect("appended");
        Reader::open(dir)
    }

    fn source(name: &str) -> Value {
        json!({"name": name, "system": "flagsmith", "event": "FLAG_UPDATED",
               "received_at": "2026-09-30T12:00:01Z", "authenticated": "signature"})
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn named(reader: &Reader, filter: &Filter) -> Named {
        reader.named(filter, &|| false).expect("an archive").expect("nobody stops it")
    }

    fn scopes(reader: &Reader, filter: &Filter) -> Vec<String> {
        named(reader, filter).scopes.expect("scopes").iter().map(ToString::to_string).collect()
    }

    fn texts(found: Option<BTreeSet<StableLabel>>) -> Vec<String> {
        found.expect("the filter names some").into_iter().map(|label| label.text).collect()
    }

    #[test]
    fn a_project_of_another_installation_with_the_same_id_is_not_meant() {
        let dir = tempfile::tempdir().expect("a directory");
        let reader = archive(
            dir.path(),
            vec![
                json!({"project": {"id": "5", "name": "Shop"}}),
                json!({"project": {"id": "5", "name": "Payroll"}, "source": source("other")}),
                json!({"project": {"id": "5", "name": "Vault"}, "organisation": {"key": "rival"}}),
            ],
        );
        let shop = Filter { project: words(&["Shop"]), ..Filter::default() };
        assert_eq!(scopes(&reader, &shop), ["acme/main/5"]);
        let all = Filter { project: words(&["5"]), ..Filter::default() };
        assert_eq!(scopes(&reader, &all), ["acme/main/5", "acme/other/5", "rival/main/5"]);
        let acme = Filter { organisation: words(&["acme"]), project: words(&["Vault"]), ..Filter::default() };
        assert!(scopes(&reader, &acme).is_empty(), "acme has no such project");
    }

    #[test]
    fn a_renamed_project_is_found_by_each_of_its_names() {
        let dir = tempfile::tempdir().expect("a directory");
        let reader = archive(
            dir.path(),
            vec![
                json!({"project": {"id": "5", "name": "Shop"}}),
                json!({"project": {"id": "5", "name": "Store"}}),
            ],
        );
        for name in ["Shop", "Store"] {
            let filter = Filter { project: words(&[name]), ..Filter::default() };
            assert_eq!(scopes(&reader, &filter), ["acme/main/5"], "{name}");
        }
    }

    #[test]
    fn our_own_scope_is_meant_by_either_of_its_sources_and_by_the_project_of_a_record_of_ours() {
        let dir = tempfile::tempdir().expect("a directory");
        let own = |source_name: &str, over: Value| {
            let mut all = json!({"organisation": {"key": "~flagtrail"}, "source": source(source_name)});
            if let (Value::Object(all), Value::Object(over)) = (&mut all, over) {
                all.extend(over);
            }
            all
        };
        let reader = archive(
            dir.path(),
            vec![
                own("~flagtrail", json!({"project": {"id": "8", "name": "Reviewed"}})),
                own("flagtrail", json!({"project": {"id": "9", "name": "Exported"}})),
                json!({"project": {"id": "1", "name": "Shop"}}),
            ],
        );
        let own_scope = [RoutingKey::own().to_string()];
        for source in ["~flagtrail", "flagtrail"] {
            let filter = Filter { source: words(&[source]), ..Filter::default() };
            assert_eq!(scopes(&reader, &filter), own_scope, "{source}");
        }
        let filter = Filter { organisation: words(&["~flagtrail"]), ..Filter::default() };
        assert_eq!(scopes(&reader, &filter), own_scope);
        let filter = Filter { project: words(&["Reviewed"]), ..Filter::default() };
        assert_eq!(scopes(&reader, &filter), own_scope);
        let filter = Filter { project: words(&["Shop"]), ..Filter::default() };
        assert_eq!(scopes(&reader, &filter), ["acme/main/1"]);
    }

    #[test]
    fn environments_and_authors_of_other_projects_are_not_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let reader = archive(
            dir.path(),
            vec![
                json!({"environment": {"id": "p1", "name": "Production"},
                       "author": {"type": "user", "email": "ada@example.com", "name": "Ada"}}),
                json!({"project": {"id": "2", "name": "Vault"}, "environment": {"id": "p2", "name": "Production"},
                       "author": {"type": "user", "email": "ada@rival.example", "name": "Ada"}}),
            ],
        );
        let filter = Filter {
            project: words(&["Shop"]),
            environment: words(&["Production"]),
            author: words(&["Ada"]),
            ..Filter::default()
        };
        let found = named(&reader, &filter);
        assert_eq!(texts(found.environments), ["p1"]);
        assert_eq!(texts(found.authors), ["ada@example.com"]);
        assert_eq!(found.flags, None);
        let unscoped = Filter { environment: words(&["Production"]), ..Filter::default() };
        assert_eq!(named(&reader, &unscoped), Named::default());
    }

    #[test]
    fn a_scope_that_comes_late_takes_more_than_one_session_and_can_be_given_up() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut overs = vec![json!({}); 9_000];
        overs.push(json!({"project": {"id": "2", "name": "Vault"}}));
        let reader = archive(dir.path(), overs);
        let filter = Filter { organisation: words(&["acme"]), ..Filter::default() };
        let sessions = std::cell::Cell::new(0);
        let count = || {
            sessions.set(sessions.get() + 1);
            false
        };
        let found = reader.named(&filter, &count).expect("an archive").and_then(|named| named.scopes);
        assert_eq!(found.map(|scopes| scopes.len()), Some(2));
        assert!(sessions.get() > 1, "{}", sessions.get());
        assert_eq!(reader.named(&filter, &|| true).expect("an archive"), None);
    }
}
