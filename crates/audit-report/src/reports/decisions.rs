//! Decisions of reviewers, as `flagtrail report import-decisions` put them on the log: what several reports read.

use std::collections::HashMap;

use audit_archive::Over;
use audit_record::{AuditRecord, Period, Timestamp};
use serde_json::Value;

use crate::evidence::{Evidence, ReportError};

/// The action of a decision's record.
pub(crate) const DECIDED: &str = "flagtrail.review.decided";

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

/// Every decision that was made in the period.
pub(crate) fn decided(evidence: &mut Evidence<'_>, period: Period) -> Result<Vec<Decision>, ReportError> {
    let sql = format!(
        "SELECT seq, json FROM audit_log
WHERE seq >= :first_seq AND seq < :end_seq AND action = '{DECIDED}'
  AND occurred_at_us >= :from_us AND occurred_at_us < :to_us
  AND {in_projects}
ORDER BY seq",
        in_projects = crate::evidence::IN_PROJECTS
    );
    let mut found = Vec::new();
    evidence.rows(&sql, Over::Records, period, &mut |row| {
        let json = row.values.get(1).and_then(|json| json.as_text());
        let record = json.and_then(|json| AuditRecord::from_json(json.as_bytes()).ok());
        found.extend(record.as_ref().and_then(Decision::read));
    })?;
    found.sort_by(|a, b| (a.at, &a.record_id).cmp(&(b.at, &b.record_id)));
    Ok(found)
}

/// Decisions on changes of the period asked for, whenever they were made, by the change.
pub(crate) fn by_change(evidence: &mut Evidence<'_>) -> Result<HashMap<String, Vec<Decision>>, ReportError> {
    let since = Period { from: evidence.question().period.from, to: None };
    let mut found: HashMap<String, Vec<Decision>> = HashMap::new();
    for decision in decided(evidence, since)? {
        if let Some(change) = decision.change_id.clone() {
            found.entry(change).or_default().push(decision);
        }
    }
    Ok(found)
}
