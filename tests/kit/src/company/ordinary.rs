//! A year of ordinary work: changes that nobody will ask about, among which the others have to be found.

use chrono::TimeDelta;

use super::careers::{FLAGSMITH_PROJECTS, approvers_of, in_the_day, lead_of};
use super::changes::{Asked, Change, Turn};
use super::projects::{Environment, FLAGS, Platform};
use super::story::Story;
use super::year::{DAYS, Moment, end};

/// Change requests of Flagsmith that go as they should, as webhooks.
const REQUESTS: usize = 60;

/// Saves in Flagsmith's pages, as webhooks, none in production.
const SAVES: usize = 400;

/// Changes at the other platforms.
const ELSEWHERE: usize = 150;

/// Out of a hundred changes of the company's own pipeline, how many are of production.
const PRODUCTION_PERCENT: usize = 20;

/// People who hold access and have done nothing for long, by number.
pub(super) const IDLE: std::ops::Range<usize> = 200..205;

/// Names of change requests; they are used again and again.
const NAMES: [&str; 4] = ["Raise the limit", "Open to everybody", "Roll out «größe»", "Christmas"];

impl Story {
    /// A turn of a flag to a value that no flag has had.
    pub(super) fn turn(
        &mut self,
        project: usize,
        environment: &'static Environment,
        flag: &'static str,
    ) -> Turn {
        let value = self.number("value") * 10;
        Turn { project, environment, flag, old: value, new: value + 1 }
    }

    /// Somebody who holds a role in a project at a moment, and for a while around it.
    pub(super) fn holder(&mut self, project: usize, at: Moment) -> usize {
        let (platform, id) = (self.project(project).platform, self.project(project).id);
        let margin = TimeDelta::hours(1);
        let there: Vec<usize> = self
            .holdings
            .iter()
            .filter(|holding| {
                holding.platform == platform
                    && holding.project.is_none_or(|project| project == id)
                    && !IDLE.contains(&holding.person)
                    && holding.is_held_at(at - margin)
                    && holding.is_held_at(at + margin)
            })
            .map(|holding| holding.person)
            .collect();
        if there.is_empty() { lead_of(project) } else { *self.random.one_of(&there) }
    }

    /// Somebody of the cast who approves in a project and is nobody of these.
    pub(super) fn approver(&mut self, project: usize, but: &[usize]) -> usize {
        let [first, second] = approvers_of(project);
        let mut able = vec![first, second, lead_of(project)];
        able.retain(|person| !but.contains(person));
        *self.random.one_of(&able)
    }
}

/// Fills the year up to `records`.
pub(super) fn work(story: &mut Story, records: usize) -> Vec<Change> {
    let mut changes = Vec::new();
    for number in 0..REQUESTS {
        let asked = request(story, number);
        changes.extend(story.request(&asked));
    }
    for _ in 0..SAVES {
        let project = story.random.below(FLAGSMITH_PROJECTS);
        let when = some_time(story);
        let environment = &story.project(project).others()[story.random.below(2)];
        let flag = *story.random.one_of(&FLAGS);
        let turn = story.turn(project, environment, flag);
        let person = story.holder(project, when);
        story.save(turn, person, when);
    }
    for _ in 0..ELSEWHERE {
        for project in 8..12 {
            let when = some_time(story);
            let environment = &story.project(project).others()[0];
            let flag = *story.random.one_of(&FLAGS);
            let turn = story.turn(project, environment, flag);
            let person = story.holder(project, when);
            match story.project(project).platform {
                Platform::Unleash => drop(story.switch_on(turn, person, when)),
                Platform::Mozhno => story.strategy(turn, person, when),
                _ => story.target(turn, when),
            }
        }
    }
    last_signs_of_life(story);
    while story.records() < records {
        changes.extend(own(story));
    }
    changes
}

/// A moment of the year; its first days are quiet.
fn some_time(story: &mut Story) -> Moment {
    let day = story.random.between(5, DAYS);
    in_the_day(&mut story.random, day)
}

fn request(story: &mut Story, number: usize) -> Asked {
    // Each of another flag: so they can be told apart although a year goes in within a minute, and a FLAG_UPDATED of a
    // change request is known by when it came.
    let project = number % FLAGSMITH_PROJECTS;
    let flag = FLAGS[number / FLAGSMITH_PROJECTS % FLAGS.len()];
    let day = story.random.between(10, DAYS - 10);
    let created = in_the_day(&mut story.random, day);
    let turn = story.turn(project, story.project(project).production(), flag);
    let author = story.holder(project, created);
    let approver = story.approver(project, &[author]);
    let applied = created + TimeDelta::hours(story.random.between(2, 90));
    // The closest that is still in order.
    let approved = applied - TimeDelta::seconds(if number.is_multiple_of(5) { 1 } else { 3_000 });
    let name = (*story.random.one_of(&NAMES)).to_owned();
    Asked { turn, name, author, approvals: vec![(approver, approved)], applier: author, created, applied }
}

/// Everybody who still has access has done something of late, but those who have not.
fn last_signs_of_life(story: &mut Story) {
    let held: Vec<(usize, usize)> = story
        .holdings
        .iter()
        .filter(|holding| holding.platform == Platform::Flagsmith && holding.is_held_at(end()))
        .filter_map(|holding| {
            let project = (0..FLAGSMITH_PROJECTS)
                .find(|project| holding.project == Some(story.project(*project).id))?;
            Some((project, holding.person))
        })
        .filter(|(_, person)| !IDLE.contains(person) && !(44..=50).contains(person))
        .collect();
    for (project, person) in held {
        let day = DAYS - 1 - i64::try_from(person % 40).expect("it is small");
        let when = in_the_day(&mut story.random, day);
        let environment = &story.project(project).others()[1];
        let turn = story.turn(project, environment, "beta_banner");
        story.own(turn, person, &[], when);
    }
}

/// A change by the company's own pipeline.
fn own(story: &mut Story) -> Option<Change> {
    let project = story.random.below(FLAGSMITH_PROJECTS);
    let when = some_time(story);
    let flag = *story.random.one_of(&FLAGS);
    let person = story.holder(project, when);
    if story.random.chance(PRODUCTION_PERCENT) {
        let turn = story.turn(project, story.project(project).production(), flag);
        let approver = story.approver(project, &[person]);
        let approved = when - TimeDelta::seconds(story.random.between(1, 86_400));
        return story.own(turn, person, &[(approver, approved)], when);
    }
    let environment = &story.project(project).others()[story.random.below(2)];
    let turn = story.turn(project, environment, flag);
    story.own(turn, person, &[], when)
}
