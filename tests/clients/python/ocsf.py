"""Validates OCSF events, one a line on standard input, by the published schema of their class and version.

Says how many there are, or what is wrong with each that is not valid; the exit status is then 1."""

import hashlib
import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.8.0"))
validators = {}


def validator(class_uid):
    if class_uid not in validators:
        name = schema.lookup_class_name_from_uid(class_uid)
        validators[class_uid] = Draft202012Validator(schema.get_class_schema(name))
    return validators[class_uid]


def complaints(event):
    """What is wrong with an event."""
    wrong = [f"{error.json_path}: {error.message[:200]}" for error in validator(event["class_uid"]).iter_errors(event)]
    if event["metadata"]["version"] != "1.8.0":
        wrong.append("it is of another version")
    if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
        wrong.append("type_uid is not of class_uid and activity_id")
    if hashlib.sha256(event["raw_data"].encode()).hexdigest() != event["raw_data_hash"]["value"]:
        wrong.append("raw_data_hash is not of raw_data")
    if event["metadata"]["uid"] != json.loads(event["raw_data"])["id"]:
        wrong.append("raw_data is another record")
    return wrong


events = [json.loads(line) for line in sys.stdin]
failed = False
for event in events:
    for complaint in complaints(event):
        failed = True
        print(f"{event['activity_name']} of {event['class_name']}: {complaint}")
if failed:
    sys.exit(1)
print(f"{len(events)} valid events")
