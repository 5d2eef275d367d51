//! The default body: `{"type", "timestamp", "data"}`. The record is spliced in as the bytes that stand
//! on the log, never re-serialised: what a receiver hashes is what the archive holds.

use bytes::Bytes;

/// Builds the body around a record's bytes. `action` and `occurred_at` are the record's own.
pub(crate) fn envelope(action: &str, occurred_at: &str, record: &[u8]) -> Bytes {
    let mut body = Vec::with_capacity(record.len() + action.len() + occurred_at.len() + 64);
    body.extend_from_slice(br#"{"type":"#);
    string(action, &mut body);
    body.extend_from_slice(br#","timestamp":"#);
    string(occurred_at, &mut body);
    body.extend_from_slice(br#","data":"#);
    body.extend_from_slice(record);
    body.push(b'}');
    body.into()
}

fn string(text: &str, out: &mut Vec<u8>) {
    // Writing to a Vec can't fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::envelope;

    #[test]
    fn the_records_bytes_stand_in_the_body_as_they_are() {
        let record = "{ \"b\":1.0, \"a\":\"\\u00e9\u{1F600}\",  \"n\":9007199254740993 }".as_bytes();
        let body = envelope("flag.updated", "2026-08-21T17:30:57.006318Z", record);
        let (head, tail) = body.split_at(body.len() - record.len() - 1);
        assert_eq!(tail, [record, b"}"].concat());
        assert_eq!(head, br#"{"type":"flag.updated","timestamp":"2026-08-21T17:30:57.006318Z","data":"#);
        serde_json::from_slice::<serde_json::Value>(&body).expect("the body is JSON");
    }
}
