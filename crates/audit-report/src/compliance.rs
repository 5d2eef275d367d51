//! What words such as production, privileged and emergency mean where this runs, and how fast things have to happen.
//! It stands in the configuration and is printed in every report.

use audit_record::ActionPattern;
use serde::{Deserialize, Serialize};

use crate::pattern::Pattern;

/// The section `[compliance]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compliance {
    /// The environments that are production, by key or name.
    pub production: Vec<Pattern>,
    /// The roles that are privileged, by name.
    pub privileged_roles: Vec<Pattern>,
    /// Actions that are an emergency whenever they happen in production, beside changes that went past their approval.
    pub emergency_actions: Vec<ActionPattern>,
    /// How many people other than the author have to approve a change in production. 0: none has to.
    pub approvals_min: u32,
    /// Hours within which a change that went past its approval is to be reviewed.
    pub post_review_hours: u32,
    /// Hours within which a leaver's access is to be removed.
    pub leaver_hours: u32,
    /// Days without a trace after which an account counts as dormant.
    pub dormant_days: u32,
    /// Days after which a credential counts as old.
    pub credential_days: u32,
    /// Days within which access is to be reviewed.
    pub review_days: u32,
}

/// What in the section is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComplianceError {
    /// Nothing would be production, or privileged.
    #[error("compliance.{0} is empty: every report would be; name at least one, with * for any characters")]
    Empty(&'static str),
    /// A deadline that has passed before it begins.
    #[error("compliance.{0} must be at least 1")]
    Zero(&'static str),
}

impl Default for Compliance {
    fn default() -> Self {
        let patterns = |words: &[&str]| {
            words.iter().map(|word| Pattern::try_new(*word).expect("a pattern of ours is one")).collect()
        };
        Self {
            production: patterns(&[
                "prod",
                "production",
                "prod-*",
                "production-*",
                "*-prod",
                "*-production",
                "live",
            ]),
            privileged_roles: patterns(&["*admin*", "*owner*"]),
            emergency_actions: Vec::new(),
            approvals_min: 1,
            post_review_hours: 72,
            leaver_hours: 24,
            dormant_days: 90,
            credential_days: 365,
            review_days: 180,
        }
    }
}

impl Compliance {
    /// Checks what types can't: names the key that is wrong.
    pub fn check(&self) -> Result<(), ComplianceError> {
        for (key, patterns) in
            [("production", &self.production), ("privileged_roles", &self.privileged_roles)]
        {
            if patterns.is_empty() {
                return Err(ComplianceError::Empty(key));
            }
        }
        for (key, number) in [
            ("post_review_hours", self.post_review_hours),
            ("leaver_hours", self.leaver_hours),
            ("dormant_days", self.dormant_days),
            ("credential_days", self.credential_days),
            ("review_days", self.review_days),
        ] {
            if number == 0 {
                return Err(ComplianceError::Zero(key));
            }
        }
        Ok(())
    }

    /// Whether an environment of these names is production.
    pub fn is_production<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> bool {
        names.into_iter().any(|name| self.production.iter().any(|pattern| pattern.matches(name)))
    }

    /// Whether a role is privileged.
    pub fn is_privileged(&self, role: &str) -> bool {
        self.privileged_roles.iter().any(|pattern| pattern.matches(role))
    }

    /// Whether an action in production is an emergency by itself.
    pub fn is_emergency(&self, action: &str) -> bool {
        self.emergency_actions.iter().any(|pattern| pattern.matches(action))
    }

    /// Every setting and its value, as reports print them.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let patterns =
            |patterns: &[Pattern]| patterns.iter().map(Pattern::as_str).collect::<Vec<_>>().join(", ");
        let actions: Vec<_> = self.emergency_actions.iter().map(ActionPattern::as_str).collect();
        let none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
        vec![
            ("production environments", patterns(&self.production)),
            ("privileged roles", patterns(&self.privileged_roles)),
            ("emergency actions", none(actions.join(", "))),
            ("approvals needed in production", self.approvals_min.to_string()),
            ("hours to review an emergency", self.post_review_hours.to_string()),
            ("hours to remove a leaver", self.leaver_hours.to_string()),
            ("days until an account is dormant", self.dormant_days.to_string()),
            ("days until a credential is old", self.credential_days.to_string()),
            ("days between access reviews", self.review_days.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_and_what_does_not_is_named() {
        let ours = Compliance::default();
        assert_eq!(ours.check(), Ok(()));
        assert!(ours.is_production(["x1", "EU-Production"]) && !ours.is_production(["preproduction", "dev"]));
        assert!(ours.is_privileged("Organisation Admin") && !ours.is_privileged("viewer"));
        let wrong = Compliance { leaver_hours: 0, ..Compliance::default() };
        assert!(wrong.check().unwrap_err().to_string().contains("compliance.leaver_hours"));
        let wrong = Compliance { production: Vec::new(), ..Compliance::default() };
        assert!(wrong.check().unwrap_err().to_string().contains("compliance.production"));
    }
}
