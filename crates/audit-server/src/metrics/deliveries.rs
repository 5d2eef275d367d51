//! What deliveries add up to, an endpoint, as the deliverer of this process tells it at each scrape.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use audit_webhook::{EndpointStatus, LATENCY_BOUNDS_MS, Totals};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabel {
    endpoint: String,
}

/// The latest figures; empty where nothing delivers.
#[derive(Clone, Debug, Default)]
pub(super) struct Deliveries(Arc<Mutex<Vec<EndpointStatus>>>);

/// A figure's name, help, and where it stands.
type Figure<T> = (&'static str, &'static str, fn(&EndpointStatus) -> T);

const COUNTERS: [Figure<u64>; 3] = [
    ("deliveries_delivered", "Deliveries that arrived", |status| status.totals.delivered),
    ("deliveries_failed", "Delivery attempts that failed", |status| status.totals.failed),
    ("deliveries_dead_lettered", "Deliveries given up", |status| status.totals.dead_lettered),
];

const GAUGES: [Figure<u64>; 3] = [
    ("deliveries_behind", "Offsets between an endpoint's cursors and the log's ends", |status| status.behind),
    ("deliveries_pending", "Deliveries that wait to be tried again", |status| status.pending),
    ("deliveries_in_flight", "Deliveries under way", |status| status.in_flight),
];

impl Deliveries {
    pub(super) fn set(&self, statuses: Vec<EndpointStatus>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = statuses;
    }
}

impl Collector for Deliveries {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let statuses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let label = |status: &EndpointStatus| EndpointLabel { endpoint: status.id.to_string() };
        for (name, help, figure) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for status in statuses.iter() {
                family
                    .encode_family(&label(status))?
                    .encode_counter::<NoLabelSet, _, u64>(&figure(status), None)?;
            }
        }
        for (name, help, figure) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for status in statuses.iter() {
                let value = i64::try_from(figure(status)).unwrap_or(i64::MAX);
                family.encode_family(&label(status))?.encode_gauge(&value)?;
            }
        }
        let (name, help) = ("deliveries_duration_seconds", "How long delivery attempts took");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for status in statuses.iter() {
            let (sum, count, buckets) = histogram(&status.totals);
            family
                .encode_family(&label(status))?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
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
