//! The wire formats of other systems, in and out. Pure functions.
