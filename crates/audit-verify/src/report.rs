//! What a check found, in plain sentences.

use std::fmt;

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// What is there is not what was written.
    Damage,
    /// What is there is as written, and says of itself that something is missing.
    Gap,
}

impl FindingKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Damage => "damage",
            Self::Gap => "gap",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it means.
    pub kind: FindingKind,
    /// The file it is about, relative to what was checked.
    pub file: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.problem)
    }
}

/// The outcome of a check.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is wrong; nothing when the check passes.
    pub findings: Vec<Finding>,
    /// What the check has shown.
    pub shown: Vec<String>,
    /// What the export says of itself and no check of its files can show.
    pub asserted: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn passes(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether something is not what was written; what is missing by its own account is not meant.
    pub fn is_damaged(&self) -> bool {
        self.findings.iter().any(|finding| finding.kind == FindingKind::Damage)
    }

    pub(crate) fn find(&mut self, file: impl Into<String>, problem: impl Into<String>) {
        self.findings.push(Finding { kind: FindingKind::Damage, file: file.into(), problem: problem.into() });
    }

    pub(crate) fn find_gap(&mut self, file: impl Into<String>, problem: impl Into<String>) {
        self.findings.push(Finding { kind: FindingKind::Gap, file: file.into(), problem: problem.into() });
    }
}
