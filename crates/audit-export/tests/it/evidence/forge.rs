//! Forgers. One has the export alone and makes all its checksums anew; the other is the operator, and has every key.

use std::path::Path;

use audit_export::{ExportKey, SealKeys};
use audit_proof::{Checkpoint, Frontier, Leaf, SignedNote, body_hash, leaf_hash};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(super) fn read(bag: &Path, path: &str) -> String {
    std::fs::read_to_string(bag.join(path)).unwrap()
}

pub(super) fn write(bag: &Path, path: &str, text: impl AsRef<[u8]>) {
    std::fs::write(bag.join(path), text).unwrap();
}

pub(super) fn manifest(bag: &Path) -> Value {
    serde_json::from_str(&read(bag, "manifest.json")).unwrap()
}

/// Makes every checksum of an export anew, in the manifest too; files that are gone are forgotten.
pub(super) fn rehash(bag: &Path) {
    let mut manifest = manifest(bag);
    let mut sums = String::new();
    for list in ["/files", "/evidence/files"] {
        let files = manifest.pointer_mut(list).unwrap().as_array_mut().unwrap();
        files.retain(|file| bag.join(file["path"].as_str().unwrap()).exists());
        for file in files {
            let path = file["path"].as_str().unwrap().to_owned();
            let bytes = std::fs::read(bag.join(&path)).unwrap();
            let sha256 = hex::encode(Sha256::digest(&bytes));
            sums += &format!("{sha256}  {path}\n");
            (file["bytes"], file["sha256"]) = (json!(bytes.len()), json!(sha256));
        }
    }
    write(bag, "manifest.json", format!("{manifest:#}\n"));
    write(bag, "manifest-sha256.txt", sums);
    let mut tags = String::new();
    let mut names: Vec<_> = std::fs::read_dir(bag).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in names.iter().filter_map(|name| name.to_str()) {
        if name != "data" && name != "tagmanifest-sha256.txt" {
            let sha256 = hex::encode(Sha256::digest(std::fs::read(bag.join(name)).unwrap()));
            tags += &format!("{sha256}  {name}\n");
        }
    }
    write(bag, "tagmanifest-sha256.txt", tags);
}

/// Alters the manifest.
pub(super) fn restate(bag: &Path, alter: impl FnOnce(&mut Value)) {
    let mut manifest = manifest(bag);
    alter(&mut manifest);
    write(bag, "manifest.json", format!("{manifest:#}\n"));
}

/// Signs an export with a key that is its own or another, over checksums that are made anew.
pub(super) fn resign(bag: &Path, key: &ExportKey) {
    rehash(bag);
    let text = read(bag, "manifest.json");
    let deployment = manifest(bag)["deployment"].as_str().unwrap().to_owned();
    let signer = key.signer(&deployment).unwrap();
    let sha256 = hex::encode(Sha256::digest(&text));
    let id = manifest(bag)["export_id"].as_str().unwrap().to_owned();
    let mut note =
        SignedNote::unsigned(format!("flagtrail export manifest v1\n{id}\nsha256 {sha256}\n")).unwrap();
    note.sign(&signer);
    write(bag, "manifest.note", note.to_string());
    write(bag, "manifest.json.sig", signer.sign(&text).bytes);
    rehash(bag);
}

/// A partition with records in the payload: one of which all leaves are delivered, where there is one.
pub(super) fn partition(bag: &Path) -> Value {
    let all = manifest(bag)["evidence"]["partitions"].as_array().unwrap().clone();
    let some = all.into_iter().filter(|part| part["population"]["delivered"].as_u64() > Some(10));
    some.min_by_key(|part| part["population"]["delivered"] != part["end_size"]).unwrap()
}

pub(super) fn folder(part: &Value) -> String {
    format!("data/proofs/{}", part["partition"])
}

/// Which line of the payload the first record of a partition is.
fn first_line(bag: &Path, part: &Value) -> usize {
    let all = manifest(bag)["evidence"]["partitions"].as_array().unwrap().clone();
    let before = all.iter().take_while(|other| other["partition"] != part["partition"]);
    before.map(|other| other["population"]["delivered"].as_u64().unwrap() as usize).sum()
}

/// The operator writes another history of a partition, from its headers on, and signs all of it with the keys of the
/// true one. `alter` gets the headers and the records, which are those of all leaves.
pub(super) fn rewrite_history(
    bag: &Path,
    keys: &SealKeys,
    export: &ExportKey,
    alter: impl FnOnce(&mut Vec<String>, &mut Vec<String>),
) {
    let part = partition(bag);
    let folder = folder(&part);
    let lines = |path: &str| -> Vec<String> { read(bag, path).lines().map(str::to_owned).collect() };
    let mut headers = lines(&format!("{folder}/headers.ndjson"));
    let (first, was) = (first_line(bag, &part), part["population"]["delivered"].as_u64().unwrap() as usize);
    let mut payload = lines("data/records-00001.ndjson");
    let mut records: Vec<String> = payload.splice(first..first + was, []).collect();
    assert_eq!(headers.len(), records.len(), "every leaf is delivered");
    alter(&mut headers, &mut records);
    let mut tree = Frontier::new();
    headers.iter().for_each(|header| tree.append(leaf_hash(header.as_bytes()), |_, _| {}));
    let bodies = lines(&format!("{folder}/bodies.ndjson")).into_iter().take(headers.len());
    let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    write(bag, &format!("{folder}/headers.ndjson"), text(&headers));
    write(bag, &format!("{folder}/bodies.ndjson"), text(&bodies.collect::<Vec<_>>()));
    let is = records.len();
    payload.splice(first..first, records);
    write(bag, "data/records-00001.ndjson", text(&payload));
    let end = format!("{folder}/checkpoint-end");
    let note = SignedNote::parse(read(bag, &end).as_bytes()).unwrap();
    let Checkpoint { origin, .. } = Checkpoint::parse(note.text()).unwrap();
    let checkpoint = Checkpoint { origin: origin.clone(), size: tree.size(), root: tree.root() };
    let mut note = checkpoint.to_note().unwrap();
    note.sign(&keys.signers(&origin).unwrap()[0]);
    let deployment = manifest(bag)["deployment"].as_str().unwrap().to_owned();
    let now_s = chrono::Utc::now().timestamp() as u64;
    let clock = keys.cosigner(&deployment).unwrap().cosign(note.text(), now_s);
    note.add(clock);
    write(bag, &end, note.to_string());
    restate(bag, |manifest| {
        let size = tree.size();
        let records = payload.len();
        manifest["records"] = json!(records);
        manifest["files"][0]["records"] = json!(records);
        let all = manifest["evidence"]["partitions"].as_array_mut().unwrap();
        let forged = all.iter_mut().find(|other| other["partition"] == part["partition"]).unwrap();
        for field in ["covered_size", "end_size", "sealed_size"] {
            forged[field] = json!(size);
        }
        forged["end_root"] = json!(tree.root().to_string());
        for field in ["in_range", "in_scope", "delivered"] {
            forged["population"][field] = json!(is);
        }
        let entries = manifest["partitions"].as_array_mut().unwrap();
        entries.iter_mut().find(|other| other["partition"] == part["partition"]).unwrap()["records"] =
            json!(is);
        let fewer = was - is;
        let totals = &mut manifest["evidence"]["totals"];
        for (total, name) in [
            ("by_action", "flag.value.changed"),
            ("by_related_object_type", "FEATURE"),
            ("by_day", "2026-01-02"),
        ] {
            let count = totals[total][name].as_u64().unwrap() - fewer as u64;
            totals[total][name] = json!(count);
        }
    });
    resign(bag, export);
}

/// The header of a leaf whose record says something else.
pub(super) fn header_over(bag: &Path, header: &str, record: &str) -> String {
    let leaf = Leaf::parse(header.as_bytes()).unwrap();
    let part = partition(bag);
    let bodies = read(bag, &format!("{}/bodies.ndjson", folder(&part)));
    let body = bodies.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let body = body.into_iter().find(|body| body["seq"] == leaf.seq).unwrap();
    let salt = STANDARD.decode(body["salt"].as_str().unwrap()).unwrap();
    let body = body_hash(Some(&salt), Some(record.as_bytes()));
    String::from_utf8(Leaf { body, ..leaf }.header()).unwrap()
}
