//! The year as it is told: every request with the moment at which it goes in, and what is remembered of it so that the
//! truth can be written down.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::access::{Holding, Privileged};
use super::people::{Person, hire};
use super::projects::{PROJECTS, Platform, Project};
use super::random::Random;
use super::wire::native::Native;
use super::year::Moment;

/// A record of the year, before anybody knows its id. A request that is sent twice has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub usize);

/// How a request goes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    /// `POST` to the platform's source, as the platform sends it.
    Hook(Platform),
    /// A line of NDJSON to `POST /v1/records`, by a token that writes in the platform's name: what it can't tell itself.
    Records(Platform),
}

/// One request, or one line of one.
#[derive(Debug, Clone)]
pub struct Request {
    /// How it goes in.
    pub door: Door,
    /// The record that comes of it.
    pub tag: Tag,
    /// The body; a line of NDJSON has no end of line.
    pub body: String,
    /// When it happened, as the body says.
    pub happened: Moment,
    /// When it goes in: mostly as it happens, sometimes weeks later.
    pub arrives: Moment,
}

impl Request {
    /// The platform in whose name it is.
    #[must_use]
    pub fn platform(&self) -> Platform {
        match self.door {
            Door::Hook(platform) | Door::Records(platform) => platform,
        }
    }
}

/// The year in the making.
pub(super) struct Story {
    pub(super) random: Random,
    pub(super) people: Vec<Person>,
    pub(super) holdings: Vec<Holding>,
    pub(super) privileged: Vec<Privileged>,
    /// The moments at which somebody did something there, by platform and number of the person.
    pub(super) acted: BTreeMap<(Platform, usize), BTreeSet<Moment>>,
    requests: Vec<Request>,
    tags: usize,
    numbers: BTreeMap<&'static str, u64>,
}

impl Story {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let people = hire(&mut random);
        Self {
            random,
            people,
            holdings: Vec::new(),
            privileged: Vec::new(),
            acted: BTreeMap::new(),
            requests: Vec::new(),
            tags: 0,
            numbers: BTreeMap::new(),
        }
    }

    /// The next number of a series, from 1.
    pub(super) fn number(&mut self, series: &'static str) -> u64 {
        let number = self.numbers.entry(series).or_default();
        *number += 1;
        *number
    }

    pub(super) fn person(&self, number: usize) -> &Person {
        &self.people[number]
    }

    pub(super) fn project(&self, index: usize) -> &'static Project {
        &PROJECTS[index]
    }

    /// How many records the year has so far.
    pub(super) fn records(&self) -> usize {
        self.tags
    }

    /// Somebody did something.
    pub(super) fn act(&mut self, platform: Platform, person: usize, at: Moment) {
        self.acted.entry((platform, person)).or_default().insert(at);
    }

    /// A webhook of a platform, on time.
    pub(super) fn hook(&mut self, platform: Platform, happened: Moment, body: String) -> Tag {
        self.tell(Door::Hook(platform), happened, happened, body)
    }

    /// A record of our own form, on time. `record` is given its id.
    pub(super) fn native(
        &mut self,
        platform: Platform,
        happened: Moment,
        record: impl FnOnce(&str) -> Native,
    ) -> Tag {
        self.native_late(platform, happened, happened, record)
    }

    /// The same, told at another time than it happened.
    pub(super) fn native_late(
        &mut self,
        platform: Platform,
        happened: Moment,
        arrives: Moment,
        record: impl FnOnce(&str) -> Native,
    ) -> Tag {
        let line = record(&native_id(Tag(self.tags))).line();
        self.tell(Door::Records(platform), happened, arrives, line)
    }

    fn tell(&mut self, door: Door, happened: Moment, arrives: Moment, body: String) -> Tag {
        let tag = Tag(self.tags);
        self.tags += 1;
        self.requests.push(Request { door, tag, body, happened, arrives });
        tag
    }

    /// The request of a record once more, byte for byte.
    pub(super) fn repeat(&mut self, tag: Tag, arrives: Moment) {
        let first = self.requests.iter().find(|request| request.tag == tag).expect("it was told");
        let again = Request { arrives, ..first.clone() };
        self.requests.push(again);
    }

    /// Every request in the order in which it goes in.
    pub(super) fn into_requests(mut self) -> Vec<Request> {
        self.requests.sort_by_key(|request| (request.arrives, request.tag));
        self.requests
    }
}

/// The id of a record that goes in under one of our own making.
pub fn native_id(tag: Tag) -> String {
    format!("brightwater-{:06}", tag.0)
}

/// Somebody as author or approver of a record of our own form.
pub(super) fn user(person: &Person, at: Moment) -> Value {
    super::wire::native::user(person, at)
}
