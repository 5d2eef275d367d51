//! What is shown of a record whose body was erased: what its leaf's header says, and what it concerned beside persons.

use audit_proof::Leaf;
use rusqlite::{Connection, OptionalExtension};
use serde_json::{Map, Value, json};

use super::page::Row;

/// The columns that stay, and the fields that they are shown as.
const KEPT: [&str; 4] = ["organisation", "project", "environment", "flag"];

/// Fills in a row that has no body.
pub(super) fn fill_in(conn: &Connection, row: &mut Row) -> rusqlite::Result<()> {
    if !row.json.is_empty() {
        return Ok(());
    }
    row.erased = true;
    let mut shown = Map::new();
    let select = "SELECT r.header, erasing.id, source.key FROM record r LEFT JOIN record erasing ON erasing.seq = r.erased_by
                  LEFT JOIN thing source ON source.thing = r.source WHERE r.seq = ?1";
    let (header, by, source) = conn.prepare_cached(select)?.query_row([row.seq], |row| {
        Ok((
            row.get::<_, Option<Vec<u8>>>(0)?,
            row.get::<_, Option<String>>(1)?,
            row.get::<_, Option<String>>(2)?,
        ))
    })?;
    let header = header.unwrap_or_default();
    if let Some(record) = Leaf::parse(&header).ok().and_then(|leaf| leaf.record) {
        shown.insert("id".to_owned(), json!(record.id));
        shown.insert("action".to_owned(), json!(record.action));
        shown.insert("occurred_at".to_owned(), json!(record.occurred_at.to_string()));
        shown.insert("recorded_at".to_owned(), json!(record.recorded_at.to_string()));
        shown.insert("related_object_type".to_owned(), json!(record.related_object_type));
    }
    for column in KEPT {
        if let Some(thing) = thing(conn, row.seq, column)? {
            shown.insert(column.to_owned(), thing);
        }
    }
    if let Some(source) = source {
        shown.insert("source".to_owned(), json!({"name": source}));
    }
    shown.insert("erased".to_owned(), json!({"by": by}));
    row.json = Value::Object(shown).to_string();
    Ok(())
}

fn thing(conn: &Connection, seq: u64, column: &str) -> rusqlite::Result<Option<Value>> {
    let select = format!(
        "SELECT t.id, t.key, t.name FROM record r JOIN thing t ON t.thing = r.{column} WHERE r.seq = ?1"
    );
    conn.prepare_cached(&select)?
        .query_row([seq], |row| {
            let mut thing = Map::new();
            for (index, field) in ["id", "key", "name"].into_iter().enumerate() {
                if let Some(text) = row.get::<_, Option<String>>(index)? {
                    thing.insert(field.to_owned(), Value::String(text));
                }
            }
            Ok(Value::Object(thing))
        })
        .optional()
}
