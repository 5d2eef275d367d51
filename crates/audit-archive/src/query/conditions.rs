//! A question, in the numbers of one file.

use audit_record::{ActionPattern, Filter, Period};
use rusqlite::{Connection, Row};

use super::postings::Column;
use crate::things::{Kind, labelled, labelled_from};

/// The columns that a row is judged by, in the order of [`Conditions::admit`].
pub(crate) const JUDGED_COLUMNS: &str =
    "occurred_at_us, organisation, project, environment, flag, object, author, action, object_type, source";

/// How many they are.
pub(crate) const JUDGED_COUNT: usize = 10;

/// The things that satisfy one field of the filter; `None` where the field is not set.
type Wanted = Option<Vec<i64>>;

/// A filter and a period, in the numbers of one file.
#[derive(Debug)]
pub(crate) struct Conditions {
    /// In the order of [`JUDGED_COLUMNS`], from `organisation` on.
    wanted: [Wanted; JUDGED_COUNT - 1],
    period: Period,
}

impl Conditions {
    pub(crate) fn resolve(conn: &Connection, filter: &Filter, period: Period) -> rusqlite::Result<Self> {
        let named = |kind, labels: &[String]| -> rusqlite::Result<Wanted> {
            if labels.is_empty() {
                return Ok(None);
            }
            let mut things = Vec::new();
            for label in labels {
                things.extend(labelled(conn, kind, label)?);
            }
            things.sort_unstable();
            things.dedup();
            Ok(Some(things))
        };
        let wanted = [
            named(Kind::Organisation, &filter.organisation)?,
            named(Kind::Project, &filter.project)?,
            named(Kind::Environment, &filter.environment)?,
            named(Kind::Flag, &filter.flag)?,
            named(Kind::Object, &filter.object)?,
            named(Kind::Author, &filter.author)?,
            actions(conn, &filter.action)?,
            named(Kind::ObjectType, &filter.related_object_type)?,
            named(Kind::Source, &filter.source)?,
        ];
        Ok(Self { wanted, period })
    }

    /// Whether no record of the file can satisfy them.
    pub(crate) fn are_impossible(&self) -> bool {
        self.wanted.iter().flatten().any(Vec::is_empty)
    }

    /// The conditions that an index helps with.
    pub(crate) fn indexed(&self) -> impl Iterator<Item = (Column, &[i64])> {
        let [_, project, _, flag, object, author, ..] = &self.wanted;
        [(Column::Flag, flag), (Column::Object, object), (Column::Author, author), (Column::Project, project)]
            .into_iter()
            .filter_map(|(column, wanted)| Some((column, wanted.as_deref()?)))
    }

    /// Whether a row satisfies them. Its first columns are [`JUDGED_COLUMNS`].
    pub(crate) fn admit(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let occurred_at: i64 = row.get(0)?;
        let inside = self.period.from.is_none_or(|from| from.micros() <= occurred_at)
            && self.period.to.is_none_or(|to| occurred_at < to.micros());
        if !inside {
            return Ok(false);
        }
        for (column, wanted) in (1..).zip(&self.wanted) {
            let Some(wanted) = wanted else { continue };
            let thing: Option<i64> = row.get(column)?;
            if thing.is_none_or(|thing| wanted.binary_search(&thing).is_err()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn actions(conn: &Connection, patterns: &[ActionPattern]) -> rusqlite::Result<Wanted> {
    // `*` admits what is added later, too.
    if patterns.is_empty() || patterns.iter().any(|pattern| pattern.as_str() == "*") {
        return Ok(None);
    }
    let mut things = Vec::new();
    for pattern in patterns {
        things.extend(match pattern.as_str().strip_suffix('*') {
            Some(prefix) => labelled_from(conn, Kind::Action, prefix)?,
            None => labelled(conn, Kind::Action, pattern.as_str())?,
        });
    }
    things.sort_unstable();
    things.dedup();
    Ok(Some(things))
}
