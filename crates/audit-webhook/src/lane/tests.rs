use super::track::{BLOCKED_MAX, HELD_MAX, PENDING_MAX, QUEUED_MAX};
use super::{Hold, Key, Lane, Life, TrackId};
use crate::document::{Document, Tally, Through};

fn load(found: Option<Document>, incarnation: u64, start: u64, watermark: u64) -> Lane {
    Lane::load(found, Life { incarnation, epoch: 0, start }, watermark)
}

fn of(project: &str) -> Hold {
    Hold { key: Some(Key::copy_from_slice(project.as_bytes())), burst: None, due: 0 }
}

fn burst(thing: &str, due: i64) -> Hold {
    Hold { key: None, burst: Some(thing.into()), due }
}

#[test]
fn a_missing_or_older_document_means_the_start_never_settled() {
    assert_eq!(load(None, 1, 7, 20).log().next(), 7);
    let older = load(None, 1, 7, 20).document(20, 20);
    assert_eq!(older.cursor, Some(7));
    assert_eq!(load(Some(older), 2, 30, 20).log().next(), 30);
}

#[test]
fn a_lane_that_rides_the_tail_goes_on_at_the_watermark() {
    let mut lane = load(None, 1, 10, 10);
    lane.log_mut().pass_to(15);
    let document = lane.document(12, 15);
    assert_eq!(document.cursor, None);
    assert_eq!(load(Some(document), 1, 10, 12).log().next(), 12);
}

#[test]
fn what_precedes_the_start_never_comes_although_the_watermark_is_before_it() {
    let mut lane = load(None, 1, 10, 5);
    lane.log_mut().pass_to(11);
    let document = lane.document(6, 12);
    assert_eq!(document.cursor, Some(11), "the watermark is before the start");
    assert_eq!(load(Some(document), 1, 10, 6).log().next(), 11);
}

#[test]
fn a_delivery_that_the_watermark_passes_is_pending_and_one_behind_it_is_not() {
    let mut lane = load(None, 1, 0, 0);
    lane.log_mut().begin(0, 1_000);
    lane.log_mut().begin(1, 1_001);
    let document = lane.document(1, 2);
    assert_eq!(document.pending.iter().map(|p| (p.offset, p.attempt)).collect::<Vec<_>>(), [(0, 0)]);
    assert_eq!(document.cursor, None);
}

#[test]
fn at_the_cap_the_cursor_waits_and_the_document_names_it() {
    let mut lane = load(None, 1, 0, 0);
    for offset in 0..PENDING_MAX as u64 {
        assert!(lane.log().has_room());
        lane.log_mut().begin(offset, 0);
        lane.fail(TrackId::Log, offset, 60_000, 0);
    }
    assert!(!lane.log().has_room());
    let tail = PENDING_MAX as u64 + 500;
    let document = lane.document(tail, tail);
    assert_eq!(document.cursor, Some(PENDING_MAX as u64));
    assert_eq!(document.pending.len(), PENDING_MAX);
}

#[test]
fn the_first_failure_since_the_last_success_is_kept() {
    let mut lane = load(None, 1, 0, 0);
    for (offset, now) in [(0, 5), (1, 9)] {
        lane.log_mut().begin(offset, now);
        lane.fail(TrackId::Log, offset, now + 100, now);
    }
    assert_eq!(lane.document(2, 2).first_failure_at, Some(5));
    lane.log_mut().begin_again(0);
    lane.settle(TrackId::Log, 0, true);
    assert_eq!(lane.document(2, 2).first_failure_at, None);
}

#[test]
fn a_failing_record_blocks_its_own_project_and_no_other() {
    let mut lane = load(None, 1, 0, 0);
    for (offset, project) in [(0, "a"), (1, "b"), (2, "a"), (3, "b")] {
        lane.log_mut().hold(offset, of(project));
    }
    assert_eq!(lane.log().all_due(0).collect::<Vec<_>>(), [0, 1]);
    lane.log_mut().begin_again(0);
    lane.log_mut().begin_again(1);
    lane.fail(TrackId::Log, 0, 1_000, 0);
    lane.settle(TrackId::Log, 1, true);
    assert_eq!(lane.log().all_due(0).collect::<Vec<_>>(), [3]);
    assert_eq!(lane.previous(&Key::from_static(b"b"), 3), Some(1));
    assert_eq!(lane.log().all_due(1_000).collect::<Vec<_>>(), [3, 0]);
    let document = lane.document(4, 4);
    let blocked: Vec<_> = document.blocked.iter().map(|b| (b.key.as_str(), b.from)).collect();
    assert_eq!(blocked, [("a", 0), ("b", 3)]);
    assert_eq!(document.pending.iter().map(|p| (p.offset, p.attempt)).collect::<Vec<_>>(), [(0, 1), (3, 0)]);
}

#[test]
fn after_a_restart_a_blocked_project_is_found_again_on_the_log_in_order() {
    let mut lane = load(None, 1, 0, 0);
    for offset in 0..6 {
        lane.log_mut().hold(offset, of("a"));
    }
    lane.log_mut().begin_again(0);
    lane.fail(TrackId::Log, 0, 1_000, 0);
    let mut lane = load(Some(lane.document(6, 6)), 1, 0, 6);
    assert!(lane.log().walks().is_empty(), "its head is known, and not settled");
    lane.log_mut().begin_again(0);
    lane.settle(TrackId::Log, 0, true);
    let key = Key::from_static(b"a");
    assert_eq!(lane.log().walks(), [(1, key.clone())]);
    // What the cursor passes meanwhile waits behind what the walk will find.
    lane.log_mut().hold(6, of("a"));
    assert_eq!(lane.log().due(0), None);
    for offset in 1..7 {
        assert!(lane.log_mut().found(offset, of("a")));
    }
    lane.log_mut().walked(&key, 7);
    assert_eq!(lane.log().due(0), Some(1));
    assert_eq!(lane.previous(&key, 1), Some(0));
    for offset in 1..7 {
        assert_eq!(lane.log().all_due(0).collect::<Vec<_>>(), [offset]);
        lane.log_mut().begin_again(offset);
        lane.settle(TrackId::Log, offset, true);
    }
    assert!(lane.log().is_settled());
}

#[test]
fn where_a_project_is_to_be_looked_for_may_be_where_a_record_of_another_waits() {
    let mut lane = load(None, 1, 0, 0);
    for (offset, project) in [(0, "a"), (1, "b"), (2, "a")] {
        lane.log_mut().hold(offset, of(project));
    }
    let mut lane = load(Some(lane.document(3, 3)), 1, 0, 3);
    lane.log_mut().begin_again(0);
    lane.settle(TrackId::Log, 0, true);
    // "a" goes on at 1, where "b" waits.
    let mut lane = load(Some(lane.document(3, 3)), 1, 0, 3);
    assert_eq!(lane.log().walks(), [(1, Key::from_static(b"a"))]);
    lane.log_mut().begin_again(1);
    lane.settle(TrackId::Log, 1, true);
    for project in [b"a", b"b"] {
        lane.log_mut().walked(&Key::from_static(project), 3);
    }
    assert!(lane.log().is_settled());
}

#[test]
fn a_stuck_project_costs_a_bounded_number_of_offsets_however_much_waits_in_it() {
    let mut lane = load(None, 1, 0, 0);
    for offset in 0..50_000 {
        assert!(lane.log().has_room());
        lane.log_mut().hold(offset, of("a"));
    }
    assert_eq!(lane.log().unsettled(), QUEUED_MAX);
    assert_eq!(lane.log().walk_of(&Key::from_static(b"a")), Some(QUEUED_MAX as u64));
    assert_eq!(lane.document(50_000, 50_000).blocked.len(), 1);
}

#[test]
fn projects_that_are_not_settled_and_deliveries_that_are_held_are_bounded() {
    let mut lane = load(None, 1, 0, 0);
    let mut projects = 0;
    while lane.log().has_room() {
        lane.log_mut().hold(projects, of(&projects.to_string()));
        lane.log_mut().begin_again(projects);
        projects += 1;
    }
    assert_eq!(projects as usize, BLOCKED_MAX);
    let mut lane = load(None, 1, 0, 0);
    let mut held = 0;
    while lane.log().has_room() {
        lane.log_mut().hold(held, burst(&held.to_string(), 1_000));
        held += 1;
    }
    assert_eq!(held as usize, HELD_MAX);
}

#[test]
fn of_a_burst_the_newest_is_sent_when_the_window_of_the_first_ends() {
    let mut lane = load(None, 1, 0, 0);
    lane.log_mut().hold(0, burst("flag", 1_000));
    lane.log_mut().hold(1, burst("other", 1_100));
    lane.log_mut().hold(2, burst("flag", 1_900));
    assert_eq!(lane.log().due(999), None);
    assert_eq!(lane.log().due(1_000), Some(2));
    assert_eq!(lane.log().unsettled(), 2);
    // If we crash now with the watermark between the two, the newest comes again from the tail.
    assert!(lane.document(1, 3).pending.is_empty());
    assert_eq!(lane.document(3, 3).pending.len(), 2);
    // One that has begun is no longer replaced.
    lane.log_mut().begin_again(2);
    lane.log_mut().hold(3, burst("flag", 2_500));
    assert_eq!(lane.log().all_due(2_500).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_burst_in_an_ordered_project_keeps_the_order_of_the_log() {
    let held = |thing: &str, due| Hold { burst: Some(thing.into()), due, ..of("a") };
    let mut lane = load(None, 1, 0, 0);
    lane.log_mut().hold(0, held("x", 1_000));
    lane.log_mut().hold(1, held("y", 1_500));
    lane.log_mut().hold(2, held("x", 2_000));
    // 0 became 2, which stands behind 1 now.
    assert_eq!(lane.log().due(1_400), None);
    assert_eq!(lane.log().all_due(1_500).collect::<Vec<_>>(), [1]);
    lane.log_mut().begin_again(1);
    lane.settle(TrackId::Log, 1, true);
    assert_eq!(lane.log().all_due(1_500).collect::<Vec<_>>(), [2]);
}

#[test]
fn each_replay_is_taken_up_once_and_ends_when_it_is_through_or_cancelled() {
    let mut lane = load(None, 1, 0, 10);
    let first = (1, Some((2, 4)));
    lane.take_up(&[first, (2, None)], 2);
    assert_eq!(lane.replays().iter().map(|replay| replay.number).collect::<Vec<_>>(), [1]);
    let id = TrackId::Replay(1);
    lane.track_mut(id).expect("it").begin(2, 0);
    lane.fail(id, 2, 500, 0);
    let mut lane = load(Some(lane.document(10, 10)), 1, 0, 10);
    lane.take_up(&[first, (2, None)], 2);
    assert_eq!(lane.replays().len(), 1, "not once more");
    lane.track_mut(id).expect("it").begin(3, 0);
    lane.settle(id, 3, true);
    lane.finish_replays();
    assert_eq!(lane.replays().len(), 1, "one delivery is not settled");
    assert_eq!(lane.track(id).expect("it").due(500), Some(2));
    // Who has not yet heard of its order does not take it for cancelled.
    let mut behind = lane.clone();
    behind.take_up(&[], 0);
    assert_eq!(behind.replays().len(), 1);
    let mut cancelled = lane.clone();
    cancelled.take_up(&[(2, None)], 2);
    assert!(cancelled.replays().is_empty());
    lane.track_mut(id).expect("it").begin_again(2);
    lane.settle(id, 2, true);
    lane.finish_replays();
    assert!(lane.replays().is_empty());
    lane.take_up(&[first, (2, None), (3, Some((0, 1)))], 3);
    assert_eq!(lane.replays().iter().map(|replay| replay.number).collect::<Vec<_>>(), [3]);
}

#[test]
fn what_was_skipped_counts_through_takeovers() {
    let mut lane = load(None, 1, 0, 0);
    for offset in 0..3 {
        lane.log_mut().begin(offset, 0);
        lane.skip(TrackId::Log, offset);
    }
    let document = lane.document(3, 3);
    assert_eq!((document.cursor, document.skipped), (None, 3));
    let mut lane = load(Some(document), 1, 0, 3);
    assert!(lane.is_plain(3, 3));
    lane.log_mut().begin(3, 0);
    lane.skip(TrackId::Log, 3);
    assert!(!lane.is_plain(4, 4));
    assert_eq!(lane.document(4, 4).skipped, 4);
    assert_eq!(
        load(Some(lane.document(4, 4)), 2, 9, 4).document(9, 9).skipped,
        0,
        "it begins anew elsewhere"
    );
}

#[test]
fn what_came_of_a_replay_stays_known_through_takeovers_until_its_order_is_gone() {
    let orders = [(1, Some((0, 4)))];
    let id = TrackId::Replay(1);
    let mut lane = load(None, 1, 0, 10);
    lane.take_up(&orders, 1);
    for offset in 0..3 {
        lane.track_mut(id).expect("it").begin(offset, 0);
    }
    lane.settle(id, 0, true);
    lane.skip(id, 1);
    lane.give_up(id, 2);
    let document = lane.document(10, 10);
    let came = Tally { sent: 1, skipped: 1, given_up: 1 };
    assert_eq!(document.replays[0].tally, came);
    let mut lane = load(Some(document), 1, 0, 10);
    lane.take_up(&orders, 1);
    lane.track_mut(id).expect("it").begin(3, 0);
    lane.settle(id, 3, true);
    lane.finish_replays();
    let document = lane.document(10, 10);
    let through = [Through { number: 1, tally: Tally { sent: 2, ..came } }];
    assert_eq!((document.replays.len(), document.through.as_slice()), (0, &through[..]));
    let mut lane = load(Some(document), 1, 0, 10);
    lane.take_up(&orders, 1);
    assert_eq!(lane.document(10, 10).through, through);
    lane.take_up(&[], 1);
    assert!(lane.document(10, 10).through.is_empty());
}

#[test]
fn what_comes_again_names_the_predecessor_that_it_named_before() {
    let key = Key::from_static(b"a");
    let mut lane = load(None, 1, 0, 0);
    for offset in [3, 5, 8] {
        lane.log_mut().hold(offset, of("a"));
        lane.log_mut().begin_again(offset);
        lane.settle(TrackId::Log, offset, true);
    }
    // 5 and 8 come again after a crash: they are past the watermark.
    let lane = load(Some(lane.document(4, 9)), 1, 0, 4);
    assert_eq!(lane.previous(&key, 5), Some(3));
    assert_eq!(lane.previous(&key, 8), Some(3), "5 has not come yet");
}

#[test]
fn projects_with_long_names_do_not_outgrow_a_document() {
    const MESSAGE_BYTES: usize = 4 * 1024 * 1024;
    let mut lane = load(None, 1, 0, 0);
    let mut held = 0;
    while lane.log().has_room() {
        let project = format!("{held:0>4096}");
        lane.log_mut().hold(held, of(&project));
        held += 1;
    }
    assert!(held < BLOCKED_MAX as u64, "{held} projects");
    assert!(lane.document(held, held).to_bytes().len() < MESSAGE_BYTES / 4);
    for offset in 0..held {
        lane.log_mut().begin_again(offset);
        lane.settle(TrackId::Log, offset, true);
    }
    assert_eq!(lane.log().key_bytes(), 0);
    assert!(lane.log().has_room());
}
