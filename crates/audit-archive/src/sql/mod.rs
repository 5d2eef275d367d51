//! Plain SQL over a whole archive: all partitions attached to one read-only connection, under views that
//! unite them.
//!
//! SQLite attaches ten files by default and 125 at most, fixed when it is compiled. Ours is compiled for 125
//! (`.cargo/config.toml`); the `sqlite3` of most systems attaches ten. So `flagtrail archive open` starts
//! `sqlite3` with [`attach_script`] where it can attach all files ([`SYSTEM_SQLITE_FILES_MAX`]), and our own
//! [`shell`] otherwise.

mod session;
mod shell;

pub use session::{SYSTEM_SQLITE_FILES_MAX, SqlError, attach_script, sql_session};
pub use shell::shell;
