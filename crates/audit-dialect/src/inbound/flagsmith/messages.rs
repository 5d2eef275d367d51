//! The sentences of Flagsmith's audit log (its `api/audit/constants.py` and those written in place), and the
//! action that each stands for. Data; [`super::template`] takes them apart.

use super::template::{Filled, fill};

/// Longest text that is taken apart, in bytes; a name has at most 2,000 characters. A longer one is kept as
/// it is, like one that is not known.
const LOG_BYTES_MAX: usize = 64 * 1024;

/// A sentence, and what it says happened.
pub(super) struct Message {
    /// The sentence with holes.
    pub(super) template: &'static str,
    pub(super) action: &'static str,
    /// The actions that it may stand for, too: see [`Message::may_also_mean`].
    or: &'static [&'static str],
}

const fn says(template: &'static str, action: &'static str) -> Message {
    Message { template, action, or: &[] }
}

impl Message {
    const fn or(mut self, actions: &'static [&'static str]) -> Self {
        self.or = actions;
        self
    }

    /// What else an entry with this sentence about such an object may stand for: Flagsmith says the same of both, and
    /// only other entries, if any, tell which it was.
    pub(super) fn may_also_mean(&self, related_object_type: &str) -> &'static [&'static str] {
        match related_object_type {
            // The entry of the flag itself says one thing only; that of its state in an environment comes also
            // where the environment was deleted.
            "FEATURE" if self.action == FLAG_DELETED => &[],
            _ => self.or,
        }
    }
}

/// The action of a deleted flag.
const FLAG_DELETED: &str = "flag.deleted";

/// One sentence serves a new override and a changed one.
const OR_CREATED: &[&str] = &["flag.override.created"];

/// Every sentence known. Flagsmith uses one of them for several things in these cases: a first state in an
/// environment reads like a new flag, a deleted environment like deleted flags, an edited segment also like
/// a new one (a revision copy), archiving like any other update, and a new override like a changed one. Where that
/// would mislead, the entry is marked with what else it may mean.
pub(super) const MESSAGES: &[Message] = &[
    // Flags.
    says("New Flag / Remote Config created: {flag}", "flag.created"),
    says("Flag / Remote Config updated: {flag}", "flag.updated").or(&["flag.archived", "flag.unarchived"]),
    says("Flag / Remote Config Deleted: {flag}", FLAG_DELETED).or(&["flag.environment.removed"]),
    says("Multivariate option added to feature '{flag}'.", "flag.variant.added"),
    says("Multivariate option removed from feature '{flag}'.", "flag.variant.removed"),
    // A flag's setting in an environment.
    says("Flag state updated for feature: {flag}", "flag.state.changed"),
    says("Remote config value updated for feature: {flag}", "flag.value.changed"),
    says("Multivariate value changed for feature '{flag}'.", "flag.variant.changed"),
    says(
        "Flag state / Remote config updated for feature: {flag} by Change Request: {change_request}",
        "flag.changed",
    ),
    says(
        "Scheduled change to Flag state / Remote config value went live for feature: {flag} by Change Request: {change_request}",
        "flag.changed",
    ),
    says(
        "Flag state / Remote config updated for feature: {flag} by Release pipeline: {release_pipeline} (stage: {stage})",
        "flag.changed",
    ),
    says(
        "Flag state / Remote Config value update scheduled for {scheduled_for} for feature: {flag}",
        "flag.change.scheduled",
    ),
    says(
        "Flag state for feature '{flag}' scheduled for update by Change Request '{change_request}' at {scheduled_for}.",
        "flag.change.scheduled",
    ),
    says("New version published for feature: {flag}", "flag.version.published"),
    // Overrides.
    says("Segment overrides re-ordered for feature '{flag}'.", "flag.override.reordered"),
    says(
        "Flag state / Remote config value updated for feature '{flag}' and segment '{segment}'",
        "flag.override.changed",
    )
    .or(OR_CREATED),
    says(
        "Remote config updated for segment override on feature '{flag}' and segment '{segment}'.",
        "flag.override.changed",
    )
    .or(OR_CREATED),
    says("Multivariate value changed for feature '{flag}' and segment '{segment}'.", "flag.override.changed")
        .or(OR_CREATED),
    says(
        "Flag state / Remote config value deleted for feature '{flag}' and segment '{segment}'",
        "flag.override.removed",
    ),
    says(
        "Flag / Remote config value deleted for feature '{flag}' and segment '{segment}'",
        "flag.override.removed",
    ),
    says(
        "Segment override scheduled for {scheduled_for} for feature '{flag}' and segment '{segment}'",
        "flag.change.scheduled",
    ),
    says("Segment rules updated for flag: {flag} in environment: {environment}", "flag.override.changed"),
    says(
        "Flag state / Remote config value updated for feature '{flag}' and identity '{identity}'",
        "flag.override.changed",
    )
    .or(OR_CREATED),
    says(
        "Remote config value updated for identity override on feature '{flag}' and identity '{identity}'.",
        "flag.override.changed",
    )
    .or(OR_CREATED),
    says(
        "Multivariate value changed for feature '{flag}' and identity '{identity}'.",
        "flag.override.changed",
    )
    .or(OR_CREATED),
    says(
        "Flag state / Remote config value deleted for feature '{flag}' and identity '{identity}'",
        "flag.override.removed",
    ),
    says(
        "Identity override scheduled for {scheduled_for} for feature '{flag}' and identity '{identity}'",
        "flag.change.scheduled",
    ),
    says("Feature override created for feature '{flag}' and identity '{identity}'", "flag.override.created"),
    says("Feature override updated for feature '{flag}' and identity '{identity}'", "flag.override.changed"),
    says("Feature override deleted for feature '{flag}' and identity '{identity}'", "flag.override.removed"),
    // Segments and environments.
    says("New Segment created: {segment}", "flag.segment.created").or(&["flag.segment.changed"]),
    says("Segment updated: {segment}", "flag.segment.changed"),
    says("Segment deleted: {segment}", "flag.segment.removed"),
    says("New Environment created: {environment}", "environment.created"),
    says("Environment updated: {environment}", "environment.updated"),
    // Change requests.
    says("Change Request: {change_request} created", "change_request.created"),
    says("Change Request: {change_request} approved", "change_request.approved"),
    says("Change Request: {change_request} committed", "change_request.committed"),
    says("Change Request: {change_request} deleted", "change_request.deleted"),
    // Release pipelines.
    says("Release Pipeline: {release_pipeline} created", "release_pipeline.created"),
    says("Release Pipeline: {release_pipeline} cloned", "release_pipeline.cloned"),
    says("Release Pipeline: {release_pipeline} updated", "release_pipeline.updated"),
    says("Release Pipeline: {release_pipeline} published", "release_pipeline.published"),
    says("Release Pipeline: {release_pipeline} Converted to Draft", "release_pipeline.unpublished"),
    says("Release Pipeline: {release_pipeline} deleted", "release_pipeline.deleted"),
    says("Feature: {flag} added to Release Pipeline: {release_pipeline}", "flag.release_pipeline.added"),
    says(
        "Feature: {flag} removed from Release Pipeline: {release_pipeline}",
        "flag.release_pipeline.removed",
    ),
    says(
        "Phased rollout created for feature: {flag} by release pipeline: {release_pipeline} (stage: {stage})",
        "flag.rollout.created",
    ),
    says(
        "Phased rollout split changed from '{from}%' to '{to}%' for feature '{flag}' by release pipeline '{release_pipeline}' (stage: '{stage}')",
        "flag.rollout.changed",
    ),
    // Imports.
    says("New LaunchDarkly import requested", "flag.import.requested"),
    says("LaunchDarkly import completed successfully", "flag.import.completed"),
    says("LaunchDarkly import failed", "flag.import.failed"),
    says("LaunchDarkly import failed with errors:\n- {errors}", "flag.import.failed"),
    // Health.
    says("Health provider {provider} set up for project {project}.", "health.provider.created"),
    says("Health provider {provider} removed from project {project}.", "health.provider.deleted"),
    says("Health status changed to {status} for feature {flag}.", "health.changed"),
    says("Health status changed to {status} for feature {flag}.\n\nProvided by {provider}", "health.changed"),
    says("Health status changed to {status} for feature {flag}.\n\nReason:\n{reason}", "health.changed"),
    says(
        "Health status changed to {status} for feature {flag}.\n\nProvided by {provider}\n\nReason:\n{reason}",
        "health.changed",
    ),
    // Experiments, their metrics and warehouses: `{verb}` takes the verbs of tomorrow.
    says("Experiment '{experiment}' created for environment {environment}", "flag.experiment.created"),
    says("Experiment '{experiment}' deleted for environment {environment}", "flag.experiment.removed"),
    says("Experiment '{experiment}' {verb} for environment {environment}", "flag.experiment.changed"),
    says("Metric '{metric}' created", "metric.created"),
    says("Metric '{metric}' deleted", "metric.deleted"),
    says("Metric '{metric}' {verb}", "metric.updated"),
    says("Warehouse connection created for environment {environment}", "warehouse_connection.created"),
    says("Warehouse connection deleted for environment {environment}", "warehouse_connection.deleted"),
    says("Warehouse connection {verb} for environment {environment}", "warehouse_connection.updated"),
];

/// Finds the sentence that `log` is. Several fit where a name looks like a part of a sentence, or where one
/// sentence is another with an addition: then the one that explains most counts, then the plainest flag.
pub(super) fn recognise(log: &str) -> Option<(&'static Message, Filled<'_>)> {
    if log.len() > LOG_BYTES_MAX {
        return None;
    }
    let fitting = MESSAGES.iter().filter_map(|message| Some((message, fill(message.template, log)?)));
    let mut fitting: Vec<_> = fitting.collect();
    // A stable sort: of equals, the one that stands first in the table counts, a fixed verb before `{verb}`.
    fitting.sort_by_key(|(_, filled)| {
        let flag_bytes = filled.get("flag").map_or(0, str::len);
        (std::cmp::Reverse(filled.names()), flag_bytes)
    });
    let mut fitting = fitting.into_iter();
    let (message, mut filled) = fitting.next()?;
    filled.ambiguous |= fitting.next().is_some_and(|(_, other)| other.len() == filled.len());
    Some((message, filled))
}

/// The action of an entry whose sentence is not known, by the kind of object it is about. What might
/// change what a flag returns is called a change of flags.
pub(in crate::inbound) fn action_of_unknown(related_object_type: &str) -> &'static str {
    match related_object_type {
        "SEGMENT" => "flag.segment.changed",
        "EDGE_IDENTITY" => "flag.override.changed",
        "EF_VERSION" => "flag.version.published",
        "EXPERIMENT" => "flag.experiment.changed",
        "ENVIRONMENT" => "environment.updated",
        "CHANGE_REQUEST" => "change_request.updated",
        "FEATURE_HEALTH" => "health.changed",
        "WAREHOUSE_CONNECTION" => "warehouse_connection.updated",
        "METRIC" => "metric.updated",
        // FEATURE, FEATURE_STATE, RELEASE_PIPELINE, IMPORT_REQUEST, and whatever comes.
        _ => "flag.changed",
    }
}
