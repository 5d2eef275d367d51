//! Schedules of exports, as settings. What one is, and what it does, is the export crate's.

use audit_export::{NewSchedule, SCHEDULE_KIND, Schedule};
use audit_journal::Entity;
use audit_secret::{Keyring, SealError};
use serde_json::Value;

use crate::clock::now;
use crate::problem::Problem;
use crate::settings::declared::Declarable;
use crate::settings::stored::Setting;

/// Checks a new schedule.
pub(crate) fn make(new: NewSchedule) -> Result<Schedule, Problem> {
    new.make(now()).map_err(|error| Problem::field(error.field, error.problem))
}

impl Setting for Schedule {
    const KIND: &'static str = SCHEDULE_KIND;
    const OBJECT_TYPE: &'static str = "FLAGTRAIL_SCHEDULE";
    const CREATED: &'static str = "flagtrail.schedule.created";
    const UPDATED: &'static str = "flagtrail.schedule.updated";
    const DELETED: (&'static str, &'static str) = ("flagtrail.schedule.deleted", "deleted");
    /// Each is looked at every few seconds.
    const COUNT_MAX: usize = 200;
    const FULL_HINT: &'static str = "delete one that is no longer needed";

    fn read(entity: &Entity) -> Option<Self> {
        Self::read(&entity.value)
    }

    fn document(&self, _: &Keyring) -> Result<Value, SealError> {
        Ok(self.told())
    }

    fn told(&self) -> Value {
        serde_json::to_value(self).expect("a schedule has string keys only")
    }

    fn name(&self) -> &str {
        &self.asked.name
    }
}

impl Declarable for Schedule {
    fn declared_in(&self) -> Option<&str> {
        self.declared_in.as_deref()
    }

    fn set_declared_in(&mut self, file: Option<String>) {
        self.declared_in = file;
    }

    fn over(mut self, stored: &Self) -> Self {
        self.created_at.clone_from(&stored.created_at);
        self
    }

    fn secret_differences(&self, _: &Self, _: &Keyring) -> Vec<&'static str> {
        Vec::new()
    }
}
