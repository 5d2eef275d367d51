//! Changes of production that went past their approval, and whether somebody looked at them afterwards.

use std::borrow::Cow;
use std::collections::HashMap;

use audit_record::Timestamp;

use super::{Entry, decisions};
use crate::cell::Cell;
use crate::change::{self, Change, ChangeType};
use crate::definition::{Column, Control, Definition, Framework, Kind, When, column, control};
use crate::evidence::{Evidence, ReportError};
use crate::rows::Rows;

const COLUMNS: &[Column] = &[
    column("change_id", Kind::Text, "The change, as in change_log"),
    column("bypass_actor", Kind::Text, "Who put it into effect"),
    column(
        "bypass_permission",
        Kind::Text,
        "What let them, where the record says it; else the emergency action",
    ),
    column("reason", Kind::Text, "Why, where somebody said so"),
    column("applied_at", Kind::Time, "When it took effect"),
    column("post_review_by", Kind::Text, "Who reviewed it afterwards: not whoever applied it"),
    column("post_review_at", Kind::Time, "When"),
    column("hours_to_review", Kind::Number, "Hours from one to the other"),
    column(
        "within_sla",
        Kind::Bool,
        "Whether that is within compliance.post_review_hours; empty while there is time left",
    ),
    column("flag", Kind::Text, "The flag"),
    column("environment", Kind::Text, "The environment"),
    column("project", Kind::Text, "The project"),
    column("old", Kind::Text, "What stood before, of what differs"),
    column("new", Kind::Text, "What stands after"),
    column("ticket", Kind::Text, "The ticket, where there is one"),
    column("review_decision", Kind::Text, "What the review decided"),
    column("review_record_id", Kind::Text, "The record of the review"),
    column("record_ids", Kind::List, "Every record that tells of the change"),
];

const CONTROLS: &[Control] = &[
    control(Framework::Soc2, "CC8.1"),
    control(Framework::Iso27001, "A.8.32"),
    control(Framework::Sox, "ITGC change management"),
    control(Framework::Nist, "CM-3"),
    control(Framework::Nist, "CM-5(1)"),
];

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed("emergency_changes"),
            title: Cow::Borrowed("Emergency changes in production and their review"),
            version: 2,
            meaning: Cow::Borrowed(
                "One row for every change of change_log whose record says that approval was bypassed, or whose action is \
                 one of compliance.emergency_actions. Its review is the first decision on it that was imported \
                 (flagtrail report import-decisions), else the first approval of its change request that came after \
                 it took effect; either by another person than whoever applied it, by whatever name the records give. within_sla is no where there was no \
                 review and the time for it is over.",
            ),
            when: When::Period,
            list: None,
            columns: Cow::Borrowed(COLUMNS),
            controls: Cow::Borrowed(CONTROLS),
            about_access: false,
        },
        run,
    }
}

/// A look at the change afterwards.
struct PostReview {
    who: String,
    at: Timestamp,
    decision: Option<String>,
    record_id: String,
}

const HOUR_US: i64 = 3_600_000_000;

fn run(evidence: &mut Evidence<'_>, rows: &mut Rows) -> Result<(), ReportError> {
    let compliance = evidence.compliance();
    let changes = change::gather(evidence)?;
    let reviews = decisions::by_change(evidence, &changes)?;
    let sla_us = i64::from(compliance.post_review_hours) * HOUR_US;
    let now = evidence.question().asked_at;
    let emergencies = changes
        .iter()
        .filter(|change| change.kind == ChangeType::Emergency && change.is_production(compliance));
    let (mut reviewed, mut late) = (0, 0);
    for change in emergencies {
        let review = review_of(change, &reviews);
        let deadline = change.applied_at.micros().saturating_add(sla_us);
        let within = match &review {
            Some(review) => Some(review.at.micros() <= deadline),
            None => (now.micros() > deadline).then_some(false),
        };
        reviewed += u64::from(review.is_some());
        late += u64::from(within == Some(false));
        rows.push(row(change, review, within));
    }
    evidence.total("reviewed", reviewed);
    evidence.total("outside the time for review", late);
    Ok(())
}

fn review_of(change: &Change, reviews: &HashMap<String, Vec<decisions::Decision>>) -> Option<PostReview> {
    let imported = reviews.get(&change.id).into_iter().flatten();
    let imported = imported
        .filter(|decision| decision.at >= change.applied_at && !change.applier.is_called(&decision.reviewer))
        .min_by_key(|decision| decision.at);
    if let Some(decision) = imported {
        return Some(PostReview {
            who: decision.reviewer.clone(),
            at: decision.at,
            decision: Some(decision.decision.clone()),
            record_id: decision.record_id.clone(),
        });
    }
    let approval = change.approvals.iter().find(|approval| {
        approval.at.is_some_and(|at| at > change.applied_at) && !approval.who.is(&change.applier)
    })?;
    Some(PostReview {
        who: approval.who.shown().to_owned(),
        at: approval.at?,
        decision: None,
        record_id: approval.record_id.clone(),
    })
}

fn row(change: &Change, review: Option<PostReview>, within: Option<bool>) -> Vec<Cell> {
    let permission = change.bypass_permission.clone().or_else(|| {
        let by_action = format!("emergency action {}", change.action);
        (!change.bypassed).then_some(by_action)
    });
    let review = review.as_ref();
    vec![
        change.id.as_str().into(),
        change.applier.shown().into(),
        Cell::text(permission),
        Cell::text(change.reason.as_deref()),
        change.applied_at.into(),
        Cell::text(review.map(|review| review.who.as_str())),
        Cell::time(review.map(|review| review.at)),
        review.map_or(Cell::None, |review| Cell::hours(change.applied_at, review.at)),
        within.map_or(Cell::None, Cell::Bool),
        Cell::text(change.flag.as_ref().map(|flag| flag.shown())),
        Cell::text(change.environment.as_ref().map(|environment| environment.shown())),
        Cell::text(change.project.as_ref().map(|project| project.shown())),
        Cell::text(change.old.as_deref()),
        Cell::text(change.new.as_deref()),
        Cell::text(change.ticket.as_deref()),
        Cell::text(review.and_then(|review| review.decision.as_deref())),
        Cell::text(review.map(|review| review.record_id.as_str())),
        Cell::list(change.record_ids.clone()),
    ]
}
