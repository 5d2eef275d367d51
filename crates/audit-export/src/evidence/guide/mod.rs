//! `VERIFY.md`: how to check this export with stock tools. Only commands whose files are in the bag; a test runs them
//! as they are written.

use super::manifest::Evidence;
use crate::payload::{Compression, Format};

/// What `check.py` needs, pinned.
const PYTHON: &str = "bagit==1.9.0 cryptography==50.0.2";

/// The Go module that has signed notes.
const GO_MODULE: &str = "golang.org/x/mod@v0.36.0";

/// What the guide is about.
pub(super) struct Guide<'g> {
    pub(super) export_id: &'g str,
    pub(super) format: Format,
    pub(super) compression: Compression,
    pub(super) evidence: &'g Evidence,
}

impl Guide<'_> {
    /// The text.
    pub(super) fn write(&self) -> String {
        let Self { export_id, evidence, .. } = self;
        let is_signed = evidence.keys.export.is_some();
        let has_keys = !evidence.keys.log.is_empty();
        let sealed: Vec<u32> =
            evidence.partitions.iter().filter(|p| p.sealed_size > 0).map(|p| p.partition).collect();
        let mut out = format!(
            "# How to check export {export_id}\n\n\
             Everything here runs with stock tools, in the folder of this file, in any POSIX shell; nothing of Flagtrail is needed. \
             Each step stands on the one before. The keys in `data/keys/` are copies: whoever forges an export forges them, too. \
             Compare them with those that the operator has published or given to you in another way, or take those instead.\n\n\
             ## 1. Nothing is missing, added or altered since the checksums were made\n\n\
             ```sh\nsha256sum --check --strict --quiet manifest-sha256.txt tagmanifest-sha256.txt\n\
             python3 -m pip install --quiet {PYTHON}\npython3 -m bagit --validate --quiet .\n```\n\n\
             (pip wants a virtual environment on some systems: `python3 -m venv ~/check && . ~/check/bin/activate`.)\n\n"
        );
        out += "## 2. The manifest is the one that the exporting system signed\n\n";
        out += if is_signed {
            "`manifest.json` names every file under `data/` with its SHA-256, so its signature vouches for all of them.\n\n\
             ```sh\nopenssl pkeyutl -verify -rawin -pubin -inkey data/keys/export.pem -in manifest.json -sigfile manifest.json.sig\n\
             python3 - <<'END'\nimport hashlib, json\nmanifest = json.load(open(\"manifest.json\"))\n\
             for file in manifest[\"files\"] + manifest[\"evidence\"][\"files\"]:\n    \
             with open(file[\"path\"], \"rb\") as data:\n        \
             assert hashlib.file_digest(data, \"sha256\").hexdigest() == file[\"sha256\"], file[\"path\"]\nEND\n```\n\n"
        } else {
            "It is not signed: the process that made this export has no key for it. Nothing tells this manifest from one that was \
             written by somebody else.\n\n"
        };
        out += "## 3. Every record is in the log as it was appended, and the headers of the log are all here\n\n\
                The log is a Merkle tree (RFC 6962) for each partition. `data/proofs/<partition>/headers.ndjson` has the header of \
                every message, one a line; this grows the tree from them again";
        out += if has_keys {
            ", compares its root with those that the log's key has signed (the checkpoints), \
             and compares each record in `data/` with the hash in its header.\n\n"
        } else {
            " and compares each record in `data/` with the hash in its header. The process that made this export does not know \
             the log's keys: put the verifier keys that the operator gives you into `data/keys/log.vkey`, and the checkpoints \
             are checked, too.\n\n"
        };
        out += &format!("```sh\npython3 - <<'END'\n{}END\n```\n\n", include_str!("check.py"));
        self.notes(&mut out, is_signed, has_keys, &sealed);
        out += "## On a Windows laptop\n\n\
                PowerShell's `Get-FileHash FILE` shows the SHA-256 of a file, to be compared with the line of that file in \
                `manifest-sha256.txt`. Python from python.org runs steps 1 and 3: `py -m pip install` and `py -m bagit --validate .` \
                in the folder of this file, then save the lines between `python3 - <<'END'` and `END` as `check.py` beside the folder \
                and run `py ..\\check.py` in it. OpenSSL comes with Git for Windows, in whose shell all commands above run as they stand.\n\n";
        self.anchoring(&mut out);
        self.boundaries(&mut out);
        out
    }

    /// Since when and by whom the partitions are anchored outside, or that they are not.
    fn anchoring(&self, out: &mut String) {
        let Evidence { anchored, partitions, .. } = self.evidence;
        *out += "## Since when the log is anchored outside\n\n";
        for of_one in anchored {
            let (partition, size, by) = (of_one.partition, of_one.size, of_one.by_whom());
            *out += &format!("- Partition {partition}: its first {size} leaves were cosigned by {by}.\n");
        }
        let is_without = |partition: &u32| anchored.iter().all(|of_one| of_one.partition != *partition);
        let without: Vec<String> = partitions
            .iter()
            .map(|part| part.partition)
            .filter(is_without)
            .map(|partition| partition.to_string())
            .collect();
        if !without.is_empty() {
            *out += &format!(
                "- No outside witness that the exporting system knows has cosigned any checkpoint of partition {}: only a checkpoint that somebody kept shows that it has no second history.\n",
                without.join(", ")
            );
        }
        *out += "\n";
    }

    fn notes(&self, out: &mut String, is_signed: bool, has_keys: bool, sealed: &[u32]) {
        let mut commands = String::new();
        if is_signed {
            commands += "(cd \"$work\" && go run . \"$bag/data/keys/export.vkey\" \"$bag/manifest.note\")\n\
                         sha256sum manifest.json\n";
        }
        if has_keys && !sealed.is_empty() {
            commands += "(cd \"$work\" && go run . \"$bag/data/keys/log.vkey\" \"$bag\"/data/proofs/*/checkpoint-*)\n";
        }
        if commands.is_empty() {
            return;
        }
        *out += "## 4. The same signatures by Go's own implementation of signed notes\n\n\
                 Compare the SHA-256 in the note with the one that is printed beneath it.\n\n";
        *out += &format!(
            "```sh\nbag=$PWD\nwork=$(mktemp -d)\ncat > \"$work/main.go\" <<'END'\n{}END\n\
             (cd \"$work\" && go mod init check && go get {GO_MODULE})\n{commands}rm -r \"$work\"\n```\n\n",
            include_str!("notes.go")
        );
    }

    fn boundaries(&self, out: &mut String) {
        let Self { evidence, format, compression, .. } = self;
        *out += "## What this does not show\n\n";
        let mut say = |text: &str| *out += &format!("- {text}\n");
        evidence.not_proven.iter().for_each(|text| say(text));
        evidence.asserted.iter().for_each(|text| say(&format!("Asserted by the exporting system: {text}.")));
        if (*format, *compression) != (Format::Ndjson, Compression::None) {
            say(
                "The rows are made from the records; only in NDJSON that is not compressed are they compared with the log, byte for byte.",
            );
        }
        say(
            "That a platform sent everything that happened in it: `manifest.json` lists the sources, their silences and what was rejected.",
        );
        say(
            "That nobody with the log's key signed another history: keep a `checkpoint-end` of today, and compare it with later exports.",
        );
        *out += "\nSteps 1 to 4 do not filter. `flagtrail-verify` does: it goes through the headers with the keys in \
                 `data/keys/scopes.ndjson` and shows that every record in scope is here.\n";
    }
}
