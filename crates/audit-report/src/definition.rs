//! What a report is: fixed, versioned, printed with every answer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What a report means. `version` is raised whenever a column or the meaning of one changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Such as `change_log`.
    pub name: Cow<'static, str>,
    /// In words.
    pub title: Cow<'static, str>,
    /// From 1.
    pub version: u32,
    /// What a row says, what is counted and what is not, in plain words.
    pub meaning: Cow<'static, str>,
    /// Which time it is about.
    pub when: When,
    /// The list that it needs to be given, where it compares with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ListWanted>,
    /// The columns, in order.
    pub columns: Cow<'static, [Column]>,
    /// The controls that it is evidence for.
    pub controls: Cow<'static, [Control]>,
    /// Whether it is worth nothing where no source tells of access.
    pub about_access: bool,
}

/// Which time a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// One moment: `at`.
    At,
    /// From `from` to before `to`, by when things happened.
    Period,
}

/// A list in CSV that a report compares with, such as who has left according to personnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListWanted {
    /// What stands in it, and its columns.
    pub meaning: Cow<'static, str>,
    /// Whether the report can't do without.
    pub required: bool,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Such as `ts_applied`.
    pub name: Cow<'static, str>,
    /// What its cells hold.
    pub kind: Kind,
    /// What it says.
    pub meaning: Cow<'static, str>,
}

/// What a column's cells hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number.
    Integer,
    /// A number with a fraction.
    Number,
    /// Yes or no.
    Bool,
    /// A moment, in UTC.
    Time,
    /// Several texts.
    List,
}

/// One control of a framework.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// Whose.
    pub framework: Framework,
    /// Such as `CC8.1`.
    pub id: Cow<'static, str>,
}

/// Who asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Framework {
    /// AICPA trust services criteria.
    #[serde(rename = "SOC 2")]
    Soc2,
    /// ISO/IEC 27001:2022, Annex A.
    #[serde(rename = "ISO 27001")]
    Iso27001,
    /// PCI DSS 4.0.1.
    #[serde(rename = "PCI DSS")]
    PciDss,
    /// IT general controls under Sarbanes-Oxley.
    #[serde(rename = "SOX")]
    Sox,
    /// 45 CFR Part 164.
    #[serde(rename = "HIPAA")]
    Hipaa,
    /// NIST SP 800-53 revision 5.
    #[serde(rename = "NIST")]
    Nist,
    /// The General Data Protection Regulation.
    #[serde(rename = "GDPR")]
    Gdpr,
}

impl Framework {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Soc2 => "SOC 2",
            Self::Iso27001 => "ISO 27001",
            Self::PciDss => "PCI DSS",
            Self::Sox => "SOX",
            Self::Hipaa => "HIPAA",
            Self::Nist => "NIST",
            Self::Gdpr => "GDPR",
        }
    }
}

/// A column, for the table of a report.
pub(crate) const fn column(name: &'static str, kind: Kind, meaning: &'static str) -> Column {
    Column { name: Cow::Borrowed(name), kind, meaning: Cow::Borrowed(meaning) }
}

/// A control, for the table of a report.
pub(crate) const fn control(framework: Framework, id: &'static str) -> Control {
    Control { framework, id: Cow::Borrowed(id) }
}
