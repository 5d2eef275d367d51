//! mozhno's webhook with Flagtrail's body template, in which it says what it knows. The time is that of the dispatch,
//! moments after the change.

use crate::company::year::{Moment, rfc3339};

/// The values of the template's variables.
pub(in crate::company) struct Event<'a> {
    pub(in crate::company) action: &'a str,
    pub(in crate::company) resource_type: &'a str,
    pub(in crate::company) resource_id: u64,
    pub(in crate::company) resource_name: &'a str,
    pub(in crate::company) details: &'a str,
    pub(in crate::company) project_id: &'a str,
    /// Id, name, e-mail of who did it.
    pub(in crate::company) user: (u64, &'a str, &'a str),
    pub(in crate::company) at: Moment,
}

pub(in crate::company) fn body(event: &Event<'_>) -> String {
    let Event { action, resource_type, resource_id, resource_name, details, project_id, user, at } = event;
    let (id, name, email) = user;
    format!(
        "flagtrail mozhno 1\naction={action}\nresourceType={resource_type}\nresourceId={resource_id}\nprojectId={project_id}\n\
         user.id={id}\ntimestamp={}\n--- flagtrail resourceName ---\n{resource_name}\n--- flagtrail details ---\n{details}\n\
         --- flagtrail user.email ---\n{email}\n--- flagtrail user.name ---\n{name}\n--- flagtrail end ---\n",
        rfc3339(*at)
    )
}
