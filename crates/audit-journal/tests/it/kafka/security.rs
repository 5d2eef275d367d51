//! TLS and SASL against real listeners.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use audit_journal::{
    Control, Journal, JournalConfig, KafkaConfig, OpenError, OwnedCommit, OwnedEvent, PartitionCommit,
    SettingsChange, Topic, kafka_plan,
};
use flagtrail_testkit::kafka::{self, Cluster, Mechanism, Options, Security, User};

use super::{blocking, config, in_time};
use crate::contract::{append_numbers, collect, fixed, next_owned, until};

fn with(cluster: &Cluster, settings: &[(&str, &str)]) -> KafkaConfig {
    let mut config = config(&cluster.bootstrap(), &kafka::unique("log"));
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    config.librdkafka.extend(BTreeMap::from_iter(settings));
    config
}

async fn opens(config: KafkaConfig) {
    let journal = in_time("opening", Journal::open(JournalConfig::Kafka(config))).await.expect("it opens");
    append_numbers(&journal, 0, 0..3).await;
    in_time("closing", journal.close()).await;
}

async fn is_unavailable(config: KafkaConfig) {
    let opened = in_time("opening", Journal::open(JournalConfig::Kafka(config))).await;
    assert!(matches!(opened, Err(OpenError::Unavailable(_))), "{opened:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_opened_over_tls_with_a_password_of_each_kind() {
    if kafka::available().is_none() {
        return;
    }
    let users = vec![
        User::new(Mechanism::Plain, "plain-user", "plain-secret"),
        User::new(Mechanism::ScramSha256, "scram-user", "scram-secret"),
        User::new(Mechanism::ScramSha512, "strong-user", "strong-secret"),
    ];
    let security = Security { tls: true, users: users.clone(), ..Security::default() };
    let options = Options { brokers: 1, security };
    let cluster = blocking(move || Cluster::start_with(&options)).await.expect("the broker starts");
    let tls = cluster.tls().expect("it has certificates");
    let (trusted, other) =
        (tls.ca_certificate.display().to_string(), tls.other_ca_certificate.display().to_string());
    for user in &users {
        opens(with(
            &cluster,
            &[
                ("security.protocol", "SASL_SSL"),
                ("ssl.ca.location", &trusted),
                ("sasl.mechanism", user.mechanism.name()),
                ("sasl.username", &user.name),
                ("sasl.password", &user.password),
            ],
        ))
        .await;
    }
    let login =
        [("security.protocol", "SASL_SSL"), ("sasl.mechanism", "PLAIN"), ("sasl.username", "plain-user")];
    let wrong_password = [("ssl.ca.location", trusted.as_str()), ("sasl.password", "wrong")];
    is_unavailable(with(&cluster, &[&login[..], &wrong_password].concat())).await;
    let untrusted = [("ssl.ca.location", other.as_str()), ("sasl.password", "plain-secret")];
    is_unavailable(with(&cluster, &[&login[..], &untrusted].concat())).await;
    drop_blocking(cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_opened_over_tls_alone() {
    if kafka::available().is_none() {
        return;
    }
    let options = Options { brokers: 1, security: Security { tls: true, ..Security::default() } };
    let cluster = blocking(move || Cluster::start_with(&options)).await.expect("the broker starts");
    let trusted = cluster.tls().expect("it has certificates").ca_certificate.display().to_string();
    opens(with(&cluster, &[("security.protocol", "SSL"), ("ssl.ca.location", &trusted)])).await;
    drop_blocking(cluster).await;
}

/// Does what an administrator does with the lines that `flagtrail kafka plan` prints.
fn carry_out(cluster: &Cluster, plan: &str) {
    let commands = plan.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    std::thread::scope(|scope| {
        for line in commands {
            let mut words = line.split(' ');
            let class = match words.next() {
                Some("kafka-topics.sh") => "org.apache.kafka.tools.TopicCommand",
                Some("kafka-acls.sh") => "org.apache.kafka.tools.AclCommand",
                other => panic!("an administrator has no {other:?}"),
            };
            assert_eq!(words.next(), Some("--bootstrap-server"));
            // The administrator reaches the brokers another way.
            words.next();
            let arguments: Vec<&str> = words.collect();
            scope.spawn(move || cluster.run_tool(class, &arguments).expect("an administrator may"));
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_that_the_plan_grants_are_enough_and_without_them_the_refusal_names_the_plan() {
    if kafka::available().is_none() {
        return;
    }
    let users = vec![User::new(Mechanism::Plain, "flagtrail", "secret")];
    let options =
        Options { brokers: 1, security: Security { users, authorised: true, ..Security::default() } };
    let cluster = Arc::new(blocking(move || Cluster::start_with(&options)).await.expect("the broker starts"));
    let mut config = with(
        &cluster,
        &[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "flagtrail"),
            ("sasl.password", "secret"),
        ],
    );
    for create_topics in [true, false] {
        config.create_topics = create_topics;
        let refused = in_time("opening", Journal::open(JournalConfig::Kafka(config.clone()))).await;
        let Err(OpenError::Refused(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains("`flagtrail kafka plan`"), "{why}");
    }
    let (administered, plan) = (Arc::clone(&cluster), kafka_plan(&config, 1));
    blocking(move || carry_out(&administered, &plan)).await;

    let config = JournalConfig::Kafka(config);
    // A topic that was just made, and a right that was just granted, are the broker's a moment later.
    let journal = in_time("opening", async {
        loop {
            match Journal::open(config.clone()).await {
                Err(OpenError::Refused(why)) if why.contains("`flagtrail kafka plan`") => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                opened => break opened.expect("it opens"),
            }
        }
    })
    .await;
    append_numbers(&journal, 0, 0..3).await;
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    assert_eq!(collect(&mut follow, 3).await.len(), 3);
    let control = in_time("reading", Control::open(journal.clone())).await.expect("the settings open");
    let (kind, id) = ("source".to_owned(), "zen".to_owned());
    let change = SettingsChange { kind, id, base_version: 0, value: Some(serde_json::json!({})) };
    crate::contract::control::write(&control, change).await.expect("settings are written");
    let spool = journal.named_appender("the-id-of-a-spool");
    until(|| async { spool.settle().await.is_ok() }).await;
    in_time("appending", spool.append_together(vec![(Topic::Rejected, fixed(0, "x"))])).await.expect("it is");
    let mut owned = journal.follow_owned("flagtrail-deliver").await;
    let mut generation = 0;
    let bookmark = loop {
        match next_owned(&mut owned).await {
            OwnedEvent::Assigned { partition: 0, generation: assigned, .. } => generation = assigned,
            OwnedEvent::Messages(batch) => break batch.bookmark().expect("it has messages"),
            _ => {}
        }
    };
    let state = PartitionCommit { partition: 0, generation, bookmark, documents: Vec::new() };
    let commit =
        OwnedCommit { partitions: vec![state], messages: vec![(Topic::Deliveries, fixed(0, "attempt"))] };
    crate::contract::commit(&owned.committer(), commit).await.expect("the owner may commit");
    in_time("leaving", owned.leave()).await;
    let now = audit_record::Timestamp::from_micros(0).expect("1970 is in range");
    for topic in Topic::ALL {
        in_time("asking", journal.offsets_at(topic, now)).await.expect("times can be asked for");
    }
    journal.documents("flagtrail-deliver").await.expect("documents can be listed");
    in_time("closing", journal.close()).await;
    blocking(move || drop(cluster)).await;
}

async fn drop_blocking(cluster: Cluster) {
    blocking(move || drop(cluster)).await;
}
