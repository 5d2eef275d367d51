//! Consumer: export jobs read through the archive's query side.
