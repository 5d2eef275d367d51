//! Settings that stand in a configuration: sources, endpoints and tokens, reconciled by name when a process starts.
//!
//! What the file declares is made and changed as it says, and the API refuses to change it; switching on and off is
//! not configuration and stays with the API. What is taken out of the file is released: it stays as it is, and the
//! API may change and delete it again. Only where the configuration says so is it deleted instead, because a
//! process that starts with a shortened file, or another one, must not take a platform's URL away.
//!
//! Several processes may have the same file. Every write names the version it changes, so that of two the first
//! wins, and the other looks again and finds nothing left to do.

mod plan;
mod reconcile;
mod tables;

pub(crate) use plan::{PlannedChange, plan};
pub use reconcile::ReconcileError;
pub(crate) use reconcile::reconcile;
pub use tables::{Declaration, DeclarationError};

use audit_secret::Keyring;

use crate::problem::{Kind, Problem};
use crate::settings::stored::{Setting, Stored};

/// A setting that a configuration can declare.
pub(crate) trait Declarable: Setting + Clone {
    /// The file that declares it.
    fn declared_in(&self) -> Option<&str>;
    /// Puts down which file declares it; `None` releases it.
    fn set_declared_in(&mut self, file: Option<String>);
    /// The same as declared, with what a configuration does not say taken from `stored`.
    fn over(self, stored: &Self) -> Self;
    /// The names of secret fields that differ.
    fn secret_differences(&self, other: &Self, keyring: &Keyring) -> Vec<&'static str>;
}

impl<S: Declarable> Stored<S> {
    /// Refuses what only the configuration may do.
    pub(crate) fn must_not_be_declared(&self) -> Result<(), Problem> {
        match self.setting.declared_in() {
            None => Ok(()),
            Some(file) => Err(declared(S::KIND, self.setting.name(), file)),
        }
    }
}

/// 409: the setting stands in a file.
pub(crate) fn declared(kind: &str, name: &str, file: &str) -> Problem {
    Problem::new(Kind::Conflict, format!("the {kind} {name:?} is declared in {file}"))
        .hint("change it there, and restart; flagtrail config diff shows what that would do")
}
