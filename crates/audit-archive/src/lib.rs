//! Consumer: rows and position in one SQLite transaction; and the query side that reads them.
