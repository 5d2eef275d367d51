//! The reports, one a file: its definition, and how it is answered.

mod approver_roles;
mod change_log;
mod configuration_changes;
mod credentials;
mod decisions;
mod dormant_accounts;
mod emergency_changes;
mod erasures;
mod failed_deliveries;
mod field_completeness;
mod held;
mod joiners_movers;
mod leavers;
mod log_access;
mod log_integrity;
mod privileged_access_changes;
mod reviews;
mod sod_exceptions;
mod user_access_review;

use std::sync::LazyLock;

use crate::definition::Definition;
use crate::evidence::{Evidence, ReportError};
use crate::rows::Rows;

/// The rules of separation of duties that a change breaks.
#[cfg(test)]
pub(crate) fn breaches(
    change: &crate::change::Change,
    compliance: &crate::compliance::Compliance,
) -> Vec<&'static str> {
    sod_exceptions::breaches(change, compliance).into_iter().map(|breach| breach.rule).collect()
}

/// A report: what it means, and how it is answered.
pub(crate) struct Entry {
    pub(crate) definition: Definition,
    pub(crate) run: fn(&mut Evidence<'_>, &mut Rows) -> Result<(), ReportError>,
}

/// Every report, in the order in which they are listed.
const ENTRIES: &[fn() -> Entry] = &[
    user_access_review::report,
    privileged_access_changes::report,
    leavers::report,
    joiners_movers::report,
    credentials::report,
    dormant_accounts::report,
    change_log::report,
    sod_exceptions::report,
    emergency_changes::report,
    failed_deliveries::report,
    log_access::report,
    log_integrity::report,
    configuration_changes::report,
    erasures::report,
    reviews::report,
    field_completeness::report,
];

static DEFINITIONS: LazyLock<Vec<Definition>> =
    LazyLock::new(|| ENTRIES.iter().map(|entry| entry().definition).collect());

/// What every report means.
pub fn definitions() -> &'static [Definition] {
    &DEFINITIONS
}

/// What the report of that name means.
pub fn definition(name: &str) -> Option<&'static Definition> {
    definitions().iter().find(|definition| definition.name == name)
}

/// The report of that name.
pub(crate) fn entry(name: &str) -> Option<Entry> {
    ENTRIES.iter().map(|entry| entry()).find(|entry| entry.definition.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::definitions;

    #[test]
    fn every_report_says_what_it_means_and_names_every_column_once() {
        let names: BTreeSet<_> = definitions().iter().map(|definition| &definition.name).collect();
        assert_eq!(names.len(), definitions().len(), "two reports of one name");
        for definition in definitions() {
            let columns: BTreeSet<_> = definition.columns.iter().map(|column| &column.name).collect();
            assert_eq!(columns.len(), definition.columns.len(), "{}: a column twice", definition.name);
            assert!(
                definition.columns.iter().all(|column| !column.meaning.is_empty()),
                "{}",
                definition.name
            );
            assert!(definition.meaning.len() > 40 && definition.version > 0, "{}", definition.name);
            assert!(!definition.controls.is_empty(), "{} serves no control", definition.name);
        }
    }
}
