//! The reports about keys, about Flagtrail itself, and about what it was asked and could not deliver.

use std::collections::{BTreeMap, BTreeSet};

use flagtrail_testkit::company::{CREDENTIAL_DAYS, Company, Platform, Tag, end};
use flagtrail_testkit::wait;
use serde_json::Value;

use super::answers::{Asker, list, text, written};
use super::feed::{ARCHIVED_WITHIN, REFUSED};

pub(super) async fn check(asker: &Asker<'_>, company: &Company) {
    credentials(asker);
    field_completeness(asker, company);
    configuration_changes(asker);
    reviews(asker);
    failed_deliveries(asker, company).await;
    log_integrity(asker);
    erasures(asker).await;
    log_access(asker).await;
}

fn columns(rows: &[Value], column: &str) -> Vec<String> {
    rows.iter().filter_map(|row| text(row, column)).collect()
}

fn credentials(asker: &Asker<'_>) {
    let planted = asker.planted.credentials.iter().map(|key| {
        let age = (key.deleted.unwrap_or(end()) - key.created).num_days();
        let cells = [
            Some(key.name.clone()),
            Some(key.owner.clone()),
            Some(written(key.created)),
            key.deleted.map(written),
            Some(age.to_string()),
            Some((key.deleted.is_none() && age > CREDENTIAL_DAYS).to_string()),
        ];
        (cells, asker.ids(&key.records))
    });
    let found = asker.as_of("credentials", end());
    let found = found.iter().map(|row| {
        let cells =
            ["name", "owner", "created", "deleted", "age_days", "old"].map(|column| text(row, column));
        (cells, list(row, "record_ids"))
    });
    asker.same("credentials", planted.collect(), found.collect());
}

/// How many records each source sent, however they came; Zenmanage never says who.
fn field_completeness(asker: &Asker<'_>, company: &Company) {
    let mut tags: BTreeMap<Platform, BTreeSet<Tag>> = BTreeMap::new();
    for request in &company.requests {
        tags.entry(request.platform()).or_default().insert(request.tag);
    }
    // The list that was imported as of the first moment: its rows, and the record that says that they are all.
    let baseline = asker.planted.holdings.iter().filter(|holding| holding.grant.is_none()).count() + 1;
    let planted = tags.into_iter().map(|(platform, tags)| {
        let imported = if platform == Platform::Flagsmith { baseline } else { 0 };
        (platform.source().to_owned(), tags.len() + imported)
    });
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for row in asker.of_the_year("field_completeness") {
        let source = text(&row, "source").unwrap();
        if source == Platform::Zenmanage.source() {
            assert_eq!(row["user_pct"].as_f64(), Some(0.0), "{row}");
        }
        *found.entry(source).or_default() += usize::try_from(row["records"].as_u64().unwrap()).unwrap();
    }
    asker.same("field_completeness", planted.collect(), found.into_iter().collect());
}

/// What the test itself has set up, and the key that the log is signed with, which has no name.
fn configuration_changes(asker: &Asker<'_>) {
    let mut planted = vec![
        ("flagtrail.endpoint.created".to_owned(), "refusing".to_owned()),
        ("flagtrail.key.created".to_owned(), String::new()),
    ];
    for platform in Platform::ALL {
        planted.push(("flagtrail.source.created".to_owned(), platform.source().to_owned()));
        planted.push(("flagtrail.token.created".to_owned(), format!("bridge-{}", platform.name())));
    }
    let found = asker.report("configuration_changes", &[]);
    let found =
        found.iter().map(|row| (text(row, "action").unwrap(), text(row, "object_name").unwrap_or_default()));
    asker.same("configuration_changes", planted, found.collect());
}

/// The decisions on emergencies that were imported.
fn reviews(asker: &Asker<'_>) {
    let decided = asker.planted.emergencies.iter().filter_map(|emergency| {
        let review = emergency.review.as_ref().filter(|review| review.is_decision)?;
        let change = asker.fed.id(*emergency.change.records.first()?);
        Some([change.to_owned(), review.by.clone(), "approve".to_owned(), written(review.at)].map(Some))
    });
    let found = asker.report("reviews", &[]);
    let found = found
        .iter()
        .map(|row| ["change_id", "reviewer", "decision", "decision_at"].map(|column| text(row, column)));
    asker.same("reviews", decided.collect(), found.collect());
}

/// The endpoint takes nothing that tells of a deleted user.
async fn failed_deliveries(asker: &Asker<'_>, company: &Company) {
    let told = |body: &str| body.contains("\"user-deleted\"") || body.contains("action=user.deleted\n");
    let planted = company.requests.iter().filter(|request| told(&request.body));
    let planted: Vec<_> = planted
        .map(|request| (asker.fed.id(request.tag).to_owned(), REFUSED.to_owned(), "dead_lettered".to_owned()))
        .collect();
    assert!(!planted.is_empty());
    wait::until(ARCHIVED_WITHIN, "all failures are archived", || async {
        columns(&asker.report("failed_deliveries", &[]), "final_state")
            .iter()
            .filter(|it| *it == "dead_lettered")
            .count()
            >= planted.len()
    })
    .await;
    let found = asker.report("failed_deliveries", &[]);
    let found = found.iter().map(|row| {
        let cell = |column| text(row, column).unwrap_or_default();
        (cell("record_id"), cell("last_status"), cell("final_state"))
    });
    asker.same("failed_deliveries", planted, found.collect());
}

/// Nothing is missing, and what came twice came twice alike.
fn log_integrity(asker: &Asker<'_>) {
    let found = asker.report("log_integrity", &[]);
    assert!(!found.is_empty());
    let findings = found.iter().filter(|row| row["verdict"] == "finding").map(Value::to_string);
    asker.same("log_integrity", Vec::new(), findings.collect());
}

/// Why and by what right somebody is forgotten.
const FORGOTTEN: (&str, &str) = ("GDPR Art. 17(1)(b)", "as was asked for");

/// Those who visited are forgotten: the register has what was asked for, each with as many bodies as there were records of them.
async fn erasures(asker: &Asker<'_>) {
    asker.same("erasures before", Vec::new(), columns(&asker.report("erasures", &[]), "record_id"));
    let (basis, reason) = FORGOTTEN;
    let mut orders = 0;
    let mut planted = Vec::new();
    for visitor in &asker.planted.visitors {
        let words = ["erase", "--subject", &visitor.email, "--legal-basis", basis, "--reason", reason];
        let done = asker.node.json(&words);
        assert_eq!(done["mentioned"], 0, "{done}");
        let ordered = list(&done, "records");
        orders += ordered.len();
        planted.push((text(&done, "id").unwrap(), visitor.records.len() as u64, ordered));
    }
    wait::until(ARCHIVED_WITHIN, "all orders are archived", || async {
        asker.report("erasures", &[]).len() >= orders
    })
    .await;
    let mut found: BTreeMap<String, (u64, BTreeSet<String>)> = BTreeMap::new();
    for row in asker.report("erasures", &[]) {
        assert_eq!(text(&row, "legal_basis"), Some(format!("{basis}: {reason}")), "{row}");
        let (records, ordered) = found.entry(text(&row, "request_id").unwrap()).or_default();
        *records += row["records"].as_u64().unwrap();
        ordered.extend(text(&row, "record_id"));
    }
    let found = found.into_iter().map(|(request, (records, ordered))| (request, records, ordered));
    asker.same("erasures", planted, found.collect());
}

/// Every report that was asked for here, and nothing that was not.
async fn log_access(asker: &Asker<'_>) {
    let asked: BTreeSet<String> = asker.asked.borrow().clone();
    let mut found = BTreeSet::new();
    wait::until(ARCHIVED_WITHIN, "what was asked is on the record", || {
        let rows = asker.report("log_access", &[]);
        let reports = rows.iter().filter(|row| row["kind"] == "report");
        found = reports.filter_map(|row| text(row, "what")).collect();
        let is_there = asked.iter().all(|name| found.iter().any(|what| what.contains(name.as_str())));
        async move { is_there }
    })
    .await;
    let others = found.into_iter().filter(|what| {
        !what.contains("log_access") && !asked.iter().any(|name| what.contains(name.as_str()))
    });
    asker.same("log_access", Vec::new(), others.collect());
}
