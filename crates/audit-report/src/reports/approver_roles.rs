//! Whether whoever approved a change held a role in its project then, by the records of access.
//!
//! It is judged from the moment on at which a source first tells of access, and not at all at a source that never does:
//! there nobody is known to hold anything.

use std::collections::HashMap;

use audit_archive::{AccessRow, Over};
use audit_record::{Period, Timestamp};

use super::held;
use crate::change::{Approval, Change};
use crate::evidence::{Evidence, ReportError};

/// Since when each source tells of access.
const SINCE: &str =
    "SELECT h.source, min(i.from_us) FROM access_interval i JOIN access_holder h ON h.holder = i.holder
GROUP BY h.source";

/// What approvers held, read once for each of them.
pub(super) struct ApproverRoles {
    since_us: HashMap<String, i64>,
    held: HashMap<Vec<String>, Vec<AccessRow>>,
}

impl ApproverRoles {
    pub(super) fn new(evidence: &mut Evidence<'_>) -> Result<Self, ReportError> {
        let mut since_us: HashMap<String, i64> = HashMap::new();
        evidence.rows(SINCE, Over::Whole, Period::default(), &mut |row| {
            let [source, since] = row.values.as_slice() else { return };
            let (Some(source), Some(since)) = (source.as_text(), since.as_integer()) else { return };
            let known = since_us.entry(source.to_owned()).or_insert(since);
            *known = since.min(*known);
        })?;
        Ok(Self { since_us, held: HashMap::new() })
    }

    /// Those of the approvals in time whose approver is known to have held no role there when it was given.
    pub(super) fn lacked<'c>(
        &mut self,
        evidence: &mut Evidence<'_>,
        change: &'c Change,
    ) -> Result<Vec<(&'c Approval, Timestamp)>, ReportError> {
        let Some(&since_us) = self.since_us.get(&change.source) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for approval in change.approvers_in_time() {
            let labels = approval.who.labels();
            let Some(at) = approval.at.filter(|at| at.micros() >= since_us && !labels.is_empty()) else {
                continue;
            };
            if !self.held.contains_key(&labels) {
                // Access to the account counts, whatever projects were asked for.
                let rows = held::history(evidence, &labels, &[])?;
                self.held.insert(labels.clone(), rows);
            }
            if !self.held[&labels].iter().any(|row| is_there(row, change) && was_held(row, at)) {
                found.push((approval, at));
            }
        }
        Ok(found)
    }

    /// Prints what was read.
    pub(super) fn ran(&self, evidence: &mut Evidence<'_>) {
        let rows = self.held.values().map(|rows| rows.len() as u64).sum();
        held::ran_history(evidence, self.held.len(), rows);
    }
}

fn was_held(row: &AccessRow, at: Timestamp) -> bool {
    row.from().is_some_and(|from| from <= at) && held::ended_at(row).is_none_or(|ended| ended > at)
}

/// Whether it is access to the change's environment, its project, or the whole account.
fn is_there(row: &AccessRow, change: &Change) -> bool {
    let named = |of: Option<&audit_archive::CalledThing>, own: &str, thing: Option<&crate::change::Thing>| {
        let called = of.into_iter().flat_map(|of| [&of.id, &of.key, &of.name]).flatten().map(String::as_str);
        let mut called = called.chain(std::iter::once(own).filter(|own| !own.is_empty()));
        thing.is_some_and(|thing| called.any(|called| thing.names().any(|name| name == called)))
    };
    let in_project = |own: &str| named(row.project.as_ref(), own, change.project.as_ref());
    row.source == change.source
        && match row.scope.as_str() {
            "account" => true,
            "environment" => {
                in_project("")
                    && named(row.environment.as_ref(), &row.scope_identity, change.environment.as_ref())
            }
            _ => in_project(&row.scope_identity),
        }
}
