//! Twenty-five changes in which duties were not separated, and those that only look like it.

use chrono::TimeDelta;

use super::careers::{approvers_of, in_the_day, lead_of};
use super::changes::{Asked, Change, Turn};
use super::projects::FLAGS;
use super::story::Story;
use super::year::Moment;

/// A rule that a change breaks, in the words of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// Which.
    pub rule: &'static str,
    /// Whose part it is.
    pub actor: String,
    /// The change.
    pub change: Change,
}

const OWN_APPROVAL: &str = "author=approver";
const SOLE: &str = "applier sole approver";
const NONE: &str = "no approval";
const NO_ROLE: &str = "approver lacked role at time";
const LATE: &str = "approval after apply";
const OTHER_CONTENT: &str = "approved content != applied content";

/// A change to be asked for, every part of it as it should be, in a place of its own.
struct Case {
    turn: Turn,
    author: usize,
    approver: usize,
    other: usize,
    created: Moment,
    approved: Moment,
    applied: Moment,
}

impl Case {
    fn asked(&self, approvals: Vec<(usize, Moment)>, applier: usize) -> Asked {
        let name = format!("Case of {}", self.turn.flag);
        Asked {
            turn: self.turn,
            name,
            author: self.author,
            approvals,
            applier,
            created: self.created,
            applied: self.applied,
        }
    }
}

/// The cases, one after the other, spread over the year.
struct Cases<'s> {
    story: &'s mut Story,
    number: usize,
    changes: Vec<Change>,
    violations: Vec<Violation>,
}

impl Cases<'_> {
    /// A place that no other change request of Flagsmith is in: the last four flags are kept for these.
    fn next(&mut self) -> Case {
        let number = self.number;
        self.number += 1;
        let (project, flag) = (number % 8, FLAGS[8 + number / 8 % 4]);
        let day = 40 + i64::try_from(number).expect("it is small") * 7;
        let created = in_the_day(&mut self.story.random, day);
        let environment = self.story.project(project).production();
        let turn = self.story.turn(project, environment, flag);
        let [approver, other] = approvers_of(project);
        Case {
            turn,
            author: lead_of(project),
            approver,
            other,
            created,
            approved: created + TimeDelta::hours(3),
            applied: created + TimeDelta::hours(5),
        }
    }

    /// As it should be, though it may not look so.
    fn fine(&mut self, change: Option<Change>) {
        self.changes.extend(change);
    }

    fn broken(&mut self, rule: &'static str, actor: usize, at: Moment, change: Option<Change>) {
        let change = change.expect("a violation is of production");
        let actor = self.story.person(actor).email_at(at).to_owned();
        self.changes.push(change.clone());
        self.violations.push(Violation { rule, actor, change });
    }
}

/// Tells of all of them.
pub(super) fn violate(story: &mut Story) -> (Vec<Change>, Vec<Violation>) {
    let mut cases = Cases { story, number: 0, changes: Vec::new(), violations: Vec::new() };
    own_approval(&mut cases);
    sole_approver(&mut cases);
    no_approval(&mut cases);
    no_role(&mut cases);
    too_late(&mut cases);
    other_content(&mut cases);
    (cases.changes, cases.violations)
}

/// Four.
fn own_approval(cases: &mut Cases<'_>) {
    for by_hook in [true, true, false] {
        let case = cases.next();
        let approvals =
            vec![(case.author, case.approved), (case.approver, case.approved + TimeDelta::minutes(1))];
        let asked = case.asked(approvals, case.other);
        let change =
            if by_hook { cases.story.request(&asked) } else { cases.story.own_request(&asked, None) };
        cases.broken(OWN_APPROVAL, case.author, case.created, change);
    }
    // Under another address by then, and under the same number.
    let case = cases.next();
    let renamed = (36..=38).find(|person| {
        let from = cases.story.person(*person).emails[1].0;
        (case.created - from).abs() < TimeDelta::days(365)
    });
    let renamed = renamed.expect("there is one");
    let project = renamed % 8;
    let changed = cases.story.person(renamed).emails[1].0;
    let turn = Turn { project, environment: cases.story.project(project).production(), ..case.turn };
    let asked = Asked {
        turn,
        name: "Case of a new address".to_owned(),
        author: renamed,
        approvals: vec![
            (renamed, changed + TimeDelta::hours(1)),
            (approvers_of(project)[0], changed + TimeDelta::hours(1)),
        ],
        applier: approvers_of(project)[1],
        created: changed - TimeDelta::hours(1),
        applied: changed + TimeDelta::hours(2),
    };
    let change = cases.story.own_request(&asked, None);
    cases.broken(OWN_APPROVAL, renamed, asked.created, change);
    // A namesake is somebody else.
    let case = cases.next();
    let name = cases.story.person(case.author).name.clone();
    cases.story.people[case.approver].name = name;
    let asked = case.asked(vec![(case.approver, case.approved)], case.other);
    let change = cases.story.own_request(&asked, None);
    cases.fine(change);
    // In an environment that is not production nobody is asked.
    let case = cases.next();
    let environment = &cases.story.project(case.turn.project).others()[0];
    let turn = Turn { environment, ..case.turn };
    let asked = Asked { turn, ..case.asked(vec![(case.author, case.approved)], case.author) };
    let change = cases.story.request(&asked);
    cases.fine(change);
}

/// Four.
fn sole_approver(cases: &mut Cases<'_>) {
    for by_hook in [true, true, false, false] {
        let case = cases.next();
        let asked = case.asked(vec![(case.approver, case.approved)], case.approver);
        let change =
            if by_hook { cases.story.request(&asked) } else { cases.story.own_request(&asked, None) };
        cases.broken(SOLE, case.approver, case.applied, change);
    }
    // One of two who approved.
    for by_hook in [true, false] {
        let case = cases.next();
        let approvals =
            vec![(case.approver, case.approved), (case.other, case.approved + TimeDelta::seconds(5))];
        let asked = case.asked(approvals, case.approver);
        let change =
            if by_hook { cases.story.request(&asked) } else { cases.story.own_request(&asked, None) };
        cases.fine(change);
    }
}

/// Five.
fn no_approval(cases: &mut Cases<'_>) {
    for _ in 0..2 {
        let case = cases.next();
        let change = cases.story.save(case.turn, case.author, case.applied);
        cases.broken(NONE, case.author, case.applied, change);
    }
    let case = cases.next();
    let asked = case.asked(Vec::new(), case.author);
    let change = cases.story.request(&asked);
    cases.broken(NONE, case.author, case.applied, change);
    let case = cases.next();
    let change = cases.story.own(case.turn, case.author, &[], case.applied);
    cases.broken(NONE, case.author, case.applied, change);
    // Unleash switches it on at once.
    let case = cases.next();
    let turn = Turn { project: 8, environment: cases.story.project(8).production(), ..case.turn };
    let change = cases.story.switch_on(turn, lead_of(8), case.applied);
    cases.broken(NONE, lead_of(8), case.applied, change);
    // The same by somebody in Pre-Production, which is none.
    let case = cases.next();
    let environment = &cases.story.project(case.turn.project).others()[0];
    let change = cases.story.save(Turn { environment, ..case.turn }, case.author, case.applied);
    cases.fine(change);
}

/// Four.
fn no_role(cases: &mut Cases<'_>) {
    let second = TimeDelta::seconds(1);
    // Somebody of another project.
    for by_hook in [true, false] {
        let case = cases.next();
        let stranger = lead_of((case.turn.project + 1) % 8);
        let asked = case.asked(vec![(stranger, case.approved)], case.author);
        let change =
            if by_hook { cases.story.request(&asked) } else { cases.story.own_request(&asked, None) };
        cases.broken(NO_ROLE, stranger, case.approved, change);
    }
    // A second before the role was given, and a second after it was taken away; each beside one who was just in time.
    for given in [true, false] {
        for is_fine in [false, true] {
            let case = cases.next();
            // Joiners of that project who hold nothing of the kind.
            let guest = 206 + case.turn.project;
            let lead = lead_of(case.turn.project);
            let off = if is_fine { second } else { -second };
            if given {
                cases.story.grant(guest, case.turn.project, "approver", case.approved - off, lead);
                cases.story.remove(guest, case.turn.project, Some("approver"), case.applied, lead);
            } else {
                cases.story.grant(guest, case.turn.project, "approver", case.created, lead);
                cases.story.remove(guest, case.turn.project, Some("approver"), case.approved + off, lead);
            }
            let asked = case.asked(vec![(guest, case.approved)], case.author);
            let change = cases.story.own_request(&asked, None);
            if is_fine {
                cases.fine(change);
            } else {
                cases.broken(NO_ROLE, guest, case.approved, change);
            }
        }
    }
}

/// Four.
fn too_late(cases: &mut Cases<'_>) {
    for (by_hook, seconds) in [(true, 1), (true, 7_200), (false, 1), (false, 86_400)] {
        let case = cases.next();
        let approved = case.applied + TimeDelta::seconds(seconds);
        let asked = case.asked(vec![(case.approver, approved)], case.author);
        let change =
            if by_hook { cases.story.request(&asked) } else { cases.story.own_request(&asked, None) };
        cases.broken(LATE, case.approver, case.applied, change);
    }
    // A second before, and a late second approval where one is enough.
    for late in [false, true] {
        let case = cases.next();
        let mut approvals = vec![(case.approver, case.applied - TimeDelta::seconds(1))];
        if late {
            approvals.push((case.other, case.applied + TimeDelta::hours(1)));
        }
        let asked = case.asked(approvals, case.author);
        let change = cases.story.own_request(&asked, None);
        cases.fine(change);
    }
}

/// Four.
fn other_content(cases: &mut Cases<'_>) {
    for _ in 0..4 {
        let case = cases.next();
        let asked = case.asked(vec![(case.approver, case.approved)], case.author);
        let change = cases.story.own_request(&asked, Some(case.turn.new + 5));
        cases.broken(OTHER_CONTENT, case.author, case.applied, change);
    }
}
