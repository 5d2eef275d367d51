//! Decisions of reviewers, as `flagtrail report import-decisions` put them on the log: what several reports read.

use std::collections::{HashMap, HashSet};

use audit_archive::Over;
use audit_record::{AuditRecord, Period, Timestamp};
use serde_json::Value;

use crate::change::Change;
use crate::evidence::{Evidence, IN_PROJECTS, ReportError};

/// The action of a decision's record.
pub(crate) const DECIDED: &str = "flagtrail.review.decided";

/// Most decisions that a report holds at a time.
const DECIDED_MAX: usize = 200_000;

/// A reviewer's decision on one line of a report.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub(crate) record_id: String,
    /// The report whose line it is about.
    pub(crate) report: String,
    /// The change, where it is about one.
    pub(crate) change_id: Option<String>,
    /// Who holds the access, where it is about that: by e-mail, else id, else name.
    pub(crate) subject: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) role: Option<String>,
    /// The record that gave the access, where the decision names it.
    pub(crate) grant_record_id: Option<String>,
    pub(crate) reviewer: String,
    pub(crate) decision: String,
    pub(crate) at: Timestamp,
    pub(crate) rationale: Option<String>,
    pub(crate) remediation_record_id: Option<String>,
    pub(crate) remediation_at: Option<Timestamp>,
    pub(crate) imported_by: String,
    pub(crate) imported_at: Timestamp,
}

impl Decision {
    fn read(record: &AuditRecord) -> Option<Self> {
        let attributes = &record.draft().attributes;
        let text = |name: &str| attributes.get(name).and_then(Value::as_str).map(str::to_owned);
        let time = |name: &str| text(name).and_then(|text| Timestamp::parse(&text).ok());
        Some(Self {
            record_id: record.id().to_owned(),
            report: text("report")?,
            change_id: text("change_id"),
            subject: ["email", "user_id", "user_name"].into_iter().find_map(text),
            project: text("project"),
            environment: text("environment"),
            role: text("role"),
            grant_record_id: text("grant_record_id"),
            reviewer: text("reviewer")?,
            decision: text("decision")?,
            at: time("decision_at")?,
            rationale: text("rationale"),
            remediation_record_id: text("remediation_record_id"),
            remediation_at: time("remediation_at"),
            imported_by: crate::words::who(record.author()),
            imported_at: record.recorded_at(),
        })
    }
}

/// Every decision that was made in the period, of the projects asked for by what the decision itself calls its project.
pub(crate) fn of_projects(evidence: &mut Evidence<'_>, period: Period) -> Result<Vec<Decision>, ReportError> {
    read(evidence, period, &format!("\n  AND {IN_PROJECTS}"), &mut |_| true)
}

/// Every decision that was made in the period and is `about` something that the report shows, whatever it calls its
/// project: a reviewer may have left that out, or had it from a list that calls the project otherwise. What decides who
/// may see it is the line that it is about.
pub(crate) fn about(
    evidence: &mut Evidence<'_>,
    period: Period,
    about: &mut dyn FnMut(&Decision) -> bool,
) -> Result<Vec<Decision>, ReportError> {
    read(evidence, period, "", about)
}

fn read(
    evidence: &mut Evidence<'_>,
    period: Period,
    narrowed: &str,
    about: &mut dyn FnMut(&Decision) -> bool,
) -> Result<Vec<Decision>, ReportError> {
    let sql = format!(
        "SELECT seq, json FROM audit_log
WHERE seq >= :first_seq AND seq < :end_seq AND action = '{DECIDED}'
  AND occurred_at_us >= :from_us AND occurred_at_us < :to_us{narrowed}
ORDER BY seq"
    );
    let mut found = Vec::new();
    let mut too_many = false;
    evidence.rows_kept(&sql, Over::Records, period, Vec::new(), &mut |row| {
        let json = row.values.get(1).and_then(|json| json.as_text());
        let record = json.and_then(|json| AuditRecord::from_json(json.as_bytes()).ok());
        let Some(decision) = record.as_ref().and_then(Decision::read).filter(|decision| about(decision))
        else {
            return false;
        };
        too_many |= found.len() >= DECIDED_MAX;
        if !too_many {
            found.push(decision);
        }
        true
    })?;
    if too_many {
        return Err(ReportError::TooMuch("200,000 decisions"));
    }
    found.sort_by(|a, b| (a.at, &a.record_id).cmp(&(b.at, &b.record_id)));
    Ok(found)
}

/// Decisions on these changes, which are of the period asked for, whenever they were made, by the change.
pub(crate) fn by_change(
    evidence: &mut Evidence<'_>,
    changes: &[Change],
) -> Result<HashMap<String, Vec<Decision>>, ReportError> {
    let since = Period { from: evidence.question().period.from, to: None };
    let shown: HashSet<&str> = changes.iter().map(|change| change.id.as_str()).collect();
    let mut is_shown =
        |decision: &Decision| decision.change_id.as_deref().is_some_and(|change| shown.contains(change));
    let mut found: HashMap<String, Vec<Decision>> = HashMap::new();
    for decision in about(evidence, since, &mut is_shown)? {
        if let Some(change) = decision.change_id.clone() {
            found.entry(change).or_default().push(decision);
        }
    }
    Ok(found)
}
