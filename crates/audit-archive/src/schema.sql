-- One file holds one partition of the log. Everything in it is derived from the log; nothing is ever updated
-- but the position, the spans, what was heard of each source, the edge of the tree, the progress of consumers and
-- the state of the file itself.

CREATE TABLE archive (                      -- one row: what this file is
  only INTEGER PRIMARY KEY CHECK (only = 1),
  deployment TEXT NOT NULL,                 -- the log's deployment
  partition INTEGER NOT NULL,
  partitions INTEGER NOT NULL,              -- how many the log has
  full_text INTEGER NOT NULL,               -- 1 where records are made searchable by their words
  text_seq INTEGER NOT NULL DEFAULT 0,      -- words are searchable in every message before this one
  indexed INTEGER NOT NULL DEFAULT 0,       -- 1 once the secondary indexes stand
  stopped TEXT                              -- why the writer pauses or stopped, while it does
) STRICT;

CREATE TABLE position (                     -- where each topic goes on; written with the rows, in one transaction
  topic TEXT PRIMARY KEY,
  next INTEGER NOT NULL,                    -- the first offset not yet archived
  seq INTEGER NOT NULL,                     -- the number that the next message gets
  epoch INTEGER NOT NULL,                   -- the log's epoch
  anchor_offset INTEGER,                    -- the last message before `next` …
  anchor_hash BLOB,                         -- … by what it was
  log_end INTEGER NOT NULL DEFAULT 0,       -- the log's end as last heard
  duplicates INTEGER NOT NULL DEFAULT 0,
  undecodable INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE epoch (                        -- which message each epoch of the log began with
  epoch INTEGER PRIMARY KEY,
  first_seq INTEGER NOT NULL
) STRICT;
INSERT INTO epoch (epoch, first_seq) VALUES (0, 0);

CREATE TABLE thing (                        -- what records point at, as it was called at the time
  thing INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,                       -- organisation, project, environment, flag, object, author, action, …
  type TEXT,                                -- of an author: user, api_key, …
  uuid TEXT,
  id TEXT,
  key TEXT,                                 -- also the word itself where the kind is a word (action, source, …)
  name TEXT,
  email TEXT
) STRICT;

CREATE TABLE label (                        -- every id, uuid, key, name and e-mail that a thing is found by
  kind TEXT NOT NULL,
  label TEXT NOT NULL,
  thing INTEGER NOT NULL,
  PRIMARY KEY (kind, label, thing)
) STRICT, WITHOUT ROWID;

CREATE TABLE record (                       -- every message, in order: `seq` has no holes
  seq INTEGER PRIMARY KEY,
  log_offset INTEGER NOT NULL,
  appended_at_ms INTEGER NOT NULL,          -- when the log took it
  occurred_at_us INTEGER,
  recorded_at_us INTEGER,
  duplicate_of INTEGER,                     -- the message that first brought this id under this routing key
  organisation INTEGER,                     -- these nine, and routing_key, are things
  project INTEGER,
  environment INTEGER,
  flag INTEGER,
  object INTEGER,
  author INTEGER,
  action INTEGER,
  object_type INTEGER,
  source INTEGER,
  routing_key INTEGER NOT NULL,             -- 0 where the message has no key
  id TEXT,
  salt BLOB,                                -- the header of that name
  tags BLOB,                                -- the header of that name
  body_hash BLOB NOT NULL,                  -- SHA-256 of salt and value: part of the leaf
  leaf BLOB NOT NULL,                       -- the hash of the message's leaf in the tree
  problem TEXT,                             -- why the message is no record; then `raw` holds its value
  headers BLOB,                             -- headers that can't be derived from the record
  raw BLOB,
  key BLOB,                                 -- the message's key where it is not UTF-8
  json TEXT                                 -- the record, exactly the bytes on the log
) STRICT;

-- An id means one record under one routing key; the same id under another key is another record.
CREATE UNIQUE INDEX record_id ON record (id, routing_key) WHERE id IS NOT NULL AND duplicate_of IS NULL;

CREATE TABLE tree (                         -- the Merkle tree over the messages from first_seq on: one row, and
  first_seq INTEGER PRIMARY KEY,            -- another for each epoch whose log began from the start again
  epoch INTEGER NOT NULL,
  size INTEGER NOT NULL,                    -- how many leaves; message first_seq + n is leaf n
  peaks BLOB NOT NULL                       -- its right edge: the roots of its perfect subtrees, the largest first
) STRICT;
INSERT INTO tree (first_seq, epoch, size, peaks) VALUES (0, 0, 0, x'');

CREATE TABLE tile (                         -- C2SP tlog-tiles from level 1 on; those of level 0 are record.leaf
  first_seq INTEGER NOT NULL,               -- of which tree
  level INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  hashes BLOB NOT NULL,                     -- up to 256 of 32 bytes
  PRIMARY KEY (first_seq, level, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE heard (                        -- what came from each source
  source INTEGER PRIMARY KEY,               -- the thing
  records INTEGER NOT NULL,                 -- those that came again count once
  first_seq INTEGER NOT NULL,               -- the first message
  last_appended_at_ms INTEGER NOT NULL      -- when the log took the last message
) STRICT;

CREATE TABLE span (                         -- when the records numbered block*1024 to block*1024+1023 happened
  block INTEGER PRIMARY KEY,
  occurred_min_us INTEGER NOT NULL,
  occurred_max_us INTEGER NOT NULL
) STRICT;

CREATE VIRTUAL TABLE text USING fts5 (      -- rowid = seq
  words, content = '', columnsize = 0, tokenize = "unicode61 remove_diacritics 2"
);
INSERT INTO text (text, rank) VALUES ('usermerge', 2); -- see text::merge

CREATE TABLE attempt (                      -- delivery attempts, in order; numbered like records, apart from them
  seq INTEGER PRIMARY KEY,
  log_offset INTEGER NOT NULL,
  appended_at_ms INTEGER NOT NULL,
  json TEXT,
  raw BLOB                                  -- what is no JSON, as it came
) STRICT;

-- By endpoint, the latest first; and all attempts at one record. Both are expressions of the view below.
CREATE INDEX attempt_endpoint ON attempt (json ->> '$.endpoint') WHERE json IS NOT NULL;
CREATE INDEX attempt_record ON attempt (json ->> '$.record') WHERE json IS NOT NULL;

CREATE TABLE progress (                     -- how far consumers are: the latest document of each key
  key TEXT PRIMARY KEY,                     -- group/document, as on the topic
  appended_at_ms INTEGER NOT NULL,          -- when the log took it
  json TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE VIEW delivery_attempts AS            -- one row an attempt; `record` is the id of the record delivered
SELECT
  a.json ->> '$.endpoint' AS endpoint, a.json ->> '$.record' AS record, a.json ->> '$.attempt' AS attempt,
  a.json ->> '$.at' AS at, a.json ->> '$.outcome' AS outcome, a.json ->> '$.status' AS status,
  a.json ->> '$.error' AS error, a.json ->> '$.duration_ms' AS duration_ms, a.json ->> '$.excerpt' AS excerpt,
  a.json ->> '$.next_due' AS next_due, a.json ->> '$.offset' AS record_offset,
  (SELECT partition FROM archive) AS partition, a.seq, a.log_offset, a.json
FROM attempt a;

CREATE VIEW audit_log AS                    -- one row a record
SELECT
  r.id,
  r.json ->> '$.occurred_at' AS occurred_at,
  r.json ->> '$.recorded_at' AS recorded_at,
  action.key AS action,
  r.json ->> '$.log' AS log,
  author.type AS author_type, author.id AS author_id, author.email AS author_email, author.name AS author_name,
  organisation.id AS organisation_id, organisation.key AS organisation_key, organisation.name AS organisation_name,
  project.id AS project_id, project.key AS project_key, project.name AS project_name,
  environment.id AS environment_id, environment.key AS environment_key, environment.name AS environment_name,
  flag.id AS flag_id, flag.key AS flag_key, flag.name AS flag_name,
  r.json ->> '$.target.type' AS target_type, r.json ->> '$.target.id' AS target_id,
  r.json ->> '$.target.key' AS target_key, r.json ->> '$.target.name' AS target_name,
  object_type.key AS related_object_type,
  object.uuid AS related_object_uuid, object.id AS related_object_id, object.key AS related_object_key,
  object.name AS related_object_name,
  r.json -> '$.change' AS change,
  r.json ->> '$.access.effect' AS access_effect, r.json ->> '$.access.role' AS access_role,
  r.json ->> '$.access.subject.type' AS access_subject_type, r.json ->> '$.access.subject.id' AS access_subject_id,
  r.json ->> '$.access.subject.email' AS access_subject_email, r.json ->> '$.access.subject.name' AS access_subject_name,
  r.json ->> '$.access.scope.type' AS access_scope_type, r.json ->> '$.access.scope.id' AS access_scope_id,
  r.json ->> '$.access.scope.key' AS access_scope_key,
  r.json -> '$.approval' AS approval,
  r.json ->> '$.reason' AS reason,
  r.json ->> '$.ticket' AS ticket,
  r.json ->> '$.request.ip' AS request_ip, r.json ->> '$.request.user_agent' AS request_user_agent,
  r.json ->> '$.request.request_id' AS request_id,
  source.key AS source, r.json ->> '$.source.system' AS source_system, r.json ->> '$.source.event' AS source_event,
  r.json ->> '$.source.delivery_id' AS source_delivery_id, r.json ->> '$.source.received_at' AS source_received_at,
  r.json ->> '$.source.authenticated' AS source_authenticated,
  r.json -> '$.attributes' AS attributes,
  r.json,
  (SELECT partition FROM archive) AS partition,
  r.seq,
  r.log_offset,
  strftime('%Y-%m-%dT%H:%M:%fZ', r.appended_at_ms / 1000.0, 'unixepoch') AS appended_at,
  r.occurred_at_us, r.recorded_at_us, r.appended_at_ms
FROM record r
  LEFT JOIN thing action ON action.thing = r.action
  LEFT JOIN thing author ON author.thing = r.author
  LEFT JOIN thing organisation ON organisation.thing = r.organisation
  LEFT JOIN thing project ON project.thing = r.project
  LEFT JOIN thing environment ON environment.thing = r.environment
  LEFT JOIN thing flag ON flag.thing = r.flag
  LEFT JOIN thing object_type ON object_type.thing = r.object_type
  LEFT JOIN thing object ON object.thing = r.object
  LEFT JOIN thing source ON source.thing = r.source
WHERE r.duplicate_of IS NULL AND r.problem IS NULL;

CREATE VIEW duplicates AS                   -- records that repeat an id, and whether they say the same
SELECT r.id, (SELECT partition FROM archive) AS partition, r.seq, r.duplicate_of, r.json = first.json AS same, r.json
FROM record r JOIN record first ON first.seq = r.duplicate_of;

CREATE VIEW undecodable AS                  -- messages that are no record, kept as they came
SELECT (SELECT partition FROM archive) AS partition, seq, log_offset, problem, raw FROM record WHERE problem IS NOT NULL;
