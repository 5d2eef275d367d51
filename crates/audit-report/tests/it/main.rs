//! Reports over the archive of a log in which the facts are planted.

mod deliveries;
mod harness;
mod integrity;
mod own;
mod written;
