//! A record's proof, from `up` to a file that is checked with the log's verifier key and nothing else.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use audit_proof::{Checkpoint, Leaf, NoteVerifier, SignedNote, TlogProof, leaf_hash};
use flagtrail_testkit::clients::go;
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, Node, flagtrail, http};
use crate::rows;

/// How long a record may take until it is sealed, on a busy machine.
const SEALED_WITHIN: Duration = Duration::from_secs(180);

#[tokio::test]
async fn a_records_proof_outlives_a_kill_and_a_change_of_keys() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "[seal]\ninterval = \"1ms\"\n");
    let config = root.path().join("one/flagtrail.toml");
    let keys = |arguments: &[&str]| {
        let output = flagtrail().arg("--config").arg(&config).arg("keys").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    node.start();
    node.ready().await;
    let prove = |node: &Node, id: &str| {
        let file = root.path().join(format!("{id}.tlog-proof"));
        let output = node.try_command(&["proof", id, "--out", file.to_str().unwrap()]);
        output.status.success().then(|| TlogProof::parse(&std::fs::read_to_string(file).unwrap()).unwrap())
    };
    let check = |proof: &TlogProof, id: &str| {
        let origin = Checkpoint::parse(proof.checkpoint.text()).unwrap().origin;
        let parts: Vec<&str> = origin.split('/').collect();
        let shown = keys(&["show", "--deployment", parts[1], "--partition", parts[3], "--epoch", parts[4]]);
        let lines = shown.lines().filter(|line| !line.starts_with('#'));
        let known: Vec<NoteVerifier> = lines.map(|line| NoteVerifier::parse(line).unwrap()).collect();
        let leaf = proof.extra.clone().unwrap();
        assert_eq!(Leaf::parse(&leaf).unwrap().record.unwrap().id, id);
        proof.verify(&leaf_hash(&leaf), &origin, &known).is_ok()
    };
    let append = |node: &Node, id: &str| {
        let record = json!({
            "id": id, "action": "flag.state.changed", "log": "switched on", "author": {"type": "user", "email": "ada@example.com"},
            "project": {"key": "shop"}, "flag": {"key": "checkout"}, "related_object_type": "FEATURE",
        });
        let file = root.path().join("record.json");
        std::fs::write(&file, record.to_string()).unwrap();
        node.command(&["append", file.to_str().unwrap()]);
    };

    append(&node, "first");
    let first = wait::some(SEALED_WITHIN, "the first proof", || async { prove(&node, "first") }).await;
    assert!(check(&first, "first"));
    node.kill();
    keys(&["rotate"]);
    node.start();
    node.ready().await;
    append(&node, "second");
    let second = wait::some(SEALED_WITHIN, "the second proof", || async { prove(&node, "second") }).await;
    assert!(check(&first, "first") && check(&second, "second"));
    // Once every partition was sealed with both; a third key would leave the sealer without one that it knows.
    let again = node.try_command(&["keys", "rotate"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("--finish"), "{again:?}");
    wait::until(SEALED_WITHIN, "the former key is left behind", || async {
        node.try_command(&["keys", "rotate", "--finish"]).status.success()
    })
    .await;
    node.stop();
    // What was signed with both holds by the new one; what the former one signed alone by what is shown of it still.
    assert!(check(&second, "second") && check(&first, "first"));
}

#[tokio::test]
async fn exports_archives_and_servers_are_verified_against_published_keys_and_a_kept_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "[seal]\ninterval = \"1ms\"\n");
    node.start();
    node.ready().await;
    let place = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    let append = |node: &Node, ids: std::ops::Range<usize>| {
        let record = |id: usize| {
            json!({
                "id": format!("r{id}"), "action": "flag.state.changed", "log": "on", "author": {"type": "user", "email": "ada@example.com"},
                "project": {"key": "shop"}, "flag": {"key": "checkout"}, "related_object_type": "FEATURE",
            })
        };
        std::fs::write(place("records.json"), json!(ids.map(record).collect::<Vec<_>>()).to_string())
            .unwrap();
        node.command(&["append", &place("records.json")]);
    };
    append(&node, 0..20);
    let earlier = root.path().join("earlier");
    node.command(&["export", "--project", "shop", "--out", earlier.to_str().unwrap()]);
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(earlier.join("manifest.json")).unwrap()).unwrap();
    let part = manifest["evidence"]["partitions"].as_array().unwrap().iter();
    let part = part.max_by_key(|part| part["population"]["delivered"].as_u64()).unwrap();
    let kept = earlier.join(format!("data/proofs/{}/checkpoint-end", part["partition"]));
    let kept = kept.to_str().unwrap();
    let origin: Vec<&str> = part["origin"].as_str().unwrap().split('/').collect();
    let keys = ["keys", "show", "--deployment", origin[1], "--partition", origin[3], "--epoch", origin[4]];
    std::fs::write(place("published"), node.command(&keys)).unwrap();

    append(&node, 20..40);
    let later = place("later");
    node.command(&["export", "--project", "shop", "--out", &later]);
    let archive = node.dir.join("data/archive").to_str().unwrap().to_owned();
    let published = place("published");
    // The keys of one partition are published here, so it is that one that is looked at.
    let against = ["--against", kept];
    for (what, flags, proven) in [
        (later.as_str(), &[][..], "every one is accounted for: 40 records delivered"),
        (later.as_str(), &against[..], "has changed since"),
        (archive.as_str(), &["--key", &published, "--against", kept][..], "are those that"),
        (node.admin.as_str(), &against[..], "has changed since"),
        (node.admin.as_str(), &["--leaves"][..], "lead to the root that was signed"),
    ] {
        let told = node.command(&[&["verify", what][..], flags].concat());
        assert!(told.contains("proven") && told.contains(proven), "{what} {flags:?}: {told}");
    }

    // A checkpoint of the same log that signs something else: another history.
    let text = std::fs::read_to_string(kept).unwrap();
    let root_hash = text.lines().nth(2).unwrap();
    let other = place("other");
    std::fs::write(&other, text.replace(root_hash, &audit_proof::empty_root().to_string())).unwrap();
    for (what, problem) in [
        (later.as_str(), "not one that the log's keys vouch for"),
        (archive.as_str(), "the archive holds a second history"),
        (node.admin.as_str(), "is a second history"),
    ] {
        let output = node.try_command(&["verify", what, "--against", &other]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{what}: {told}");
        assert!(told.contains("WRONG") && told.contains(problem), "{what}: {told}");
    }
    node.stop();
}

#[tokio::test]
async fn segments_are_verified_against_published_keys_and_a_kept_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    let vault = root.path().join("vault");
    let settings = format!(
        "[log]\npartitions = 1\n[seal]\ninterval = \"1ms\"\n[segments]\ndestination = \"vault\"\ninterval = \"1s\"\n\
         [destination.vault]\nkind = \"directory\"\npath = {vault:?}\n"
    );
    let mut node = Node::new(root.path(), "one", &["up"], &settings);
    node.start();
    node.ready().await;
    let place = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    let record = |id: &str| {
        json!({
            "id": id, "action": "flag.state.changed", "log": "switched on", "author": {"type": "user", "id": "7"},
            "project": {"key": "shop"}, "flag": {"key": "checkout"}, "related_object_type": "FEATURE",
        })
    };
    // In one request, so that they are sealed together.
    let records = ["first", "second", "third"].map(|id| format!("{}\n", record(id))).concat();
    std::fs::write(place("records.ndjson"), records).unwrap();
    node.command(&["append", &place("records.ndjson")]);
    let head = wait::some(SEALED_WITHIN, "a checkpoint", || async {
        let checkpoints = get(&node, "/v1/checkpoints").await?;
        checkpoints["checkpoints"].as_array()?.iter().find(|head| head["size"] != 0).cloned()
    })
    .await;
    std::fs::write(place("kept"), head["note"].as_str().unwrap()).unwrap();
    let origin: Vec<&str> = head["origin"].as_str().unwrap().split('/').collect();
    let keys = ["keys", "show", "--deployment", origin[1], "--partition", origin[3], "--epoch", origin[4]];
    std::fs::write(place("published"), node.command(&keys)).unwrap();

    let (kept, published, vault_text) = (place("kept"), place("published"), place("vault"));
    let verify = ["verify", &vault_text, "--key", &published, "--against", &kept];
    // Sooner the segments are behind what was kept, which the command says.
    let told = wait::some(SEALED_WITHIN, "segments that cover what was kept", || async {
        let output = node.try_command(&verify);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    })
    .await;
    for proven in [
        "the roots that the log's keys have signed",
        "has changed since",
        "say, column by column, what their leaves were made of",
    ] {
        assert!(told.contains(proven), "{proven}: {told}");
    }
    let proofs = vault.join("segments/proofs").join(origin[1]).join("p00000");
    let altered = wait::some(SEALED_WITHIN, "a finished segment with the records", || async {
        let is_finished =
            |path: &PathBuf| proofs.join(path.with_extension("json").file_name().unwrap()).exists();
        let has_them =
            |path: &PathBuf| rows::read(path).iter().any(|row| row.json.contains(r#""id":"first""#));
        files_below(&vault.join("segments/records"))
            .into_iter()
            .find(|path| is_finished(path) && has_them(path))
    })
    .await;
    node.stop();

    let name = altered.file_name().unwrap().to_str().unwrap();
    let mut flipped = std::fs::read(&altered).unwrap();
    let original = rows::read(&altered);
    // Ours may stand behind the log's own records.
    let at = original.iter().position(|row| row.json.contains(r#""id":"first""#)).unwrap();
    let [first, second, third] = [at, at + 1, at + 2].map(|row| original[row].seq);
    let wrong = |tamper: &dyn Fn(), problem: &str| {
        tamper();
        let output = node.try_command(&verify);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        for words in ["was altered: its SHA-256 is", problem] {
            let is_named =
                |line: &str| line.starts_with("WRONG") && line.contains(name) && line.contains(words);
            assert!(told.lines().any(is_named), "{words}: {told}");
        }
    };
    let with = |alter: &dyn Fn(&mut Vec<rows::Row>)| {
        let mut rows = original.clone();
        alter(&mut rows);
        rows::write(&altered, &rows);
    };
    wrong(
        &|| with(&|rows| rows[at].json = rows[at].json.replace("switched on", "switched off")),
        &format!("row {}, of leaf {first}, says something else in json", at + 1),
    );
    wrong(&|| with(&|rows| drop(rows.remove(at + 1))), &format!("no row is of leaf {second}"));
    wrong(
        &|| with(&|rows| rows.swap(at, at + 2)),
        &format!("row {} is of leaf {third}, where that of leaf {first} belongs", at + 1),
    );
    wrong(
        &|| with(&|rows| rows.push(rows[at].clone())),
        &format!("of leaf {first}, is a second row of that leaf"),
    );
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    wrong(&|| std::fs::write(&altered, &flipped).unwrap(), "was altered");
}

/// Every file below a folder; none where it is not there yet.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// What an archive is asked over HTTP.
async fn get(node: &Node, path: &str) -> Option<Value> {
    let answer = http().get(format!("{}{path}", node.admin)).bearer_auth(ADMIN_TOKEN).send().await.ok()?;
    if answer.status().is_success() { answer.json().await.ok() } else { None }
}

#[tokio::test]
async fn an_erased_persons_records_are_gone_from_answers_and_exports_and_their_proofs_hold() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "[seal]\ninterval = \"1ms\"\n");
    node.start();
    node.ready().await;
    let record = |id: &str, email: &str| {
        json!({
            "id": id, "action": "flag.state.changed", "log": format!("switched on by {email}"), "project": {"key": "shop"},
            "author": {"type": "user", "email": email}, "flag": {"key": "checkout"}, "related_object_type": "FEATURE",
        })
        .to_string()
    };
    let file = root.path().join("records.ndjson");
    let lines =
        [record("a", "ada@example.com"), record("b", "bob@example.com"), record("c", "ada@example.com")];
    std::fs::write(&file, lines.join("\n")).unwrap();
    node.command(&["append", file.to_str().unwrap()]);
    let prove = |id: &str| node.try_command(&["proof", id]);
    let proof = wait::some(SEALED_WITHIN, "a proof", || async {
        let shown = prove("a");
        shown.status.success().then(|| TlogProof::parse(&String::from_utf8_lossy(&shown.stdout)).unwrap())
    })
    .await;

    // Whoever audits the project tells by its key that the leaf is of it; that he was given it is on the record.
    let disclosed = node.json(&["keys", "scope", "--project", "shop"]);
    let leaf = Leaf::parse(proof.extra.as_ref().unwrap()).unwrap();
    let tag: String = leaf.tags.scope.unwrap().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((disclosed.as_array().map(Vec::len), &disclosed[0]["tag"]), (Some(1), &json!(tag)));
    let on_record = || async {
        let found = get(&node, "/v1/records?action=flagtrail.key.*").await?;
        let actions = found["records"].as_array()?.iter().map(|record| record["action"].as_str());
        let actions = actions.collect::<Option<Vec<_>>>()?.join(" ");
        (actions == "flagtrail.key.disclosed flagtrail.key.created").then_some(())
    };
    wait::some(SEALED_WITHIN, "the key and its disclosure are on the record", on_record).await;

    let erase = |more: &[&str]| {
        let asked = ["--json", "erase", "--subject", "Ada@example.com", "--reason", "request 12"];
        let output = node.command(&[&asked[..], more].concat());
        serde_json::from_str::<Value>(&output).unwrap()
    };
    let dry = erase(&["--dry-run"]);
    assert_eq!((&dry["erased"], &dry["mentioned"], &dry["records"]), (&json!(2), &json!(0), &json!([])));
    let said =
        node.try_command(&["erase", "--subject", "ada@example.com", "--reason", "ada@example.com asked"]);
    assert!(
        !said.status.success() && String::from_utf8_lossy(&said.stderr).contains("names the person"),
        "{said:?}"
    );
    let done = erase(&["--legal-basis", "GDPR Art. 17(1)(b)"]);
    assert_eq!((&done["erased"], &done["followed"]), (&json!(2), &json!(true)));
    assert_eq!(erase(&[])["erased"], json!(0));

    let order = done["records"][0].as_str().unwrap();
    let order = get(&node, &format!("/v1/records/{order}")).await.unwrap();
    assert!(!order.to_string().to_lowercase().contains("ada@"), "{order}");
    let found = get(&node, "/v1/records/a").await.unwrap();
    assert_eq!(found["record"]["erased"]["by"], done["records"][0]);
    assert_eq!((&found["position"]["erased"], &found["record"]["author"]), (&json!(true), &Value::Null));
    let whole = get(&node, "/v1/records/b").await.unwrap();
    assert_eq!(whole["position"]["erased"], json!(false));
    assert!(!found.to_string().contains("ada@"), "{found}");
    assert_eq!(get(&node, "/v1/records?text=ada").await.unwrap()["records"], json!([]));
    // The proof from before leads to the same root, and there is one now.
    let known = get(&node, "/v1/proofs/a").await.unwrap();
    assert_eq!((&known["erased"], &known["salt"]), (&json!(true), &json!("")));
    let now = TlogProof::parse(known["proof"].as_str().unwrap()).unwrap();
    assert_eq!((now.index, &now.extra), (proof.index, &proof.extra));
    let bag = root.path().join("bag");
    node.command(&["export", "--project", "shop", "--out", bag.to_str().unwrap()]);
    let manifest: Value = serde_json::from_slice(&std::fs::read(bag.join("manifest.json")).unwrap()).unwrap();
    let erased = manifest["partitions"].as_array().unwrap().iter().filter_map(|part| part["erased"].as_u64());
    assert_eq!((manifest["records"].as_u64(), erased.sum::<u64>()), (Some(1), 2));
    let sound = node.command(&["archive", "check"]);
    assert!(sound.contains("0 findings"), "{sound}");
    node.stop();
}

#[tokio::test]
async fn a_witness_of_others_cosigns_what_extends_what_it_saw() {
    let Some(program) = go("tlog") else { return };
    let root = tempfile::tempdir().unwrap();
    let settings = "[log]\npartitions = 1\n[seal]\ninterval = \"1ms\"\n";
    let mut node = Node::new(root.path(), "one", &["up"], settings);
    node.start();
    node.ready().await;
    let config = root.path().join("one/flagtrail.toml");
    let first = wait::some(SEALED_WITHIN, "a checkpoint", || async {
        let checkpoints = get(&node, "/v1/checkpoints").await?;
        checkpoints["checkpoints"].as_array()?.first().cloned()
    })
    .await;
    assert_eq!(first.get("anchored"), None);
    let origin = first["origin"].as_str().unwrap();
    let parts: Vec<&str> = origin.split('/').collect();
    let shown =
        node.command(&["keys", "show", "--deployment", parts[1], "--partition", "0", "--epoch", parts[4]]);
    node.stop();

    let witness = Witness::start(program, shown.lines().find(|line| !line.starts_with('#')).unwrap());
    let named = format!("[[seal.witness]]\nurl = {:?}\nkey = {:?}\n", witness.address, witness.key);
    std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + &named).unwrap();
    node.start();
    node.ready().await;
    let file = root.path().join("record.json");
    let mut cosigned = 0;
    for id in ["x", "y"] {
        let record = json!({
            "id": id, "action": "flag.state.changed", "log": "switched on", "author": {"type": "user", "id": "7"},
            "project": {"key": "shop"}, "flag": {"key": "checkout"}, "related_object_type": "FEATURE",
        });
        std::fs::write(&file, record.to_string()).unwrap();
        node.command(&["append", file.to_str().unwrap()]);
        // Each time more, by a proof that it extends the one before.
        cosigned = wait::some(SEALED_WITHIN, "a cosigned checkpoint", || async {
            let checkpoints = get(&node, "/v1/checkpoints").await?;
            let head = checkpoints["checkpoints"].as_array()?.first()?.clone();
            let note = SignedNote::parse(head["note"].as_str()?.as_bytes()).ok()?;
            let by = note.verify(&[NoteVerifier::parse(&witness.key).unwrap()]).ok()?;
            let size = head["size"].as_u64()?;
            (by.len() == 1 && head["anchored"]["by"][0]["name"] == "witness.example/w" && size > cosigned)
                .then_some(size)
        })
        .await;
    }
    let ready = get(&node, "/v1/records/y").await;
    assert!(ready.is_some());
    // A bag says since when and by whom it is anchored.
    let bag = root.path().join("bag");
    node.command(&["export", "--project", "shop", "--out", bag.to_str().unwrap()]);
    let manifest: Value = serde_json::from_slice(&std::fs::read(bag.join("manifest.json")).unwrap()).unwrap();
    let [anchored] = &manifest["evidence"]["anchored"].as_array().unwrap()[..] else { panic!("{manifest}") };
    assert_eq!(
        (&anchored["partition"], &anchored["by"][0]["name"]),
        (&json!(0), &json!("witness.example/w"))
    );
    assert!(anchored["by"][0]["at_s"].as_u64() > Some(0), "{anchored}");
    let guide = std::fs::read_to_string(bag.join("VERIFY.md")).unwrap();
    assert!(guide.contains("leaves were cosigned by witness.example/w at 20"), "{guide}");
    let told = node.command(&["verify", bag.to_str().unwrap()]);
    assert!(told.contains("were cosigned by outside witnesses (witness.example/w)"), "{told}");
    let state = node.command(&["archive", "check"]);
    assert!(state.contains("0 findings"), "{state}");
    node.stop();
}

/// A witness of Go's, until it is dropped.
struct Witness {
    process: Child,
    key: String,
    address: String,
}

impl Witness {
    fn start(mut program: Command, log_key: &str) -> Self {
        program.args(["witness", "witness.example/w", log_key]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = program.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut next = || lines.next().unwrap().unwrap();
        let (key, address) = (next(), next());
        Self { process, key, address }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // `go run` has a child, which ends with its input.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
