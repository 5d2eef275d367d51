//! The reports about access.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use flagtrail_testkit::company::{Ending, Holding, Moment, Platform, begin, end, is_privileged};
use serde_json::Value;

use super::answers::{Asker, list, text, written};

pub(super) fn check(asker: &Asker<'_>) {
    for at in moments(asker) {
        user_access_review(asker, at);
    }
    privileged_access_changes(asker);
    leavers(asker);
    joiners_movers(asker);
    dormant_accounts(asker);
}

/// The first moment, the middle of the year, its end; a moment at which somebody was given something, and one at which
/// somebody lost it, to the microsecond, and the one before.
fn moments(asker: &Asker<'_>) -> Vec<Moment> {
    let holdings = &asker.planted.holdings;
    let given = holdings.iter().filter(|holding| holding.grant.is_some()).map(|holding| holding.from);
    let taken = holdings.iter().filter_map(|holding| holding.until).max().unwrap();
    let before = TimeDelta::microseconds(1);
    vec![begin(), begin() + TimeDelta::days(182), given.max().unwrap(), taken, taken - before, end()]
}

/// What a project is called in a report: of Flagsmith by the name that the company's bridge says, else by the id.
fn project(holding: &Holding) -> Option<String> {
    let id = holding.project?;
    Some(flagtrail_testkit::company::project_name(holding.platform, id).to_owned())
}

fn user_access_review(asker: &Asker<'_>, at: Moment) {
    let planted = asker.planted.held_at(at).map(|holding| {
        [
            Some(holding.user_id.clone()),
            Some(asker.planted.email(holding.person, holding.from).to_owned()),
            project(holding),
            Some(holding.role.to_owned()),
            Some(is_privileged(holding.role).to_string()),
            Some(written(holding.from)),
            holding.granted_by.clone(),
            holding.grant.map(|tag| asker.fed.id(tag).to_owned()),
            Some("active".to_owned()),
            Some(holding.platform.source().to_owned()),
            Some(holding.grant.is_none().to_string()),
            asker.planted.last_act(holding.platform, holding.person, at).map(written),
        ]
    });
    let columns = [
        "user_id",
        "email",
        "project",
        "role",
        "privileged",
        "granted_at",
        "granted_by",
        "grant_record_id",
        "status",
        "source",
        "baseline",
        "last_activity_at",
    ];
    let found = asker.as_of("user_access_review", at);
    let found = found.iter().map(|row| {
        let mut cells = columns.map(|column| text(row, column));
        if cells[10].as_deref() == Some("true") {
            // The list's own records: who imported it is in the configuration, their ids are made of what they say.
            assert!(cells[7].take().is_some() && cells[6].is_none(), "{row}");
        }
        cells
    });
    asker.same(&format!("user_access_review at {at}"), planted.collect(), found.collect());
}

fn privileged_access_changes(asker: &Asker<'_>) {
    let planted = asker.planted.privileged.iter().map(|change| {
        [
            Some(asker.fed.id(change.record).to_owned()),
            Some(written(change.at)),
            Some(change.actor.clone()),
            Some(change.target.clone()),
            Some(change.action.to_owned()),
            Some(change.role.to_owned()),
            Some(change.by_own_hand.to_string()),
        ]
    });
    let columns = ["record_id", "ts", "actor", "target", "action", "role", "self_grant"];
    let found = asker.of_the_year("privileged_access_changes");
    let found = found.iter().map(|row| columns.map(|column| text(row, column)));
    asker.same("privileged_access_changes", planted.collect(), found.collect());
}

fn leavers(asker: &Asker<'_>) {
    let path = asker.node.dir.join("left.csv");
    std::fs::write(&path, asker.planted.leavers_csv()).unwrap();
    let found = asker.report(
        "leavers",
        &["--at", &flagtrail_testkit::company::rfc3339(end()), "--list", path.to_str().unwrap()],
    );
    let planted = asker.planted.leavers.iter().map(|leaver| {
        let own: Vec<&Holding> =
            asker.planted.holdings.iter().filter(|holding| holding.person == leaver.person).collect();
        let left: Vec<&&Holding> = own.iter().filter(|holding| holding.is_held_at(end())).collect();
        // What ended before they left is nobody's business.
        let last =
            own.iter().filter_map(|holding| holding.until).filter(|until| *until >= leaver.terminated).max();
        let removed = last.filter(|_| left.is_empty());
        let in_time = match leaver.ending {
            Ending::InTime if removed.is_none() => None,
            ending => Some((ending == Ending::InTime).to_string()),
        };
        let left: BTreeSet<String> = left
            .iter()
            .map(|holding| {
                format!("{} in {}", holding.role, project(holding).unwrap_or_else(|| "account".to_owned()))
            })
            .collect();
        let cells = [
            Some(leaver.email.clone()),
            Some(written(leaver.terminated)),
            removed.map(written),
            in_time,
            Some("true".to_owned()),
        ];
        (cells, left)
    });
    let planted: Vec<_> = planted.collect();
    let columns = ["user", "hr_terminated_at", "access_removed_at", "within_sla", "known"];
    let found =
        found.iter().map(|row| (columns.map(|column| text(row, column)), list(row, "residual_access")));
    asker.same("leavers", planted, found.collect());
}

/// Everything of somebody at one platform, by what it knows them by.
fn by_holder<'a>(
    holdings: impl Iterator<Item = &'a Holding>,
) -> BTreeMap<(Platform, &'a str), Vec<&'a Holding>> {
    let mut found: BTreeMap<_, Vec<&Holding>> = BTreeMap::new();
    for holding in holdings {
        found.entry((holding.platform, holding.user_id.as_str())).or_default().push(holding);
    }
    found
}

fn joiners_movers(asker: &Asker<'_>) {
    let role_in = |holding: &Holding| {
        format!("{} in {}", holding.role, project(holding).unwrap_or_else(|| "account".to_owned()))
    };
    let mut planted = Vec::new();
    for ((platform, user), own) in by_holder(asker.planted.holdings.iter()) {
        let before: BTreeSet<String> =
            own.iter().filter(|holding| holding.grant.is_none()).map(|holding| role_in(holding)).collect();
        let given: Vec<&&Holding> = own.iter().filter(|holding| holding.grant.is_some()).collect();
        if given.is_empty() {
            continue;
        }
        let added: BTreeSet<String> =
            given.iter().map(|holding| role_in(holding)).filter(|role| !before.contains(role)).collect();
        let removed: BTreeSet<String> =
            own.iter().filter(|holding| holding.until.is_some()).map(|holding| role_in(holding)).collect();
        let kind = if before.is_empty() { "joiner" } else { "mover" };
        let records = asker.ids(own.iter().flat_map(|holding| [&holding.grant, &holding.removal]).flatten());
        let first = own.iter().map(|holding| holding.from).min().map(written);
        let cells = [Some(user.to_owned()), Some(platform.source().to_owned()), Some(kind.to_owned()), first];
        planted.push((cells, added, removed, records));
    }
    let columns = ["user_id", "source", "kind", "first_grant"];
    let found = asker.of_the_year("joiners_movers");
    let found = found.iter().map(|row: &Value| {
        let lists = ["roles_added", "roles_removed", "record_ids"].map(|column| list(row, column));
        let [added, removed, records] = lists;
        (columns.map(|column| text(row, column)), added, removed, records)
    });
    asker.same("joiners_movers", planted, found.collect());
}

/// Days without a sign of life, as the configuration has it.
const DORMANT_DAYS: i64 = 90;

fn dormant_accounts(asker: &Asker<'_>) {
    let mut planted = Vec::new();
    for ((platform, user), own) in by_holder(asker.planted.held_at(end())) {
        let last = asker.planted.last_act(platform, own[0].person, end());
        let since = own.iter().map(|holding| holding.from).min().unwrap();
        let days = (end() - last.unwrap_or(since)).num_days();
        if days >= DORMANT_DAYS {
            let state = if last.is_some() { "dormant" } else { "never_active" };
            planted.push([
                Some(user.to_owned()),
                Some(platform.source().to_owned()),
                Some(state.to_owned()),
                last.map(written),
                Some(days.to_string()),
            ]);
        }
    }
    assert!(planted.len() > 5, "somebody is idle");
    let columns = ["user_id", "source", "state", "last_activity_at", "days_inactive"];
    let found = asker.as_of("dormant_accounts", end());
    let found = found.iter().map(|row| columns.map(|column| text(row, column)));
    asker.same("dormant_accounts", planted, found.collect());
}
