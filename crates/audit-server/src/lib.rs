//! Everything over HTTP: ingest, hooks, settings, queries, metrics.
