//! What tests share: real Kafka brokers, receivers, waiting for a condition. Never shipped.
