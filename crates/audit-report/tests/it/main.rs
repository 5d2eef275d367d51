//! Reports over the archive of a log in which the facts are planted.

mod access;
mod deliveries;
mod harness;
mod integrity;
mod own;
mod reviews;
mod written;
