//! Keys to the platforms' APIs: made, some of them deleted again, some of them old.

use chrono::TimeDelta;
use serde_json::json;

use super::careers::{in_the_day, lead_of};
use super::projects::Platform;
use super::story::{Story, Tag};
use super::wire::unleash;
use super::year::Moment;

/// Days after which a key counts as old, as the configuration has it.
pub const CREDENTIAL_DAYS: i64 = 180;

/// A key.
#[derive(Debug, Clone, PartialEq)]
pub struct Credential {
    /// Its name.
    pub name: String,
    /// Who made it.
    pub owner: String,
    /// When.
    pub created: Moment,
    /// When it was deleted.
    pub deleted: Option<Moment>,
    /// Every record that tells of it.
    pub records: Vec<Tag>,
}

/// Eight tokens of Unleash; every third is deleted after a month.
pub(super) fn keys(story: &mut Story) -> Vec<Credential> {
    (0..8_i64)
        .map(|number| {
            let created = in_the_day(&mut story.random, 20 + number * 40);
            let (name, lead) = (format!("sdk-{number}"), lead_of(8));
            let said =
                json!({"tokenName": name, "type": "client", "environment": "development", "projects": ["*"]});
            let event = |story: &mut Story, kind: &str, at: Moment, more: serde_json::Value| {
                let id = story.number("unleash");
                let body = unleash::event(id, kind, &story.by(lead, at), at, more);
                story.act(Platform::Unleash, lead, at);
                story.hook(Platform::Unleash, at, body)
            };
            let mut records = vec![event(story, "api-token-created", created, json!({"data": said}))];
            let deleted = (number % 3 == 0).then_some(created + TimeDelta::days(30));
            if let Some(at) = deleted {
                records.push(event(story, "api-token-deleted", at, json!({"preData": said})));
            }
            let owner = story.person(lead).email_at(created).to_owned();
            Credential { name, owner, created, deleted, records }
        })
        .collect()
}
