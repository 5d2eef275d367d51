// Verifies a delivery that comes as JSON on standard input: v1 by the published library of Standard Webhooks, v1a by Node's own
// Ed25519. The exit code is 0 if it is genuine, 1 if it is not.
const crypto = require("node:crypto");
const { Webhook } = require("standardwebhooks");

// What stands before a public key of Ed25519 in the form that Node reads (SubjectPublicKeyInfo).
const PREFIX = Buffer.from("302a300506032b6570032100", "hex");

function isSignedV1a(key, headers, body) {
  const der = Buffer.concat([PREFIX, Buffer.from(key.replace("whpk_", ""), "base64")]);
  const publicKey = crypto.createPublicKey({ key: der, format: "der", type: "spki" });
  const signed = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`), body]);
  return headers["webhook-signature"]
    .split(" ")
    .filter((signature) => signature.startsWith("v1a,"))
    .some((signature) => crypto.verify(null, signed, publicKey, Buffer.from(signature.slice(4), "base64")));
}

const delivery = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const { key, headers } = delivery;
const body = Buffer.from(delivery.body, "base64");
try {
  if (!key.startsWith("whpk_")) new Webhook(key).verify(body, headers);
  else if (!isSignedV1a(key, headers, body)) throw new Error("no signature fits");
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
