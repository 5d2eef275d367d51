//! A year of a company that does not exist, and what is true of it.
//!
//! Brightwater keeps the flags of twelve projects on four platforms. Three hundred people join, move, leave, come back, marry and
//! bear the same names; changes are asked for, approved, made in a hurry, made behind somebody's back. All of it comes out of a
//! seed: the requests in the order in which they go in ([`Company::requests`]), and, written down beside them as it is made
//! up and never read back from them, what every report has to find ([`Planted`]).
//!
//! Which door a fact goes in by is decided by what its platform can tell and date:
//!
//! | fact | door |
//! |---|---|
//! | saves, change requests at Flagsmith | webhook AUDIT_LOG_CREATED, and FLAG_UPDATED of saves: both state their time |
//! | users and access at Unleash, its switches | webhook, dated by `createdAt` |
//! | users at mozhno, its strategies | webhook with Flagtrail's template, dated by `timestamp` |
//! | targets at Zenmanage | webhook, dated to the second |
//! | access at Flagsmith, which sends none | records of the company's own bridge, under Flagsmith's source |
//! | the company's own pipeline, and the bulk of the year | records, a thousand a request, as a backfill sends them |
//! | visitors, who ask to be forgotten when the year is over | among those |
//! | what was there before the year | the list for `flagtrail access import` |
//!
//! Nothing goes in by what is dated at receipt (FLAG_DELETED, NEW_VERSION_PUBLISHED, a change request's FLAG_UPDATED): it would all lie on
//! the day of the test. No other door dates it back: when something was received is the server's to say, and a record that the company's own
//! programs append is a whole one, not half of a change at Flagsmith.

mod access;
mod careers;
mod changes;
mod credentials;
mod emergencies;
mod ordinary;
mod people;
mod planted;
mod projects;
mod random;
mod story;
mod violations;
mod visitors;
mod wire;
mod year;

pub use access::{Holding, PRIVILEGED, Privileged, is_privileged};
pub use careers::{Ending, LEAVER_HOURS, Leaver};
pub use changes::Change;
pub use credentials::{CREDENTIAL_DAYS, Credential};
pub use emergencies::{BYPASS_PERMISSION, EMERGENCIES, Emergency, POST_REVIEW_HOURS, Review};
pub use planted::Planted;
pub use projects::{PRODUCTION, Platform, project_name};
pub use story::{Door, Request, Tag, native_id};
pub use violations::Violation;
pub use visitors::Visitor;
pub use year::{Moment, begin, end, rfc3339};

use story::Story;

/// The company's year.
pub struct Company {
    /// What it was made from.
    pub seed: u64,
    /// In the order in which they go in.
    pub requests: Vec<Request>,
    /// What is true of it.
    pub planted: Planted,
}

impl Company {
    /// Makes it up: so many records, of which the planted ones are the smaller part.
    #[must_use]
    pub fn of_a_year(seed: u64, records: usize) -> Self {
        let mut story = Story::new(seed);
        let leavers = careers::live(&mut story);
        let (mut changes, violations) = violations::violate(&mut story);
        let emergencies = emergencies::hurry(&mut story);
        changes.extend(emergencies.iter().map(|emergency| emergency.change.clone()));
        let credentials = credentials::keys(&mut story);
        changes.extend(ordinary::work(&mut story, records - visitors::records()));
        let visitors = visitors::visit(&mut story);
        let planted = Planted::new(&story, leavers, changes, violations, emergencies, credentials, visitors);
        Self { seed, requests: story.into_requests(), planted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_year_and_another_is_another() {
        let bodies = |seed| -> Vec<String> {
            Company::of_a_year(seed, 5_000).requests.into_iter().map(|request| request.body).collect()
        };
        assert!(bodies(1) == bodies(1));
        assert!(bodies(1) != bodies(2));
    }

    #[test]
    fn a_year_has_what_was_asked_for() {
        let company = Company::of_a_year(7, 5_000);
        let tags: std::collections::BTreeSet<Tag> =
            company.requests.iter().map(|request| request.tag).collect();
        assert_eq!(tags.len(), 5_000);
        assert!(company.requests.len() > tags.len(), "some are sent twice");
        assert!(company.requests.iter().all(|request| request.happened >= begin()));
        let planted = &company.planted;
        assert_eq!((planted.violations.len(), planted.emergencies.len()), (25, EMERGENCIES));
        let residual = planted.leavers.iter().filter(|leaver| leaver.ending == Ending::Residual);
        assert_eq!(residual.count(), 7);
    }
}
