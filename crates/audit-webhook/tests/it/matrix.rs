//! Receivers that misbehave, one a row: what the attempt log says of it, and what happens next.

use std::time::Duration;

use audit_webhook::{AttemptEntry, AttemptOutcome, FailureClass};
use flagtrail_testkit::authority::{Authority, SupportedProtocolVersion, TLS12, TLS13};
use flagtrail_testkit::receiver::Receiver;
use flagtrail_testkit::wait;
use flagtrail_testkit::wire::{Act, Wire, send};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::world::{LIMIT, World, record};

/// For receivers that answer sooner or later: never reached.
const LONG: &str = "60s";

/// For receivers that don't.
const SHORT: &str = "300ms";

/// For receivers that begin to answer and don't end: long enough for the beginning on a busy machine.
const LONGER: &str = "8s";

/// No attempt takes longer, whatever the receiver does: less than [`LONG`], and much more than a busy machine needs.
const TAKES_AT_MOST: Duration = Duration::from_secs(50);

/// What a sender may at most have had taken off it, buffers on the way included, when it sends without end.
const TAKEN_BYTES_MAX: u64 = 32 * 1024 * 1024;

const DAY_S: i64 = 24 * 3_600;

/// The first attempt at delivering one record to an endpoint, with one retry in a minute's time.
async fn attempt(url: &str, more: Value) -> AttemptEntry {
    let world = World::new().await.pauses_ms(&[60_000]);
    let mut fields = json!({ "events": ["flag.*"] });
    for (field, value) in more.as_object().expect("an object") {
        fields[field] = value.clone();
    }
    world.endpoint(url, fields).await;
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    let attempt =
        wait::some(LIMIT, "an attempt", || async { world.attempts().await.into_iter().next() }).await;
    running.stop().await;
    attempt
}

/// How long after the attempt the next one is due, in seconds.
fn pause_s(attempt: &AttemptEntry) -> Option<i64> {
    let time = |text: &str| audit_record::Timestamp::parse(text).expect("a time").micros() / 1_000_000;
    Some(time(attempt.next_due.as_deref()?) - time(&attempt.at))
}

/// What an attempt came to: class, status, next action.
fn told(attempt: &AttemptEntry) -> (Option<FailureClass>, Option<u16>, AttemptOutcome) {
    let due = matches!(attempt.outcome, AttemptOutcome::Retry);
    assert_eq!(attempt.next_due.is_some(), due, "a retry, and nothing else, has a time");
    let took = Duration::from_millis(attempt.duration_ms);
    assert!(took < TAKES_AT_MOST, "{took:?}");
    (attempt.error, attempt.status, attempt.outcome)
}

fn retried(class: FailureClass) -> (Option<FailureClass>, Option<u16>, AttemptOutcome) {
    (Some(class), None, AttemptOutcome::Retry)
}

const OK: (Option<FailureClass>, Option<u16>, AttemptOutcome) = (None, Some(200), AttemptOutcome::Delivered);

#[rstest]
#[case::closes_at_once(vec![], LONG, FailureClass::Reset)]
#[case::resets_at_once(vec![Act::Reset], LONG, FailureClass::Reset)]
#[case::closes_after_the_request(vec![Act::Read], LONG, FailureClass::Reset)]
#[case::resets_after_the_request(vec![Act::Read, Act::Reset], LONG, FailureClass::Reset)]
#[case::closes_within_the_status_line(vec![Act::Read, send("HTTP/1.1 20")], LONG, FailureClass::Reset)]
#[case::closes_within_the_headers(vec![Act::Read, send("HTTP/1.1 200 OK\r\nda")], LONG, FailureClass::Reset)]
#[case::hangs_before_headers(vec![Act::Read, Act::Hang], SHORT, FailureClass::Timeout)]
#[case::hangs_within_the_headers(
    vec![Act::Read, send("HTTP/1.1 200 OK\r\n"), Act::Hang], SHORT, FailureClass::Timeout
)]
#[case::drips_its_headers(
    vec![Act::Read, Act::Drip(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Duration::from_secs(1))], SHORT, FailureClass::Timeout
)]
#[case::says_continue_and_never_continues(
    vec![Act::Read, send("HTTP/1.1 100 Continue\r\n\r\n"), Act::Hang], SHORT, FailureClass::Timeout
)]
#[case::says_continue_a_hundred_thousand_times(
    vec![Act::Read, Act::Flood(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), 100_000), Act::Hang], SHORT, FailureClass::Timeout
)]
#[case::answers_in_another_protocol(vec![Act::Read, send("220 mail.example ESMTP\r\n")], LONG, FailureClass::Protocol)]
#[case::answers_with_a_frame_of_http2(
    // SETTINGS, then GOAWAY with stream 0 and no error.
    vec![Act::Read, Act::Send(b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec())],
    LONG,
    FailureClass::Protocol
)]
#[case::answers_in_http2_by_name(vec![Act::Read, send("HTTP/2 200\r\n\r\n")], LONG, FailureClass::Protocol)]
#[case::sends_a_broken_header(vec![Act::Read, send("HTTP/1.1 200 OK\r\n\0: a\r\n\r\n")], LONG, FailureClass::Protocol)]
#[case::sends_two_lengths(
    vec![Act::Read, send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab")], LONG, FailureClass::Protocol
)]
#[case::sends_more_headers_than_any_answer_has(
    vec![Act::Read, send("HTTP/1.1 200 OK\r\n"), Act::Flood(b"x-a: b\r\n".to_vec(), 10_000_000), Act::Hang],
    LONG,
    FailureClass::Protocol
)]
#[case::sends_one_header_without_end(
    vec![Act::Read, send("HTTP/1.1 200 OK\r\nx-a: "), Act::Flood(vec![b'a'; 4096], 25_000), Act::Hang],
    LONG,
    FailureClass::Protocol
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_gives_no_answer_is_tried_again(
    #[case] acts: Vec<Act>,
    #[case] timeout: &str,
    #[case] class: FailureClass,
) {
    let wire = Wire::start(acts).expect("a server");
    let url = format!("http://{}/", wire.address());
    let attempt = attempt(&url, json!({ "timeout": timeout })).await;
    assert_eq!(told(&attempt), retried(class));
    assert!(wire.bytes_sent() < TAKEN_BYTES_MAX, "{} bytes were taken", wire.bytes_sent());
}

#[rstest]
#[case::http_1_0(vec![Act::Read, send("HTTP/1.0 200 OK\r\n\r\nfine")], LONG, "fine")]
#[case::http_1_0_without_a_reason(vec![Act::Read, send("HTTP/1.0 200\r\n\r\n")], LONG, "")]
#[case::continue_and_then_the_answer(
    vec![Act::Read, send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine")], LONG, "fine"
)]
#[case::claims_more_than_it_sends(
    vec![Act::Read, send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfine")], LONG, "fine"
)]
#[case::sends_more_than_it_claims(
    vec![Act::Read, send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine, and more")], LONG, "fine"
)]
#[case::closes_within_a_chunk(
    vec![Act::Read, send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nfi")], LONG, "fi"
)]
#[case::sends_a_chunk_of_no_length(
    vec![Act::Read, send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\nzz\r\n")], LONG, "fine"
)]
#[case::resets_within_the_body(
    vec![Act::Read, send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"), Act::Reset], LONG, ""
)]
#[case::hangs_within_the_body(
    vec![Act::Read, send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfine"), Act::Hang], LONGER, "fine"
)]
#[case::drips_its_body(
    vec![
        Act::Read,
        send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfine"),
        Act::Drip(vec![b' '; 96], Duration::from_secs(1)),
    ],
    LONGER,
    "fine"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_came_counts_whatever_becomes_of_the_body(
    #[case] acts: Vec<Act>,
    #[case] timeout: &str,
    #[case] excerpt: &str,
) {
    let wire = Wire::start(acts).expect("a server");
    let attempt = attempt(&format!("http://{}/", wire.address()), json!({ "timeout": timeout })).await;
    assert_eq!(told(&attempt), OK);
    assert_eq!(attempt.excerpt.trim_end(), excerpt);
}

#[rstest]
#[case::with_a_length("content-length: 104857600\r\n\r\n", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".as_slice())]
#[case::in_chunks("transfer-encoding: chunked\r\n\r\n", b"20\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")]
#[case::until_it_closes("connection: close\r\n\r\n", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
#[case::compressed("content-encoding: gzip\r\n\r\n", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_megabytes_only_the_beginning_is_read(#[case] head: &str, #[case] part: &[u8]) {
    let flood = Act::Flood(part.repeat(1024), 100 * 1024 * 1024 / (part.len() * 1024));
    let wire =
        Wire::start(vec![Act::Read, send(&format!("HTTP/1.1 200 OK\r\n{head}")), flood]).expect("a server");
    let attempt = attempt(&format!("http://{}/", wire.address()), json!({ "timeout": LONG })).await;
    assert_eq!(told(&attempt), OK);
    assert_eq!(attempt.excerpt, "a".repeat(1024));
    assert!(wire.bytes_sent() < TAKEN_BYTES_MAX, "{} bytes were taken", wire.bytes_sent());
}

#[rstest]
#[case::success(&[200, 201, 202, 204, 206, 299], None, AttemptOutcome::Delivered)]
#[case::a_switch_of_protocols(&[101], Some(FailureClass::Status), AttemptOutcome::Retry)]
#[case::redirection(&[300, 301, 302, 303, 304, 307, 308], Some(FailureClass::Status), AttemptOutcome::Retry)]
#[case::the_clients_fault(&[400, 401, 403, 404, 408, 413, 429, 499], Some(FailureClass::Status), AttemptOutcome::Retry)]
#[case::gone(&[410], Some(FailureClass::Status), AttemptOutcome::Disabled)]
#[case::the_servers_fault(&[500, 501, 502, 503, 504, 599], Some(FailureClass::Status), AttemptOutcome::Retry)]
#[case::of_no_class(&[600, 999], Some(FailureClass::Status), AttemptOutcome::Retry)]
#[tokio::test(flavor = "multi_thread")]
async fn each_class_of_status_has_its_outcome(
    #[case] statuses: &[u16],
    #[case] class: Option<FailureClass>,
    #[case] outcome: AttemptOutcome,
) {
    for status in statuses {
        let answer = send(&format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n\r\n"));
        let wire = Wire::start(vec![Act::Read, answer]).expect("a server");
        let attempt = attempt(&format!("http://{}/", wire.address()), json!({ "timeout": LONG })).await;
        assert_eq!(told(&attempt), (class, Some(*status), outcome), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirection_is_not_followed_wherever_it_leads() {
    let inner = Receiver::start().expect("a receiver");
    for status in [301, 302, 303, 307, 308] {
        let answer = format!(
            "HTTP/1.1 {status} Elsewhere\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
            inner.url("/latest/meta-data/")
        );
        let wire = Wire::start(vec![Act::Read, send(&answer)]).expect("a server");
        let attempt = attempt(&format!("http://{}/", wire.address()), json!({ "timeout": LONG })).await;
        assert_eq!(told(&attempt), (Some(FailureClass::Status), Some(status), AttemptOutcome::Retry));
    }
    assert_eq!(inner.connections(), 0);
}

#[rstest]
#[case::seconds("3600", 3_600)]
#[case::fewer_seconds_than_the_schedule("1", 60)]
#[case::no_time("0", 60)]
#[case::more_seconds_than_a_day("100000", DAY_S)]
#[case::more_seconds_than_there_are_numbers("99999999999999999999999999", DAY_S)]
#[case::the_last_date_there_is("Fri, 31 Dec 9999 23:59:59 GMT", DAY_S)]
#[case::a_date_gone_by("Sun, 06 Nov 1994 08:49:37 GMT", 60)]
#[case::a_negative_number("-5", 60)]
#[case::a_fraction("1.5e9", 60)]
#[case::a_word("soon", 60)]
#[case::nothing("", 60)]
#[tokio::test(flavor = "multi_thread")]
async fn retry_after_lengthens_a_pause_up_to_a_day_and_nonsense_does_nothing(
    #[case] value: &str,
    #[case] least_s: i64,
) {
    let answer = format!("HTTP/1.1 503 Later\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n");
    let wire = Wire::start(vec![Act::Read, send(&answer)]).expect("a server");
    let attempt = attempt(&format!("http://{}/", wire.address()), json!({ "timeout": LONG })).await;
    assert_eq!(told(&attempt), (Some(FailureClass::Status), Some(503), AttemptOutcome::Retry));
    let pause_s = pause_s(&attempt).expect("a retry");
    // Jitter only makes it later, by up to a tenth; a second is lost in rounding.
    assert!((least_s - 1..=least_s * 11 / 10 + 1).contains(&pause_s), "{pause_s} s for {value:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_does_not_listen_is_tried_again() {
    // Bound, so that nobody else listens there either.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let url = format!("http://{}/", socket.local_addr().expect("its address"));
    let attempt = attempt(&url, json!({ "timeout": LONG })).await;
    assert_eq!(told(&attempt), retried(FailureClass::Refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_exist_is_tried_again() {
    let attempt = attempt("https://nobody.invalid/", json!({ "timeout": LONG })).await;
    assert_eq!(told(&attempt), retried(FailureClass::Dns));
}

/// A TLS server as a row wants it.
enum Shown {
    Right,
    Expired,
    OfAnotherName,
    OfAnotherAuthority,
    AskingForAClient(&'static SupportedProtocolVersion),
}

#[rstest]
#[case::that_is_right(Shown::Right, OK)]
#[case::that_has_expired(Shown::Expired, retried(FailureClass::Tls))]
#[case::for_another_name(Shown::OfAnotherName, retried(FailureClass::Tls))]
#[case::by_an_authority_that_is_not_trusted(Shown::OfAnotherAuthority, retried(FailureClass::Tls))]
#[case::and_asks_for_one_that_the_endpoint_does_not_have(
    Shown::AskingForAClient(&TLS12), retried(FailureClass::Tls)
)]
#[case::and_asks_over_tls_1_3_for_one_that_the_endpoint_does_not_have(
    Shown::AskingForAClient(&TLS13), retried(FailureClass::Tls)
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_shows_a_certificate(
    #[case] shown: Shown,
    #[case] expected: (Option<FailureClass>, Option<u16>, AttemptOutcome),
) {
    let (ours, theirs) = (Authority::new().expect("an authority"), Authority::new().expect("an authority"));
    let identity = match shown {
        Shown::Right | Shown::AskingForAClient(_) => ours.certify("127.0.0.1"),
        Shown::Expired => ours.certify_expired("127.0.0.1"),
        Shown::OfAnotherName => ours.certify("elsewhere.example"),
        Shown::OfAnotherAuthority => theirs.certify("127.0.0.1"),
    };
    let clients = match shown {
        Shown::AskingForAClient(version) => Some((&ours, version)),
        _ => None,
    };
    let config = identity.and_then(|identity| identity.server(clients)).expect("a certificate");
    let acts = vec![Act::Read, send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")];
    let wire = Wire::start_tls(acts, config).expect("a server");
    let more = json!({ "timeout": LONG, "tls": { "ca": ours.pem() } });
    let attempt = attempt(&format!("https://{}/", wire.address()), more).await;
    assert_eq!(told(&attempt), expected);
}

#[rstest]
#[case::over_tls_1_2(&TLS12, true, OK)]
#[case::over_tls_1_3(&TLS13, true, OK)]
#[case::over_tls_1_2_which_is_not_trusted(&TLS12, false, retried(FailureClass::Tls))]
#[case::over_tls_1_3_which_is_not_trusted(&TLS13, false, retried(FailureClass::Tls))]
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_shows_its_own_certificate_to_a_receiver_that_asks_for_one(
    #[case] version: &'static SupportedProtocolVersion,
    #[case] is_trusted: bool,
    #[case] expected: (Option<FailureClass>, Option<u16>, AttemptOutcome),
) {
    let authority = Authority::new().expect("an authority");
    let other = Authority::new().expect("an authority");
    let trusted = if is_trusted { &authority } else { &other };
    let config = authority.certify("127.0.0.1").and_then(|server| server.server(Some((trusted, version))));
    let acts = vec![Act::Read, send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")];
    let wire = Wire::start_tls(acts, config.expect("a certificate")).expect("a server");
    let client = authority.certify("flagtrail").expect("a certificate");
    let tls = json!({
        "ca": authority.pem(), "client_certificate": client.certificate, "client_key": client.key,
    });
    let attempt =
        attempt(&format!("https://{}/", wire.address()), json!({ "timeout": LONG, "tls": tls })).await;
    assert_eq!(told(&attempt), expected);
}

#[rstest]
#[case::plain_http_to_an_https_url(
    // Not read first: no head of HTTP comes.
    vec![send("HTTP/1.1 400 Bad Request\r\n\r\n"), Act::Hang], LONG, retried(FailureClass::Tls)
)]
#[case::that_closes_within_the_handshake(vec![], LONG, retried(FailureClass::Reset))]
#[case::that_hangs_within_the_handshake(vec![Act::Hang], SHORT, retried(FailureClass::Timeout))]
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_speaks_something_else_than_tls(
    #[case] acts: Vec<Act>,
    #[case] timeout: &str,
    #[case] expected: (Option<FailureClass>, Option<u16>, AttemptOutcome),
) {
    let wire = Wire::start(acts).expect("a server");
    let attempt = attempt(&format!("https://{}/", wire.address()), json!({ "timeout": timeout })).await;
    assert_eq!(told(&attempt), expected);
}
