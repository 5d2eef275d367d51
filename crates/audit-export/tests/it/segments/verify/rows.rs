//! What the comparison of rows with leaves says of every way to tamper with rows, though whoever did it has the log's keys.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use audit_export::{ParquetCell, SegmentManifest, read_parquet};
use audit_verify::{Cell, NamedCell, Report, RowReader, Trust, verify_directory};
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use super::{Made, alter, rows, sign};
use crate::evidence::{copied, found, says};
use crate::segments::keys;

/// As the binary reads them.
struct ParquetRows;

impl RowReader for ParquetRows {
    fn read(&self, file: &Path, each: &mut dyn FnMut(&[NamedCell<'_>])) -> io::Result<()> {
        read_parquet(File::open(file)?, |cells| {
            let cells: Vec<NamedCell<'_>> = cells.iter().map(|(name, cell)| (*name, told(*cell))).collect();
            each(&cells);
        })
    }
}

fn told(cell: ParquetCell<'_>) -> Cell<'_> {
    match cell {
        ParquetCell::Absent => Cell::Absent,
        ParquetCell::Bytes(bytes) => Cell::Bytes(bytes),
        ParquetCell::Number(number) => Cell::Number(number),
    }
}

/// What stands in a column of a row, to be altered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Absent,
    Bytes(Vec<u8>),
    Number(i64),
}

/// A file of rows, in memory.
struct Table {
    schema: TypePtr,
    names: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    fn read(path: &Path) -> Self {
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        let schema = reader.metadata().file_metadata().schema_descr().root_schema_ptr();
        let names = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
        let mut rows = Vec::new();
        let value = |cell: &ParquetCell<'_>| match cell {
            ParquetCell::Absent => Value::Absent,
            ParquetCell::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            ParquetCell::Number(number) => Value::Number(*number),
        };
        read_parquet(File::open(path).unwrap(), |cells| {
            rows.push(cells.iter().map(|(_, cell)| value(cell)).collect());
        })
        .unwrap();
        Self { schema, names, rows }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let properties = Arc::new(WriterProperties::builder().build());
        let mut file = SerializedFileWriter::new(Vec::new(), self.schema.clone(), properties).unwrap();
        if self.rows.is_empty() {
            return file.into_inner().unwrap();
        }
        let mut group = file.next_row_group().unwrap();
        for (number, field) in self.schema.get_fields().iter().enumerate() {
            // A group has one column here.
            let field = if field.is_group() { &field.get_fields()[0] } else { field };
            let mut column = group.next_column().unwrap().unwrap();
            let values: Vec<&Value> = self.rows.iter().map(|row| &row[number]).collect();
            let levels: Vec<i16> = values.iter().map(|value| i16::from(**value != Value::Absent)).collect();
            let levels = field.is_optional().then_some(levels.as_slice());
            if field.get_physical_type() == PhysicalType::INT64 {
                let numbers: Vec<i64> = values.into_iter().filter_map(Value::number).collect();
                column.typed::<Int64Type>().write_batch(&numbers, levels, None).unwrap();
            } else {
                let texts: Vec<ByteArray> = values.into_iter().filter_map(Value::bytes).collect();
                column.typed::<ByteArrayType>().write_batch(&texts, levels, None).unwrap();
            }
            column.close().unwrap();
        }
        group.close().unwrap();
        file.into_inner().unwrap()
    }

    fn cell(&mut self, row: usize, name: &str) -> &mut Value {
        let column = self.names.iter().position(|column| column == name).unwrap();
        &mut self.rows[row][column]
    }

    /// Puts a column before all others, with the same in every row.
    fn add_first(&mut self, field: Type, value: &Value) {
        self.names.insert(0, field.name().to_owned());
        self.rows.iter_mut().for_each(|row| row.insert(0, value.clone()));
        let fields = std::iter::once(Arc::new(field)).chain(self.schema.get_fields().iter().cloned());
        self.schema = schema(fields.collect());
    }

    /// Has a column's numbers mean something else.
    fn reinterpret(&mut self, name: &str, kind: &LogicalType) {
        let field = |field: &TypePtr| {
            if field.name() != name {
                return Arc::clone(field);
            }
            let other = Type::primitive_type_builder(name, PhysicalType::INT64)
                .with_repetition(field.get_basic_info().repetition())
                .with_logical_type(Some(kind.clone()));
            Arc::new(other.build().unwrap())
        };
        self.schema = schema(self.schema.get_fields().iter().map(field).collect());
    }

    /// Replaces words in a text.
    fn reword(&mut self, row: usize, name: &str, words: &str, others: &str) {
        let cell = self.cell(row, name);
        let text = String::from_utf8(cell.bytes().unwrap().data().to_vec()).unwrap();
        assert!(text.contains(words), "{text}");
        *cell = Value::Bytes(text.replace(words, others).into_bytes());
    }
}

fn schema(fields: Vec<TypePtr>) -> TypePtr {
    Arc::new(Type::group_type_builder("schema").with_fields(fields).build().unwrap())
}

fn json_column(name: &str) -> Type {
    let column = Type::primitive_type_builder(name, PhysicalType::BYTE_ARRAY)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::Json));
    column.build().unwrap()
}

impl Value {
    fn number(&self) -> Option<i64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    fn bytes(&self) -> Option<ByteArray> {
        if let Self::Bytes(bytes) = self { Some(bytes.clone().into()) } else { None }
    }
}

/// Segments, one of which has three rows at least.
struct Bench {
    made: Made,
    manifest: SegmentManifest,
}

impl Bench {
    async fn new() -> Self {
        let made = Made::new().await;
        let manifest =
            made.manifests().into_iter().max_by_key(|manifest| manifest.messages).expect("a segment");
        assert!(manifest.messages >= 3, "{manifest:?}");
        Self { made, manifest }
    }

    /// The leaf of a row, as it was written.
    fn leaf(&self, row: u64) -> u64 {
        self.manifest.cut.start.seq + row
    }

    /// What is found after the rows were tampered with and the manifest was signed again.
    fn after(&self, tamper: impl FnOnce(&mut Table)) -> Report {
        self.after_bytes(|bytes, path| {
            let mut table = Table::read(path);
            tamper(&mut table);
            *bytes = table.to_bytes();
        })
    }

    fn after_bytes(&self, tamper: impl FnOnce(&mut Vec<u8>, &Path)) -> Report {
        let (_dir, prefix) = copied(&self.made.prefix());
        let mut forged = self.manifest.clone();
        let path = prefix.join(rows(&forged));
        alter(&prefix, &mut forged, 0, |bytes| tamper(bytes, &path));
        sign(&prefix, &mut forged, &keys());
        verify_directory(&prefix, &self.made.trust, Some(&ParquetRows)).unwrap()
    }

    #[track_caller]
    fn found(&self, report: &Report, words: &str) {
        found(report, rows(&self.manifest), words);
        assert!(report.proven.is_empty(), "{:#?}", report.proven);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_say_what_their_leaves_were_made_of_are_counted_and_nothing_is_left_to_assert_of_their_bodies()
 {
    let bench = Bench::new().await;
    let report = verify_directory(&bench.made.prefix(), &bench.made.trust, Some(&ParquetRows)).unwrap();
    assert!(report.passes(), "{:#?}", report.findings);
    assert!(says(&report.proven, "rows of the Parquet files say, column by column"), "{:#?}", report.proven);
    assert!(!says(&report.asserted, "Parquet is not opened"), "{:#?}", report.asserted);
    assert!(says(&report.asserted, "no leaf holds them"), "{:#?}", report.asserted);
    assert!(!says(&report.not_covered, "no column that is known"), "{:#?}", report.not_covered);

    // Without keys, rows and leaves fit each other all the same.
    let report = verify_directory(&bench.made.prefix(), &Trust::default(), Some(&ParquetRows)).unwrap();
    assert!(report.passes(), "{:#?}", report.findings);

    // Written anew with the same rows it passes: what is found below is what was tampered with.
    let same = bench.after(|_| {});
    assert!(same.passes(), "{:#?}", same.findings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_was_changed_is_named_by_what_was_changed_in_it() {
    let bench = Bench::new().await;
    let row = format!("row 2, of leaf {}, ", bench.leaf(1));
    let altered = |problem: &str| format!("{row}{problem}");

    let body = bench.after(|table| table.reword(1, "json", "change", "chance"));
    bench.found(&body, &altered("says something else in json, raw or salt than its leaf was made of"));
    let salt = bench.after(|table| *table.cell(1, "salt") = Value::Bytes(vec![1; 16]));
    bench.found(&salt, &altered("says something else in json, raw or salt"));
    for (column, value) in [
        ("log", Value::Bytes(b"something else".to_vec())),
        ("author_email", Value::Absent),
        ("reason", Value::Bytes(b"made up".to_vec())),
        ("occurred_at", Value::Number(1)),
        ("change", Value::Bytes(b"{}".to_vec())),
    ] {
        let report = bench.after(|table| *table.cell(1, column) = value);
        bench.found(&report, &altered(&format!("says something else in column {column} than in json")));
    }
    for column in ["partition", "seq", "log_offset", "appended_at"] {
        let report = bench.after(|table| *table.cell(1, column) = Value::Number(i64::from(u32::MAX)));
        bench.found(&report, &altered(&format!("can't have that in column {column}")));
    }
    let header =
        bench.after(|table| table.reword(1, "leaf_header", "flag.value.changed", "flag.value.removed"));
    bench.found(&header, "row 2 has a leaf_header that is not that of leaf");

    // Where queries don't look for it.
    let hidden = bench.after(|table| {
        let json = table.cell(1, "json").clone();
        let own = ["leaf_header", "salt", "partition", "seq", "log_offset", "appended_at"];
        let names = table.names.clone();
        for name in names.iter().filter(|name| !own.contains(&name.as_str())) {
            *table.cell(1, name) = Value::Absent;
        }
        *table.cell(1, "raw") = json;
    });
    bench.found(&hidden, &altered("hides a record in raw"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_says_something_else_to_other_readers_is_named() {
    let bench = Bench::new().await;
    let other = Value::Bytes(b"{}".to_vec());
    for name in ["json", "JSON"] {
        let doubled = bench.after(|table| table.add_first(json_column(name), &other));
        bench.found(&doubled, "has two columns json: one was added");
    }
    let group = || {
        let group = Type::group_type_builder("group").with_repetition(Repetition::REQUIRED);
        group.with_fields(vec![Arc::new(json_column("json"))]).build().unwrap()
    };
    let nested = bench.after(|table| table.add_first(group(), &other));
    bench.found(&nested, "has rows that can't be read");
    let millis = LogicalType::timestamp(true, TimeUnit::MILLIS);
    let moved = bench.after(|table| table.reinterpret("occurred_at", &millis));
    bench.found(&moved, "has rows that can't be read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_removed_swapped_or_added_are_named() {
    let bench = Bench::new().await;
    let [first, second, third] = [0, 1, 2].map(|row| bench.leaf(row));

    let removed = bench.after(|table| drop(table.rows.remove(1)));
    bench.found(&removed, &format!("no row is of leaf {second}: it was removed"));
    assert_eq!(removed.findings.len(), 1, "{:#?}", removed.findings);

    let swapped = bench.after(|table| table.rows.swap(0, 2));
    bench.found(&swapped, &format!("row 1 is of leaf {third}, where that of leaf {first} belongs"));
    bench.found(&swapped, &format!("row 3 is of leaf {first}, where that of leaf {third} belongs"));
    assert_eq!(swapped.findings.len(), 2, "{:#?}", swapped.findings);

    let doubled = bench.after(|table| table.rows.push(table.rows[0].clone()));
    bench.found(&doubled, &format!("of leaf {first}, is a second row of that leaf"));

    let all = bench.after(|table| table.rows.clear());
    bench.found(&all, &format!("no row is of leaf {first}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_parquet_is_named_and_one_that_nobody_signed_again_is_looked_into_all_the_same() {
    let bench = Bench::new().await;
    let none = bench.after_bytes(|bytes, _| *bytes = b"PAR1 no more than that PAR1".to_vec());
    bench.found(&none, "has rows that can't be read");
    let shorter = bench.after_bytes(|bytes, _| bytes.truncate(bytes.len() / 2));
    bench.found(&shorter, "has rows that can't be read");

    let unsigned = {
        let (_dir, prefix) = copied(&bench.made.prefix());
        let path = prefix.join(rows(&bench.manifest));
        let mut table = Table::read(&path);
        table.reword(0, "json", "change", "chance");
        fs::write(&path, table.to_bytes()).unwrap();
        verify_directory(&prefix, &bench.made.trust, Some(&ParquetRows)).unwrap()
    };
    bench.found(&unsigned, "was altered: its SHA-256 is");
    bench.found(&unsigned, &format!("row 1, of leaf {}, says something else in json", bench.leaf(0)));
}
