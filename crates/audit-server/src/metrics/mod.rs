//! Figures for Prometheus. Labels are bounded by what exists: sources, endpoints, route templates, statuses.

mod delivering;
mod endpoints;
mod sealing;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use audit_archive::Status;
use audit_export::SealStanding;
use audit_webhook::{DeliverStanding, EndpointStatus};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::hooks::activity::Activity;
use crate::metrics::delivering::Delivering;
use crate::metrics::endpoints::Endpoints;
use crate::metrics::sealing::Sealing;
use crate::routes::health::lag;

/// Upper edges of latency buckets, in seconds.
const LATENCY_EDGES_S: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabel {
    partition: u32,
}

/// The figures of this process.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    ingested: Counter,
    append_seconds: Histogram,
    spool_entries: Gauge,
    spool_bytes: Gauge,
    archive_lag: Gauge,
    checkpoint_alarms: Gauge,
    signed_at_s: Gauge,
    endpoints: Endpoints,
}

impl Metrics {
    /// `delivering` is how the partitions stand that this process delivers from, `sealing` those that it seals; `None` where it
    /// does not.
    pub(crate) fn new(
        activity: &Activity,
        reads_unrecorded: Counter,
        delivering: Option<DeliverStanding>,
        sealing: Option<SealStanding>,
    ) -> Self {
        let mut registry = Registry::with_prefix("flagtrail");
        activity.register(&mut registry);
        registry.register(
            "log_reads_unrecorded",
            "Readings of the log that could not be put on the record",
            reads_unrecorded,
        );
        let requests = Family::default();
        let ingested = Counter::default();
        let append_seconds = Histogram::new(LATENCY_EDGES_S);
        let (spool_entries, spool_bytes, archive_lag) =
            (Gauge::default(), Gauge::default(), Gauge::default());
        let (checkpoint_alarms, signed_at_s) = (Gauge::default(), Gauge::default());
        registry.register("http_requests", "Requests by route, method and status", requests.clone());
        registry.register("records_ingested", "Records appended by POST /v1/records", ingested.clone());
        registry.register(
            "append_seconds",
            "How long the log took to acknowledge an append",
            append_seconds.clone(),
        );
        registry.register("spool_entries", "Webhooks that wait for the log", spool_entries.clone());
        registry.register("spool_bytes", "Bytes that wait for the log", spool_bytes.clone());
        registry.register(
            "archive_lag_messages",
            "Messages on the log that the archive does not hold yet",
            archive_lag.clone(),
        );
        registry.register(
            "archive_checkpoint_alarms",
            "Checkpoints on the log that the archive did not find as they should be, ever: when it rises, somebody has to look",
            checkpoint_alarms.clone(),
        );
        registry.register(
            "archive_signed_at_seconds",
            "Of the partition that was signed the longest ago, when its latest checkpoint was signed that the archive's tree bears out, in seconds since 1970; 0 where one never was, or where no key of the log is known",
            signed_at_s.clone(),
        );
        let endpoints = Endpoints::default();
        registry.register_collector(Box::new(endpoints.clone()));
        if let Some(standing) = delivering {
            registry.register_collector(Box::new(Delivering(standing)));
        }
        if let Some(standing) = sealing {
            registry.register_collector(Box::new(Sealing(standing)));
        }
        Self {
            registry: Mutex::new(registry),
            requests,
            ingested,
            append_seconds,
            spool_entries,
            spool_bytes,
            archive_lag,
            checkpoint_alarms,
            signed_at_s,
            endpoints,
        }
    }

    pub(crate) fn append_took(&self, duration: Duration) {
        self.append_seconds.observe(duration.as_secs_f64());
    }

    pub(crate) fn ingested(&self, records: usize) {
        self.ingested.inc_by(records as u64);
    }

    pub(crate) fn request(&self, route: &str, method: &str, status: u16) {
        let labels = RequestLabels { route: route.to_owned(), method: method.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
    }

    pub(crate) fn spool(&self, entries: u64, bytes: u64) {
        self.spool_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.spool_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn archive(&self, status: &Status) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.archive_lag.set(number(lag(status)));
        self.checkpoint_alarms.set(number(status.partitions.iter().map(|partition| partition.alarms).sum()));
        let signed_at_s = status
            .partitions
            .iter()
            .map(|partition| partition.signed.and_then(|head| head.at_s).unwrap_or(0));
        self.signed_at_s.set(number(signed_at_s.min().unwrap_or(0)));
    }

    pub(crate) fn endpoints(&self, statuses: Vec<EndpointStatus>) {
        self.endpoints.set(statuses);
    }

    /// All figures in the text format.
    pub(crate) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(out)
    }
}
