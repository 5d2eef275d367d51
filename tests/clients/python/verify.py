"""Verifies a delivery that comes as JSON on standard input: v1 by the published library of Standard Webhooks, v1a by an Ed25519 that
is not Flagtrail's. The exit code is 0 if it is genuine, 1 if it is not."""

import base64
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError


def verify_v1a(key, headers, body):
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("whpk_")))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for signature in headers["webhook-signature"].split():
        version, _, encoded = signature.partition(",")
        try:
            if version == "v1a":
                return public.verify(base64.b64decode(encoded), signed)
        except InvalidSignature:
            pass
    raise InvalidSignature


delivery = json.load(sys.stdin)
key, headers, body = delivery["key"], delivery["headers"], base64.b64decode(delivery["body"])
try:
    if key.startswith("whpk_"):
        verify_v1a(key, headers, body)
    else:
        Webhook(key).verify(body, headers)
except (InvalidSignature, WebhookVerificationError) as error:
    print(repr(error), file=sys.stderr)
    sys.exit(1)
