-- One file holds one partition of the log. Everything in it is derived from the log; nothing is ever updated
-- but the position, the spans, what was heard of each source, the edge of the tree, what came of checkpoints that
-- waited for it, the progress of consumers, intervals of access, the state of the file itself, and rows whose bodies
-- were erased, with what receivers answered to them. Delivery attempts go once they are as old as the topic keeps them.

CREATE TABLE archive (                      -- one row: what this file is
  only INTEGER PRIMARY KEY CHECK (only = 1),
  deployment TEXT NOT NULL,                 -- the log's deployment
  partition INTEGER NOT NULL,
  partitions INTEGER NOT NULL,              -- how many the log has
  full_text INTEGER NOT NULL,               -- 1 where records are made searchable by their words
  text_seq INTEGER NOT NULL DEFAULT 0,      -- words are searchable in every message before this one
  indexed INTEGER NOT NULL DEFAULT 0,       -- 1 once the secondary indexes stand
  unscrubbed INTEGER NOT NULL DEFAULT 0,    -- 1 while the write-ahead log may still hold what was erased
  first_seq INTEGER NOT NULL DEFAULT 0,     -- the number of the first message that the log still had when the file was made
  unfollowed INTEGER NOT NULL DEFAULT 0,    -- how many orders to erase were not followed …
  unfollowed_why TEXT,                      -- … and why the last of them was not
  stopped TEXT                              -- why the writer pauses or stopped, while it does
) STRICT;

CREATE TABLE position (                     -- where each topic goes on; written with the rows, in one transaction
  topic TEXT PRIMARY KEY,
  next INTEGER NOT NULL,                    -- the first offset not yet archived
  seq INTEGER NOT NULL,                     -- the number that the next message gets
  epoch INTEGER NOT NULL,                   -- the log's epoch
  anchor_offset INTEGER,                    -- the last message before `next` …
  anchor_hash BLOB,                         -- … by what it was
  log_end INTEGER NOT NULL DEFAULT 0,       -- the log's end as last heard; in an epoch of which nothing is archived yet,
                                            -- so far behind `next` as messages may be missing
  duplicates INTEGER NOT NULL DEFAULT 0,    -- of `checkpoints`: cuts into segments, which get a number and no row;
                                            -- of `deliveries`: attempts that were forgotten, which are those before this number
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
  erased_by INTEGER,                        -- the message that had the body erased: json, raw, salt, headers, author and
                                            -- object are gone then
  header BLOB,                              -- of an erased message: the header of its leaf, which stays
  json TEXT                                 -- the record, exactly the bytes on the log
) STRICT;

CREATE TABLE orphan (                       -- things that erased rows named: removed once no other row does
  thing INTEGER PRIMARY KEY
) STRICT;

-- An id means one record under one routing key; the same id under another key is another record.
CREATE UNIQUE INDEX record_id ON record (id, routing_key) WHERE id IS NOT NULL AND duplicate_of IS NULL;

CREATE TABLE tree (                         -- the Merkle tree over the messages from first_seq on: one row, and
  first_seq INTEGER PRIMARY KEY,            -- another for each epoch whose log began from the start again
  epoch INTEGER NOT NULL,
  size INTEGER NOT NULL,                    -- how many leaves; message first_seq + n is leaf n
  peaks BLOB NOT NULL,                      -- its right edge: the roots of its perfect subtrees, the largest first
  base_size INTEGER NOT NULL DEFAULT 0,     -- how many leaves it had, and its edge, where it was taken up from a
  base_peaks BLOB NOT NULL DEFAULT x'',     -- checkpoint because retention had removed what stood before
  origin TEXT                               -- the name under which it is signed, by a checkpoint that agreed with it
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
INSERT INTO text (text, rank) VALUES ('secure-delete', 1); -- what is erased leaves no words behind

-- Access, as the records of this partition tell it. `access_event` is what they say; intervals and findings follow from
-- it (src/access) and are written with it, in one transaction.

CREATE TABLE access_holder (                -- whose access, at one source
  holder INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  type TEXT NOT NULL,                       -- user, group, api_key, …
  identity TEXT NOT NULL,                   -- id:…, else email:… in lower case, else name:…; '' where nothing was said;
                                            -- erased:… where every record that named them was erased: a keyed tag, the same
                                            -- in every partition, until a record that is not erased names them again
  UNIQUE (source, type, identity)
) STRICT;

CREATE TABLE access_scope (                 -- to what, at one source
  scope INTEGER PRIMARY KEY,
  organisation TEXT NOT NULL,
  source TEXT NOT NULL,
  type TEXT NOT NULL,                       -- account, project or environment
  identity TEXT NOT NULL,                   -- the id, else the key
  parent INTEGER NOT NULL,                  -- the scope of an environment's project; 0 where there is none
  UNIQUE (organisation, source, type, identity, parent)
) STRICT;

CREATE TABLE access_label (                 -- what holders and scopes are found by
  kind TEXT NOT NULL,                       -- subject; project, organisation (of an area), environment (of its scope)
  label TEXT NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (kind, label, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE access_event (                 -- what each record says of access, by whose and to what, as it happened
  holder INTEGER NOT NULL,
  scope INTEGER NOT NULL,
  at_us INTEGER NOT NULL,                   -- when it happened
  seq INTEGER NOT NULL,                     -- of the record
  role TEXT NOT NULL,                       -- '' where none is named
  effect INTEGER NOT NULL,                  -- 0 granted, 1 removed, 2 snapshot
  replaces INTEGER NOT NULL,                -- 1 where it stands in place of every other role there
  reach INTEGER NOT NULL,                   -- of a removal: 1 from an account, 2 the subject is no more; else 0
  late INTEGER NOT NULL,                    -- 1 where the log had a record of what happened later, to the same access
  PRIMARY KEY (holder, scope, at_us, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX access_event_seq ON access_event (seq);
CREATE INDEX access_event_reach ON access_event (holder, at_us) WHERE reach > 0;

CREATE TABLE access_interval (              -- who held what, from when, until when
  interval INTEGER PRIMARY KEY,
  holder INTEGER NOT NULL,
  scope INTEGER NOT NULL,
  role TEXT NOT NULL,                       -- '' where none is named
  area INTEGER NOT NULL,                    -- the scope of the project that it is in, or its own
  from_us INTEGER NOT NULL,
  from_seq INTEGER NOT NULL,                -- the record that began it
  baseline INTEGER NOT NULL,                -- 1 where that is a snapshot: held since then at the latest
  until_us INTEGER,                         -- NULL while held
  until_seq INTEGER,                        -- the record that ended it
  node INTEGER                              -- where it is filed by time: see src/access/node.rs; NULL while held
) STRICT;

CREATE INDEX access_held ON access_interval (holder, scope, role, from_us);
CREATE INDEX access_held_now ON access_interval (holder, scope, role) WHERE until_us IS NULL;
CREATE INDEX access_open ON access_interval (area, from_us) WHERE until_us IS NULL;
CREATE INDEX access_begun ON access_interval (area, node, from_us) WHERE node IS NOT NULL;
CREATE INDEX access_ended ON access_interval (area, node, until_us) WHERE node IS NOT NULL;

CREATE TABLE access_finding (               -- what did not fit
  holder INTEGER NOT NULL,
  scope INTEGER NOT NULL,
  at_us INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  kind TEXT NOT NULL,                       -- removal_without_grant or granted_again
  PRIMARY KEY (holder, scope, at_us, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX access_finding_seq ON access_finding (seq);

CREATE TABLE access_snapshot (              -- which snapshots of a source are whole
  source TEXT NOT NULL,
  at_us INTEGER NOT NULL,                   -- as of when
  seq INTEGER NOT NULL,                     -- the record that says so
  PRIMARY KEY (source, at_us, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (                      -- delivery attempts, in order; numbered like records, apart from them; those of
                                            -- the last 400 days. `excerpt` is gone where the record was erased
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

CREATE TABLE checkpoint (                   -- signed heads as they stand on the log, each judged against the tree above
  seq INTEGER PRIMARY KEY,                  -- numbered like records, apart from them; with holes where the log is cut
  log_offset INTEGER NOT NULL,
  appended_at_ms INTEGER NOT NULL,
  origin TEXT,                              -- which tree it says it is of; absent where it can't be read
  size INTEGER,                             -- of how many leaves
  root BLOB,                                -- and with which root
  signed_at_s INTEGER,                      -- when, by the latest cosigner that is known; seconds since 1970
  witnesses TEXT,                           -- a JSON list: which known witnesses cosigned it, and when
  verdict TEXT NOT NULL,                    -- what came of it: the table below
  detail TEXT,                              -- in words, where it is not as it should be
  told INTEGER,                             -- 1: an alarm that is on the record; 0: one that is not yet
  note TEXT,                                -- the signed note
  raw BLOB                                  -- what can't be read, as it came
) STRICT;
-- verdict: agrees      the tree of this file had that root at that size
--          unsigned    the same, but no key of the log is known here, so nothing is said of its signatures
--          pending     the file is not that far yet, or of an epoch of which it has nothing yet
--          before      it is of a time before the file begins, or of a log that it never saw: nothing to compare with
--          mismatch    the tree of this file had another root: the log was altered, or this file, or the key signs for two
--          shrunk      smaller than one that was signed before it
--          other_log   of another deployment or partition
--          unknown_key signed by none of the known keys of the log
--          forged      the signature of a known key is not one of this text
--          unreadable  no checkpoint at all

CREATE INDEX checkpoint_pending ON checkpoint (size) WHERE verdict = 'pending';
CREATE INDEX checkpoint_size ON checkpoint (origin, size) WHERE verdict IN ('agrees', 'unsigned');
CREATE INDEX checkpoint_witnessed ON checkpoint (origin, seq) WHERE verdict = 'agrees' AND witnesses IS NOT NULL;
CREATE INDEX checkpoint_alarm ON checkpoint (seq) WHERE verdict NOT IN ('agrees', 'unsigned', 'pending', 'before');
CREATE INDEX checkpoint_untold ON checkpoint (seq) WHERE told = 0;

CREATE VIEW checkpoints AS                  -- one row a checkpoint
SELECT
  (SELECT partition FROM archive) AS partition, c.seq, c.origin, c.size, lower(hex(c.root)) AS root,
  strftime('%Y-%m-%dT%H:%M:%SZ', c.signed_at_s, 'unixepoch') AS signed_at, c.witnesses, c.verdict, c.detail,
  strftime('%Y-%m-%dT%H:%M:%fZ', c.appended_at_ms / 1000.0, 'unixepoch') AS appended_at, c.log_offset, c.note
FROM checkpoint c;

CREATE VIEW delivery_attempts AS            -- one row an attempt; `record` is the id of the record delivered
SELECT
  a.json ->> '$.endpoint' AS endpoint, a.json ->> '$.record' AS record, a.json ->> '$.attempt' AS attempt,
  a.json ->> '$.at' AS at, a.json ->> '$.outcome' AS outcome, a.json ->> '$.status' AS status,
  a.json ->> '$.error' AS error, a.json ->> '$.duration_ms' AS duration_ms, a.json ->> '$.excerpt' AS excerpt,
  a.json ->> '$.next_due' AS next_due, a.json ->> '$.offset' AS record_offset,
  (SELECT partition FROM archive) AS partition, a.seq, a.log_offset, a.json
FROM attempt a;

CREATE VIEW audit_log AS                    -- one row a record; of an erased one most columns are NULL, and erased_by is not
SELECT
  r.id,
  coalesce(r.json, CAST(r.header AS TEXT)) ->> '$.occurred_at' AS occurred_at,
  coalesce(r.json, CAST(r.header AS TEXT)) ->> '$.recorded_at' AS recorded_at,
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
  r.occurred_at_us, r.recorded_at_us, r.appended_at_ms,
  (SELECT erasing.id FROM record erasing WHERE erasing.seq = r.erased_by) AS erased_by -- the id of that record
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

-- Who held what: one row an interval, by the records of this partition alone. `removed_at` is NULL while nothing of
-- this partition ended it. Another partition may tell of the subject's end, and a snapshot may not name somebody: see
-- access_events (ends_subject) and access_snapshots, and `flagtrail access list`, which puts them together.
CREATE VIEW access AS
SELECT
  h.source, h.type AS subject_type,
  g.json ->> '$.access.subject.id' AS subject_id, g.json ->> '$.access.subject.email' AS subject_email,
  g.json ->> '$.access.subject.name' AS subject_name,
  nullif(i.role, '') AS role,
  s.type AS scope_type, nullif(s.identity, '') AS scope,
  organisation.id AS organisation_id, organisation.key AS organisation_key, organisation.name AS organisation_name,
  project.id AS project_id, project.key AS project_key, project.name AS project_name,
  environment.id AS environment_id, environment.key AS environment_key, environment.name AS environment_name,
  g.json ->> '$.occurred_at' AS granted_at, i.baseline,
  coalesce(author.email, author.name, author.id) AS granted_by, author.type AS granted_by_type, g.id AS grant_record,
  u.json ->> '$.occurred_at' AS removed_at,
  coalesce(remover.email, remover.name, remover.id) AS removed_by, remover.type AS removed_by_type,
  u.id AS removal_record,
  ge.late AS grant_late, coalesce(ue.late, 0) AS removal_late,
  (SELECT partition FROM archive) AS partition,
  i.from_us, i.until_us, i.from_seq, i.until_seq, i.holder, i.scope AS scope_number, g.json AS grant_json
FROM access_interval i
  JOIN access_holder h ON h.holder = i.holder
  JOIN access_scope s ON s.scope = i.scope
  JOIN record g ON g.seq = i.from_seq
  JOIN access_event ge ON ge.holder = i.holder AND ge.scope = i.scope AND ge.at_us = i.from_us AND ge.seq = i.from_seq
  LEFT JOIN record u ON u.seq = i.until_seq
  LEFT JOIN access_event ue
    ON ue.holder = i.holder AND ue.scope = i.scope AND ue.at_us = i.until_us AND ue.seq = i.until_seq
  LEFT JOIN thing organisation ON organisation.thing = g.organisation
  LEFT JOIN thing project ON project.thing = g.project
  LEFT JOIN thing environment ON environment.thing = g.environment
  LEFT JOIN thing author ON author.thing = g.author
  LEFT JOIN thing remover ON remover.thing = u.author;

CREATE VIEW access_events AS                -- one row a record that says something of access
SELECT
  r.id, r.json ->> '$.occurred_at' AS occurred_at, action.key AS action,
  CASE e.effect WHEN 0 THEN 'granted' WHEN 1 THEN 'removed' ELSE 'snapshot' END AS effect,
  h.source, h.type AS subject_type,
  r.json ->> '$.access.subject.id' AS subject_id, r.json ->> '$.access.subject.email' AS subject_email,
  r.json ->> '$.access.subject.name' AS subject_name,
  nullif(e.role, '') AS role,
  s.type AS scope_type, nullif(s.identity, '') AS scope,
  project.id AS project_id, project.key AS project_key, project.name AS project_name,
  environment.id AS environment_id, environment.key AS environment_key, environment.name AS environment_name,
  author.type AS author_type, author.id AS author_id, author.email AS author_email, author.name AS author_name,
  f.kind AS finding,                        -- removal_without_grant, granted_again, or NULL
  e.late,                                   -- 1 where a record of what happened later came earlier
  e.reach = 2 AS ends_subject,              -- 1 where the subject is no more, whatever it held
  (SELECT partition FROM archive) AS partition, r.seq, r.occurred_at_us, r.appended_at_ms, e.holder,
  e.scope AS scope_number, r.json
FROM access_event e
  JOIN record r ON r.seq = e.seq
  JOIN access_holder h ON h.holder = e.holder
  JOIN access_scope s ON s.scope = e.scope
  LEFT JOIN access_finding f ON f.holder = e.holder AND f.scope = e.scope AND f.at_us = e.at_us AND f.seq = e.seq
  LEFT JOIN thing action ON action.thing = r.action
  LEFT JOIN thing author ON author.thing = r.author
  LEFT JOIN thing project ON project.thing = r.project
  LEFT JOIN thing environment ON environment.thing = r.environment;

CREATE VIEW access_snapshots AS             -- one row a snapshot of which all rows are on the log
SELECT a.source, r.json ->> '$.occurred_at' AS as_of, r.id, r.json -> '$.attributes.snapshot' AS snapshot,
  (SELECT partition FROM archive) AS partition, a.at_us, a.seq
FROM access_snapshot a JOIN record r ON r.seq = a.seq;

-- How each flag came to be what it is: one row a change, numbered from 1 for each flag, environment and target (an
-- override's segment or identity). A change above environments (a flag archived, renamed) has no environment. `until` is
-- when the next one happened, NULL for the last; `state` is what the platform says the flag is after the change, where it
-- says that. Where a platform tells of one change in several records, each is a row. `flag` is the id, else the key, else
-- the name: asked by it, only that flag's records are looked at. Of a change whose record was erased neither state nor target
-- is known any more: it stands among those of the flag itself.
CREATE VIEW flag_versions AS
SELECT
  row_number() OVER flag AS version, f.flag, f.flag_key, f.flag_name, f.source, f.project, f.environment, f.target,
  f.occurred_at AS valid_from, lead(f.occurred_at) OVER flag AS valid_until,
  f.action, f.state, f.change, f.author, f.id, f.partition, f.seq, f.occurred_at_us
FROM (
  SELECT
    coalesce(flag.id, flag.key, flag.name) AS flag, flag.key AS flag_key, flag.name AS flag_name,
    source.key AS source, coalesce(project.id, project.key, project.name) AS project,
    coalesce(environment.id, environment.key, environment.name) AS environment,
    CASE WHEN r.json ->> '$.target.type' IN ('segment', 'identity') THEN r.json ->> '$.target.type' || ' ' ||
      coalesce(r.json ->> '$.target.id', r.json ->> '$.target.key', r.json ->> '$.target.name', '') END AS target,
    coalesce(r.json, CAST(r.header AS TEXT)) ->> '$.occurred_at' AS occurred_at, action.key AS action,
    r.json -> '$.change.after' AS state, r.json -> '$.change.fields' AS change,
    coalesce(author.email, author.name, author.id) AS author, r.id,
    (SELECT partition FROM archive) AS partition, r.seq, r.occurred_at_us
  -- CROSS: flags first, and of each its records by their index.
  FROM thing flag
    CROSS JOIN record r ON r.flag = flag.thing
    JOIN thing action ON action.thing = r.action
    LEFT JOIN thing source ON source.thing = r.source
    LEFT JOIN thing project ON project.thing = r.project
    LEFT JOIN thing environment ON environment.thing = r.environment
    LEFT JOIN thing author ON author.thing = r.author
  WHERE flag.kind = 'flag' AND r.duplicate_of IS NULL AND r.problem IS NULL AND action.key LIKE 'flag.%'
) f
WINDOW flag AS (PARTITION BY f.source, f.project, f.flag, f.environment, f.target ORDER BY f.occurred_at_us, f.seq);
