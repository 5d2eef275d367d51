//! Who joins, moves and leaves, and what becomes of their access.
//!
//! The first 33 are the company's fixed cast: of each project a lead, who gives and takes access, and two who approve. Those
//! after them have a number each for what is odd about them, and the rest come and go.

use chrono::TimeDelta;

use super::random::Random;
use super::story::Story;
use super::year::{Moment, at, end};

/// Projects of Flagsmith, by index.
pub(super) const FLAGSMITH_PROJECTS: usize = 8;

/// Within how many hours a leaver's access is to be removed, as the configuration has it.
pub const LEAVER_HOURS: i64 = 24;

/// How the access of somebody who left ended, seen from the end of the year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Within the time for it.
    InTime,
    /// All of it, but later.
    Late,
    /// Some of it is still there.
    Residual,
}

/// Somebody who left for good.
#[derive(Debug, Clone)]
pub struct Leaver {
    /// Who, by number.
    pub person: usize,
    /// The address on the personnel department's list.
    pub email: String,
    /// The name there.
    pub name: String,
    /// When, by that list.
    pub terminated: Moment,
    /// What became of the access.
    pub ending: Ending,
}

pub(super) fn lead_of(project: usize) -> usize {
    project * 3
}

pub(super) fn approvers_of(project: usize) -> [usize; 2] {
    [project * 3 + 1, project * 3 + 2]
}

/// Somewhere in a day's work, to the millisecond: the coarsest of those that state access say no more.
pub(super) fn in_the_day(random: &mut Random, day: i64) -> Moment {
    at(day, random.between(8 * 3_600, 18 * 3_600)) + TimeDelta::milliseconds(random.between(1, 1_000))
}

/// Everybody's year.
pub(super) fn live(story: &mut Story) -> Vec<Leaver> {
    cast(story);
    let mut leavers = Vec::new();
    // Odd ones of those who were there before.
    for person in 33..120 {
        let project = person % FLAGSMITH_PROJECTS;
        story.has_held(person, project, "editor");
        odd(story, person, project, &mut leavers);
    }
    for person in 120..150 {
        let project = person % FLAGSMITH_PROJECTS;
        story.has_held(person, project, "editor");
        moves(story, person, project);
    }
    for person in 150..253 {
        let project = person % FLAGSMITH_PROJECTS;
        let day = 2 + (i64::try_from(person).expect("it is small") - 150) * 3;
        let when = in_the_day(&mut story.random, day);
        story.grant(person, project, "editor", when, lead_of(project));
        if person % 10 == 0 {
            let later = in_the_day(&mut story.random, day + 20);
            story.grant(person, project, "admin", later, lead_of(project));
        }
    }
    elsewhere(story, &mut leavers);
    leavers
}

fn cast(story: &mut Story) {
    for project in 0..FLAGSMITH_PROJECTS {
        story.has_held(lead_of(project), project, "admin");
        for approver in approvers_of(project) {
            story.has_held(approver, project, "approver");
        }
    }
    let first = |second: i64| at(0, 6 * 3_600 + second);
    // Each lead of Unleash is let in by the other one.
    for (project, by) in [(8, lead_of(9)), (9, lead_of(8))] {
        story.grant(lead_of(project), project, "Owner", first(1), by);
        for approver in approvers_of(project) {
            story.grant(approver, project, "Member", first(2), lead_of(project));
        }
    }
    story.grant(lead_of(10), 10, "ADMIN", first(3), approvers_of(10)[0]);
    for approver in approvers_of(10) {
        story.grant(approver, 10, "EDITOR", first(4), lead_of(10));
    }
}

/// Leaves at a moment, by the personnel department's list.
fn leave(story: &Story, leavers: &mut Vec<Leaver>, person: usize, terminated: Moment, ending: Ending) {
    let (email, name) = (story.person(person).email_at(end()).to_owned(), story.person(person).name.clone());
    leavers.push(Leaver { person, email, name, terminated, ending });
}

/// What happens to somebody whose number says what is odd.
fn odd(story: &mut Story, person: usize, project: usize, leavers: &mut Vec<Leaver>) {
    let lead = lead_of(project);
    let day = 20 + i64::try_from(person).expect("it is small") * 2;
    let gone = in_the_day(&mut story.random, day);
    let sla = TimeDelta::hours(LEAVER_HOURS);
    let hours = |hours| TimeDelta::hours(hours);
    match person {
        // Left, was removed at once, and came back under the same number: not on the list of those who are gone.
        33..=35 => {
            story.remove(person, project, Some("editor"), gone, lead);
            story.grant(person, project, "editor", gone + TimeDelta::days(100), lead);
        }
        // Another address from a day on, and the same number. The last one leaves under the new address.
        36..=39 => {
            let email = format!("renamed.{person}@brightwater.example");
            story.people[person].emails.push((gone, email));
            if person == 39 {
                let left = gone + TimeDelta::days(30);
                story.remove(person, project, Some("editor"), left + hours(3), lead);
                leave(story, leavers, person, left, Ending::InTime);
            }
        }
        // Namesakes, of whom one stays and one leaves.
        40..=43 => {
            story.people[person].name = if person < 42 { "Maria Schmidt" } else { "Ada Müller" }.to_owned();
            if person % 2 == 1 {
                story.remove(person, project, Some("editor"), gone + hours(5), lead);
                leave(story, leavers, person, gone, Ending::InTime);
            }
        }
        44..=50 => residual(story, person, project, gone, leavers),
        51..=55 => {
            story.remove(
                person,
                project,
                Some("editor"),
                gone + sla + hours(1 + i64::try_from(person).expect("small") % 5),
                lead,
            );
            leave(story, leavers, person, gone, Ending::Late);
        }
        // To the second.
        56 | 57 => {
            story.remove(person, project, Some("editor"), gone + sla, lead);
            leave(story, leavers, person, gone, Ending::InTime);
        }
        // Before the last day.
        58..=60 => {
            story.remove(person, project, Some("editor"), gone - hours(30), lead);
            leave(story, leavers, person, gone, Ending::InTime);
        }
        // In time, and told three weeks later.
        61 | 62 => {
            let removed = gone + hours(2);
            story.remove_late(
                person,
                project,
                Some("editor"),
                (removed, removed + TimeDelta::days(21)),
                lead,
            );
            leave(story, leavers, person, gone, Ending::InTime);
        }
        // Two roles, and a removal that names none.
        63..=66 => {
            story.grant(person, project, "approver", gone - TimeDelta::days(15), lead);
            story.remove(person, project, None, gone + hours(1), lead);
            leave(story, leavers, person, gone, Ending::InTime);
        }
        // Given what they have.
        67..=69 => {
            story.grant(person, project, "admin", gone, lead);
            story.grant_again(person, project, "admin", gone + hours(24), lead);
        }
        // The removal is told before the grant that it ended.
        70 => {
            let (given, taken) = (gone, gone + TimeDelta::days(9));
            story.grant_late(person, project, "admin", (given, taken + TimeDelta::days(2)), lead);
            story.remove(person, project, Some("admin"), taken, lead);
        }
        71..=119 => {
            let removed = gone + TimeDelta::seconds(story.random.between(60, LEAVER_HOURS * 3_600));
            let role = story.random.chance(70).then_some("editor");
            story.remove(person, project, role, removed, lead);
            leave(story, leavers, person, gone, Ending::InTime);
        }
        _ => unreachable!("nobody has the number {person}"),
    }
}

/// Seven ways to forget something.
fn residual(story: &mut Story, person: usize, project: usize, gone: Moment, leavers: &mut Vec<Leaver>) {
    let lead = lead_of(project);
    let soon = gone + TimeDelta::hours(2);
    let other = (project + 3) % FLAGSMITH_PROJECTS;
    match person {
        // Nobody did anything.
        44..=46 => {}
        // One project of two.
        47 => {
            story.grant(person, other, "editor", gone - TimeDelta::days(40), lead_of(other));
            story.remove(person, project, Some("editor"), soon, lead);
        }
        // One platform of two.
        48 => {
            story.grant(person, 8, "Member", gone - TimeDelta::days(40), lead_of(8));
            story.remove(person, project, Some("editor"), soon, lead);
        }
        // Let in again after the last day.
        49 => {
            story.remove(person, project, Some("editor"), soon, lead);
            story.grant(person, project, "editor", gone + TimeDelta::days(3), lead);
        }
        // One role of two: the lesser one.
        _ => {
            story.grant(person, project, "admin", gone - TimeDelta::days(40), lead);
            story.remove(person, project, Some("editor"), soon, lead);
        }
    }
    leave(story, leavers, person, gone, Ending::Residual);
}

/// To another project, or up.
fn moves(story: &mut Story, person: usize, project: usize) {
    let day = 30 + (i64::try_from(person).expect("it is small") - 120) * 9;
    let when = in_the_day(&mut story.random, day);
    let other = (project + 1) % FLAGSMITH_PROJECTS;
    match person {
        // By their own hand.
        120 | 121 => {
            story.grant(person, project, "admin", when, person);
        }
        122..=129 => {
            story.grant(person, project, "admin", when, lead_of(project));
        }
        _ => {
            story.remove(person, project, Some("editor"), when, lead_of(project));
            story.grant(person, other, "editor", when + TimeDelta::minutes(5), lead_of(other));
        }
    }
}

/// Unleash and mozhno.
fn elsewhere(story: &mut Story, leavers: &mut Vec<Leaver>) {
    for person in 253..283 {
        let project = 8 + person % 2;
        let day = 3 + (i64::try_from(person).expect("it is small") - 253) * 7;
        let when = in_the_day(&mut story.random, day);
        story.grant(person, project, "Member", when, lead_of(project));
        match person {
            // Another role in place of the first.
            253..=258 => {
                let later = in_the_day(&mut story.random, day + 50);
                story.change_role(person, project, "Owner", later, lead_of(project));
            }
            // Deleted, and so out of everything: of the last two the second project is forgotten by nobody.
            259..=264 => {
                if person >= 263 {
                    let other = 8 + (person + 1) % 2;
                    let later = in_the_day(&mut story.random, day + 10);
                    story.grant(person, other, "Member", later, lead_of(other));
                }
                let gone = in_the_day(&mut story.random, day + 90);
                story.delete_user(person, gone + TimeDelta::hours(4), lead_of(project));
                leave(story, leavers, person, gone, Ending::InTime);
            }
            _ => {}
        }
    }
    for person in 283..300 {
        let day = 5 + (i64::try_from(person).expect("it is small") - 283) * 11;
        let when = in_the_day(&mut story.random, day);
        story.grant(person, 10, if person % 2 == 0 { "EDITOR" } else { "VIEWER" }, when, lead_of(10));
        if person < 286 {
            let gone = in_the_day(&mut story.random, day + 100);
            story.remove(person, 10, None, gone + TimeDelta::hours(6), lead_of(10));
            leave(story, leavers, person, gone, Ending::InTime);
        }
    }
}
