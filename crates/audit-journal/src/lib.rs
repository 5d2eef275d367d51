//! The log: append to a position, follow, commit, read a range. Two backends behind one type: Kafka, and an embedded SQLite file for one machine.
