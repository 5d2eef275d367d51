//! Consumer: matches records to endpoints, signs, delivers, retries.
//!
//! An endpoint is a cursor over the log, not a pile of queued jobs. [`Endpoints`] makes and changes
//! endpoints, which are settings; [`Deliverer`] owns partitions of the log and delivers. What is durable
//! is one document per (endpoint, partition) in `progress`, committed together with the partition's
//! watermark and the attempt log; everything else is rebuilt from that.
//!
//! Not here: what a record means, and where endpoints are configured from.

mod attempt_log;
mod audience;
mod checkpoints;
mod clock;
mod deliverer;
mod document;
mod endpoint;
mod engine;
mod entry;
mod figures;
mod lane;
mod limit;
mod live;
mod operational;
mod partitions;
mod schedule;
mod send;
mod standing;
mod stats;
mod status;
mod tail;
mod trial;

pub use attempt_log::{ATTEMPT_VERSION, AttemptEntry, AttemptOutcome};
pub use clock::Clock;
pub use deliverer::{DeliverError, Deliverer, DelivererConfig, GROUP};
pub use endpoint::{
    Collapse, CollapseBy, Created, Declared, Endpoint, EndpointError, EndpointId, EndpointTls,
    EndpointUpdate, EndpointView, Endpoints, Format, HeaderSecret, InvalidSecret, InvalidSpan, KIND,
    NewEndpoint, NewReplay, Preset, Redrive, ReplayProgress, ReplayState, ReplayView, RetiringView, Rotated,
    Rotation, SendMethod, SigningSecret, Span, Start, StoredError, TlsView,
};
pub use figures::{AttemptFailure, Figures, FiguresSummary};
pub use limit::CircuitConfig;
pub use partitions::DeliverStanding;
pub use schedule::RetrySchedule;
pub use send::{
    ClientError, Egress, EgressConfig, FailureClass, InvalidProxy, ProxyConfig, ProxyUrl, Refusal,
    TextAddress, TextAnswer, TextPoster, TlsError, Unusable,
};
pub use standing::{CAUGHT_UP_WITHIN_S, Lag, PartitionStanding, StandingError};
pub use stats::{LATENCY_BOUNDS_MS, LastError, Totals};
pub use status::{EndpointState, EndpointStatus};
pub use trial::{Shown, ShownRequest, TestAnswer};
