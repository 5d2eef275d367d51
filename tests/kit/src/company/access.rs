//! Who holds what, and how it is told: of Flagsmith by the company's own bridge, of Unleash and mozhno by themselves.

use serde_json::{Value, json};

use super::projects::Platform;
use super::story::{Story, Tag, user};
use super::wire::mozhno;
use super::wire::native::Native;
use super::wire::unleash::{self, By};
use super::year::Moment;

/// The roles that count as privileged, as the configuration has them.
pub const PRIVILEGED: [&str; 3] = ["admin", "Owner", "ADMIN"];

/// Somebody held a role in a project for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding {
    /// Where.
    pub platform: Platform,
    /// Who, by number.
    pub person: usize,
    /// The id that the platform knows them by.
    pub user_id: String,
    /// The project's id there; none for the whole account.
    pub project: Option<&'static str>,
    /// As the platform calls it.
    pub role: &'static str,
    /// From when on.
    pub from: Moment,
    /// By whom, as an author reads; nobody for what was there before.
    pub granted_by: Option<String>,
    /// The record that says so; none for what was there before, which is imported.
    pub grant: Option<Tag>,
    /// Until when.
    pub until: Option<Moment>,
    /// By whom it was ended, as an author reads.
    pub removed_by: Option<String>,
    /// The record that ended it.
    pub removal: Option<Tag>,
}

impl Holding {
    /// Whether it is held at a moment: from its beginning on, and no longer at its end.
    #[must_use]
    pub fn is_held_at(&self, at: Moment) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

/// A record by which a privileged role was given or taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Privileged {
    /// Which.
    pub record: Tag,
    /// When.
    pub at: Moment,
    /// Who did it.
    pub actor: String,
    /// To whom.
    pub target: String,
    /// `grant`, `elevate` or `revoke`.
    pub action: &'static str,
    /// The role.
    pub role: &'static str,
    /// Whether both are the same.
    pub by_own_hand: bool,
}

/// Whether a role is privileged.
#[must_use]
pub fn is_privileged(role: &str) -> bool {
    PRIVILEGED.contains(&role)
}

impl Story {
    /// What somebody has held since before the year, at Flagsmith: it stands in the list to import.
    pub(super) fn has_held(&mut self, person: usize, project: usize, role: &'static str) {
        let (at, known_as) = (super::year::begin(), self.person(person).flagsmith_id().to_string());
        let project = Some(self.project(project).id);
        self.holdings.push(Holding {
            platform: Platform::Flagsmith,
            person,
            user_id: known_as,
            project,
            role,
            from: at,
            granted_by: None,
            grant: None,
            until: None,
            removed_by: None,
            removal: None,
        });
    }

    /// Gives a role in a project.
    pub(super) fn grant(
        &mut self,
        person: usize,
        project: usize,
        role: &'static str,
        at: Moment,
        by: usize,
    ) -> Tag {
        let tag = self.tell_access(person, project, Some(role), true, (at, at), by);
        self.note_grant(person, project, role, at, by, tag);
        self.hold(person, project, role, at, by, tag);
        tag
    }

    /// The same, told later than it happened: `(happened, arrives)`. What was told of its end has to be told afterwards here,
    /// whenever it arrives.
    pub(super) fn grant_late(
        &mut self,
        person: usize,
        project: usize,
        role: &'static str,
        times: (Moment, Moment),
        by: usize,
    ) -> Tag {
        let tag = self.tell_access(person, project, Some(role), true, times, by);
        self.note_grant(person, project, role, times.0, by, tag);
        self.hold(person, project, role, times.0, by, tag);
        tag
    }

    /// Takes a role in a project away, or all that somebody has there where none is named.
    pub(super) fn remove(
        &mut self,
        person: usize,
        project: usize,
        role: Option<&'static str>,
        at: Moment,
        by: usize,
    ) -> Tag {
        self.remove_late(person, project, role, (at, at), by)
    }

    /// The same, told later than it happened: `(happened, arrives)`.
    pub(super) fn remove_late(
        &mut self,
        person: usize,
        project: usize,
        role: Option<&'static str>,
        times: (Moment, Moment),
        by: usize,
    ) -> Tag {
        let tag = self.tell_access(person, project, role, false, times, by);
        let remover = self.shown(self.project(project).platform, by, times.0);
        let (platform, id) = (self.project(project).platform, self.project(project).id);
        for holding in self.holdings.iter_mut().filter(|holding| {
            (holding.platform, holding.person) == (platform, person)
                && holding.project.is_none_or(|project| project == id)
                && role.is_none_or(|role| role == holding.role)
                && holding.is_held_at(times.0)
        }) {
            holding.until = Some(times.0);
            holding.removed_by = Some(remover.clone());
            holding.removal = Some(tag);
            if is_privileged(holding.role) {
                self.privileged.push(Privileged {
                    record: tag,
                    at: times.0,
                    actor: remover.clone(),
                    target: self.people[person].email_at(times.0).to_owned(),
                    action: "revoke",
                    role: holding.role,
                    by_own_hand: person == by,
                });
            }
        }
        tag
    }

    /// Says again that a role was given that is held: as a nightly job does.
    pub(super) fn grant_again(
        &mut self,
        person: usize,
        project: usize,
        role: &'static str,
        at: Moment,
        by: usize,
    ) -> Tag {
        let tag = self.tell_access(person, project, Some(role), true, (at, at), by);
        self.note_grant(person, project, role, at, by, tag);
        tag
    }

    /// Another role in place of the one that somebody has in a project of Unleash.
    pub(super) fn change_role(
        &mut self,
        person: usize,
        project: usize,
        role: &'static str,
        at: Moment,
        by: usize,
    ) -> Tag {
        let id = self.number("unleash");
        let body = unleash::event(
            id,
            "project-user-role-changed",
            &self.by(by, at),
            at,
            json!({
                "project": self.project(project).id,
                "data": {"userId": self.person(person).unleash_id(), "email": self.person(person).email_at(at), "roleName": role},
            }),
        );
        let tag = self.hook(Platform::Unleash, at, body);
        self.act(Platform::Unleash, by, at);
        let remover = self.shown(Platform::Unleash, by, at);
        let project_id = self.project(project).id;
        for holding in self.holdings.iter_mut().filter(|holding| {
            (holding.platform, holding.person, holding.project)
                == (Platform::Unleash, person, Some(project_id))
                && holding.is_held_at(at)
        }) {
            holding.until = Some(at);
            holding.removed_by = Some(remover.clone());
            holding.removal = Some(tag);
        }
        self.privileged.push(Privileged {
            record: tag,
            at,
            actor: remover,
            target: self.person(person).email_at(at).to_owned(),
            action: "elevate",
            role,
            by_own_hand: person == by,
        });
        self.hold(person, project, role, at, by, tag);
        tag
    }

    /// Deletes somebody at Unleash: whatever they held there is gone.
    pub(super) fn delete_user(&mut self, person: usize, at: Moment, by: usize) -> Tag {
        let id = self.number("unleash");
        let before = json!({
            "id": self.person(person).unleash_id(), "name": self.person(person).name,
            "email": self.person(person).email_at(at), "rootRole": 3,
        });
        let body = unleash::event(id, "user-deleted", &self.by(by, at), at, json!({"preData": before}));
        let tag = self.hook(Platform::Unleash, at, body);
        self.act(Platform::Unleash, by, at);
        let remover = self.shown(Platform::Unleash, by, at);
        for holding in self.holdings.iter_mut().filter(|holding| {
            (holding.platform, holding.person) == (Platform::Unleash, person) && holding.is_held_at(at)
        }) {
            holding.until = Some(at);
            holding.removed_by = Some(remover.clone());
            holding.removal = Some(tag);
        }
        tag
    }

    fn note_grant(
        &mut self,
        person: usize,
        project: usize,
        role: &'static str,
        at: Moment,
        by: usize,
        record: Tag,
    ) {
        if !is_privileged(role) {
            return;
        }
        let (platform, id) = (self.project(project).platform, self.project(project).id);
        let is_more = self.holdings.iter().any(|holding| {
            (holding.platform, holding.person) == (platform, person)
                && holding.project.is_none_or(|project| project == id)
                && holding.role != role
                && holding.from < at
                && holding.is_held_at(at)
        });
        self.privileged.push(Privileged {
            record,
            at,
            actor: self.person(by).email_at(at).to_owned(),
            target: self.person(person).email_at(at).to_owned(),
            action: if is_more { "elevate" } else { "grant" },
            role,
            by_own_hand: person == by,
        });
    }

    fn hold(&mut self, person: usize, project: usize, role: &'static str, at: Moment, by: usize, grant: Tag) {
        let platform = self.project(project).platform;
        // A user of mozhno has a role in the installation, not in a project.
        let scope = (platform != Platform::Mozhno).then(|| self.project(project).id);
        let granted_by = self.shown(platform, by, at);
        let user_id = match platform {
            Platform::Unleash => self.person(person).unleash_id(),
            Platform::Mozhno => self.person(person).mozhno_id(),
            _ => self.person(person).flagsmith_id(),
        };
        self.holdings.push(Holding {
            platform,
            person,
            user_id: user_id.to_string(),
            project: scope,
            role,
            from: at,
            granted_by: Some(granted_by),
            grant: Some(grant),
            until: None,
            removed_by: None,
            removal: None,
        });
    }

    /// How somebody reads as author there.
    fn shown(&self, _platform: Platform, person: usize, at: Moment) -> String {
        self.person(person).email_at(at).to_owned()
    }

    pub(super) fn by(&self, person: usize, at: Moment) -> By {
        let person = self.person(person);
        By { name: person.email_at(at).to_owned(), id: person.unleash_id() }
    }

    fn tell_access(
        &mut self,
        person: usize,
        project: usize,
        role: Option<&'static str>,
        is_grant: bool,
        (happened, arrives): (Moment, Moment),
        by: usize,
    ) -> Tag {
        let platform = self.project(project).platform;
        self.act(platform, by, happened);
        match platform {
            Platform::Unleash => self.tell_unleash(person, project, role, is_grant, happened, by),
            Platform::Mozhno => self.tell_mozhno(person, role, is_grant, happened, by),
            Platform::Flagsmith | Platform::Zenmanage => {
                let (whom, author) = (self.person(person).clone(), user(self.person(by), happened));
                let project = self.project(project);
                let (action, effect, verb) = if is_grant {
                    ("access.granted", "granted", "was given")
                } else {
                    ("access.removed", "removed", "lost")
                };
                let access = json!({
                    "subject": {
                        "type": "user", "id": whom.flagsmith_id().to_string(), "email": whom.email_at(happened),
                        "name": whom.name,
                    },
                    "scope": {"type": "project", "id": project.id}, "role": role, "effect": effect,
                });
                let log =
                    format!("{} {verb} {} in {}", whom.name, role.unwrap_or("everything"), project.name);
                self.native_late(platform, happened, arrives, |id| {
                    Native::new(id, action, log, happened, author)
                        .project(project)
                        .with("related_object_type", json!("PROJECT_ACCESS"))
                        .with("related_object", json!({"id": project.id}))
                        .with("access", access)
                })
            }
        }
    }

    fn tell_unleash(
        &mut self,
        person: usize,
        project: usize,
        role: Option<&'static str>,
        is_grant: bool,
        at: Moment,
        by: usize,
    ) -> Tag {
        let id = self.number("unleash");
        let mut whom: Value =
            json!({"userId": self.person(person).unleash_id(), "email": self.person(person).email_at(at)});
        if let Some(role) = role {
            whom["roleName"] = json!(role);
        }
        let (kind, more) = if is_grant {
            ("project-user-added", json!({"project": self.project(project).id, "data": whom}))
        } else {
            ("project-user-removed", json!({"project": self.project(project).id, "preData": whom}))
        };
        let body = unleash::event(id, kind, &self.by(by, at), at, more);
        self.hook(Platform::Unleash, at, body)
    }

    fn tell_mozhno(
        &mut self,
        person: usize,
        role: Option<&'static str>,
        is_grant: bool,
        at: Moment,
        by: usize,
    ) -> Tag {
        let details = match (is_grant, role) {
            (true, role) => format!("Role: {}", role.unwrap_or_default()),
            (false, _) => "User deleted".to_owned(),
        };
        let (whom, who) = (self.person(person), self.person(by));
        let body = mozhno::body(&mozhno::Event {
            action: if is_grant { "user.created" } else { "user.deleted" },
            resource_type: "user",
            resource_id: whom.mozhno_id(),
            resource_name: whom.email_at(at),
            details: &details,
            // mozhno publishes what concerns users without a project.
            project_id: "",
            user: (who.mozhno_id(), &who.name, who.email_at(at)),
            at,
        });
        self.hook(Platform::Mozhno, at, body)
    }
}
