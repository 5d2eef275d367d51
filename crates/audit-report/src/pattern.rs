//! Names by pattern: what a configuration calls production, or privileged.

use serde::{Deserialize, Serialize};

/// A name in which `*` stands for any characters, none included. Case does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 200;

/// The text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// Nothing in it.
    #[error("a pattern must not be empty")]
    Empty,
    /// Too long.
    #[error("a pattern may have {PATTERN_BYTES_MAX} bytes")]
    TooLong,
}

impl Pattern {
    /// Checks `text`.
    pub fn try_new(text: impl Into<String>) -> Result<Self, InvalidPattern> {
        let text = text.into();
        if text.trim().is_empty() {
            return Err(InvalidPattern::Empty);
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(InvalidPattern::TooLong);
        }
        Ok(Self(text))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` fits.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.to_lowercase(), name.to_lowercase());
        let mut parts = pattern.split('*');
        // A split gives at least one part.
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl TryFrom<String> for Pattern {
    type Error = InvalidPattern;
    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        Self::try_new(text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_star_stands_for_any_characters_and_case_does_not_count() {
        for (pattern, name, fits) in [
            ("production", "Production", true),
            ("production", "production-eu", false),
            ("prod*", "PROD", true),
            ("prod*", "preprod", false),
            ("*prod*", "preprod-eu", true),
            ("*-live", "eu-live", true),
            ("a*b*a", "aba", true),
            ("a*a", "a", false),
            ("*", "", true),
            ("ÖSTERREICH*", "österreich-prod", true),
        ] {
            assert_eq!(Pattern::try_new(pattern).unwrap().matches(name), fits, "{pattern} {name}");
        }
        assert!(Pattern::try_new(" ").is_err());
    }
}
