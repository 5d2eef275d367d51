//! AB Tasty's events, in every spelling known.

use audit_record::Effect;

/// What an access-control event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Project,
    Account,
}

/// An event of AB Tasty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    FlagCreated,
    FlagRemoved,
    CampaignStatusChanged,
    Access {
        scope: Scope,
        effect: Effect,
        edit_role: bool,
    },
    /// The older product's switch; `None` where the body says whether it is on.
    FeatureSwitched {
        on: Option<bool>,
    },
    EnvironmentSynchronized,
}

const fn access(scope: Scope, effect: Effect, edit_role: bool) -> Event {
    Event::Access { scope, effect, edit_role }
}

/// Lower-case letters of a spelling, without what AB Tasty adds in some of them ("to user").
const TABLE: &[(&str, Event)] = &[
    ("flagcreated", Event::FlagCreated),
    ("flagnew", Event::FlagCreated),
    ("flagremoved", Event::FlagRemoved),
    ("flagdeleted", Event::FlagRemoved),
    ("campaignstatuschanged", Event::CampaignStatusChanged),
    ("projectaccessgranted", access(Scope::Project, Effect::Granted, false)),
    ("projecteditrolegranted", access(Scope::Project, Effect::Granted, true)),
    ("projectaccessremoved", access(Scope::Project, Effect::Removed, false)),
    ("accountaccessgranted", access(Scope::Account, Effect::Granted, false)),
    ("accounteditrolegranted", access(Scope::Account, Effect::Granted, true)),
    ("accountaccessremoved", access(Scope::Account, Effect::Removed, false)),
    ("featurestatus", Event::FeatureSwitched { on: None }),
    ("featureactive", Event::FeatureSwitched { on: Some(true) }),
    ("featurepaused", Event::FeatureSwitched { on: Some(false) }),
    ("environmentsynchronize", Event::EnvironmentSynchronized),
    ("environmentsynchronized", Event::EnvironmentSynchronized),
];

impl Event {
    /// Reads `Project access granted to user`, `project.access.granted`, `PROJECT_ACCESS_GRANTED`,
    /// `projectAccessGranted` and the like as the same.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let letters: String =
            text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        let letters = letters.strip_suffix("touser").or(letters.strip_suffix("fromuser")).unwrap_or(&letters);
        TABLE.iter().find(|(spelling, _)| *spelling == letters).map(|(_, event)| *event)
    }

    /// The action of its record.
    pub(super) fn action(self) -> &'static str {
        match self {
            Self::FlagCreated => "flag.created",
            Self::FlagRemoved => "flag.deleted",
            Self::CampaignStatusChanged => "flag.campaign.status.changed",
            Self::Access { effect: Effect::Removed, .. } => "access.removed",
            Self::Access { edit_role: true, .. } => "access.role.granted",
            Self::Access { .. } => "access.granted",
            Self::FeatureSwitched { .. } => "flag.state.changed",
            Self::EnvironmentSynchronized => "flag.environment.synchronized",
        }
    }

    /// What it is about.
    pub(super) fn object_type(self) -> &'static str {
        match self {
            Self::FlagCreated | Self::FlagRemoved | Self::FeatureSwitched { .. } => "FEATURE",
            Self::CampaignStatusChanged => "CAMPAIGN",
            Self::Access { scope: Scope::Project, .. } => "PROJECT_ACCESS",
            Self::Access { scope: Scope::Account, .. } => "ACCOUNT_ACCESS",
            Self::EnvironmentSynchronized => "ENVIRONMENT",
        }
    }
}
