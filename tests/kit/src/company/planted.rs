//! The truth: what every report has to find, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::access::{Holding, Privileged};
use super::careers::Leaver;
use super::changes::Change;
use super::credentials::Credential;
use super::emergencies::Emergency;
use super::people::Person;
use super::projects::{Platform, project_name};
use super::story::Story;
use super::violations::Violation;
use super::visitors::Visitor;
use super::year::{Moment, rfc3339};

/// What is true of the year.
#[derive(Debug)]
pub struct Planted {
    /// Who held what, the whole year.
    pub holdings: Vec<Holding>,
    /// Every record by which a privileged role was given or taken.
    pub privileged: Vec<Privileged>,
    /// Who left, by the personnel department's list.
    pub leavers: Vec<Leaver>,
    /// Every change in production.
    pub changes: Vec<Change>,
    /// Those in which duties were not separated.
    pub violations: Vec<Violation>,
    /// Those that went past their approval.
    pub emergencies: Vec<Emergency>,
    /// Keys to the platforms' APIs.
    pub credentials: Vec<Credential>,
    /// Those who were here for a while and may be forgotten.
    pub visitors: Vec<Visitor>,
    people: Vec<Person>,
    acted: BTreeMap<(Platform, usize), BTreeSet<Moment>>,
}

impl Planted {
    pub(super) fn new(
        story: &Story,
        leavers: Vec<Leaver>,
        changes: Vec<Change>,
        violations: Vec<Violation>,
        emergencies: Vec<Emergency>,
        credentials: Vec<Credential>,
        visitors: Vec<Visitor>,
    ) -> Self {
        Self {
            holdings: story.holdings.clone(),
            privileged: story.privileged.clone(),
            leavers,
            changes,
            violations,
            emergencies,
            credentials,
            visitors,
            people: story.people.clone(),
            acted: story.acted.clone(),
        }
    }

    /// What is held at a moment.
    pub fn held_at(&self, at: Moment) -> impl Iterator<Item = &Holding> {
        self.holdings.iter().filter(move |holding| holding.is_held_at(at))
    }

    /// The address of somebody at a moment.
    #[must_use]
    pub fn email(&self, person: usize, at: Moment) -> &str {
        self.people[person].email_at(at)
    }

    /// The latest moment up to `at` at which somebody did something at a platform.
    #[must_use]
    pub fn last_act(&self, platform: Platform, person: usize, at: Moment) -> Option<Moment> {
        self.acted.get(&(platform, person))?.range(..=at).next_back().copied()
    }

    /// What was held before the year, for `flagtrail access import`.
    #[must_use]
    pub fn baseline_csv(&self) -> String {
        let mut csv =
            "kind,subject_id,subject_email,subject_name,scope_type,scope_id,scope_name,role\n".to_owned();
        for holding in self.holdings.iter().filter(|holding| holding.grant.is_none()) {
            let person = &self.people[holding.person];
            let (email, name, role) = (person.email_at(holding.from), &person.name, holding.role);
            let project = holding.project.unwrap_or_default();
            let called = project_name(holding.platform, project);
            csv += &format!("user,{},{email},{name},project,{project},{called},{role}\n", holding.user_id);
        }
        csv
    }

    /// The personnel department's list of those who have left.
    #[must_use]
    pub fn leavers_csv(&self) -> String {
        let mut csv = "email,name,terminated_at\n".to_owned();
        for leaver in &self.leavers {
            csv += &format!("{},{},{}\n", leaver.email, leaver.name, rfc3339(leaver.terminated));
        }
        csv
    }
}
