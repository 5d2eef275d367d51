"""Reads a topic of audit records to its present end, as a program that knows nothing of Flagtrail, and checks every message.

    validate.py BOOTSTRAP TOPIC SCHEMA

Each value must satisfy the JSON Schema, each message must be a CloudEvent in binary mode, and the two must agree.
One line of JSON a message goes to standard output; what is wrong goes to standard error, and the exit status is then 1.
"""

import json
import sys
import time

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from jsonschema import Draft202012Validator, FormatChecker

# Seconds without a message after which the topic counts as broken: its end would have been told, on a busy machine too.
SILENCE_MAX = 120.0

# What a client mends by itself: a connection that broke, a broker that was slow to answer.
PASSING = [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE]

# What CloudEvents 1.0 requires, and the content type that binary mode needs.
REQUIRED_HEADERS = ["ce_specversion", "ce_id", "ce_source", "ce_type", "content-type"]


def messages(bootstrap, topic):
    """Every message from the beginning to the end of each partition."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": "validate",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
    })
    partitions = consumer.list_topics(topic, timeout=SILENCE_MAX).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    unfinished = set(partitions)
    heard_at, passing = time.monotonic(), None
    while unfinished:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            yield message
            heard_at = time.monotonic()
        elif message is not None and message.error().code() == KafkaError._PARTITION_EOF:
            unfinished.discard(message.partition())
            heard_at = time.monotonic()
        elif message is not None and message.error().code() not in PASSING:
            raise KafkaException(message.error())
        elif message is not None:
            passing = message.error()
        if time.monotonic() - heard_at > SILENCE_MAX:
            wanting = f"nothing for {SILENCE_MAX} s, and no end of the partitions {sorted(unfinished)}"
            raise SystemExit(f"{wanting}; the last error: {passing}")
    consumer.close()


def complaints(message, validator):
    """What is wrong with a message, and the record in it."""
    try:
        record = json.loads(message.value().decode("utf-8"))
    except ValueError as error:
        return [f"the value is no JSON: {error}"], None
    wrong = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(record)]

    headers = message.headers() or []
    names = [name for name, _ in headers]
    wrong += [f"header {name} comes twice" for name in set(names) if names.count(name) > 1]
    # The binding below takes an absent version for 1.0.
    wrong += [f"header {name} is missing" for name in REQUIRED_HEADERS if name not in names]
    plain = {name: value for name, value in headers if name.startswith("ce_") or name == "content-type"}
    try:
        event = from_binary(KafkaMessage(headers=plain, key=message.key(), value=message.value()), JSONFormat())
    except Exception as error:  # Whatever the binding objects to is the finding.
        return wrong + [f"no CloudEvent: {error!r}"], record

    for what, said, meant in [
        ("ce_id", event.get_id(), record.get("id")),
        ("ce_type", event.get_type(), record.get("action")),
        ("content-type", event.get_datacontenttype(), "application/json"),
        ("the data", event.get_data(), record),
    ]:
        if said != meant:
            wrong.append(f"{what} is {said!r} and the record says {meant!r}")
    if not message.key():
        wrong.append("the message has no key, so nothing says what it is in order with")
    return wrong, record


def main():
    bootstrap, topic, schema = sys.argv[1:]
    with open(schema, encoding="utf-8") as file:
        schema = json.load(file)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    failed = False
    for message in messages(bootstrap, topic):
        wrong, record = complaints(message, validator)
        key = (message.key() or b"").decode("utf-8", "replace")
        place = {"partition": message.partition(), "offset": message.offset(), "key": key}
        print(json.dumps({**place, "record": record}))
        for complaint in wrong:
            failed = True
            print(f"partition {place['partition']} offset {place['offset']}: {complaint}", file=sys.stderr)
    raise SystemExit(1 if failed else 0)


main()
