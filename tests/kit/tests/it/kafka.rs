//! Real brokers start, serve, are killed and come back.

use flagtrail_testkit::kafka::{self, Cluster};

const CONSOLE_PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSOLE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

fn produce(cluster: &Cluster, topic: &str, lines: &str) {
    let acknowledged = ["--topic", topic, "--producer-property", "acks=all"];
    cluster.run_tool_with_input(CONSOLE_PRODUCER, &acknowledged, lines).unwrap();
}

fn consume(cluster: &Cluster, topic: &str, messages: usize) -> Vec<String> {
    let messages = messages.to_string();
    let arguments =
        ["--topic", topic, "--from-beginning", "--max-messages", &messages, "--timeout-ms", "30000"];
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
    assert_ne!(cluster.leader_of("letters", 0).unwrap(), leader);
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
    assert!(cluster.leader_of(&topic, 0).is_err());
}
