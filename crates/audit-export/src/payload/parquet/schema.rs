//! The schema of a Parquet file of records, and how its columns are written.

use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as PhysicalType, ZstdLevel};
use parquet::errors::Result;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::{ColumnPath, Type, TypePtr};

use super::ROW_GROUP_ROWS_MAX;
use crate::payload::columns::{COLUMNS_VERSION, Column, Content, Presence, Search, columns};
use crate::payload::record::Messages;

/// How hard zstd tries. 3 is its own default: beyond it, time grows faster than size shrinks.
const ZSTD_LEVEL: i32 = 3;

/// How often a bloom filter may say "perhaps" of a value that is not there.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// A dictionary that grows beyond this many bytes is given up for the rest of its row group: what hardly repeats does not
/// pay for one.
const DICTIONARY_BYTES_MAX: usize = 1024 * 1024;

/// Uncompressed bytes of a page: what a reader decodes at once.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Whether every row of a file has a value in the column.
pub(super) fn is_required(column: &Column, messages: Messages) -> bool {
    match column.presence {
        Presence::Always => true,
        Presence::EveryRecord => messages == Messages::Records,
        Presence::Sometimes => false,
    }
}

/// The schema.
pub(super) fn schema(messages: Messages) -> Result<TypePtr> {
    let field = |column: &Column| {
        let (physical, logical) = match column.content {
            Content::Text(_) => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            Content::Json(_) => (PhysicalType::BYTE_ARRAY, Some(LogicalType::Json)),
            Content::Bytes(_) => (PhysicalType::BYTE_ARRAY, None),
            Content::Moment(_) => (PhysicalType::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
            Content::Number(_) => (PhysicalType::INT64, None),
        };
        let repetition =
            if is_required(column, messages) { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        let field = Type::primitive_type_builder(column.name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical);
        field.build().map(Arc::new)
    };
    let fields = columns(messages).map(field).collect::<Result<Vec<_>>>()?;
    Type::group_type_builder("audit_log").with_fields(fields).build().map(Arc::new)
}

/// How the columns are written, and what the footer says besides.
pub(super) fn properties(messages: Messages, metadata: &[(&str, &str)]) -> Result<WriterProperties> {
    let own = [
        ("flagtrail.columns", messages.as_str().to_owned()),
        ("flagtrail.columns_version", COLUMNS_VERSION.to_string()),
        ("flagtrail.record_schema_version", audit_record::SCHEMA_VERSION.to_string()),
    ];
    let own = own.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value));
    let given = metadata.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), (*value).to_owned()));
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("flagtrail version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_sorting_columns(Some(order(messages)))
        .set_key_value_metadata(Some(own.chain(given).collect()));
    for column in columns(messages) {
        let path = ColumnPath::from(column.name);
        if !matches!(column.content, Content::Text(_)) {
            properties = properties.set_column_dictionary_enabled(path.clone(), false);
        }
        match column.search {
            Search::Plain => {}
            Search::Exact => {
                properties = properties
                    .set_column_bloom_filter_fpp(path.clone(), BLOOM_FALSE_POSITIVES)
                    .set_column_bloom_filter_max_ndv(path, ROW_GROUP_ROWS_MAX as u64);
            }
            Search::Shown => {
                properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
            }
        }
    }
    Ok(properties.build())
}

/// Partition, then number: the order of the log.
fn order(messages: Messages) -> Vec<SortingColumn> {
    let index = |name: &str| columns(messages).position(|column| column.name == name);
    let ascending = |column_idx: i32| SortingColumn { column_idx, descending: false, nulls_first: false };
    let indexes = ["partition", "seq"].into_iter().filter_map(index);
    indexes.filter_map(|index| i32::try_from(index).ok()).map(ascending).collect()
}
