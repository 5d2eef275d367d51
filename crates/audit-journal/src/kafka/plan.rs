//! What an administrator runs where we may not create topics: topics and least-privilege ACLs, as the
//! command lines of Kafka's own tools.

use std::fmt::Write as _;

use crate::config::KafkaConfig;
use crate::topic::Topic;

use super::client::{partition_count, topic_name_of};
use super::topics::{replicas, settings};

/// Who the ACLs are for, where the administrator has not filled it in.
const PRINCIPAL: &str = "User:flagtrail";

/// What the log's principal does with every topic.
const TOPIC_OPERATIONS: [&str; 4] = ["Describe", "DescribeConfigs", "Read", "Write"];

/// The commands that make a deployment's topics on a cluster of `brokers` brokers, and grant what
/// Flagtrail needs and no more. For a shell; the principal is to be filled in.
pub fn kafka_plan(config: &KafkaConfig, brokers: usize) -> String {
    let servers = shell_word(&config.brokers);
    let mut plan = String::new();
    let replicas = replicas(brokers);
    let _ = writeln!(plan, "# Topics");
    for topic in Topic::ALL {
        let name = shell_word(&topic_name_of(&config.prefix, topic));
        let partitions = partition_count(topic, config.partitions);
        let _ = write!(
            plan,
            "kafka-topics.sh --bootstrap-server {servers} --create --topic {name} --partitions {partitions} --replication-factor {replicas}"
        );
        for (key, value) in settings(topic, replicas) {
            let _ = write!(plan, " --config {key}={value}");
        }
        plan.push('\n');
    }
    let _ = writeln!(plan, "\n# Access, for the principal that Flagtrail logs in as");
    let acl = format!("kafka-acls.sh --bootstrap-server {servers} --add --allow-principal {PRINCIPAL}");
    for topic in Topic::ALL {
        let name = shell_word(&topic_name_of(&config.prefix, topic));
        let operations: String =
            TOPIC_OPERATIONS.iter().map(|operation| format!(" --operation {operation}")).collect();
        let _ = writeln!(plan, "{acl}{operations} --topic {name}");
    }
    // Groups and transactional ids are made up under the prefix.
    let under = shell_word(&format!("{}.", config.prefix));
    let ids = shell_word(&format!("{}-", config.prefix));
    let _ = writeln!(
        plan,
        "{acl} --operation Read --operation Describe --group {under} --resource-pattern-type prefixed"
    );
    let _ = writeln!(
        plan,
        "{acl} --operation Write --operation Describe --transactional-id {ids} --resource-pattern-type prefixed"
    );
    plan
}

/// A word for a shell, quoted where it needs to be.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:,/".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    fn config(prefix: &str) -> KafkaConfig {
        KafkaConfig {
            brokers: "kafka-1:9092,kafka-2:9092".to_owned(),
            prefix: prefix.to_owned(),
            partitions: 12,
            create_topics: false,
            append_timeout: Duration::from_secs(5),
            librdkafka: BTreeMap::new(),
        }
    }

    #[test]
    fn the_plan_names_every_topic_with_its_settings() {
        let plan = kafka_plan(&config("flagtrail"), 5);
        for topic in Topic::ALL {
            assert!(plan.contains(&format!("--create --topic flagtrail.{} ", topic.suffix())), "{plan}");
        }
        let records = plan.lines().find(|line| line.contains("--create --topic flagtrail.records ")).unwrap();
        for part in [
            "--partitions 12 --replication-factor 3",
            "--config min.insync.replicas=2",
            "--config message.timestamp.type=LogAppendTime",
            "--config cleanup.policy=delete",
            "--config retention.ms=-1",
        ] {
            assert!(records.contains(part), "{records}");
        }
    }

    #[test]
    fn nothing_is_granted_beyond_the_deployments_own_names() {
        let plan = kafka_plan(&config("flagtrail"), 3);
        let grants: Vec<&str> = plan.lines().filter(|line| line.starts_with("kafka-acls.sh")).collect();
        assert_eq!(grants.len(), Topic::ALL.len() + 2);
        assert!(
            grants.iter().all(|grant| !grant.contains("--operation All") && !grant.contains("--cluster"))
        );
        assert!(grants.iter().all(|grant| grant.contains("flagtrail.") || grant.contains("flagtrail-")));
    }

    #[test]
    fn a_strange_prefix_does_not_escape_into_the_shell() {
        let plan = kafka_plan(&config("a'; rm -rf / #"), 1);
        assert!(plan.contains(r"'a'\''; rm -rf / #.records'"), "{plan}");
    }
}
