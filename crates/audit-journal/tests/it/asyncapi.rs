//! `schemas/asyncapi.yaml` describes the topics that there are: each once, under its name, with the partitions and
//! policies that it is made with.

use std::collections::{BTreeMap, BTreeSet};

use audit_journal::Topic;

const FILE: &str = include_str!("../../../../schemas/asyncapi.yaml");

/// The prefix of the addresses in the file: the one that is used where none is configured.
const PREFIX: &str = "flagtrail";

/// What the file says of a topic.
#[derive(Debug, Default)]
struct Described {
    address: String,
    /// Its number of partitions, where it is not the log's.
    partitions: Option<u32>,
    /// Kafka's settings of it, by name.
    settings: BTreeMap<String, String>,
}

/// The channels of the file by name. It is read by its indentation, which is two blanks a level: that is all of YAML
/// that these lines use.
fn channels() -> BTreeMap<String, Described> {
    let lines = FILE.lines().skip_while(|line| *line != "channels:").skip(1);
    let mut channels: BTreeMap<String, Described> = BTreeMap::new();
    let mut path: Vec<&str> = Vec::new();
    for line in lines.take_while(|line| line.is_empty() || line.starts_with(' ')) {
        let Some((key, value)) = line.trim_start().split_once(':') else { continue };
        let level = (line.len() - line.trim_start().len()) / 2;
        path.truncate(level - 1);
        path.push(key);
        let channel = channels.entry(path[0].to_owned()).or_default();
        let value = value.trim().trim_matches(['[', ']']);
        match &path[1..] {
            ["address"] => channel.address = value.to_owned(),
            ["bindings", "kafka", "partitions"] => channel.partitions = Some(value.parse().unwrap()),
            ["bindings", "kafka", "topicConfiguration", name] => {
                channel.settings.insert((*name).to_owned(), value.to_owned());
            }
            _ => {}
        }
    }
    channels
}

#[test]
fn every_topic_is_described_once_under_its_name_and_nothing_else_is() {
    let described = channels();
    let names: BTreeSet<&str> = described.keys().map(String::as_str).collect();
    assert_eq!(names, Topic::ALL.into_iter().map(Topic::suffix).collect());
    for (name, channel) in &described {
        assert_eq!(channel.address, format!("{PREFIX}.{name}"));
    }
}

#[test]
fn a_topic_of_one_partition_is_described_so_and_every_other_has_as_many_as_the_log() {
    let described = channels();
    for topic in Topic::ALL {
        let partitions = described[topic.suffix()].partitions;
        assert_eq!(partitions, topic.is_single_partition().then_some(1), "{}", topic.suffix());
    }
}

/// The settings that others rely on: what is kept, for how long, and how large a message may be.
#[cfg(feature = "kafka")]
const DESCRIBED: [&str; 4] = ["cleanup.policy", "max.message.bytes", "retention.bytes", "retention.ms"];

#[cfg(feature = "kafka")]
#[test]
fn the_policies_described_are_those_that_a_topic_is_made_with() {
    let config =
        audit_journal::KafkaConfig { partitions: 7, ..crate::kafka::config("localhost:9092", PREFIX) };
    let plan = audit_journal::kafka_plan(&config, 1);
    for (name, channel) in channels() {
        let command =
            plan.lines().find(|line| line.contains(&format!(" --create --topic {} ", channel.address)));
        let command = command.unwrap_or_else(|| panic!("no command makes {}", channel.address));
        let partitions = channel.partitions.unwrap_or(config.partitions);
        assert!(command.contains(&format!(" --partitions {partitions} ")), "{command}");
        let made: BTreeMap<String, String> = command
            .split(" --config ")
            .skip(1)
            .filter_map(|setting| setting.split_once('='))
            .filter(|(setting, _)| DESCRIBED.contains(setting))
            .map(|(setting, value)| (setting.to_owned(), value.trim_matches('\'').to_owned()))
            .collect();
        assert_eq!(channel.settings, made, "{name}");
    }
}
