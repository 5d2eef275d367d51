import json
import os

from confluent_kafka import Consumer

consumer = Consumer({
    "bootstrap.servers": os.environ.get("KAFKA", "localhost:9092"),
    "group.id": "flag-cache",
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
})
consumer.subscribe(["flagtrail.records"])
while True:
    message = consumer.poll(1.0)
    if message is None:
        continue
    if message.error():
        raise SystemExit(message.error())
    record = json.loads(message.value())
    if record["action"].startswith("flag."):
        print(record["action"], record.get("flag"), record["log"], flush=True)
    # Only when the work is done: after a crash the record comes again, with the same record["id"].
    consumer.commit(message, asynchronous=False)
