//! What leaves, and where it goes.

mod s3;
