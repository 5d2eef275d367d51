//! A year of a company that does not exist goes in through the front door, and every report finds what is planted in it,
//! and nothing else.

mod access;
mod answers;
mod changes;
mod feed;
mod own;

use std::cell::RefCell;

use flagtrail_testkit::company::{
    CREDENTIAL_DAYS, Company, LEAVER_HOURS, POST_REVIEW_HOURS, PRIVILEGED, PRODUCTION,
};

use self::answers::Asker;
use self::feed::Doors;
use crate::harness::Node;

/// Another year: `FLAGTRAIL_SCENARIO_SEED=… cargo test -p flagtrail --test it scenario`.
const SEED_VARIABLE: &str = "FLAGTRAIL_SCENARIO_SEED";

/// The year that is made up unless told otherwise.
const SEED: u64 = 20_250_101;

/// How many records the year has: 50,000 in an optimised build, which is what the walk before a release runs. A debug build
/// spends most of its time taking JSON apart, three times for the reports about changes alone: there all that is planted
/// is the same, among less of the ordinary.
const RECORDS: usize = if cfg!(debug_assertions) { 12_000 } else { 50_000 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_report_of_a_years_records_gives_the_planted_facts_and_no_more() {
    let seed = std::env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    println!("the year of {SEED_VARIABLE}={seed}");
    let company = Company::of_a_year(seed, RECORDS);
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], &settings());
    node.start();
    node.ready().await;
    let doors = Doors::open(root.path(), &node).await;
    let fed = doors.feed(&company, &node).await;
    fed.archived(&node).await;
    let asker = Asker {
        node: &node,
        planted: &company.planted,
        fed: &fed,
        asked: RefCell::default(),
        wrong: RefCell::default(),
    };
    changes::check(&asker);
    access::check(&asker);
    own::check(&asker, &company).await;
    asker.finish();
    node.stop();
}

/// What the company calls production, privileged and late.
fn settings() -> String {
    format!(
        "[compliance]\nproduction = {PRODUCTION:?}\nprivileged_roles = {PRIVILEGED:?}\napprovals_min = 1\n\
         post_review_hours = {POST_REVIEW_HOURS}\nleaver_hours = {LEAVER_HOURS}\ncredential_days = {CREDENTIAL_DAYS}\n"
    )
}
