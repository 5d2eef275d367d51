//! The workspace is what its design says: who may depend on whom, who alone may name what, and what no crate does.
//!
//! It reads manifests and sources as text, so that it needs no build and sees what is behind features and targets too. The bench and
//! what is under `tests/` are exempt, and so are development dependencies: nothing of theirs is shipped.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

/// Which crates of ours each crate may depend on. A crate that is not here has no place in the data flow yet.
const ARROWS: [(&str, &[&str]); 14] = [
    ("audit-record", &[]),
    (DIGEST, &[]),
    ("audit-secret", &[]),
    ("audit-dialect", &["audit-record"]),
    ("audit-proof", &["audit-record"]),
    ("audit-journal", &["audit-record", "audit-proof"]),
    ("audit-webhook", &["audit-record", "audit-secret", "audit-dialect", "audit-journal"]),
    ("audit-archive", &["audit-record", "audit-proof", "audit-journal"]),
    ("audit-export", &["audit-record", "audit-dialect", "audit-proof", "audit-journal", "audit-archive"]),
    ("audit-report", &["audit-record", "audit-proof", "audit-journal", "audit-archive"]),
    ("audit-verify", &["audit-record", "audit-proof"]),
    (
        "audit-server",
        &[
            "audit-record",
            "audit-secret",
            "audit-dialect",
            "audit-proof",
            "audit-journal",
            "audit-webhook",
            "audit-archive",
            "audit-export",
            "audit-report",
            "audit-verify",
        ],
    ),
    (
        "flagtrail",
        &[
            "audit-record",
            "audit-secret",
            "audit-dialect",
            "audit-proof",
            "audit-journal",
            "audit-webhook",
            "audit-archive",
            "audit-export",
            "audit-report",
            "audit-verify",
            "audit-server",
        ],
    ),
    (BENCH, &[]),
];

/// The crate that hashes, for whoever needs it, but for what a record is.
const DIGEST: &str = "audit-digest";

/// The crate that measures all others, each beside its raw limit, and so may name what they name.
const BENCH: &str = "flagtrail-bench";

/// Which crates alone may depend on a package.
const ONLY_ONE_THAT_NAMES: [(&str, &[&str]); 10] = [
    ("rdkafka", &["audit-journal"]),
    ("reqwest", &["audit-webhook"]),
    ("rusqlite", &["audit-archive", "audit-journal"]),
    ("parquet", &["audit-export"]),
    ("object_store", &["audit-export"]),
    ("axum", &["audit-server"]),
    ("clap", &["flagtrail"]),
    ("ring", &[DIGEST]),
    ("sha2", &[]),
    ("hmac", &[]),
];

/// What `audit-verify` must build without, to be a small static binary.
const VERIFIER_WITHOUT: [&str; 3] = ["rdkafka", "openssl", "tokio"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn manifest(path: &Path) -> Table {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The packages that the tables `dependencies` and `build-dependencies` name, on every target; renamed ones by their true names.
fn packages(manifest: &Table, workspace: &Table) -> BTreeSet<String> {
    let mut tables = vec![manifest];
    if let Some(Value::Table(targets)) = manifest.get("target") {
        tables.extend(targets.values().filter_map(Value::as_table));
    }
    let dependencies = tables.iter().flat_map(|table| {
        ["dependencies", "build-dependencies"].into_iter().filter_map(|kind| table.get(kind)?.as_table())
    });
    let mut names = BTreeSet::new();
    for (name, value) in dependencies.flatten() {
        let inherited = value.get("workspace").is_some().then(|| workspace.get(name)).flatten();
        let renamed =
            [Some(value), inherited].into_iter().flatten().find_map(|value| value.get("package")?.as_str());
        names.insert(renamed.unwrap_or(name).to_owned());
    }
    names
}

/// Every crate under `crates/` with the packages that it depends on.
fn crates() -> BTreeMap<String, BTreeSet<String>> {
    let workspace = manifest(&root().join("Cargo.toml"));
    let workspace = workspace["workspace"]["dependencies"].as_table().expect("a table of dependencies");
    directories(&root().join("crates"))
        .map(|directory| {
            let manifest = manifest(&directory.join("Cargo.toml"));
            let name = manifest["package"]["name"].as_str().expect("a name").to_owned();
            assert_eq!(
                directory.file_name().unwrap().to_str(),
                Some(name.as_str()),
                "folder and crate have one name"
            );
            (name, packages(&manifest, workspace))
        })
        .collect()
}

fn directories(parent: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(parent).unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
}

/// Every Rust source that is shipped in a crate, with its text.
fn sources(name: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("crates").join(name).join("src")];
    while let Some(folder) = folders.pop() {
        folders.extend(directories(&folder));
        let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
            let text = fs::read_to_string(&file).unwrap();
            found.push((file, text));
        }
    }
    assert!(!found.is_empty(), "{name} has no sources");
    found
}

/// Lines of code that contain one of these words, as `path:line`.
fn mentions(name: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources(name) {
        for (number, line) in text.lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            if !is_comment && words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn dependencies_between_crates_point_one_way() {
    let arrows = BTreeMap::from(ARROWS);
    let crates = crates();
    for (name, packages) in &crates {
        let Some(allowed) = arrows.get(name.as_str()) else {
            panic!("{name} is new: give it a place in the data flow (ARCHITECTURE.md) and in this test");
        };
        if name == BENCH {
            continue;
        }
        let ours = packages.iter().filter(|package| crates.contains_key(package.as_str()));
        let is_allowed =
            |package: &str| allowed.contains(&package) || package == DIGEST && name != "audit-record";
        let wrong: Vec<_> = ours.filter(|package| !is_allowed(package)).collect();
        assert!(wrong.is_empty(), "{name} must not depend on {wrong:?}");
    }
}

#[test]
fn each_crate_comes_after_those_it_may_depend_on_so_there_is_no_circle() {
    let mut before = BTreeSet::new();
    for (name, allowed) in ARROWS {
        assert!(allowed.iter().all(|earlier| before.contains(earlier)), "{name} points forward");
        before.insert(name);
    }
}

#[test]
fn a_package_that_belongs_to_one_crate_is_named_by_no_other() {
    for (name, packages) in crates() {
        for (package, owners) in ONLY_ONE_THAT_NAMES {
            let allowed = name == BENCH || owners.contains(&name.as_str()) || !packages.contains(package);
            assert!(allowed, "{name} depends on {package}, which belongs to {owners:?}");
        }
    }
}

#[test]
fn the_verifier_needs_neither_kafka_nor_openssl_nor_tokio() {
    let crates = crates();
    let mut reached = BTreeSet::from(["audit-verify".to_owned()]);
    let mut waiting: Vec<String> = reached.iter().cloned().collect();
    while let Some(name) = waiting.pop() {
        for package in crates.get(&name).into_iter().flatten() {
            assert!(!VERIFIER_WITHOUT.contains(&package.as_str()), "audit-verify gets {package} from {name}");
            if reached.insert(package.clone()) {
                waiting.push(package.clone());
            }
        }
    }
}

#[test]
fn no_crate_but_the_binary_reads_the_environment() {
    for name in crates().into_keys().filter(|name| name != "flagtrail" && name != BENCH) {
        let mut found =
            mentions(&name, &["env::var", "env::vars", "env::current_dir", "env::args", "env::home_dir"]);
        // A binary has a command line.
        found.retain(|line| !(line.contains("/src/bin/") && line.contains("env::args_os")));
        assert!(found.is_empty(), "{name} reads the environment:\n{}", found.join("\n"));
    }
}

#[test]
fn http_clients_take_no_proxy_from_the_environment() {
    for name in crates().into_keys().filter(|name| name != BENCH) {
        let shortcuts = mentions(&name, &["reqwest::get(", "reqwest::Client::new()", "Client::default()"]);
        assert!(shortcuts.is_empty(), "{name}: build the client, with no_proxy():\n{}", shortcuts.join("\n"));
        for (path, text) in sources(&name) {
            let builds = text.contains("reqwest::Client::builder()") || text.contains("ClientBuilder::new()");
            assert!(
                !builds || text.contains(".no_proxy()"),
                "{}: a client without no_proxy()",
                path.display()
            );
        }
    }
}

#[test]
fn every_crate_takes_its_lints_and_versions_from_the_workspace() {
    for directory in directories(&root().join("crates")) {
        let manifest = manifest(&directory.join("Cargo.toml"));
        let inherits = |table: &str| manifest.get(table)?.get("workspace")?.as_bool();
        assert_eq!(inherits("lints"), Some(true), "{}: lints.workspace = true", directory.display());
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in manifest.get(kind).and_then(Value::as_table).into_iter().flatten() {
                assert!(
                    value.get("workspace").is_some(),
                    "{}: {name} has a version of its own",
                    directory.display()
                );
            }
        }
    }
}
