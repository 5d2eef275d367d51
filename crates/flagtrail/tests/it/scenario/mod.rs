//! A year of a company that does not exist goes in through the front door, and every report finds what is planted in it,
//! and nothing else.
//!
//! | what | how |
//! |---|---|
//! | 50,000 records, which is what a release is walked with | `cargo test --release -p flagtrail --test it scenario` |
//! | as many as are wanted, in any build | `FLAGTRAIL_SCENARIO_RECORDS=50000` before the command |
//! | another year than the usual one | `FLAGTRAIL_SCENARIO_SEED=…` before the command |
//!
//! One record of a change is not among the year's: the FLAG_UPDATED of a Flagsmith change request. It names nobody, and its
//! timestamp is that of the last edit before the request; so its record is dated at receipt, and is put beside the request's
//! entry because both were received within seconds of each other (rule 2 of `audit-report`'s `change/side_by_side.rs`). When
//! something was received is the server's to say, at every door, and what a token appends is of `native` form: a whole record,
//! not half of a change at Flagsmith. So a year gone by can't have one. On the recorded traffic the rule is tested there
//! (recordings 629 to 636).

mod access;
mod answers;
mod changes;
mod feed;
mod own;

use std::cell::RefCell;
use std::str::FromStr;

use flagtrail_testkit::company::{
    CREDENTIAL_DAYS, Company, LEAVER_HOURS, POST_REVIEW_HOURS, PRIVILEGED, PRODUCTION,
};

use self::answers::Asker;
use self::feed::Doors;
use crate::harness::Node;

/// Names another year.
const SEED_VARIABLE: &str = "FLAGTRAIL_SCENARIO_SEED";

/// The year that is made up unless told otherwise.
const SEED: u64 = 20_250_101;

/// Says how many records the year has.
const RECORDS_VARIABLE: &str = "FLAGTRAIL_SCENARIO_RECORDS";

/// How many it has unless told otherwise: 50,000 in an optimised build. A debug build spends most of its time taking JSON apart,
/// three times for the reports about changes alone: there all that is planted is the same, among less of the ordinary.
const RECORDS: usize = if cfg!(debug_assertions) { 12_000 } else { 50_000 };

/// With fewer, what is planted finds no room among them.
const RECORDS_MIN: usize = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_report_of_a_years_records_gives_the_planted_facts_and_no_more() {
    let seed = told(SEED_VARIABLE).unwrap_or(SEED);
    let records = told(RECORDS_VARIABLE).unwrap_or(RECORDS);
    assert!(
        records >= RECORDS_MIN,
        "{RECORDS_VARIABLE}={records}: a year has {RECORDS_MIN} records at least"
    );
    println!("the year of {SEED_VARIABLE}={seed} {RECORDS_VARIABLE}={records}");
    let company = Company::of_a_year(seed, records);
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

/// What a variable says; nothing where it is not set.
fn told<T: FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a whole number")))
}

/// What the company calls production, privileged and late.
fn settings() -> String {
    format!(
        "[compliance]\nproduction = {PRODUCTION:?}\nprivileged_roles = {PRIVILEGED:?}\napprovals_min = 1\n\
         post_review_hours = {POST_REVIEW_HOURS}\nleaver_hours = {LEAVER_HOURS}\ncredential_days = {CREDENTIAL_DAYS}\n"
    )
}
