//! Reports over archives of records that were planted.
