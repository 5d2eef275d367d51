//! How the partitions stand that this process delivers from, at each scrape.

use std::fmt;

use audit_webhook::DeliverStanding;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::PartitionLabel;

const STOPPED: (&str, &str) =
    ("deliver_stopped", "1 where a partition of this process is not delivered from, else 0");

/// Tells of a deliverer's partitions.
#[derive(Debug)]
pub(super) struct Delivering(pub(super) DeliverStanding);

impl Collector for Delivering {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let (name, help) = STOPPED;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (partition, why) in self.0.partitions() {
            family.encode_family(&PartitionLabel { partition })?.encode_gauge(&i64::from(why.is_some()))?;
        }
        Ok(())
    }
}
