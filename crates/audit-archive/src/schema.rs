//! What a file of the archive looks like. `schema.sql` is the whole of it but for the secondary indexes.
//!
//! # The indexes, and why these
//!
//! `seq` is the rowid, so an index on one column is an index on (column, seq). There are five: `id`, `project`,
//! `flag`, `object` and `author`. Environment, action, object type, organisation and source have few values
//! each: an index on one of them would hardly narrow anything. Time has none either: [`crate::spans`] keeps the
//! first and last event time of every 1,024 records instead, one row where an index has 1,024, and cuts a period
//! out of the log just as well, because records arrive nearly in the order in which things happen.
//!
//! All but `id` (which finds duplicates) are built at the end of a first catch-up. Measured over 400,000 records
//! of 884 bytes in four files, as processor time a record: 29.7 µs without the four, 33.0 µs with them built at
//! the end, 35.5 µs with them kept up row by row; the loop that only follows, parses, hashes and inserts took
//! 25.1 µs.
//!
//! Delivery attempts have two: by endpoint and by record. They are what `endpoint deliveries`, the figures of an
//! endpoint and its dead letters are found by, in a table that may hold many attempts of other endpoints.
//!
//! Intervals of access have theirs from the start: few records tell of access. Why they are found by those:
//! [`crate::access::node`].

use rusqlite::Connection;
use rusqlite::config::DbConfig;

/// The version of the files that this release writes; it stands in `user_version`.
pub(crate) const SCHEMA_VERSION: i64 = 7;

/// Marks a file as ours in `application_id`: "FlTr".
pub(crate) const APPLICATION_ID: i64 = 0x466c_5472;

/// Page size. In the measurement above a record took 37.7 µs with pages of 4 KiB, 33.0 with 8, 32.8 with 16.
const PAGE_BYTES: u32 = 8192;

/// The names of the topics in `position`.
pub(crate) const RECORDS: &str = "records";
pub(crate) const ATTEMPTS: &str = "deliveries";
pub(crate) const PROGRESS: &str = "progress";
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// The secondary indexes, built at the end of a first catch-up.
const SECONDARY_INDEXES: &str = "
    CREATE INDEX record_project ON record (project) WHERE project IS NOT NULL;
    CREATE INDEX record_flag ON record (flag) WHERE flag IS NOT NULL;
    CREATE INDEX record_object ON record (object) WHERE object IS NOT NULL;
    CREATE INDEX record_author ON record (author) WHERE author IS NOT NULL;
    UPDATE archive SET indexed = 1;";

/// What a new file is told about the log.
pub(crate) struct FileIdentity<'a> {
    pub(crate) deployment: &'a str,
    pub(crate) partition: u32,
    pub(crate) partitions: u32,
    pub(crate) full_text: bool,
}

/// Makes the tables of a new file.
pub(crate) fn create(conn: &mut Connection, identity: &FileIdentity<'_>) -> rusqlite::Result<()> {
    conn.pragma_update(None, "page_size", PAGE_BYTES)?;
    conn.pragma_update(None, "journal_mode", "wal")?;
    let tx = conn.transaction()?;
    tx.execute_batch(include_str!("schema.sql"))?;
    tx.execute(
        "INSERT INTO archive (only, deployment, partition, partitions, full_text) VALUES (1, ?1, ?2, ?3, ?4)",
        (identity.deployment, identity.partition, identity.partitions, identity.full_text),
    )?;
    for topic in [RECORDS, ATTEMPTS, PROGRESS, CHECKPOINTS] {
        tx.execute("INSERT INTO position (topic, next, seq, epoch) VALUES (?1, 0, 0, 0)", [topic])?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    tx.commit()
}

/// Has a statement planned once, whatever is bound to it. Without, this SQLite plans a statement anew for every value that
/// its plan might depend on: a third of the processor time of a record.
pub(crate) fn keep_plans(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Builds the secondary indexes. If we crash here, none of them stands and `indexed` is still 0: the next
/// catch-up ends here again.
pub(crate) fn build_indexes(conn: &mut Connection) -> rusqlite::Result<()> {
    let tx = conn.transaction()?;
    tx.execute_batch(SECONDARY_INDEXES)?;
    tx.commit()
}

/// The `user_version` of an open file.
pub(crate) fn version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}
