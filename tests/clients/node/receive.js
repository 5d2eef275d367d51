const crypto = require("node:crypto");

const key = Buffer.from(process.env.FLAGTRAIL_SECRET.replace("whsec_", ""), "base64");
const [ids, positions] = [new Set(), new Set()]; // keep them where they outlive a restart

function receive(headers, body) {
  const signed = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`), body]);
  const expected = Buffer.from("v1," + crypto.createHmac("sha256", key).update(signed).digest("base64"));
  const equals = (given) => given.length === expected.length && crypto.timingSafeEqual(given, expected);
  const fits = (headers["webhook-signature"] ?? "").split(" ").some((given) => equals(Buffer.from(given)));
  if (!fits || Math.abs(Date.now() / 1000 - headers["webhook-timestamp"]) > 300) {
    return [401, "not from Flagtrail, or too old"];
  }
  if (ids.has(headers["webhook-id"])) return [200, "a repeat, dropped"];
  const previous = headers["x-flagtrail-previous"]; // on ordered endpoints
  const gap = previous && !positions.has(previous) ? ` after a gap: ${previous} never came` : "";
  console.log(JSON.parse(body).type + gap); // the work; only then is it seen
  ids.add(headers["webhook-id"]);
  positions.add(headers["x-flagtrail-position"]);
  return [200, "taken"];
}

// A server around it.
const server = require("node:http").createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const [status, said] = receive(request.headers, Buffer.concat(chunks));
    response.writeHead(status).end(said);
  });
});
server.listen(Number(process.env.PORT ?? 8000), "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
