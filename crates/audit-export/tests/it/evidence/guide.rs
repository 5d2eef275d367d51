//! `VERIFY.md`: its commands, as they are written, by stock tools.

use std::path::Path;
use std::process::Output;

use flagtrail_testkit::clients::{Clients, go};

use super::forge::{folder, partition, read, rehash, restate, write};
use super::{Sealed, copied, everything};

/// The commands, step by step.
pub(super) fn steps(bag: &Path) -> Vec<String> {
    let guide = read(bag, "VERIFY.md");
    let blocks = guide.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

pub(super) fn run(clients: &Clients, bag: &Path, commands: &str) -> Output {
    clients.shell().args(["-eu", "-c", commands]).current_dir(bag).output().unwrap()
}

pub(super) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guides_commands_pass_as_written_and_fail_on_what_was_tampered_with() {
    let Some(clients) = Clients::available() else { return };
    if go("tlog").is_none() {
        return;
    }
    let sealed = Sealed::new().await;
    sealed.bench.append(0..90).await;
    let job = everything(&sealed.bench, "guided");
    sealed.export(&job).await;
    let bag = &job.destination;
    let all = steps(bag);
    let [sums, signature, records, notes] = &all[..] else { panic!("four steps: {all:#?}") };
    for step in [sums, signature, records, notes] {
        let output = run(&clients, bag, step);
        assert!(output.status.success(), "{step}\n{}", text(&output));
    }
    let grown = text(&run(&clients, bag, records));
    assert!(grown.contains("91 records have a leaf; each is the one that its leaf was made of"), "{grown}");

    let (_unproven_dir, unproven) = copied(bag);
    let number = partition(bag)["partition"].clone();
    restate(&unproven, |manifest| {
        let parts = manifest["evidence"]["partitions"].as_array_mut().unwrap();
        parts.retain(|part| part["partition"] != number);
    });
    let output = run(&clients, &unproven, records);
    let told = text(&output);
    assert!(output.status.success() && told.contains("there is no evidence of it"), "{told}");

    let fails = |step: &str, words: &str, tamper: &dyn Fn(&Path)| {
        let (_dir, bag) = copied(bag);
        tamper(&bag);
        let output = run(&clients, &bag, step);
        assert!(!output.status.success(), "{step}\npassed: {}", text(&output));
        assert!(text(&output).contains(words), "{words}: {}", text(&output));
    };
    let data = "data/records-00001.ndjson";
    let headers = format!("{}/headers.ndjson", folder(&partition(bag)));
    let byte = |bag: &Path| write(bag, data, read(bag, data).replacen("=change 7\"", "=change 8\"", 1));
    let swap = |bag: &Path| {
        let text = read(bag, data);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.swap(3, 4);
        write(bag, data, lines.join("\n") + "\n");
    };
    let remove = |bag: &Path| {
        let text = read(bag, data);
        write(bag, data, text.split_once('\n').unwrap().1);
    };
    let header = |bag: &Path| {
        write(bag, &headers, read(bag, &headers).replacen("flag.value.changed", "flag.value.created", 1));
    };
    fails(sums, "data/records-00001.ndjson", &byte);
    fails(sums, &headers, &|bag| std::fs::remove_file(bag.join(&headers)).unwrap());
    fails(signature, "ignature", &|bag| {
        restate(bag, |manifest| manifest["asked_by"] = "the auditor".into());
        rehash(bag);
    });
    fails(records, "is not what was logged", &byte);
    fails(records, "is not what was logged", &swap);
    fails(records, "is not what was logged", &remove);
    fails(records, "the headers are not what was signed", &header);
    fails(notes, "checkpoint-end", &|bag| {
        let end = format!("{}/checkpoint-end", folder(&partition(bag)));
        write(bag, &end, read(bag, &end).replacen("/records/", "/record5/", 1));
    });
    sealed.end().await;
}
