//! What was asked for.

use audit_record::{Period, Timestamp};
use serde_json::{Value, json};

/// Largest list that a report compares with, in bytes: some 100,000 people.
pub const LIST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What was asked for, within what whoever asks may see.
#[derive(Clone, Debug)]
pub struct Question {
    /// The projects, by id, key or name; all where there are none.
    pub projects: Vec<String>,
    /// Whether whoever asks may see these projects alone. Then what lies above projects stays out, too.
    pub limited: bool,
    /// From when to when, for reports over a period.
    pub period: Period,
    /// The moment, for reports of one.
    pub at: Timestamp,
    /// The list to compare with, in CSV.
    pub list: Option<String>,
    /// Who asks.
    pub asked_by: String,
    /// When.
    pub asked_at: Timestamp,
}

impl Question {
    /// As it is shown in the report.
    pub(crate) fn parameters(&self, about_moment: bool) -> Value {
        let projects = if self.projects.is_empty() { json!("all") } else { json!(self.projects) };
        let mut shown = json!({ "projects": projects });
        let moment =
            |at: Option<Timestamp>, open: &str| at.map_or_else(|| open.to_owned(), |at| at.to_string());
        if about_moment {
            shown["at"] = json!(self.at.to_string());
        } else {
            shown["from"] = json!(moment(self.period.from, "the beginning"));
            shown["to"] = json!(moment(self.period.to, "now"));
        }
        if let Some(list) = &self.list {
            shown["list_lines"] = json!(list.lines().count().saturating_sub(1));
        }
        shown
    }

    /// Whether a moment lies in the period.
    pub(crate) fn covers(&self, at: Timestamp) -> bool {
        self.period.from.is_none_or(|from| at >= from) && self.period.to.is_none_or(|to| at < to)
    }
}
