//! How the partitions stand that this process seals, at each scrape.

use std::fmt;

use audit_export::{PartitionStanding, SealStanding};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::PartitionLabel;

/// A figure's name, help, and where it stands.
type Figure = (&'static str, &'static str, fn(&PartitionStanding) -> u64);

const GAUGES: [Figure; 5] = [
    ("seal_stopped", "1 where a partition of this process is not sealed, else 0", |standing| {
        u64::from(standing.not_sealed.is_some())
    }),
    (
        "segments_uncut",
        "1 where a partition of this process is not cut into segments though it should be, else 0",
        |standing| u64::from(standing.not_cut.is_some()),
    ),
    (
        "segments_stopped",
        "1 where the next segment of a partition of this process could not be written, else 0",
        |standing| u64::from(standing.not_written.is_some()),
    ),
    (
        "segments_waiting",
        "Segments of a partition of this process that are cut and not written yet",
        |standing| standing.waiting,
    ),
    (
        "segments_lost",
        "Segments of a partition of this process that were written without their messages: 0 is the only good value",
        |standing| standing.lost,
    ),
];

/// Of every partition that witnesses are asked about.
const WITNESS_AHEAD: (&str, &str) = (
    "witness_ahead",
    "1 where a witness has cosigned more leaves of a partition than the log has: 0 is the only good value",
);

/// Tells of a sealer's partitions.
#[derive(Debug)]
pub(super) struct Sealing(pub(super) SealStanding);

impl Collector for Sealing {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let partitions = self.0.partitions();
        for (name, help, figure) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (partition, standing) in &partitions {
                let value = i64::try_from(figure(standing)).unwrap_or(i64::MAX);
                family.encode_family(&PartitionLabel { partition: *partition })?.encode_gauge(&value)?;
            }
        }
        let (name, help) = WITNESS_AHEAD;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (partition, is_ahead) in self.0.witnesses_ahead() {
            family.encode_family(&PartitionLabel { partition })?.encode_gauge(&i64::from(is_ahead))?;
        }
        Ok(())
    }
}
