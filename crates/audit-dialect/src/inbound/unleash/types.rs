//! The types of Unleash's events: what each is about, and what it says happened. Data.

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Flag,
    /// A flag in one environment.
    FlagState,
    /// A rollout strategy of a flag.
    Strategy,
    /// A custom kind of strategy.
    StrategyKind,
    Segment,
    ContextField,
    Tag,
    /// A kind of tags, such as `jira`.
    TagType,
    Environment,
    Project,
    User,
    ServiceAccount,
    Role,
    Group,
    ProjectAccess,
    ApiKey,
    Webhook,
    ChangeRequest,
}

impl Object {
    /// The word for it in a sentence.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Flag | Self::FlagState => "Flag",
            Self::Strategy => "Strategy",
            Self::StrategyKind => "Custom strategy",
            Self::Segment => "Segment",
            Self::ContextField => "Context field",
            Self::Tag => "Tag",
            Self::TagType => "Type of tags",
            Self::Environment => "Environment",
            Self::Project => "Project",
            Self::User => "User",
            Self::ServiceAccount => "Service account",
            Self::Role => "Role",
            Self::Group => "Group",
            Self::ProjectAccess => "Access to project",
            Self::ApiKey => "API token",
            Self::Webhook => "Integration",
            Self::ChangeRequest => "Change request",
        }
    }

    pub(super) fn related_object_type(self) -> &'static str {
        match self {
            Self::Flag => "FEATURE",
            Self::FlagState => "FEATURE_STATE",
            Self::Strategy | Self::StrategyKind => "STRATEGY",
            Self::Segment => "SEGMENT",
            Self::ContextField => "CONTEXT_DEFINITION",
            Self::Tag => "TAG",
            Self::TagType => "TAG_TYPE",
            Self::Environment => "ENVIRONMENT",
            Self::Project => "PROJECT",
            Self::User | Self::ServiceAccount => "USER",
            Self::Role => "ROLE",
            Self::Group => "GROUP",
            Self::ProjectAccess => "PROJECT_ACCESS",
            Self::ApiKey => "API_KEY",
            Self::Webhook => "WEBHOOK",
            Self::ChangeRequest => "CHANGE_REQUEST",
        }
    }

    /// Whether it is a flag, or a part of one.
    pub(super) fn is_of_a_flag(self) -> bool {
        matches!(self, Self::Flag | Self::FlagState | Self::Strategy)
    }

    /// Whether such a thing may belong to the whole installation.
    pub(super) fn may_stand_above_projects(self) -> bool {
        !matches!(
            self,
            Self::Flag | Self::FlagState | Self::Strategy | Self::ProjectAccess | Self::ChangeRequest
        )
    }
}

/// A type of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventType {
    /// Unleash's word for it.
    pub(super) name: &'static str,
    pub(super) action: &'static str,
    pub(super) object: Object,
    /// What happened to the object, to go on from its noun and name.
    pub(super) words: &'static str,
}

const fn of(name: &'static str, action: &'static str, object: Object, words: &'static str) -> EventType {
    EventType { name, action, object, words }
}

/// The type that Unleash calls `name`.
pub(super) fn event_type(name: &str) -> Option<&'static EventType> {
    EVENT_TYPES.iter().find(|known| known.name == name)
}

/// Every type that is told apart.
pub(super) const EVENT_TYPES: &[EventType] = &[
    of("feature-created", "flag.created", Object::Flag, "created"),
    of("feature-updated", "flag.updated", Object::Flag, "updated"),
    of("feature-metadata-updated", "flag.updated", Object::Flag, "updated"),
    of("feature-archived", "flag.archived", Object::Flag, "archived"),
    of("feature-revived", "flag.unarchived", Object::Flag, "revived"),
    of("feature-deleted", "flag.deleted", Object::Flag, "deleted"),
    of("feature-project-change", "flag.moved", Object::Flag, "moved to another project"),
    of("feature-variants-updated", "flag.variant.changed", Object::Flag, "got other variants"),
    of(
        "feature-environment-variants-updated",
        "flag.variant.changed",
        Object::FlagState,
        "got other variants",
    ),
    of("feature-environment-enabled", "flag.state.changed", Object::FlagState, "switched on"),
    of("feature-environment-disabled", "flag.state.changed", Object::FlagState, "switched off"),
    of("feature-stale-on", "flag.stale.marked", Object::Flag, "marked stale"),
    of("feature-stale-off", "flag.stale.unmarked", Object::Flag, "no longer marked stale"),
    of("feature-potentially-stale-on", "flag.stale.suspected", Object::Flag, "thought to be stale"),
    of("feature-completed", "flag.lifecycle.completed", Object::Flag, "declared completed"),
    of("feature-uncompleted", "flag.lifecycle.uncompleted", Object::Flag, "declared not completed after all"),
    of("feature-tagged", "flag.tag.added", Object::Flag, "tagged"),
    of("feature-untagged", "flag.tag.removed", Object::Flag, "untagged"),
    of("feature-link-added", "flag.link.added", Object::Flag, "got a link"),
    of("feature-link-updated", "flag.link.changed", Object::Flag, "got another link"),
    of("feature-link-removed", "flag.link.removed", Object::Flag, "lost a link"),
    of("feature-dependency-added", "flag.dependency.added", Object::Flag, "made dependent on another"),
    of("feature-dependency-removed", "flag.dependency.removed", Object::Flag, "made independent of another"),
    of(
        "feature-dependencies-removed",
        "flag.dependency.removed",
        Object::Flag,
        "made independent of all others",
    ),
    of("feature-strategy-add", "flag.strategy.created", Object::Strategy, "added"),
    of("feature-strategy-update", "flag.strategy.changed", Object::Strategy, "changed"),
    of("feature-strategy-remove", "flag.strategy.removed", Object::Strategy, "removed"),
    of("strategy-order-changed", "flag.strategy.reordered", Object::Strategy, "order changed"),
    of("segment-created", "flag.segment.created", Object::Segment, "created"),
    of("segment-updated", "flag.segment.changed", Object::Segment, "changed"),
    of("segment-deleted", "flag.segment.removed", Object::Segment, "deleted"),
    of("strategy-created", "strategy.created", Object::StrategyKind, "created"),
    of("strategy-updated", "strategy.updated", Object::StrategyKind, "updated"),
    of("strategy-deleted", "strategy.deleted", Object::StrategyKind, "deleted"),
    of("context-field-created", "context_definition.created", Object::ContextField, "created"),
    of("context-field-updated", "context_definition.updated", Object::ContextField, "updated"),
    of("context-field-deleted", "context_definition.deleted", Object::ContextField, "deleted"),
    of("tag-created", "tag.created", Object::Tag, "created"),
    of("tag-deleted", "tag.deleted", Object::Tag, "deleted"),
    of("tag-type-created", "tag_type.created", Object::TagType, "created"),
    of("tag-type-updated", "tag_type.updated", Object::TagType, "updated"),
    of("tag-type-deleted", "tag_type.deleted", Object::TagType, "deleted"),
    of("environment-created", "environment.created", Object::Environment, "created"),
    of("environment-updated", "environment.updated", Object::Environment, "updated"),
    of("environment-deleted", "flag.environment.removed", Object::Environment, "deleted"),
    of("project-environment-added", "flag.environment.added", Object::Environment, "added to the project"),
    of(
        "project-environment-removed",
        "flag.environment.removed",
        Object::Environment,
        "removed from the project",
    ),
    of("project-created", "project.created", Object::Project, "created"),
    of("project-updated", "project.updated", Object::Project, "updated"),
    of("project-deleted", "flag.project.removed", Object::Project, "deleted"),
    of("user-created", "user.created", Object::User, "created"),
    of("user-updated", "user.updated", Object::User, "updated"),
    of("user-deleted", "user.deleted", Object::User, "deleted"),
    of("service-account-created", "user.created", Object::ServiceAccount, "created"),
    of("service-account-updated", "user.updated", Object::ServiceAccount, "updated"),
    of("service-account-deleted", "user.deleted", Object::ServiceAccount, "deleted"),
    of("role-created", "role.created", Object::Role, "created"),
    of("role-updated", "role.updated", Object::Role, "updated"),
    of("role-deleted", "role.deleted", Object::Role, "deleted"),
    of("group-created", "group.created", Object::Group, "created"),
    of("group-updated", "group.updated", Object::Group, "updated"),
    of("group-deleted", "group.deleted", Object::Group, "deleted"),
    of("group-user-added", "group.updated", Object::Group, "got a member"),
    of("group-user-removed", "group.updated", Object::Group, "lost a member"),
    of("project-access-added", "access.granted", Object::ProjectAccess, "granted"),
    of("project-user-added", "access.granted", Object::ProjectAccess, "granted to a user"),
    of("project-group-added", "access.granted", Object::ProjectAccess, "granted to a group"),
    of("project-access-updated", "access.role.granted", Object::ProjectAccess, "changed"),
    of(
        "project-access-user-roles-updated",
        "access.role.granted",
        Object::ProjectAccess,
        "of a user changed",
    ),
    of(
        "project-access-group-roles-updated",
        "access.role.granted",
        Object::ProjectAccess,
        "of a group changed",
    ),
    of("project-user-role-changed", "access.role.granted", Object::ProjectAccess, "of a user changed"),
    of("project-group-role-changed", "access.role.granted", Object::ProjectAccess, "of a group changed"),
    of("project-access-user-roles-deleted", "access.removed", Object::ProjectAccess, "of a user removed"),
    of("project-access-group-roles-deleted", "access.removed", Object::ProjectAccess, "of a group removed"),
    of("project-user-removed", "access.removed", Object::ProjectAccess, "of a user removed"),
    of("project-group-removed", "access.removed", Object::ProjectAccess, "of a group removed"),
    of("api-token-created", "api_key.created", Object::ApiKey, "created"),
    of("api-token-updated", "api_key.updated", Object::ApiKey, "updated"),
    of("api-token-deleted", "api_key.deleted", Object::ApiKey, "deleted"),
    of("pat-created", "api_key.created", Object::ApiKey, "(personal) created"),
    of("pat-deleted", "api_key.deleted", Object::ApiKey, "(personal) deleted"),
    of("addon-config-created", "webhook.created", Object::Webhook, "created"),
    of("addon-config-updated", "webhook.updated", Object::Webhook, "updated"),
    of("addon-config-deleted", "webhook.deleted", Object::Webhook, "deleted"),
    of("change-request-created", "change_request.created", Object::ChangeRequest, "created"),
    of("change-request-sent-to-review", "change_request.created", Object::ChangeRequest, "sent to review"),
    of("change-added", "change_request.updated", Object::ChangeRequest, "got a change"),
    of("change-edited", "change_request.updated", Object::ChangeRequest, "got another change"),
    of("change-discarded", "change_request.updated", Object::ChangeRequest, "lost a change"),
    of("change-request-approved", "change_request.approved", Object::ChangeRequest, "approved"),
    of("change-request-approval-added", "change_request.approved", Object::ChangeRequest, "got an approval"),
    of("change-request-rejected", "change_request.rejected", Object::ChangeRequest, "rejected"),
    of("change-request-cancelled", "change_request.deleted", Object::ChangeRequest, "cancelled"),
    of("change-request-discarded", "change_request.deleted", Object::ChangeRequest, "discarded"),
    of("change-request-scheduled", "change_request.scheduled", Object::ChangeRequest, "scheduled"),
    of(
        "change-request-schedule-suspended",
        "change_request.failed",
        Object::ChangeRequest,
        "suspended from its schedule",
    ),
    of("change-request-applied", "change_request.committed", Object::ChangeRequest, "applied"),
    of(
        "change-request-scheduled-application-success",
        "change_request.committed",
        Object::ChangeRequest,
        "applied on schedule",
    ),
    of(
        "change-request-scheduled-application-failure",
        "change_request.failed",
        Object::ChangeRequest,
        "could not be applied on schedule",
    ),
];
