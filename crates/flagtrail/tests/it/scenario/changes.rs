//! The reports about changes.

use std::collections::BTreeSet;

use flagtrail_testkit::company::{BYPASS_PERMISSION, Change, Emergency};
use serde_json::Value;

use super::answers::{Asker, list, text, written};

pub(super) fn check(asker: &Asker<'_>) {
    review(asker);
    change_log(asker);
    sod_exceptions(asker);
    emergency_changes(asker);
}

/// Everything that an auditor reads in a line of the change log.
type Line = (BTreeSet<String>, [Option<String>; 10], BTreeSet<String>);

fn planted_line(asker: &Asker<'_>, change: &Change) -> Line {
    let in_time = change.approved_in_time.map(written);
    let cells = [
        change.requested.map(written),
        in_time,
        Some(written(change.applied)),
        Some(change.flag.to_owned()),
        Some(change.kind.to_owned()),
        Some(change.author.clone()),
        Some(change.applier.clone()),
        change.old.clone(),
        change.new.clone(),
        change.request.clone(),
    ];
    (asker.ids(&change.records), cells, change.approvers.clone())
}

fn found_line(row: &Value) -> Line {
    let columns = [
        "ts_requested",
        "ts_approved",
        "ts_applied",
        "flag",
        "type",
        "author",
        "applier",
        "old",
        "new",
        "change_request",
    ];
    (list(row, "record_ids"), columns.map(|column| text(row, column)), list(row, "approvers"))
}

fn change_log(asker: &Asker<'_>) {
    let planted = asker.planted.changes.iter().map(|change| planted_line(asker, change)).collect();
    let found = asker.of_the_year("change_log").iter().map(found_line).collect();
    asker.same("change_log", planted, found);
}

fn sod_exceptions(asker: &Asker<'_>) {
    let planted = asker.planted.violations.iter();
    let planted = planted.map(|violation| {
        let change = &violation.change;
        (
            violation.rule.to_owned(),
            Some(violation.actor.clone()),
            Some(written(change.applied)),
            change.flag.to_owned(),
        )
    });
    let found = asker.of_the_year("sod_exceptions");
    // Each names records of its own change as evidence, and of nothing else.
    let is_proven = |row: &&Value| {
        let (evidence, applied) = (list(row, "evidence_ids"), text(row, "ts_applied").unwrap());
        let changes = asker.planted.violations.iter().map(|violation| &violation.change);
        let mut changes = changes.filter(|change| written(change.applied) == applied);
        !evidence.is_empty() && changes.any(|change| evidence.is_subset(&asker.ids(&change.records)))
    };
    let unproven = found.iter().filter(|row| !is_proven(row)).map(Value::to_string);
    asker.same("sod_exceptions without evidence", Vec::new(), unproven.collect());
    let found = found.iter().map(|row| {
        (text(row, "rule").unwrap(), text(row, "actor"), text(row, "ts_applied"), text(row, "flag").unwrap())
    });
    asker.same("sod_exceptions", planted.collect(), found.collect());
}

fn is_decision(emergency: &Emergency) -> bool {
    emergency.review.as_ref().is_some_and(|review| review.is_decision)
}

/// The decisions of those who looked at emergencies afterwards, as a file.
fn review(asker: &Asker<'_>) {
    let mut file = "change_id,reviewer,decision,decision_at,rationale\n".to_owned();
    for emergency in asker.planted.emergencies.iter().filter(|emergency| is_decision(emergency)) {
        let review = emergency.review.as_ref().unwrap();
        let change = asker.fed.id(*emergency.change.records.first().unwrap());
        file += &format!("{change},{},approve,{},it had to be\n", review.by, written(review.at));
    }
    let path = asker.node.dir.join("decisions.csv");
    std::fs::write(&path, file).unwrap();
    let words = ["report", "import-decisions", "--report", "emergency_changes", path.to_str().unwrap()];
    asker.node.command(&words);
}

fn emergency_changes(asker: &Asker<'_>) {
    let cells = |emergency: &Emergency| {
        let (change, review) = (&emergency.change, emergency.review.as_ref());
        let cells = [
            Some(change.applier.clone()),
            Some(BYPASS_PERMISSION.to_owned()),
            Some(emergency.reason.clone()),
            Some(written(change.applied)),
            review.map(|review| review.by.clone()),
            review.map(|review| written(review.at)),
            Some(emergency.in_time.to_string()),
            change.old.clone(),
            change.new.clone(),
        ];
        (asker.ids(&change.records), cells)
    };
    let planted = asker.planted.emergencies.iter().map(cells).collect();
    let columns = [
        "bypass_actor",
        "bypass_permission",
        "reason",
        "applied_at",
        "post_review_by",
        "post_review_at",
        "within_sla",
        "old",
        "new",
    ];
    let found = asker.of_the_year("emergency_changes");
    let found =
        found.iter().map(|row| (list(row, "record_ids"), columns.map(|column| text(row, column)))).collect();
    asker.same("emergency_changes", planted, found);
}
