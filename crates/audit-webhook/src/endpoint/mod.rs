//! An endpoint: where records go, which ones, and how. A settings document of kind `endpoint`.
//!
//! Only valid endpoints exist: they come out of [`Endpoints`], which validates, or out of `control`,
//! where only validated ones were written.

mod at_rest;
mod collapse;
mod declared;
mod duration;
mod format;
mod input;
mod preset;
mod replay;
mod replaying;
mod rotation;
mod secret;
mod settings;
mod stored;
mod tls;
mod view;

use std::fmt;
use std::time::Duration;

use audit_journal::{Offset, Partition};
use audit_record::{ActionPattern, Filter, Timestamp};
use reqwest::Url;
use serde::{Deserialize, Serialize};

pub use collapse::{Collapse, CollapseBy};
pub use declared::Declared;
pub use duration::{InvalidSpan, Span};
pub use format::Format;
pub use input::{EndpointUpdate, NewEndpoint};
pub use preset::Preset;
pub use replay::{NewReplay, Redrive, ReplayProgress, ReplayState, ReplayView};
pub use rotation::{Rotated, Rotation};
pub use secret::{HeaderSecret, InvalidSecret, SigningSecret};
pub use settings::{Created, EndpointError, Endpoints};
pub use stored::{KIND, StoredError};
pub use tls::EndpointTls;
pub use view::{EndpointView, RetiringView, TlsView};

pub(crate) use secret::SecretKey;

pub(crate) use replay::ReplayOrder;

/// Which endpoint: `ep_` and a UUID, made up at creation and never given again. It is the key of the
/// endpoint's documents in `progress` and of its attempts in `deliveries`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointId(std::sync::Arc<str>);

impl EndpointId {
    /// A new one.
    pub(crate) fn generate() -> Self {
        Self(format!("ep_{}", uuid::Uuid::now_v7().simple()).into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for EndpointId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a delivery is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SendMethod {
    /// POST.
    #[default]
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// GET, with the body in the query parameter `json`.
    Get,
}

impl SendMethod {
    /// As HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Get => "GET",
        }
    }
}

/// Where an endpoint begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Start {
    /// With what is appended from now on.
    #[default]
    Now,
    /// With the first record kept.
    Earliest,
    /// With the first record appended at or after a time.
    At(Timestamp),
}

impl TryFrom<String> for Start {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "now" => Ok(Self::Now),
            "earliest" => Ok(Self::Earliest),
            time => Timestamp::parse(time).map(Self::At).map_err(|_| {
                format!("must be now, earliest or a time such as 2026-08-21T17:30:57Z, not {time:?}")
            }),
        }
    }
}

impl From<Start> for String {
    fn from(start: Start) -> Self {
        match start {
            Start::Now => "now".to_owned(),
            Start::Earliest => "earliest".to_owned(),
            Start::At(time) => time.to_string(),
        }
    }
}

/// An endpoint, valid as it stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Endpoint {
    /// Which one.
    pub id: EndpointId,
    /// What people call it; unique among endpoints.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where deliveries go.
    pub url: Url,
    /// How they are sent.
    pub method: SendMethod,
    /// Headers sent besides our own.
    pub headers: Vec<(String, HeaderSecret)>,
    /// Which actions.
    pub events: Vec<ActionPattern>,
    /// Which records among those.
    pub filter: Filter,
    /// What deliveries are signed with; each gives a signature of its own.
    pub secrets: Vec<SigningSecret>,
    /// Certificates of its own.
    pub tls: EndpointTls,
    /// What it is for, where it was made by a preset.
    pub preset: Option<Preset>,
    /// How the body looks.
    pub format: Format,
    /// Whether each project's records arrive in order.
    pub ordered: bool,
    /// Whether bursts become one delivery.
    pub collapse: Option<Collapse>,
    /// Age of a record, counted from its append, at which no further retry is made. The first attempt
    /// is made at any age.
    pub max_age: Option<Span>,
    /// Most deliveries begun in a second, in all processes together.
    pub rate_limit_per_second: Option<u32>,
    /// Most deliveries in flight at a time, in all processes together (but at least one in each).
    pub max_in_flight: u32,
    /// How long one delivery may take, from resolving the name to the end of the answer.
    pub timeout: Duration,
    /// Whether anything is delivered. A disabled endpoint keeps its place, and resumes there.
    pub enabled: bool,
    /// Whether people have stopped it for a while. It keeps its place, and resumes there.
    pub paused: bool,
    /// Why it was disabled, where we did it ourselves.
    pub disabled_because: Option<String>,
    /// When people last switched it on, after it was off.
    pub(crate) enabled_at: Option<Timestamp>,
    /// Where it was told to begin.
    pub start: Start,
    /// Rises whenever the place is moved; progress of an older incarnation does not count.
    pub incarnation: u64,
    /// Per partition the offset that `start` meant at the time.
    pub(crate) starts: Vec<Offset>,
    /// The log's epoch in which those offsets were found out.
    pub(crate) epoch: u32,
    /// Replays that are not known to be through, by number.
    pub(crate) replays: Vec<ReplayOrder>,
    /// The number of the last replay.
    pub(crate) last_replay: u64,
    /// The configuration that it stands in. Then only that changes it.
    pub declared_in: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Endpoint {
    /// Where the endpoint begins in `partition`. One that came into being later begins at its first message.
    pub fn start_in(&self, partition: Partition) -> Offset {
        self.starts.get(partition as usize).copied().unwrap_or(0)
    }

    /// Failures up to this time, milliseconds since 1970, are not held against it.
    pub(crate) fn forgiven_at_ms(&self) -> Option<i64> {
        self.enabled_at.map(|at| at.micros().div_euclid(1_000))
    }

    /// Whether failures never switch it off.
    pub fn is_never_disabled(&self) -> bool {
        self.preset == Some(Preset::Audit)
    }
}
