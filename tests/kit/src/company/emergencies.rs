//! Forty changes that went past their approval, most of them looked at afterwards, and some that need not be.

use chrono::TimeDelta;
use serde_json::json;

use super::careers::{FLAGSMITH_PROJECTS, approvers_of, in_the_day, lead_of};
use super::changes::Change;
use super::projects::{FLAGS, Platform};
use super::story::{Story, user};
use super::wire::native::Native;
use super::year::{Moment, rfc3339};

/// How many.
pub const EMERGENCIES: usize = 40;

/// Within how many hours one is to be looked at, as the configuration has it.
pub const POST_REVIEW_HOURS: i64 = 72;

/// What let somebody past the approval.
pub const BYPASS_PERMISSION: &str = "deploy:emergency";

/// A change past its approval.
#[derive(Debug, Clone, PartialEq)]
pub struct Emergency {
    /// The change.
    pub change: Change,
    /// Why.
    pub reason: String,
    /// Who looked at it afterwards, and when.
    pub review: Option<Review>,
    /// Whether that was within the time for it.
    pub in_time: bool,
}

/// Somebody looked at a change afterwards.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    /// Who, by e-mail.
    pub by: String,
    /// When.
    pub at: Moment,
    /// Told by the list of decisions rather than by an approval that came afterwards.
    pub is_decision: bool,
}

/// Tells of all of them.
pub(super) fn hurry(story: &mut Story) -> Vec<Emergency> {
    let found = (0..EMERGENCIES).map(|number| emergency(story, number)).collect();
    // Where it is not production, past is not past anything.
    for (number, flag) in FLAGS.iter().enumerate().take(4) {
        let project = number % FLAGSMITH_PROJECTS;
        let turn = story.turn(project, &story.project(project).others()[0], flag);
        let at = in_the_day(&mut story.random, 60 + i64::try_from(number).expect("it is small"));
        story.own_change(
            turn,
            lead_of(project),
            at,
            json!({"bypassed": true}),
            Some("it is only a rehearsal"),
        );
    }
    found
}

fn emergency(story: &mut Story, number: usize) -> Emergency {
    let project = number % FLAGSMITH_PROJECTS;
    let turn = story.turn(project, story.project(project).production(), FLAGS[number % FLAGS.len()]);
    let at = in_the_day(&mut story.random, 15 + i64::try_from(number).expect("it is small") * 8);
    let actor = lead_of(project);
    let (reason, request) = (format!("incident {number}"), format!("EMG-{number:03}"));
    let approval = json!({
        "change_request_id": request, "required": true, "bypassed": true, "bypass_permission": BYPASS_PERMISSION,
    });
    let record = story.own_change(turn, actor, at, approval, Some(&reason));
    let reviewer = approvers_of(project)[number % 2];
    let deadline = at + TimeDelta::hours(POST_REVIEW_HOURS);
    // To the second, a second too late, and days before and after.
    let reviewed = match number % 5 {
        0 => Some(deadline),
        1 => Some(deadline + TimeDelta::seconds(1)),
        2 => Some(at + TimeDelta::hours(5)),
        3 => Some(deadline + TimeDelta::days(4)),
        _ => None,
    };
    let is_decision = number.is_multiple_of(2);
    let mut records = [record].into();
    let mut approvers = std::collections::BTreeSet::new();
    if let (Some(reviewed), false) = (reviewed, is_decision) {
        let approver = user(story.person(reviewer), reviewed);
        approvers.insert(story.person(reviewer).email_at(reviewed).to_owned());
        let place = story.project(project);
        story.act(Platform::Flagsmith, reviewer, reviewed);
        let approved = story.native(Platform::Flagsmith, reviewed, |id| {
            Native::new(id, "change_request.approved", format!("{request}: approved afterwards"), reviewed, approver.clone())
                .project(place)
                .environment(turn.environment)
                .with("related_object_type", json!("CHANGE_REQUEST"))
                .with("related_object", json!({"id": request}))
                .with(
                    "approval",
                    json!({"change_request_id": request, "approvers": [approver], "approved_at": rfc3339(reviewed)}),
                )
        });
        std::collections::BTreeSet::insert(&mut records, approved);
    }
    let actor = story.person(actor).email_at(at).to_owned();
    let review =
        reviewed.map(|at| Review { by: story.person(reviewer).email_at(at).to_owned(), at, is_decision });
    Emergency {
        change: Change {
            project: story.project(project).id,
            flag: turn.flag,
            kind: "emergency",
            request: Some(request),
            requested: None,
            applied: at,
            author: actor.clone(),
            approved_in_time: None,
            approvers,
            applier: actor,
            old: Some(turn.old.to_string()),
            new: Some(turn.new.to_string()),
            records,
        },
        reason,
        in_time: reviewed.is_some_and(|reviewed| reviewed <= deadline),
        review,
    }
}
