//! Real brokers start, serve, are killed and come back.

use std::time::Duration;

use flagtrail_testkit::{
    kafka::{self, Cluster, Mechanism, Options, Security, User},
    wait,
};

/// Longer than brokers take to agree, on a machine busy with other tests.
const SOON: Duration = Duration::from_secs(120);

const CONSOLE_PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const GET_OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const CONSOLE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

fn produce(cluster: &Cluster, topic: &str, lines: &str) {
    let acknowledged = ["--topic", topic, "--producer-property", "acks=all"];
    cluster.run_tool_with_input(CONSOLE_PRODUCER, &acknowledged, lines).unwrap();
}

fn consume(cluster: &Cluster, topic: &str, messages: usize) -> Vec<String> {
    let messages = messages.to_string();
    let arguments =
        ["--topic", topic, "--from-beginning", "--max-messages", &messages, "--timeout-ms", "120000"];
    let written = cluster.run_tool(CONSOLE_CONSUMER, &arguments).unwrap();
    written.lines().map(str::to_owned).collect()
}

#[test]
fn one_broker_keeps_what_was_produced_over_a_kill() {
    let Some(_) = kafka::available() else { return };
    let cluster = Cluster::start(1).unwrap();
    cluster.create_topic("letters", 1, &["retention.ms=-1"]).unwrap();
    produce(&cluster, "letters", "a\nb\n");
    cluster.kill_broker(1).unwrap();
    cluster.restart_broker(1).unwrap();
    produce(&cluster, "letters", "c\n");
    assert_eq!(consume(&cluster, "letters", 3), ["a", "b", "c"]);
}

#[test]
fn three_brokers_serve_on_while_the_leader_is_dead_and_take_it_back() {
    let Some(_) = kafka::available() else { return };
    let cluster = Cluster::start(3).unwrap();
    cluster.create_topic("letters", 1, &["min.insync.replicas=2"]).unwrap();
    produce(&cluster, "letters", "a\n");
    let leader = cluster.leader_of("letters", 0).unwrap();
    cluster.kill_broker(leader).unwrap();
    produce(&cluster, "letters", "b\n");
    // The broker that is asked may not have heard of it yet.
    wait::blocking(SOON, "another leads", || {
        cluster.leader_of("letters", 0).is_ok_and(|leads| leads != leader)
    });
    cluster.restart_broker(leader).unwrap();
    assert_eq!(consume(&cluster, "letters", 2), ["a", "b"]);
}

#[test]
fn topics_are_created_grown_and_deleted_on_the_shared_broker() {
    let Some(_) = kafka::available() else { return };
    let cluster = Cluster::shared();
    let topic = kafka::unique("grown");
    cluster.create_topic(&topic, 1, &[]).unwrap();
    cluster.add_partitions(&topic, 3).unwrap();
    assert_eq!(cluster.leader_of(&topic, 2).unwrap(), 1);
    cluster.delete_topic(&topic).unwrap();
    wait::blocking(SOON, "it is gone", || cluster.leader_of(&topic, 0).is_err());
}

/// Sends a line to the client listener with these client settings, in the words of Kafka's own producer.
fn produce_as_client(cluster: &Cluster, topic: &str, settings: &str) -> anyhow::Result<String> {
    let directory = tempfile::tempdir()?;
    let config = directory.path().join("client.properties");
    std::fs::write(&config, format!("max.block.ms=120000\n{settings}\n"))?;
    let arguments = ["--bootstrap-server", &cluster.bootstrap(), "--topic", topic, "--producer.config"];
    let arguments: Vec<&str> = arguments.into_iter().chain([config.to_str().unwrap()]).collect();
    kafka::run_tool(CONSOLE_PRODUCER, &arguments, "hello\n")
}

fn login(module: &str, name: &str, password: &str) -> String {
    format!(
        "sasl.jaas.config=org.apache.kafka.common.security.{module}LoginModule required username=\"{name}\" password=\"{password}\";"
    )
}

#[test]
fn a_tls_listener_with_passwords_lets_in_who_has_the_authority_and_a_password() {
    let Some(_) = kafka::available() else { return };
    let security = Security {
        tls: true,
        users: vec![
            User::new(Mechanism::Plain, "pauline", "plain-secret"),
            User::new(Mechanism::ScramSha256, "sam", "scram-secret"),
            User::new(Mechanism::ScramSha512, "sue", "long-secret"),
        ],
        ..Security::default()
    };
    let cluster = Cluster::start_with(&Options { brokers: 1, security }).unwrap();
    cluster.create_topic("greetings", 1, &[]).unwrap();
    let trust = format!(
        "security.protocol=SASL_SSL\nssl.truststore.type=PEM\nssl.truststore.location={}\n",
        cluster.tls().unwrap().ca_certificate.display()
    );
    let plain = format!("{trust}sasl.mechanism=PLAIN\n{}", login("plain.Plain", "pauline", "plain-secret"));
    let scram =
        format!("{trust}sasl.mechanism=SCRAM-SHA-256\n{}", login("scram.Scram", "sam", "scram-secret"));
    let long = format!("{trust}sasl.mechanism=SCRAM-SHA-512\n{}", login("scram.Scram", "sue", "long-secret"));
    for settings in [&plain, &scram, &long] {
        produce_as_client(&cluster, "greetings", settings).unwrap();
    }
    let stranger = plain.replace("plain-secret", "guessed");
    let other_way = plain.replace("pauline", "sam").replace("plain-secret", "scram-secret");
    let distrustful = plain.replace("ca.pem", "other-ca.pem");
    for settings in [&stranger, &other_way, &distrustful] {
        // The tool's exit status is 0 even when nothing was sent, so the topic tells.
        let _ = produce_as_client(&cluster, "greetings", &format!("{settings}\nmax.block.ms=3000"));
    }
    assert_eq!(cluster.run_tool(GET_OFFSETS, &["--topic", "greetings"]).unwrap(), "greetings:0:3\n");
}
