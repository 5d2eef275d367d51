"""Reads segments as one table with DuckDB, and checks every row against the leaf hashes with the standard library.

    segments.py DIRECTORY      the folder `segments` at a destination
"""

import base64
import glob
import hashlib
import json
import sys

import duckdb

root = sys.argv[1]
table = f"read_parquet('{root}/records/**/*.parquet', hive_partitioning = true)"
query = f"""
    SELECT count(*), count(DISTINCT id), any_value(flag_name), list(DISTINCT deployment), count(DISTINCT date)
    FROM {table} WHERE date >= DATE '2000-01-01'
"""
[(rows, ids, flag, deployments, days)] = duckdb.sql(query).fetchall()

# The rows of a segment, in order, have the leaf hashes that lie beside it, and each leaf is that of its row.
checked = 0
for path in sorted(glob.glob(f"{root}/proofs/*/*/*.json")):
    with open(path) as file:
        manifest = json.load(file)
    if not manifest["files"]:
        continue
    parquet, hashes = (f"{root}/../{file['path']}" for file in manifest["files"])
    with open(hashes, "rb") as file:
        hashes = file.read()
    leaves = duckdb.sql(
        f"SELECT seq, leaf_header, salt, coalesce(encode(json::VARCHAR), raw) FROM '{parquet}' ORDER BY seq"
    ).fetchall()
    for index, (seq, header, salt, value) in enumerate(leaves):
        assert seq == manifest["cut"]["start"]["seq"] + index, f"row {seq} is out of order"
        leaf = hashlib.sha256(b"\0" + header.encode()).digest()
        assert leaf == hashes[32 * index : 32 * index + 32], f"row {seq} is not leaf {seq}"
        body = hashlib.sha256(salt + (value or b"")).digest()
        assert base64.b64encode(body).decode() == json.loads(header)["body"], f"row {seq} has another body"
        checked += 1
    assert len(hashes) == 32 * len(leaves)

print(
    json.dumps(
        {
            "rows": rows,
            "ids": ids,
            "flag": flag,
            "deployments": [str(one) for one in deployments],
            "days": days,
            "hashes_checked": checked,
        }
    )
)
