//! What the documents show is what the product has.

use std::path::Path;

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

#[test]
fn the_readme_shows_the_template_that_mozhno_users_paste() {
    let readme = document("README.md");
    let shown = format!("```text\n{}\n```", audit_dialect::MOZHNO_TEMPLATE.trim_end());
    assert!(readme.contains(&shown), "README.md should hold:\n{shown}");
}

#[test]
fn the_readme_shows_the_subscribers_that_tests_run() {
    let readme = document("README.md");
    for (language, file) in [
        ("python", "python/subscribe.py"),
        ("js", "node/subscribe.js"),
        ("java", "java/Subscribe.java"),
        ("go", "go/subscribe.go"),
    ] {
        let shown = format!("```{language}\n{}\n```", document(&format!("tests/clients/{file}")).trim_end());
        assert!(readme.contains(&shown), "README.md should hold tests/clients/{file}");
    }
}

#[test]
fn the_readme_shows_the_receivers_that_tests_run() {
    let readme = document("README.md");
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients");
    for (language, file) in [
        ("python", "python/receive.py"),
        ("js", "node/receive.js"),
        ("java", "java/Receive.java"),
        ("go", "go/receive/receive.go"),
    ] {
        let shown = format!("```{language}\n{}\n", shown_of(&clients.join(file)));
        assert!(readme.contains(&shown), "README.md should hold the receiver of tests/clients/{file}");
    }
}

/// What the README shows of a receiver: all but the server around it.
fn shown_of(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let (shown, _) = text.split_once("A server around it").expect("the rest of the program");
    let end = shown.rfind('\n').expect("whole lines");
    shown[..end].trim_end().to_owned()
}

#[test]
fn every_guarantee_names_a_test_that_there_is() {
    let readme = document("README.md");
    let (_, guarantees) = readme.split_once("\n## What is guaranteed\n").expect("a chapter of guarantees");
    let guarantees = guarantees.split("\n## ").next().unwrap_or_default();
    let named: Vec<&str> = guarantees
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            word.len() > 20 && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
        .collect();
    assert!(named.len() > 20, "{named:?}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut sources = String::new();
    for folder in ["crates", "tests"] {
        read_sources(&root.join(folder), &mut sources);
    }
    for test in named {
        assert!(
            sources.contains(&format!("fn {test}(")),
            "README.md names the test {test}, which there is not"
        );
    }
}

/// The text of every Rust source below a folder.
fn read_sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
