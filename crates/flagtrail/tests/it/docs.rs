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
