//! The topics of a deployment on Kafka: what they must be, made where they are missing, refused by name
//! where they are wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication, TopicResult};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::RDKafkaErrorCode;

use crate::error::OpenError;
use crate::topic::{DETAIL_KEPT, Topic};

use super::client::{Clients, Logged, MESSAGE_BYTES_MAX, REQUEST_WAIT, blocking, partition_count, reason};
use super::open::{PROPAGATION_TICK, PROPAGATION_WAIT};

/// A segment of `progress`, in bytes: small, so that compaction finds closed ones early.
const PROGRESS_SEGMENT_BYTES: u32 = 16 * 1024 * 1024;

/// A segment of `progress` is closed after this at the latest: an hour.
const PROGRESS_SEGMENT_MS: u32 = 60 * 60 * 1000;

/// Most replicas that are asked for.
const REPLICAS_MAX: usize = 3;

/// How many replicas of a topic the cluster is asked for.
pub(super) fn replicas(brokers: usize) -> usize {
    brokers.clamp(1, REPLICAS_MAX)
}

/// The settings that a topic is made with.
pub(super) fn settings(topic: Topic, replicas: usize) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("cleanup.policy", if topic == Topic::Progress { "compact" } else { "delete" }.to_owned()),
        ("max.message.bytes", MESSAGE_BYTES_MAX.to_string()),
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("unclean.leader.election.enable", "false".to_owned()),
        ("min.insync.replicas", if replicas >= 3 { "2" } else { "1" }.to_owned()),
    ];
    match topic {
        Topic::Records | Topic::Control | Topic::Checkpoints => {
            settings.push(("retention.ms", "-1".to_owned()));
            settings.push(("retention.bytes", "-1".to_owned()));
        }
        Topic::Deliveries | Topic::Rejected => {
            settings.push(("retention.ms", DETAIL_KEPT.as_millis().to_string()));
        }
        Topic::Progress => {
            settings.push(("segment.bytes", PROGRESS_SEGMENT_BYTES.to_string()));
            settings.push(("segment.ms", PROGRESS_SEGMENT_MS.to_string()));
            settings.push(("min.cleanable.dirty.ratio", "0.1".to_owned()));
        }
    }
    settings
}

/// What stands on the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) partitions: u32,
    pub(super) replicas: usize,
    pub(super) settings: BTreeMap<String, String>,
}

/// What a topic that stands there must be mended in: the first thing that is wrong, and what only
/// deserves a warning.
pub(super) fn check(topic: Topic, name: &str, found: &Found) -> Result<Vec<String>, String> {
    let setting = |key: &str| found.settings.get(key).map(String::as_str).unwrap_or_default();
    let alter = |key: &str, value: &str| {
        format!("kafka-configs --alter --entity-type topics --entity-name {name} --add-config {key}={value}")
    };
    let refuse = |key: &str, want: &str, why: &str| {
        let have = setting(key);
        Err(format!("topic {name} has {key}={have}, {why}: mend it with `{}`", alter(key, want)))
    };
    let mut warnings = Vec::new();

    let compacted = setting("cleanup.policy").split(',').any(|policy| policy.trim() == "compact");
    let deleted = setting("cleanup.policy").split(',').any(|policy| policy.trim() == "delete");
    if topic == Topic::Progress {
        if !compacted || deleted {
            return refuse(
                "cleanup.policy",
                "compact",
                "and the consumers' state would be lost with its age",
            );
        }
    } else if compacted {
        return refuse(
            "cleanup.policy",
            "delete",
            "and compaction would remove all but the last message of a key",
        );
    }
    if setting("unclean.leader.election.enable") == "true" {
        return refuse("unclean.leader.election.enable", "false", "and acknowledged messages could be lost");
    }
    if setting("message.timestamp.type") != "LogAppendTime"
        && matches!(topic, Topic::Records | Topic::Progress)
    {
        return refuse(
            "message.timestamp.type",
            "LogAppendTime",
            "and a time could not be told from what a client claims",
        );
    }
    let message_bytes: usize = setting("max.message.bytes").parse().unwrap_or(usize::MAX);
    if message_bytes < MESSAGE_BYTES_MAX {
        return refuse(
            "max.message.bytes",
            &MESSAGE_BYTES_MAX.to_string(),
            "too little for a record and its proofs",
        );
    }
    let kept_for_ever = setting("retention.ms") == "-1" && setting("retention.bytes") == "-1";
    if topic == Topic::Control && !kept_for_ever {
        let key = if setting("retention.ms") == "-1" { "retention.bytes" } else { "retention.ms" };
        return refuse(key, "-1", "and the settings are the fold of the whole topic");
    }
    if matches!(topic, Topic::Records | Topic::Checkpoints) && !kept_for_ever {
        warnings.push(format!(
            "topic {name} has a retention (retention.ms={}, retention.bytes={}): older messages leave the log, and with them what archives can be rebuilt from",
            setting("retention.ms"),
            setting("retention.bytes"),
        ));
    }
    let in_sync: usize = setting("min.insync.replicas").parse().unwrap_or(1);
    if found.replicas < 3 {
        warnings.push(format!(
            "topic {name} has {} replica(s): with fewer than 3, the loss of one broker can lose or block what was acknowledged",
            found.replicas
        ));
    } else if in_sync < 2 {
        return refuse(
            "min.insync.replicas",
            "2",
            "and one broker alone could acknowledge what it then loses",
        );
    }
    if in_sync > found.replicas {
        return refuse(
            "min.insync.replicas",
            if found.replicas >= 3 { "2" } else { "1" },
            "more than it has replicas, so nothing can be appended",
        );
    }
    Ok(warnings)
}

/// Whether a topic has the partitions that the log needs. More are warned about: what lies in them is
/// not part of the log.
pub(super) fn check_partitions(
    topic: Topic,
    name: &str,
    found: u32,
    partitions: u32,
) -> Result<Option<String>, String> {
    let wanted = partition_count(topic, partitions);
    if found < wanted {
        return Err(format!(
            "topic {name} has {found} partitions, but the log has {wanted}: mend it with `kafka-topics --alter --topic {name} --partitions {wanted}`"
        ));
    }
    Ok((found > wanted).then(|| {
        format!(
            "topic {name} has {found} partitions, but the log has {wanted}: nothing is appended to the others or read from them"
        )
    }))
}

/// What became of a request to make a topic.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// It is there, or on its way.
    Done,
    /// It was asked of a broker that is not the controller any more: to be asked again, by name.
    Misdirected(String),
}

fn asked(result: TopicResult) -> Result<Asked, OpenError> {
    use RDKafkaErrorCode as Code;
    match result {
        Ok(name) => {
            tracing::info!(topic = name, "topic created");
            Ok(Asked::Done)
        }
        Err((_, Code::TopicAlreadyExists)) => Ok(Asked::Done),
        Err((name, Code::RequestTimedOut)) => {
            tracing::info!(topic = name, "the brokers take their time to create a topic");
            Ok(Asked::Done)
        }
        Err((name, Code::NotController)) => Ok(Asked::Misdirected(name)),
        Err((
            name,
            code @ (Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::PolicyViolation
            | Code::InvalidReplicationFactor
            | Code::InvalidConfig),
        )) => Err(OpenError::Refused(format!(
            "topic {name} can't be created: {code}; set kafka.create_topics=false and let an administrator run what `flagtrail kafka plan` prints"
        ))),
        Err((name, code)) => {
            Err(OpenError::Unavailable(format!("topic {name} can't be created now: {code}")))
        }
    }
}

/// Asks and changes the cluster's topics.
pub(super) struct Topics {
    clients: Clients,
    admin: Arc<AdminClient<Logged>>,
}

impl Topics {
    pub(super) fn new(clients: Clients) -> Result<Self, OpenError> {
        let admin = AdminClient::from_config_and_context(&clients.base(), Logged)
            .map_err(|error| OpenError::Refused(reason(&error)))?;
        Ok(Self { clients, admin: Arc::new(admin) })
    }

    /// How many brokers there are, and the partitions and replicas of those of our topics that are there.
    pub(super) async fn list(&self) -> Result<(usize, BTreeMap<Topic, (u32, usize)>), OpenError> {
        let admin = Arc::clone(&self.admin);
        let metadata = blocking(move || admin.inner().fetch_metadata(None, REQUEST_WAIT))
            .await
            .map_err(|error| OpenError::Unavailable(reason(&error)))?;
        let mut topics = BTreeMap::new();
        for topic in Topic::ALL {
            let name = self.clients.topic_name(topic);
            if let Some(found) = metadata.topics().iter().find(|found| found.name() == name) {
                let replicas = found.partitions().iter().map(|p| p.replicas().len()).min().unwrap_or(0);
                topics.insert(topic, (found.partitions().len() as u32, replicas));
            }
        }
        Ok((metadata.brokers().len(), topics))
    }

    /// Makes topics. One that somebody else made meanwhile is as good, and one that takes its time may be: whoever needs
    /// it waits until it is known.
    pub(super) async fn create(
        &self,
        topics: &[Topic],
        partitions: u32,
        brokers: usize,
    ) -> Result<(), OpenError> {
        let until = tokio::time::Instant::now() + PROPAGATION_WAIT;
        let mut topics = topics.to_vec();
        loop {
            let mut misdirected = Vec::new();
            for result in self.ask_to_create(&topics, partitions, brokers).await? {
                if let Asked::Misdirected(name) = asked(result)? {
                    misdirected.push(name);
                }
            }
            topics.retain(|topic| misdirected.contains(&self.clients.topic_name(*topic)));
            if topics.is_empty() {
                return Ok(());
            }
            if tokio::time::Instant::now() >= until {
                let names = misdirected.join(", ");
                return Err(OpenError::Unavailable(format!(
                    "topics can't be created now, for the cluster has no controller: {names}"
                )));
            }
            tokio::time::sleep(PROPAGATION_TICK).await;
        }
    }

    async fn ask_to_create(
        &self,
        topics: &[Topic],
        partitions: u32,
        brokers: usize,
    ) -> Result<Vec<TopicResult>, OpenError> {
        let replicas = replicas(brokers);
        let named: Vec<_> = topics
            .iter()
            .map(|topic| (*topic, self.clients.topic_name(*topic), settings(*topic, replicas)))
            .collect();
        let new: Vec<NewTopic<'_>> = named
            .iter()
            .map(|(topic, name, settings)| {
                let count = partition_count(*topic, partitions) as i32;
                let new = NewTopic::new(name, count, TopicReplication::Fixed(replicas as i32));
                settings.iter().fold(new, |new, (key, value)| new.set(key, value))
            })
            .collect();
        let options =
            AdminOptions::new().operation_timeout(Some(REQUEST_WAIT)).request_timeout(Some(REQUEST_WAIT));
        let results = self.admin.create_topics(&new, &options).await;
        results.map_err(|error| OpenError::Unavailable(reason(&error)))
    }

    /// The settings of topics that are there.
    pub(super) async fn settings(
        &self,
        topics: &[Topic],
    ) -> Result<BTreeMap<Topic, BTreeMap<String, String>>, OpenError> {
        let names: Vec<String> = topics.iter().map(|topic| self.clients.topic_name(*topic)).collect();
        let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let options = AdminOptions::new().request_timeout(Some(REQUEST_WAIT));
        let described = self
            .admin
            .describe_configs(&resources, &options)
            .await
            .map_err(|error| OpenError::Unavailable(reason(&error)))?;
        let mut all = BTreeMap::new();
        for ((topic, name), resource) in topics.iter().zip(&names).zip(described) {
            let resource = resource.map_err(|code| match code {
                RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                    OpenError::Refused(format!(
                        "the settings of topic {name} may not be read: grant DescribeConfigs, as `flagtrail kafka plan` prints"
                    ))
                }
                code => OpenError::Unavailable(format!("the settings of topic {name} can't be read: {code}")),
            })?;
            if resource.entries.is_empty() {
                // What a broker answers for a topic that was just made and that it does not know yet.
                return Err(OpenError::Unavailable(format!(
                    "the settings of topic {name} are not known yet"
                )));
            }
            let entries = resource.entries.into_iter();
            all.insert(*topic, entries.filter_map(|entry| Some((entry.name, entry.value?))).collect());
        }
        Ok(all)
    }

    pub(super) fn clients(&self) -> &Clients {
        &self.clients
    }

    pub(super) fn admin(&self) -> &AdminClient<Logged> {
        &self.admin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(topic: Topic, replicas: usize, changes: &[(&str, &str)]) -> Found {
        let mut settings: BTreeMap<String, String> =
            settings(topic, replicas).into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        settings.entry("retention.bytes".to_owned()).or_insert_with(|| "-1".to_owned());
        for (key, value) in changes {
            settings.insert((*key).to_owned(), (*value).to_owned());
        }
        Found { partitions: 12, replicas, settings }
    }

    #[test]
    fn every_topic_that_we_make_passes_our_own_check() {
        for topic in Topic::ALL {
            assert_eq!(check(topic, "t", &found(topic, 3, &[])), Ok(Vec::new()), "{topic:?}");
        }
    }

    #[test]
    fn fewer_than_three_replicas_are_warned_about_by_name() {
        let warnings = check(Topic::Records, "flagtrail.records", &found(Topic::Records, 1, &[])).unwrap();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("flagtrail.records"), "{warnings:?}");
    }

    #[test]
    fn a_compacted_record_topic_is_refused_with_the_command_that_mends_it() {
        let wrong = found(Topic::Records, 3, &[("cleanup.policy", "compact,delete")]);
        let refusal = check(Topic::Records, "flagtrail.records", &wrong).unwrap_err();
        assert!(refusal.contains("flagtrail.records has cleanup.policy=compact,delete"), "{refusal}");
        assert!(refusal.contains("--add-config cleanup.policy=delete"), "{refusal}");
    }

    #[test]
    fn an_operators_retention_on_the_records_is_allowed_and_warned_about() {
        let kept = found(Topic::Records, 3, &[("retention.ms", "86400000")]);
        assert_eq!(check(Topic::Records, "t", &kept).map(|warnings| warnings.len()), Ok(1));
    }

    #[test]
    fn what_loses_messages_is_refused() {
        let cases = [
            (Topic::Progress, "cleanup.policy", "delete"),
            (Topic::Control, "retention.ms", "604800000"),
            (Topic::Control, "cleanup.policy", "compact"),
            (Topic::Records, "unclean.leader.election.enable", "true"),
            (Topic::Records, "message.timestamp.type", "CreateTime"),
            (Topic::Records, "min.insync.replicas", "1"),
            (Topic::Records, "max.message.bytes", "1048588"),
        ];
        for (topic, key, value) in cases {
            let refusal = check(topic, "t", &found(topic, 3, &[(key, value)])).unwrap_err();
            assert!(refusal.starts_with(&format!("topic t has {key}={value}")), "{refusal}");
        }
    }

    #[test]
    fn a_topic_that_takes_its_time_is_waited_for_and_one_that_may_not_be_made_is_refused() {
        use RDKafkaErrorCode as Code;
        let answer = |code| asked(Err(("t".to_owned(), code)));
        assert!(matches!(asked(Ok("t".to_owned())), Ok(Asked::Done)));
        for code in [Code::TopicAlreadyExists, Code::RequestTimedOut] {
            assert!(matches!(answer(code), Ok(Asked::Done)), "{code}");
        }
        assert!(matches!(answer(Code::NotController), Ok(Asked::Misdirected(name)) if name == "t"));
        assert!(matches!(answer(Code::PolicyViolation), Err(OpenError::Refused(_))));
        assert!(matches!(answer(Code::BrokerNotAvailable), Err(OpenError::Unavailable(_))));
    }

    #[test]
    fn too_few_partitions_are_refused_and_too_many_warned_about() {
        assert!(check_partitions(Topic::Records, "t", 4, 12).is_err());
        assert!(check_partitions(Topic::Records, "t", 13, 12).unwrap().is_some());
        assert_eq!(check_partitions(Topic::Control, "t", 1, 12), Ok(None));
    }
}
