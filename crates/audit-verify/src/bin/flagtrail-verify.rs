//! `flagtrail-verify`: checks exports and segments of the log offline, for whoever is handed them and nothing else. One file
//! without Kafka, OpenSSL, tokio or any C library but the system's own; built for a `musl` target, or with
//! `-C target-feature=+crt-static`, it needs not even that.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use audit_verify::{Report, Trust, verify_directory};

const USAGE: &str = "\
Checks exports and segments of Flagtrail, and says what is proven, what is asserted, and what is not covered.

Usage: flagtrail-verify [--key FILE]... [--against FILE]... [--json] EXPORT...

  EXPORT          the directory of an export, or the one that holds segments/, a copy of what continuous export writes
  --key FILE      verifier keys that the operator published or gave you, one a line; without, the copies in the export
                  are used, and the answer says so; segments hold none
  --against FILE  a checkpoint that you kept from earlier, such as the checkpoint-end of a former export: whatever was
                  changed before it since then is found
  --json          answer with JSON, for programs
  --version       show the version

Exit codes: 0 all is as it should be; 1 something is wrong or missing; 64 wrong command line.";

/// The command line is wrong (BSD's EX_USAGE).
const EXIT_USAGE: u8 = 64;

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    keys: Vec<PathBuf>,
    kept: Vec<PathBuf>,
    exports: Vec<PathBuf>,
    json: bool,
}

/// Another answer than a check.
#[derive(Debug, PartialEq, Eq)]
enum Instead {
    Tell(String),
    Refuse(String),
}

impl Asked {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Instead> {
        let mut asked = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut file = |of: &str| {
                let missing = || Instead::Refuse(format!("{of} names no file"));
                arguments.next().map(PathBuf::from).ok_or_else(missing)
            };
            match argument.to_str() {
                Some("--help" | "-h") => return Err(Instead::Tell(USAGE.to_owned())),
                Some("--version" | "-V") => {
                    return Err(Instead::Tell(format!("flagtrail-verify {}", env!("CARGO_PKG_VERSION"))));
                }
                Some("--json") => asked.json = true,
                Some("--key") => asked.keys.push(file("--key")?),
                Some("--against") => asked.kept.push(file("--against")?),
                Some(flag) if flag.starts_with('-') => {
                    return Err(Instead::Refuse(format!("there is no flag {flag}")));
                }
                _ => asked.exports.push(argument.into()),
            }
        }
        if asked.exports.is_empty() {
            Err(Instead::Refuse("no export is named".to_owned()))
        } else {
            Ok(asked)
        }
    }
}

fn main() -> ExitCode {
    let asked = match Asked::parse(std::env::args_os().skip(1)) {
        Ok(asked) => asked,
        Err(Instead::Tell(text)) => {
            println!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(Instead::Refuse(problem)) => return refuse(&format!("{problem}\n\n{USAGE}")),
    };
    let trust = match Trust::read(&asked.keys, &asked.kept) {
        Ok(trust) => trust,
        Err(problem) => return refuse(&problem),
    };
    let mut is_good = true;
    for export in &asked.exports {
        match verify_directory(export, &trust, None) {
            Ok(report) => {
                is_good &= report.passes();
                tell(&asked, export, &report);
            }
            Err(error) => {
                is_good = false;
                eprintln!("flagtrail-verify: {error}");
            }
        }
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(asked: &Asked, export: &std::path::Path, report: &Report) {
    if asked.json {
        let mut json = report.to_json();
        json["export"] = export.display().to_string().into();
        println!("{json}");
        return;
    }
    if asked.exports.len() > 1 {
        println!("{}", export.display());
    }
    report.sentences().iter().for_each(|sentence| println!("{sentence}"));
}

fn refuse(problem: &str) -> ExitCode {
    eprintln!("flagtrail-verify: {problem}");
    ExitCode::from(EXIT_USAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Asked, Instead> {
        Asked::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn flags_may_stand_anywhere_and_what_is_none_is_refused_by_name() {
        let asked = parsed(&["bag", "--key", "keys", "--json", "--against", "old", "other"]).unwrap();
        assert_eq!((asked.exports.len(), asked.keys.len(), asked.kept.len(), asked.json), (2, 1, 1, true));
        let refused = |arguments: &[&str]| match parsed(arguments) {
            Err(Instead::Refuse(problem)) => problem,
            other => panic!("{other:?}"),
        };
        assert!(refused(&["--kye", "bag"]).contains("--kye"));
        assert!(refused(&["bag", "--key"]).contains("--key"));
        assert!(refused(&[]).contains("no export"));
    }
}
