//! Every way to tamper with an export is found, and named.

use std::path::Path;

use audit_export::{ExportKey, Manifest};
use audit_verify::{Report, Trust, verify_export, verify_export_with};

use super::forge::{folder, header_over, partition, read, rehash, resign, restate, rewrite_history, write};
use super::{Sealed, copied, found, of_one_project, says, trust};

const RECORDS: &str = "data/records-00001.ndjson";

/// An export of the records of the source `test`, which are all leaves of the partitions that are altered here.
async fn made() -> (Sealed, Manifest, std::path::PathBuf) {
    let sealed = Sealed::new().await;
    sealed.bench.append(0..120).await;
    let job = sealed.bench.job("untouched", audit_export::Format::Ndjson);
    let manifest = sealed.export(&job).await;
    (sealed, manifest, job.destination)
}

/// What is found in a copy that was tampered with.
fn after(bag: &Path, trust: &Trust, tamper: impl FnOnce(&Path)) -> Report {
    let (_dir, bag) = copied(bag);
    tamper(&bag);
    verify_export_with(&bag, trust).unwrap()
}

fn lines(bag: &Path, path: &str, alter: impl FnOnce(&mut Vec<String>)) {
    let mut lines: Vec<String> = read(bag, path).lines().map(str::to_owned).collect();
    alter(&mut lines);
    write(bag, path, lines.iter().map(|line| format!("{line}\n")).collect::<String>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tampering_of_whoever_has_the_export_alone_is_found_and_named() {
    let (sealed, manifest, bag) = made().await;
    let trust = trust(&manifest);
    assert!(verify_export_with(&bag, &trust).unwrap().passes());

    let byte = |bag: &Path| write(bag, RECORDS, read(bag, RECORDS).replacen("=change 7\"", "=change 8\"", 1));
    found(&after(&bag, &trust, byte), RECORDS, "was altered: its SHA-256 is");
    let hidden = after(&bag, &trust, |bag| {
        byte(bag);
        rehash(bag);
    });
    found(&hidden, RECORDS, "record r7 was altered: it is not the one that leaf");
    found(&hidden, "manifest.json", "was forged: its SHA-256 is not the one that was signed");

    let removed = after(&bag, &trust, |bag| {
        lines(bag, RECORDS, |lines| drop(lines.remove(20)));
        rehash(bag);
    });
    found(&removed, RECORDS, "rows were removed, added or swapped");
    found(&removed, RECORDS, "holds 119 records, the manifest says 120");

    let swapped = after(&bag, &trust, |bag| {
        lines(bag, RECORDS, |lines| lines.swap(3, 4));
        rehash(bag);
    });
    found(&swapped, RECORDS, "line 4: record");
    found(&swapped, RECORDS, "rows were removed, added or swapped");

    let headers = format!("{}/headers.ndjson", folder(&partition(&bag)));
    let header = after(&bag, &trust, |bag| {
        lines(bag, &headers, |lines| lines[2] = lines[2].replace("flag.value.changed", "flag.value.created"));
        rehash(bag);
    });
    found(&header, &headers, "do not lead to the root that");
    let header_gone = after(&bag, &trust, |bag| {
        lines(bag, &headers, |lines| drop(lines.remove(2)));
        rehash(bag);
    });
    found(
        &header_gone,
        &headers,
        "line 3 is leaf 3, where leaf 2 should be: headers were removed, added or moved",
    );
    let cut_short = after(&bag, &trust, |bag| {
        lines(bag, &headers, |lines| drop(lines.pop()));
        rehash(bag);
    });
    found(&cut_short, &headers, "it was truncated");

    let left_out = after(&bag, &trust, |bag| {
        std::fs::remove_file(bag.join(&headers)).unwrap();
        rehash(bag);
    });
    found(&left_out, &headers, "can't be read");
    found(&left_out, "manifest.json", "was forged");

    let forged = after(&bag, &trust, |bag| {
        restate(bag, |manifest| manifest["asked_by"] = "the auditor".into());
        rehash(bag);
    });
    found(&forged, "manifest.json", "was forged: its SHA-256 is not the one that was signed");
    let signed_by_another = after(&bag, &trust, |bag| {
        restate(bag, |manifest| manifest["asked_by"] = "the auditor".into());
        resign(bag, &ExportKey::new([9; 32]));
    });
    found(&signed_by_another, "manifest.note", "does not vouch for the manifest");
    sealed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_an_exporter_leaves_out_are_missed_whatever_he_says_of_them() {
    let sealed = Sealed::new().await;
    sealed.bench.append(0..140).await;
    let job = of_one_project(&sealed.bench, "one-project");
    let manifest = sealed.export(&job).await;
    let trust = trust(&manifest);
    let bodies = format!("{}/bodies.ndjson", folder(&partition(&job.destination)));
    let headers = bodies.replace("bodies", "headers");
    // The exporter has the key of exports, and signs what he wants to.
    let leave_out = |bag: &Path, instead: &dyn Fn(u64) -> Option<String>| {
        lines(bag, RECORDS, |lines| drop(lines.remove(0)));
        lines(bag, &bodies, |lines| {
            let line: serde_json::Value = serde_json::from_str(&lines.remove(0)).unwrap();
            lines.splice(0..0, instead(line["seq"].as_u64().unwrap()));
        });
        resign(bag, &sealed.export);
    };
    let silently = after(&job.destination, &trust, |bag| leave_out(bag, &|_| None));
    found(&silently, &headers, "is in scope by its header, but it was left out");
    for reason in ["not asked for", "a whim"] {
        let with_a_word = after(&job.destination, &trust, |bag| {
            leave_out(bag, &|seq| Some(format!(r#"{{"seq":{seq},"not":"{reason}"}}"#)));
        });
        found(&with_a_word, &headers, "left out");
    }
    let as_a_repeat = after(&job.destination, &trust, |bag| {
        leave_out(bag, &|seq| Some(format!(r#"{{"seq":{seq},"not":"a repeat","of":0}}"#)));
    });
    found(&as_a_repeat, &headers, "is said to repeat a leaf that is another record");
    let as_a_repeat_of_nothing = after(&job.destination, &trust, |bag| {
        leave_out(bag, &|seq| Some(format!(r#"{{"seq":{seq},"not":"a repeat"}}"#)));
    });
    found(&as_a_repeat_of_nothing, &headers, "is said to repeat a leaf, and not which one");
    let as_its_own_repeat = after(&job.destination, &trust, |bag| {
        leave_out(bag, &|seq| Some(format!(r#"{{"seq":{seq},"not":"a repeat","of":{seq}}}"#)));
    });
    found(&as_its_own_repeat, &headers, "does not stand before it");
    let narrowed = after(&job.destination, &trust, |bag| {
        restate(bag, |manifest| {
            manifest["evidence"]["provable"]["actions"] = serde_json::json!(["flag.created"])
        });
        resign(bag, &sealed.export);
    });
    found(&narrowed, "manifest.json", "what it calls provable is not what its query asks for");
    let restricted = after(&job.destination, &trust, |bag| {
        restate(bag, |manifest| manifest["evidence"]["provable"]["flags"] = serde_json::json!([]));
        resign(bag, &sealed.export);
    });
    found(&restricted, "manifest.json", "what it calls provable is not what its query asks for");
    // With less that is provable, what is asked for could be left out as if it were not.
    for part in ["actions", "from"] {
        let less = after(&job.destination, &trust, |bag| {
            restate(bag, |manifest| {
                drop(manifest["evidence"]["provable"].as_object_mut().unwrap().remove(part));
            });
            resign(bag, &sealed.export);
        });
        found(&less, "manifest.json", "what it calls provable is not what its query asks for");
    }
    let of_no_type = after(&job.destination, &trust, |bag| {
        restate(bag, |manifest| {
            manifest["evidence"]["provable"]["related_object_types"] = serde_json::json!([]);
        });
        resign(bag, &sealed.export);
    });
    found(&of_no_type, "manifest.json", "what it calls provable is not what its query asks for");
    let unsaid = after(&job.destination, &trust, |bag| {
        restate(bag, |manifest| manifest["evidence"]["asserted"] = serde_json::json!([]));
        resign(bag, &sealed.export);
    });
    assert!(says(&unsaid.asserted, "that the scopes listed are all"), "{:#?}", unsaid.asserted);
    sealed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_signed_beyond_the_headers_and_what_lies_before_them_is_not_taken_for_granted() {
    let (sealed, manifest, bag) = made().await;
    let trust = trust(&manifest);
    let number = partition(&bag)["partition"].clone();
    let of_it = |bag: &Path, alter: &dyn Fn(&mut serde_json::Value)| {
        restate(bag, |manifest| {
            let parts = manifest["evidence"]["partitions"].as_array_mut().unwrap();
            alter(parts.iter_mut().find(|part| part["partition"] == number).unwrap());
        });
        resign(bag, &sealed.export);
    };
    // Fewer headers than the checkpoint signs: they would never be compared with its root.
    let short = after(&bag, &trust, |bag| {
        let headers = format!("{}/headers.ndjson", folder(&partition(bag)));
        lines(bag, &headers, |lines| drop(lines.pop()));
        of_it(bag, &|part| {
            let size = part["end_size"].as_u64().unwrap() - 1;
            (part["covered_size"], part["end_size"]) = (size.into(), size.into());
        });
    });
    found(&short, "manifest.json", "that can't be");
    let later = after(&bag, &trust, |bag| of_it(bag, &|part| part["start_size"] = serde_json::json!(5)));
    found(&later, "headers.ndjson", "no checkpoint shows that they were appended before the period");
    sealed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_the_log_vouches_for_all_partitions_and_that_of_another_log_for_none() {
    let (sealed, manifest, bag) = made().await;
    let keys = manifest.evidence.unwrap().keys;
    let mut one = Trust::default();
    one.add_keys(&keys.log[0]).unwrap();
    one.add_keys(keys.export.as_ref().unwrap()).unwrap();
    let of_one = verify_export_with(&bag, &one).unwrap();
    assert!(of_one.passes(), "{:#?}", of_one.findings);
    assert!(!says(&of_one.asserted, "the key that signed it is not known"), "{:#?}", of_one.asserted);
    let mut given = Trust::default();
    given.add_keys(keys.export.as_ref().unwrap()).unwrap();
    let of_exports = verify_export_with(&bag, &given).unwrap();
    assert!(of_exports.passes(), "{:#?}", of_exports.findings);
    assert!(says(&of_exports.asserted, "the key that signed it is not known"), "{:#?}", of_exports.asserted);
    let stranger = audit_proof::NoteSigner::new("another/log", &[7; 32]).unwrap();
    given.add_keys(&stranger.verifier().to_string()).unwrap();
    let of_another = verify_export_with(&bag, &given).unwrap();
    assert!(!of_another.is_damaged(), "{:#?}", of_another.findings);
    found(&of_another, "checkpoint-end", "by none of the keys that were given");
    sealed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_the_export_key_alone_can_sign_no_checkpoint_and_swap_no_trees() {
    let (sealed, manifest, bag) = made().await;
    let trust = trust(&manifest);
    let end = format!("{}/checkpoint-end", folder(&partition(&bag)));
    let signed = after(&bag, &trust, |bag| {
        let text = read(bag, &end).split("\n\n").next().unwrap().to_owned() + "\n";
        let mut note = audit_proof::SignedNote::unsigned(text).unwrap();
        note.sign(&sealed.export.signer(&manifest.deployment).unwrap());
        write(bag, &end, note.to_string());
        resign(bag, &sealed.export);
    });
    found(&signed, &end, "signed by no known key of the log itself");
    let swapped = after(&bag, &trust, |bag| {
        restate(bag, |manifest| {
            let parts = manifest["evidence"]["partitions"].as_array_mut().unwrap();
            parts[0]["origin"] = parts[1]["origin"].clone();
        });
        resign(bag, &sealed.export);
    });
    found(&swapped, "manifest.json", "out as that of partition 0");
    sealed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_without_evidence_is_told_of_and_the_others_are_checked_all_the_same() {
    let (sealed, manifest, bag) = made().await;
    let parts = &manifest.evidence.as_ref().unwrap().partitions;
    let mut with_records = parts.iter().filter(|part| part.population.delivered > 0);
    let part = with_records.next().unwrap();
    assert!(with_records.next().is_some(), "a partition whose records come after it: {parts:#?}");
    let (number, unproven) = (part.partition, part.population.delivered);
    // As where its tree began after the export's cut.
    let without = |bag: &Path| {
        std::fs::remove_dir_all(bag.join(format!("data/proofs/{number}"))).unwrap();
        restate(bag, |manifest| {
            let evidence = &mut manifest["evidence"];
            evidence["partitions"].as_array_mut().unwrap().retain(|part| part["partition"] != number);
            for (total, name) in [
                ("by_action", "flag.value.changed"),
                ("by_related_object_type", "FEATURE"),
                ("by_day", "2026-01-02"),
            ] {
                let count = evidence["totals"][total][name].as_u64().unwrap() - unproven;
                evidence["totals"][total][name] = serde_json::json!(count);
            }
        });
        resign(bag, &sealed.export);
    };
    let honest = after(&bag, &Trust::default(), without);
    assert!(honest.passes(), "{:#?}", honest.findings);
    let told = format!("partition {number}, of which there is no evidence, and its {unproven} records");
    assert!(says(&honest.not_covered, &told), "{:#?}", honest.not_covered);
    let with_keys = after(&bag, &trust(&manifest), without);
    found(&with_keys, "manifest.json", "has no evidence of partition");
    let shifted = after(&bag, &Trust::default(), |bag| {
        lines(bag, RECORDS, |lines| drop(lines.remove(0)));
        without(bag);
    });
    found(&shifted, RECORDS, "rows were removed, added or swapped");
    let unlisted = after(&bag, &Trust::default(), |bag| {
        restate(bag, |manifest| {
            let listed = manifest["partitions"].as_array_mut().unwrap();
            listed.retain(|part| part["partition"] != number);
        });
        resign(bag, &sealed.export);
    });
    found(&unlisted, "manifest.json", "which is not among its partitions");
    let concealed = after(&bag, &trust(&manifest), |bag| {
        restate(bag, |manifest| {
            let listed = manifest["partitions"].as_array_mut().unwrap();
            listed.retain(|part| part["partition"] != number);
        });
        without(bag);
    });
    let key = format!("lists no partition {number}, of which a key was given");
    found(&concealed, "manifest.json", &key);
    sealed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_checkpoint_that_the_export_has_nothing_of_is_not_passed_over() {
    let (sealed, manifest, bag) = made().await;
    let mut trust = trust(&manifest);
    let kept = read(&bag, &format!("{}/checkpoint-end", folder(&partition(&bag))));
    let (origin, rest) = kept.split("\n\n").next().unwrap().split_once('\n').unwrap();
    let another = format!("{}/7", origin.rsplit_once('/').unwrap().0);
    let mut note = audit_proof::SignedNote::unsigned(format!("{another}\n{rest}\n")).unwrap();
    note.sign(&sealed.keys.signers(&another).unwrap()[0]);
    trust.add_kept("of-another-epoch", note.to_string().as_bytes()).unwrap();
    found(&verify_export_with(&bag, &trust).unwrap(), "of-another-epoch", "of which this export has nothing");
    sealed.end().await;
}

/// What the operator himself can do, who has every key, against somebody who kept a checkpoint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_history_and_a_truncated_log_are_found_by_whoever_kept_a_checkpoint() {
    let (sealed, manifest, bag) = made().await;
    let part = partition(&bag);
    let kept = read(&bag, &format!("{}/checkpoint-end", folder(&part)));
    let mut trust = trust(&manifest);
    trust.add_kept("kept-in-march", kept.as_bytes()).unwrap();
    let untouched = verify_export_with(&bag, &trust).unwrap();
    assert!(untouched.passes(), "{:#?}", untouched.findings);
    assert!(says(&untouched.proven, "has changed since kept-in-march was signed"), "{:#?}", untouched.proven);

    let (_dir, second) = copied(&bag);
    rewrite_history(&second, &sealed.keys, &sealed.export, |headers, records| {
        records[1] = records[1].replace("=change", "=nothing");
        headers[1] = header_over(&second, &headers[1], &records[1]);
    });
    let alone = verify_export(&second).unwrap();
    assert!(alone.passes(), "nothing in the export itself betrays it: {:#?}", alone.findings);
    assert!(says(&alone.not_covered, "whether another history was signed with the same key"));
    found(
        &verify_export_with(&second, &trust).unwrap(),
        "headers.ndjson",
        "is a second history: the checkpoint kept-in-march",
    );

    let (_dir, shorter) = copied(&bag);
    rewrite_history(&shorter, &sealed.keys, &sealed.export, |headers, records| {
        headers.truncate(headers.len() - 5);
        records.truncate(records.len() - 5);
    });
    assert!(verify_export(&shorter).unwrap().passes());
    // Asked for after the checkpoint was kept.
    restate(&shorter, |manifest| manifest["asked_at"] = "2099-01-01T00:00:00Z".into());
    resign(&shorter, &sealed.export);
    found(
        &verify_export_with(&shorter, &trust).unwrap(),
        "headers.ndjson",
        "the log was truncated: kept-in-march",
    );
    sealed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_checkpoint_of_another_key_is_no_evidence_against_an_export() {
    let (sealed, manifest, bag) = made().await;
    let mut trust = trust(&manifest);
    let kept = read(&bag, &format!("{}/checkpoint-end", folder(&partition(&bag))));
    let origin = kept.lines().next().unwrap().to_owned();
    let stranger = audit_proof::NoteSigner::new(&origin, &[7; 32]).unwrap();
    let mut note =
        audit_proof::SignedNote::unsigned(kept.split("\n\n").next().unwrap().to_owned() + "\n").unwrap();
    note.sign(&stranger);
    trust.add_kept("a-strangers", note.to_string().as_bytes()).unwrap();
    found(
        &verify_export_with(&bag, &trust).unwrap(),
        "a-strangers",
        "is not one that the log's keys vouch for",
    );
    sealed.end().await;
}
