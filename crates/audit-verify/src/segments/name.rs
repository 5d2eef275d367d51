//! What a segment is called, and where its files lie.

use std::fmt;

/// One tree: a partition of a deployment's log, in one of its epochs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tree {
    pub(super) deployment: String,
    pub(super) partition: u32,
    pub(super) epoch: u32,
}

impl Tree {
    /// Its name, which its keys bear, too.
    pub(super) fn origin(&self) -> String {
        audit_proof::origin(&self.deployment, self.partition, self.epoch)
    }
}

/// `p00003-e0-n0000000012-s000000004711`: the partition, the epoch, the number of the cut, the first leaf. In their order
/// the segments of a tree follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) partition: u32,
    pub(super) epoch: u32,
    pub(super) number: u64,
    pub(super) start: u64,
}

impl Name {
    /// Reads a name; `None` where it is written in any other way.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let partition = parts.next()?.strip_prefix('p')?.parse().ok()?;
        let epoch = parts.next()?.strip_prefix('e')?.parse().ok()?;
        let number = parts.next()?.strip_prefix('n')?.parse().ok()?;
        let start = parts.next()?.strip_prefix('s')?.parse().ok()?;
        let name = Self { partition, epoch, number, start };
        (name.to_string() == text).then_some(name)
    }

    /// Where the manifest lies.
    pub(super) fn manifest(self, deployment: &str) -> String {
        format!("segments/proofs/{deployment}/p{:05}/{self}.json", self.partition)
    }

    /// Where the leaf hashes lie.
    pub(super) fn hashes(self, deployment: &str) -> String {
        format!("segments/proofs/{deployment}/p{:05}/{self}.hashes", self.partition)
    }

    /// Where the rows lie.
    pub(super) fn rows(self, deployment: &str, date: &str) -> String {
        format!("segments/records/deployment={deployment}/date={date}/{self}.parquet")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, epoch, number, start } = self;
        write!(f, "p{partition:05}-e{epoch}-n{number:010}-s{start:012}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_in_its_one_form_alone() {
        let name = Name { partition: 3, epoch: 0, number: 12, start: 4711 };
        assert_eq!(Name::parse("p00003-e0-n0000000012-s000000004711"), Some(name));
        for other in [
            "p3-e0-n12-s4711",
            "p00003-e0-n0000000012-s000000004711-x",
            "p00003-e0-n0000000012",
            "p00003-e+0-n0000000012-s000000004711",
            "",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
