//! The twelve projects: where their flags are kept, and which of their environments is production.

/// Where a project's flags are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Platform {
    /// Eight projects. It tells of every change of a flag and of change requests, and nothing of members.
    Flagsmith,
    /// Two projects. It tells of users and of access to projects.
    Unleash,
    /// One project. It tells of its users and their roles.
    Mozhno,
    /// One project. It tells what changed and not who changed it.
    Zenmanage,
}

impl Platform {
    /// What its source is called.
    #[must_use]
    pub fn source(self) -> &'static str {
        match self {
            Self::Flagsmith => "flagsmith-main",
            Self::Unleash => "unleash-ops",
            Self::Mozhno => "mozhno-labs",
            Self::Zenmanage => "zenmanage-site",
        }
    }

    /// What the product calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flagsmith => "flagsmith",
            Self::Unleash => "unleash",
            Self::Mozhno => "mozhno",
            Self::Zenmanage => "zenmanage",
        }
    }

    /// All of them.
    pub const ALL: [Self; 4] = [Self::Flagsmith, Self::Unleash, Self::Mozhno, Self::Zenmanage];
}

/// One project.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) platform: Platform,
    /// What its platform calls it for good: a number, or a word.
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) environments: &'static [Environment],
}

/// One environment of a project.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Environment {
    pub(super) number: u64,
    pub(super) name: &'static str,
    /// How many approvals Flagsmith demands there.
    pub(super) approvals: Option<u32>,
}

impl Project {
    /// The number of a project that has one.
    pub(super) fn number(&self) -> u64 {
        self.id.parse().unwrap_or(0)
    }

    pub(super) fn production(&self) -> &'static Environment {
        &self.environments[0]
    }

    /// Those that are not production.
    pub(super) fn others(&self) -> &'static [Environment] {
        &self.environments[1..]
    }
}

/// What counts as production, as the configuration has it: by name, in any case.
pub const PRODUCTION: [&str; 1] = ["production"];

const fn environment(number: u64, name: &'static str, approvals: Option<u32>) -> Environment {
    Environment { number, name, approvals }
}

/// Production first. Pre-Production ends in a word that must not be taken for production.
macro_rules! flagsmith {
    ($id:literal, $number:literal, $name:literal) => {
        Project {
            platform: Platform::Flagsmith,
            id: $id,
            name: $name,
            environments: &[
                environment($number * 10 + 1, "Production", Some(1)),
                environment($number * 10 + 2, "Pre-Production", None),
                environment($number * 10 + 3, "Development", None),
            ],
        }
    };
}

static OF_UNLEASH: [Environment; 2] =
    [environment(0, "production", None), environment(0, "development", None)];

const fn unleash(id: &'static str, name: &'static str) -> Project {
    Project { platform: Platform::Unleash, id, name, environments: &OF_UNLEASH }
}

/// All twelve. A project of mozhno has the number of one of Flagsmith's: two installations, two projects.
pub(super) static PROJECTS: [Project; 12] = [
    flagsmith!("1", 1, "Checkout"),
    flagsmith!("2", 2, "Search"),
    flagsmith!("3", 3, "Payments"),
    flagsmith!("4", 4, "Accounts"),
    flagsmith!("5", 5, "Mobile"),
    flagsmith!("6", 6, "Pricing"),
    flagsmith!("7", 7, "Fraud"),
    flagsmith!("8", 8, "Content"),
    unleash("logistics", "Logistics"),
    unleash("warehouse", "Warehouse"),
    Project {
        platform: Platform::Mozhno,
        id: "1",
        name: "Loyalty",
        environments: &[environment(1, "production", None), environment(2, "development", None)],
    },
    Project {
        platform: Platform::Zenmanage,
        id: "site",
        name: "Site",
        environments: &[environment(0, "production", None), environment(0, "staging", None)],
    },
];

/// What a report calls a project: by the name where its records say one, else by the id.
#[must_use]
pub fn project_name(platform: Platform, id: &'static str) -> &'static str {
    let named = PROJECTS.iter().find(|project| project.platform == platform && project.id == id);
    named.filter(|_| platform == Platform::Flagsmith).map_or(id, |project| project.name)
}

/// The flags that every project has.
pub(super) const FLAGS: [&str; 12] = [
    "one_click",
    "new_search",
    "dark_mode",
    "beta_banner",
    "express_lane",
    "price_test",
    "holiday_sale",
    "fast_path",
    "audit_mode",
    "retry_limit",
    "größe_s",
    "kill_switch",
];
