//! The whole main job, end to end, by the shipped binary.
