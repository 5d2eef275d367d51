//! How endpoints stand in this process, as its deliverer tells it at each scrape.
//!
//! A process tells of the partitions that it owns: sums over processes are those of the deployment.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use audit_webhook::{EndpointState, EndpointStatus, LATENCY_BOUNDS_MS, Totals};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Most endpoints that have figures of their own, the oldest first: some thirty lines each. How many have none is a
/// figure, too.
const ENDPOINTS_SHOWN_MAX: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabel {
    endpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    endpoint: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SkipLabels {
    endpoint: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    endpoint: String,
    state: &'static str,
}

/// The latest figures; empty where nothing delivers.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoints(Arc<Mutex<Vec<EndpointStatus>>>);

/// A figure's name, help, and where it stands.
type Figure = (&'static str, &'static str, fn(&EndpointStatus) -> u64);

/// An outcome's name, and how many attempts had it.
type Outcome = (&'static str, fn(&Totals) -> u64);

/// What becomes of attempts.
const OUTCOMES: [Outcome; 2] = [("delivered", |totals| totals.delivered), ("failed", |totals| totals.failed)];

/// Every state, by its name.
const STATES: [(&str, EndpointState); 6] = [
    ("caught_up", EndpointState::CaughtUp),
    ("catching_up", EndpointState::CatchingUp),
    ("paused", EndpointState::Paused),
    ("circuit_open", EndpointState::CircuitOpen),
    ("disabled", EndpointState::Disabled),
    ("unknown", EndpointState::Unknown),
];

const COUNTERS: [Figure; 2] = [
    ("endpoint_dead_letters", "Deliveries given up", |s| s.totals.dead_lettered),
    ("endpoint_replayed", "Deliveries of replays that arrived", |s| s.totals.replayed),
];

const GAUGES: [Figure; 6] = [
    ("endpoint_lag_records", "Offsets between an endpoint's cursors and the log's ends", |s| s.behind),
    ("endpoint_lag_seconds", "Age of the oldest record that an endpoint has not looked at", |s| {
        s.behind_s.unwrap_or(0)
    }),
    ("endpoint_pending", "Deliveries that wait to be tried again", |s| s.pending),
    ("endpoint_in_flight", "Deliveries under way", |s| s.in_flight),
    ("endpoint_replays", "Replays under way", |s| s.replays),
    ("endpoint_replays_lag_records", "Offsets that replays have not looked at", |s| s.replays_left),
];

impl Endpoints {
    pub(super) fn set(&self, statuses: Vec<EndpointStatus>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = statuses;
    }
}

impl Collector for Endpoints {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let statuses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = &statuses[..statuses.len().min(ENDPOINTS_SHOWN_MAX)];
        attempts(&mut encoder, shown)?;
        gauges(&mut encoder, shown)?;
        states(&mut encoder, shown)?;
        let (name, help) =
            ("endpoints_without_figures", "Endpoints beyond the number of those that have figures");
        let left_out = i64::try_from(statuses.len() - shown.len()).unwrap_or(i64::MAX);
        encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&left_out)
    }
}

fn label(status: &EndpointStatus) -> EndpointLabel {
    EndpointLabel { endpoint: status.id.to_string() }
}

fn attempts(encoder: &mut DescriptorEncoder, shown: &[EndpointStatus]) -> fmt::Result {
    let (name, help) = ("endpoint_attempts", "Delivery attempts by what became of them");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for status in shown {
        for (outcome, count) in OUTCOMES {
            let labels = OutcomeLabels { endpoint: status.id.to_string(), outcome };
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&count(&status.totals), None)?;
        }
    }
    for (name, help, figure) in COUNTERS {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for status in shown {
            let count = figure(status);
            family.encode_family(&label(status))?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    let (name, help) =
        ("endpoint_skipped", "Records not sent, for the endpoint's format has no word for them");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for status in shown {
        for (reason, count) in &status.totals.skipped {
            let labels = SkipLabels { endpoint: status.id.to_string(), reason };
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(count, None)?;
        }
    }
    let (name, help) = ("endpoint_attempt_seconds", "How long delivery attempts took");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for status in shown {
        let (sum, count, buckets) = histogram(&status.totals);
        family.encode_family(&label(status))?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
    }
    Ok(())
}

fn gauges(encoder: &mut DescriptorEncoder, shown: &[EndpointStatus]) -> fmt::Result {
    for (name, help, figure) in GAUGES {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for status in shown {
            let value = i64::try_from(figure(status)).unwrap_or(i64::MAX);
            family.encode_family(&label(status))?.encode_gauge(&value)?;
        }
    }
    Ok(())
}

fn states(encoder: &mut DescriptorEncoder, shown: &[EndpointStatus]) -> fmt::Result {
    let (name, help) = ("endpoint_state", "1 for the state that an endpoint is in, 0 for the others");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for status in shown {
        for (state, which) in STATES {
            let labels = StateLabels { endpoint: status.id.to_string(), state };
            family.encode_family(&labels)?.encode_gauge(&i64::from(status.state == which))?;
        }
    }
    Ok(())
}

/// The buckets with their upper edges in seconds. The sum is not kept by the deliverer, so each attempt counts
/// with the upper edge of its bucket: an upper bound.
fn histogram(totals: &Totals) -> (f64, u64, Vec<(f64, u64)>) {
    let edges_s = LATENCY_BOUNDS_MS.iter().map(|edge_ms| *edge_ms as f64 / 1_000.0);
    let buckets: Vec<(f64, u64)> =
        edges_s.chain([f64::MAX]).zip(totals.latency.iter().copied().chain(std::iter::repeat(0))).collect();
    let longest_s = LATENCY_BOUNDS_MS.last().map_or(0.0, |edge_ms| *edge_ms as f64 / 1_000.0);
    let sum = buckets.iter().map(|(edge_s, count)| edge_s.min(longest_s) * *count as f64).sum();
    (sum, totals.latency.iter().sum(), buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_stand_in_the_bucket_of_their_duration() {
        let mut latency = vec![0; LATENCY_BOUNDS_MS.len() + 1];
        latency[0] = 3;
        latency[LATENCY_BOUNDS_MS.len()] = 1;
        let (sum, count, buckets) = histogram(&Totals { latency, ..Totals::default() });
        assert_eq!((count, buckets[0], buckets.len()), (4, (0.001, 3), LATENCY_BOUNDS_MS.len() + 1));
        assert!((sum - 30.003).abs() < 1e-9, "{sum}");
        assert_eq!(histogram(&Totals::default()).1, 0);
    }
}
