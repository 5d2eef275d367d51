//! People who come for a while, hold nothing, and ask to be forgotten afterwards: what is theirs, so that an erasure can be counted.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::json;

use super::careers::FLAGSMITH_PROJECTS;
use super::projects::Platform;
use super::story::{Story, Tag};
use super::wire::native::Native;
use super::year::begin;

/// How many records there are of each visitor: one, some in one project, some in more than there are.
const RECORDS: [usize; 3] = [1, 4, 11];

/// Days from the beginning of the year to the first visit, and from one record to the next.
const FIRST_DAY: i64 = 40;
const DAYS_APART: i64 = 17;

/// Somebody whose records can be erased, and nobody else's with them.
#[derive(Debug, Clone, PartialEq)]
pub struct Visitor {
    /// By which records know them: nothing of the company's says it anywhere else.
    pub email: String,
    /// Every record that is of them.
    pub records: BTreeSet<Tag>,
}

/// How many records they are of, all together.
pub(super) const fn records() -> usize {
    RECORDS[0] + RECORDS[1] + RECORDS[2]
}

/// Each tries values in development, where nobody asks who did. Nothing is left to chance: what else is of the year stays as it is.
pub(super) fn visit(story: &mut Story) -> Vec<Visitor> {
    let mut day = FIRST_DAY;
    let mut visitors = Vec::new();
    for (visitor, count) in RECORDS.into_iter().enumerate() {
        let email = format!("visitor-{visitor}@consultants.example");
        let mut records = BTreeSet::new();
        for number in 0..count {
            // The second one stays in one project.
            let project = story.project(if visitor == 1 { 2 } else { number % FLAGSMITH_PROJECTS });
            let at = begin() + TimeDelta::days(day) + TimeDelta::hours(9);
            let author = json!({"type": "user", "email": email, "name": "A visitor"});
            records.insert(story.native(Platform::Flagsmith, at, |id| {
                Native::new(id, "flag.value.changed", "a value is tried out".to_owned(), at, author)
                    .project(project)
                    .environment(&project.others()[1])
                    .flag(project, "beta_banner")
                    .with("change", json!({"after": {"value": number}}))
            }));
            day += DAYS_APART;
        }
        visitors.push(Visitor { email, records });
    }
    visitors
}
