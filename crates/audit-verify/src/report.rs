//! What a check found, in plain sentences.

use std::fmt;

use serde_json::{Value, json};

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
    /// What the check has proven, in sentences; of an export in which something was altered, nothing.
    pub proven: Vec<String>,
    /// What is said and can't be checked here.
    pub asserted: Vec<String>,
    /// What the check says nothing about.
    pub not_covered: Vec<String>,
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

    /// In sentences, one a line: what is wrong, what is proven, what is asserted, and what is not covered. Control characters, which a file name may hold, are left out.
    pub fn sentences(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut say = |heading: &str, sentence: &str| {
            let sentence: String = sentence.chars().filter(|c| !c.is_control()).collect();
            lines.push(format!("{heading:<11}  {sentence}"));
        };
        for finding in &self.findings {
            let heading = match finding.kind {
                FindingKind::Damage => "WRONG",
                FindingKind::Gap => "MISSING",
            };
            say(heading, &finding.to_string());
        }
        self.proven.iter().for_each(|sentence| say("proven", sentence));
        self.asserted.iter().for_each(|sentence| say("asserted", sentence));
        self.not_covered.iter().for_each(|sentence| say("not covered", sentence));
        lines
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let finding = |f: &Finding| json!({"kind": f.kind.as_str(), "file": f.file, "problem": f.problem});
        let findings: Vec<Value> = self.findings.iter().map(finding).collect();
        json!({
            "passes": self.passes(), "findings": findings, "proven": self.proven, "asserted": self.asserted,
            "not_covered": self.not_covered,
        })
    }

    /// Adds another report to this one.
    pub(crate) fn take_in(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.proven.extend(other.proven);
        self.asserted.extend(other.asserted);
        self.not_covered.extend(other.not_covered);
    }

    pub(crate) fn find(&mut self, file: impl Into<String>, problem: impl Into<String>) {
        self.findings.push(Finding { kind: FindingKind::Damage, file: file.into(), problem: problem.into() });
    }

    pub(crate) fn find_gap(&mut self, file: impl Into<String>, problem: impl Into<String>) {
        self.findings.push(Finding { kind: FindingKind::Gap, file: file.into(), problem: problem.into() });
    }
}
