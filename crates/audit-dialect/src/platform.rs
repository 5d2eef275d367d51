//! The systems whose requests are understood.

use std::fmt;

/// A system that sends changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Platform {
    /// Flagsmith.
    Flagsmith,
    /// Zenmanage.
    Zenmanage,
    /// AB Tasty Feature Experimentation and Rollouts (Flagship).
    AbTasty,
    /// можно.
    Mozhno,
    /// Unleash.
    Unleash,
    /// CloudEvents 1.0 over HTTP: structured, binary or batch.
    CloudEvents,
    /// Our own record.
    Native,
}

impl Platform {
    /// Every platform.
    pub const ALL: [Self; 7] = [
        Self::Flagsmith,
        Self::Zenmanage,
        Self::AbTasty,
        Self::Mozhno,
        Self::Unleash,
        Self::CloudEvents,
        Self::Native,
    ];

    /// The word for it in settings and in a record's `source.system`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flagsmith => "flagsmith",
            Self::Zenmanage => "zenmanage",
            Self::AbTasty => "abtasty",
            Self::Mozhno => "mozhno",
            Self::Unleash => "unleash",
            Self::CloudEvents => "cloudevents",
            Self::Native => "native",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.as_str() == word)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
