//! What leaves, and where it goes: exports over real logs and archives.

mod evidence;
mod export;
mod faulty;
mod formats;
mod harness;
mod s3;
mod schedules;
mod seal;
mod sealing;
mod segments;
mod sending;
