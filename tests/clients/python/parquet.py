"""Reads a Parquet file of an export by two implementations that are not Flagtrail's, Arrow's and DuckDB's, and compares them.

    parquet.py FILE COLUMN VALUE ABSENT

One JSON object goes to standard output: the rows, with moments in microseconds since 1970; the types of the columns; the metadata of
the footer; the rows of each row group; the columns with statistics of pages and with bloom filters; and whether the bloom filters of
COLUMN exclude VALUE and ABSENT. The exit status is 1 if the two do not read the same."""

import json
import sys

import duckdb
import pyarrow
import pyarrow.parquet

path, column, value, absent = sys.argv[1:]


def arrow():
    """Rows and types as Arrow reads them."""
    table = pyarrow.parquet.read_table(path)
    types = {field.name: str(field.type) for field in table.schema}
    for index, field in enumerate(table.schema):
        if pyarrow.types.is_timestamp(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(pyarrow.int64()))
    return table.to_pylist(), types


def duck():
    """Rows and types as DuckDB reads them."""
    described = duckdb.execute("DESCRIBE SELECT * FROM read_parquet($1)", [path]).fetchall()
    types = {name: kind for name, kind, *_ in described}
    moments = [name for name, kind in types.items() if kind.startswith("TIMESTAMP")]
    replaced = ", ".join(f'epoch_us("{name}") AS "{name}"' for name in moments)
    rows = duckdb.execute(f"SELECT * REPLACE ({replaced}) FROM read_parquet($1)", [path]).fetchall()
    return [dict(zip(types, row)) for row in rows], types


def excludes(sought):
    """Whether every row group's bloom filter says that the value is not there."""
    probed = duckdb.execute("SELECT bloom_filter_excludes FROM parquet_bloom_probe($1, $2, $3)", [path, column, sought])
    return all(row[0] for row in probed.fetchall())


rows, arrow_types = arrow()
duck_rows, duck_types = duck()
if rows != duck_rows or list(arrow_types) != list(duck_types):
    differing = [(a, b) for a, b in zip(rows, duck_rows) if a != b][:1]
    sys.exit(f"Arrow and DuckDB read different things: {len(rows)} and {len(duck_rows)} rows; {differing}")

footer = pyarrow.parquet.ParquetFile(path).metadata
groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
chunks = [group.column(index) for group in groups for index in range(footer.num_columns)]
bloom = "SELECT DISTINCT path_in_schema FROM parquet_metadata($1) WHERE bloom_filter_offset IS NOT NULL"
print(json.dumps({
    "rows": [{name: cell.hex() if isinstance(cell, bytes) else cell for name, cell in row.items()} for row in rows],
    "arrow_types": arrow_types,
    "duckdb_types": duck_types,
    "metadata": {key.decode(): text.decode() for key, text in (footer.metadata or {}).items()},
    "group_rows": [group.num_rows for group in groups],
    "compressions": sorted({chunk.compression for chunk in chunks}),
    "paged": sorted({chunk.path_in_schema for chunk in chunks if chunk.has_column_index}),
    "bloom": sorted(name for name, in duckdb.execute(bloom, [path]).fetchall()),
    "excludes": {sought: excludes(sought) for sought in (value, absent)},
}))
