//! TLS and SASL against real listeners.

use std::collections::BTreeMap;

use audit_journal::{Journal, JournalConfig, KafkaConfig, OpenError};
use flagtrail_testkit::kafka::{self, Cluster, Mechanism, Options, Security, User};

use super::{blocking, config, in_time};
use crate::contract::append_numbers;

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
    let security = Security { tls: true, users: users.clone() };
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
    let options = Options { brokers: 1, security: Security { tls: true, users: Vec::new() } };
    let cluster = blocking(move || Cluster::start_with(&options)).await.expect("the broker starts");
    let trusted = cluster.tls().expect("it has certificates").ca_certificate.display().to_string();
    opens(with(&cluster, &[("security.protocol", "SSL"), ("ssl.ca.location", &trusted)])).await;
    drop_blocking(cluster).await;
}

async fn drop_blocking(cluster: Cluster) {
    blocking(move || drop(cluster)).await;
}
