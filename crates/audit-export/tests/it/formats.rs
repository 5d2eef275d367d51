//! What other people's programs read from an export in each format.

use std::path::{Path, PathBuf};
use std::process::Command;

use audit_export::{Compression, ExportError, ExportJob, Format, Manifest};
use audit_record::{AuditRecord, Timestamp};
use audit_verify::verify_export;
use flagtrail_testkit::clients::Clients;
use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Bench, export};

/// Records of every shape: everything filled, next to nothing filled, and texts that are hard on a format.
fn records() -> Vec<AuditRecord> {
    let made = |number: usize, over: Value| {
        let mut fields = json!({
            "id": format!("r{number:04}"), "action": "flag.value.changed", "log": format!("change {number}"),
            "occurred_at": format!("2026-01-02T03:{:02}:05.{:06}Z", number / 60 % 60, number),
            "recorded_at": "2026-01-02T04:04:06.000007Z", "author": {"type": "unknown"},
            "organisation": {"key": "acme"}, "project": {"id": format!("p{}", number % 7)},
            "related_object_type": "FEATURE", "attributes": {"exact": 9007199254740993_i64},
            "source": {"name": "test", "system": "native", "event": "e", "received_at": "2026-01-02T03:04:06Z"},
        });
        fields.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        AuditRecord::from_json(fields.to_string().as_bytes()).unwrap()
    };
    let full: Value =
        serde_json::from_str(include_str!("../../../../schemas/examples/valid/every-field-filled.json"))
            .unwrap();
    let mut full = full.as_object().unwrap().clone();
    for kept in ["id", "source"] {
        full.remove(kept);
    }
    let odd = json!({
        "log": "=cmd|' /C calc'!A0, \"quoted\"\r\nand \u{0} more 🚀",
        "flag": {"key": "", "name": "مرحبا"},
        "author": {"type": "user", "email": "ada@example.com"},
        "change": {"before": null, "after": ""},
    });
    (0..300)
        .map(|number| match number {
            7 => made(number, Value::Object(full.clone())),
            8 => made(number, odd.clone()),
            _ => made(
                number,
                json!({"author": {"type": "user", "email": format!("p{}@example.com", number % 9)}}),
            ),
        })
        .collect()
}

async fn exported(name: &str, format: Format, compression: Compression) -> (Bench, ExportJob, Manifest) {
    let bench = Bench::new().await;
    bench.append_records(&records()).await;
    let job = ExportJob { compression, ..bench.job(name, format) };
    let manifest = export(&bench, &job).await.unwrap();
    assert_eq!(manifest.records, 300);
    (bench, job, manifest)
}

fn files(job: &ExportJob, manifest: &Manifest) -> Vec<PathBuf> {
    manifest.files.iter().map(|file| job.destination.join(&file.path)).collect()
}

fn by_id(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(|row| row["id"].as_str().unwrap().to_owned());
    rows
}

/// Runs a client program and reads the JSON that it prints.
fn said(mut client: Command) -> Value {
    let output = client.output().unwrap();
    assert!(output.status.success(), "{client:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parquet_export_is_read_alike_by_arrow_and_by_duckdb_and_holds_every_record() {
    let (bench, job, manifest) = exported("parquet", Format::Parquet, Compression::None).await;
    assert!(verify_export(&job.destination).unwrap().passes());
    let [file] = &files(&job, &manifest)[..] else { panic!("{:?}", manifest.files) };
    if let Some(clients) = Clients::available() {
        let mut reading = clients.python("parquet.py");
        reading.arg(file).args(["id", "r0042", "no such record"]);
        let read = said(reading);
        let rows = by_id(read["rows"].as_array().unwrap().clone());
        assert_eq!(rows.len(), 300);
        for (row, record) in rows.iter().zip(records()) {
            holds(row, &record);
        }
        assert_eq!(read["arrow_types"]["occurred_at"], "timestamp[us, tz=UTC]");
        assert_eq!(read["duckdb_types"]["appended_at"], "TIMESTAMP WITH TIME ZONE");
        assert_eq!(read["metadata"]["flagtrail.columns_version"], "1");
        assert_eq!(read["metadata"]["flagtrail.record_schema_version"], "1");
        assert_eq!(read["compressions"], json!(["ZSTD"]));
        assert_eq!(read["excludes"], json!({"r0042": false, "no such record": true}));
        for column in ["id", "action", "author_email", "project_id", "flag_key"] {
            assert!(
                read["bloom"].as_array().unwrap().contains(&json!(column)),
                "{column}: {}",
                read["bloom"]
            );
        }
        assert!(read["paged"].as_array().unwrap().contains(&json!("occurred_at")), "{}", read["paged"]);
    }
    bench.end().await;
}

/// A row of the table is the record.
fn holds(row: &Value, record: &AuditRecord) {
    let (draft, id) = (record.draft(), record.id());
    assert_eq!(row["json"], std::str::from_utf8(record.canonical()).unwrap(), "{id}");
    assert_eq!(row["id"], id);
    assert_eq!(row["occurred_at"], record.occurred_at().micros(), "{id}");
    assert_eq!(row["recorded_at"], record.recorded_at().micros(), "{id}");
    assert_eq!(row["log"], record.log(), "{id}");
    assert_eq!(row["author_email"], json!(record.author().email), "{id}");
    assert_eq!(
        row["project_id"],
        json!(draft.project.as_ref().and_then(|project| project.id.clone())),
        "{id}"
    );
    assert_eq!(row["flag_name"], json!(draft.flag.as_ref().and_then(|flag| flag.name.clone())), "{id}");
    let whole = draft.to_value();
    for part in ["change", "approval", "attributes"] {
        let stands: Option<Value> = row[part].as_str().map(|text| serde_json::from_str(text).unwrap());
        assert_eq!(stands.as_ref(), whole.get(part), "{part} of {id}");
    }
}

#[rstest]
#[case::ndjson(Format::Ndjson, "ndjson.zst")]
#[case::csv(Format::Csv, "csv.zst")]
#[case::ocsf(Format::Ocsf, "ocsf.ndjson.zst")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_compressed_is_the_same_lines_in_a_file_that_zstd_reads(
    #[case] format: Format,
    #[case] end: &str,
) {
    let (bench, job, manifest) = exported("compressed", format, Compression::Zstd).await;
    let plain_job = bench.job("plain", format);
    let plain = export(&bench, &plain_job).await.unwrap();
    let [file] = &files(&job, &manifest)[..] else { panic!("{:?}", manifest.files) };
    assert!(file.to_str().unwrap().ends_with(end), "{}", file.display());
    let read = |path: &Path| std::fs::read(path).unwrap();
    assert_eq!(zstd::decode_all(&*read(file)).unwrap(), read(&files(&plain_job, &plain)[0]));
    let entry = &manifest.files[0];
    assert_eq!(entry.sha256, hex::encode(Sha256::digest(read(file))), "of the file as it is written");
    assert_eq!(entry.content_encoding, Some(Compression::Zstd));
    // Somebody else's program, where there is one.
    match Command::new("zstd").args(["--test", "--quiet"]).arg(file).status() {
        Ok(status) => assert!(status.success()),
        Err(_) => eprintln!("left out: there is no zstd here"),
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sqlite_export_is_one_file_that_sqlite_finds_sound_and_complete() {
    let (bench, job, manifest) = exported("sqlite", Format::Sqlite, Compression::None).await;
    assert!(verify_export(&job.destination).unwrap().passes());
    let [file] = &files(&job, &manifest)[..] else { panic!("{:?}", manifest.files) };
    let question = "PRAGMA integrity_check; SELECT count(*) FROM audit_log; \
        SELECT json FROM audit_log WHERE id = 'r0008';";
    let odd = records().swap_remove(8);
    match Command::new("sqlite3").arg("-readonly").arg(file).arg(question).output() {
        Ok(answer) => {
            let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
            let expected = format!("ok\n300\n{}", std::str::from_utf8(odd.canonical()).unwrap());
            assert_eq!(answer.trim_end(), expected);
        }
        Err(_) => eprintln!("left out: there is no sqlite3 here"),
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ocsf_export_is_an_event_a_record_valid_for_a_validator_that_is_not_ours() {
    let (bench, job, manifest) = exported("ocsf", Format::Ocsf, Compression::None).await;
    assert!(verify_export(&job.destination).unwrap().passes());
    let [file] = &files(&job, &manifest)[..] else { panic!("{:?}", manifest.files) };
    let text = std::fs::read_to_string(file).unwrap();
    let mut raw: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["raw_data"].as_str().unwrap().to_owned())
        .collect();
    let mut stored: Vec<String> =
        records().iter().map(|record| String::from_utf8(record.canonical().to_vec()).unwrap()).collect();
    raw.sort();
    stored.sort();
    assert_eq!(raw, stored);
    if let Some(clients) = Clients::available() {
        let mut validating = clients.python("ocsf.py");
        let output = validating.stdin(std::fs::File::open(file).unwrap()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    bench.end().await;
}

#[rstest]
#[case::ndjson(Format::Ndjson, "application/x-ndjson")]
#[case::csv(Format::Csv, "text/csv; charset=utf-8; header=present")]
#[case::parquet(Format::Parquet, "application/vnd.apache.parquet")]
#[case::sqlite(Format::Sqlite, "application/vnd.sqlite3")]
#[case::ocsf(Format::Ocsf, "application/x-ndjson")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manifest_says_of_each_file_what_it_is_and_what_it_spans(
    #[case] format: Format,
    #[case] media_type: &str,
) {
    let (bench, _, manifest) = exported("spans", format, Compression::None).await;
    let [file] = &manifest.files[..] else { panic!("{:?}", manifest.files) };
    assert_eq!(file.media_type, media_type);
    assert_eq!(file.schema_sha256, hex::encode(Sha256::digest(format.schema().text)));
    let moments: Vec<Timestamp> = records().iter().map(AuditRecord::occurred_at).collect();
    assert_eq!(file.occurred_min, moments.iter().min().map(Timestamp::to_string));
    assert_eq!(file.occurred_max, moments.iter().max().map(Timestamp::to_string));
    let (first, last) = (file.first.unwrap(), file.last.unwrap());
    assert!(
        first.partition == 0 && first.seq == 0 && last.partition == 2 && last > first,
        "{first:?} {last:?}"
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_format_that_is_read_from_the_middle_is_not_compressed_as_a_whole() {
    let bench = Bench::new().await;
    for format in [Format::Parquet, Format::Sqlite] {
        let job = ExportJob { compression: Compression::Zstd, ..bench.job("unfit", format) };
        let refused = export(&bench, &job).await.unwrap_err();
        assert!(matches!(refused, ExportError::Unfit(_)), "{refused}");
        assert!(refused.to_string().contains("leave out the compression"), "{refused}");
        assert!(!job.destination.exists());
    }
    bench.end().await;
}

#[rstest]
#[case(Format::Parquet)]
#[case(Format::Sqlite)]
#[case(Format::Ocsf)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_nothing_is_a_whole_file_of_every_format(#[case] format: Format) {
    let bench = Bench::new().await;
    let job = bench.job("nothing", format);
    let manifest = export(&bench, &job).await.unwrap();
    assert_eq!((manifest.records, manifest.files.len()), (0, 1));
    assert!(manifest.files[0].first.is_none() && manifest.files[0].occurred_min.is_none());
    assert!(verify_export(&job.destination).unwrap().passes());
    if let (Format::Parquet, Some(clients)) = (format, Clients::available()) {
        let mut reading = clients.python("parquet.py");
        reading.args(files(&job, &manifest)).args(["id", "r0042", "no such record"]);
        assert_eq!(said(reading)["rows"], json!([]));
    }
    bench.end().await;
}
