//! Appending.

use std::collections::HashMap;

use audit_journal::{AppendOutcome, NewMessage, Placement, ReadLimit, Topic, partition_of};
use bytes::Bytes;

use super::{
    Harness, PARTITIONS, append_all, append_numbers, append_together, collect, fixed, keyed, read_all, text,
    until,
};

const EVERYTHING: ReadLimit = ReadLimit { messages: 100_000, bytes: 64 * 1024 * 1024 };

pub(crate) async fn an_append_is_answered_with_the_position_at_which_it_is_read<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let positions = append_all(&journal, Topic::Records, vec![keyed("a", "1"), keyed("b", "2")]).await;
    for (position, (key, value)) in positions.iter().zip([("a", "1"), ("b", "2")]) {
        assert_eq!(position.partition, partition_of(key.as_bytes(), PARTITIONS));
        let range = journal.read(Topic::Records, position.partition, position.offset, EVERYTHING).await;
        let message = &range.expect("the position can be read").messages[0];
        assert_eq!((message.offset, text(message).as_str()), (position.offset, value));
    }
}

pub(crate) async fn messages_of_one_key_keep_their_order_under_many_writers<H: Harness>() {
    const WRITERS: usize = 8;
    const EACH: usize = 50;
    let log = H::fresh().await;
    let journal = log.open().await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let journal = journal.clone();
            tokio::spawn(async move {
                for number in 0..EACH / 2 {
                    let pair =
                        [number * 2, number * 2 + 1].map(|n| keyed(&format!("key-{writer}"), n.to_string()));
                    append_all(&journal, Topic::Records, pair.into()).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer ends");
    }
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    let mut by_key: HashMap<Bytes, Vec<usize>> = HashMap::new();
    for message in collect(&mut follow, WRITERS * EACH).await {
        by_key.entry(message.key.clone()).or_default().push(text(&message).parse().expect("a number"));
    }
    assert_eq!(by_key.len(), WRITERS);
    for numbers in by_key.values() {
        assert_eq!(*numbers, (0..EACH).collect::<Vec<_>>());
    }
}

pub(crate) async fn every_message_of_a_batch_has_its_own_outcome<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let too_large = fixed(0, "x".repeat(5 * 1024 * 1024));
    let batch = vec![fixed(0, "first"), too_large, fixed(PARTITIONS, "nowhere"), fixed(0, "last")];
    let outcomes = journal.append(Topic::Records, batch).await;
    assert!(matches!(outcomes[0], AppendOutcome::Appended(_)), "{outcomes:?}");
    assert!(matches!(outcomes[1], AppendOutcome::NotAppended(_)), "{outcomes:?}");
    assert!(matches!(outcomes[2], AppendOutcome::NotAppended(_)), "{outcomes:?}");
    assert!(matches!(outcomes[3], AppendOutcome::Appended(_)), "{outcomes:?}");
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    let values: Vec<String> = collect(&mut follow, 2).await.iter().map(text).collect();
    assert_eq!(values, ["first", "last"]);
}

pub(crate) async fn appends_together_are_all_there_or_none_is<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let good = vec![(Topic::Records, fixed(1, "record")), (Topic::Deliveries, fixed(1, "attempt"))];
    let positions = append_together(&journal, good).await;
    assert_eq!(positions.len(), 2);
    let bad = vec![(Topic::Records, fixed(1, "lonely")), (Topic::Deliveries, fixed(PARTITIONS, "nowhere"))];
    journal.append_together(bad).await.expect_err("the second has no place");
    append_numbers(&journal, 1, 0..1).await;
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    let values: Vec<String> = collect(&mut follow, 2).await.iter().map(text).collect();
    assert_eq!(values, ["record", "0"]);
}

pub(crate) async fn a_message_survives_with_key_headers_and_bytes_as_they_were<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let headers = vec![
        ("ce_id".into(), Bytes::from_static(b"1")),
        ("salt".into(), Bytes::from_static(&[0, 255, 128])),
        ("salt".into(), Bytes::new()),
    ];
    let full = NewMessage {
        key: Bytes::from_static(&[0, 159, 146, 150]),
        headers: headers.clone(),
        value: Some(Bytes::from_static(b"\0\xff{")),
        placement: Placement::Fixed(2),
    };
    let bare = NewMessage { headers: Vec::new(), value: None, ..full.clone() };
    append_all(&journal, Topic::Records, vec![full.clone(), bare]).await;
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    let messages = collect(&mut follow, 2).await;
    assert_eq!((&messages[0].key, &messages[0].headers), (&full.key, &headers));
    assert_eq!(messages[0].value, full.value);
    assert_eq!((messages[1].value.clone(), messages[1].headers.len()), (None, 0));
    assert_ne!(messages[0].hash(), messages[1].hash());
}

pub(crate) async fn what_was_appended_is_there_after_the_log_was_dropped_without_closing<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 3, 0..100).await;
    drop(journal);
    let journal = log.open().await;
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    let values: Vec<String> = collect(&mut follow, 100).await.iter().map(text).collect();
    assert_eq!(values, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// The second failure of a durable write: persisted, but the answer was lost.
pub(crate) async fn an_append_whose_answer_nobody_waits_for_is_there_or_not_but_whole<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    for number in 0..20 {
        let pair = vec![
            (Topic::Records, fixed(0, format!("{number}"))),
            (Topic::Checkpoints, fixed(0, format!("{number}"))),
        ];
        let abandoned = journal.append_together(pair);
        let _ = tokio::time::timeout(std::time::Duration::from_micros(50 * number), abandoned).await;
    }
    journal.close().await;
    // What was abandoned may have been under way until now, and the two topics show one commit each at its own moment.
    let journal = log.open().await;
    let written = async |topic| read_all(&journal, topic, 0).await.iter().map(text).collect::<Vec<_>>();
    until(|| async { written(Topic::Records).await == written(Topic::Checkpoints).await }).await;
}

pub(crate) async fn a_closed_journal_appends_nothing_and_keeps_what_it_answered<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let under_way: Vec<_> = (0..16)
        .map(|number| {
            let journal = journal.clone();
            tokio::spawn(
                async move { journal.append(Topic::Records, vec![fixed(0, number.to_string())]).await },
            )
        })
        .collect();
    journal.close().await;
    let mut answered = 0;
    for append in under_way {
        match append.await.expect("every append is answered").remove(0) {
            AppendOutcome::Appended(_) => answered += 1,
            AppendOutcome::NotAppended(_) => {}
            unknown @ AppendOutcome::Unknown(_) => panic!("{unknown:?}"),
        }
    }
    assert!(!journal.is_writable());
    let late = journal.append(Topic::Records, vec![fixed(0, "late")]).await;
    assert!(matches!(late[0], AppendOutcome::NotAppended(_)), "{late:?}");
    drop(journal);
    let journal = log.open().await;
    assert_eq!(read_all(&journal, Topic::Records, 0).await.len(), answered);
}

pub(crate) async fn append_times_never_fall_within_a_partition<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    for number in 0..5 {
        append_numbers(&journal, 0, number..number + 1).await;
    }
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    let times: Vec<i64> =
        collect(&mut follow, 5).await.iter().map(|message| message.appended_at_ms).collect();
    assert!(times.is_sorted(), "{times:?}");
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    assert!(times[4].abs_diff(now_ms.as_millis() as i64) < 120_000, "{times:?}");
}
