//! Opening the log: topics made or checked, the identity agreed on, the clock compared.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::append::AppendOutcome;
use crate::error::OpenError;
use crate::identity::{LogIdentity, identity_key};
use crate::message::{Message, NewMessage, Placement};
use crate::read::{ReadError, ReadLimit};
use crate::topic::Topic;

use super::client::blocking;
use super::producer::Appender;
use super::reader::Readers;
use super::topics::{Found, Topics, check, check_partitions};

/// How far our clock may be from the broker's.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5 * 60);

/// The key, in `progress`, of the message by which clocks are compared. Compaction leaves the last.
const CLOCK_KEY: &[u8] = b"~clock";

/// How long a topic that was just made may take to be known to every broker.
pub(super) const PROPAGATION_WAIT: Duration = Duration::from_secs(10);

/// How often it is looked whether it is.
pub(super) const PROPAGATION_TICK: Duration = Duration::from_millis(50);

/// What one read of `control` brings while the identity is looked for.
const CONTROL_READ: ReadLimit = ReadLimit { messages: 8 * 1024, bytes: 4 * 1024 * 1024 };

/// Opens or makes the log, and says which it is.
pub(super) async fn open(
    topics: &Topics,
    appender: &Appender,
    readers: &Readers,
) -> Result<LogIdentity, OpenError> {
    let config = topics.clients().config();
    let (brokers, listed) = topics.list().await?;
    let missing = missing(topics, &listed)?;

    // What is there is checked before anything is written: a wrong topic stays as it is.
    check_settings(topics, &listed).await?;

    // `control` comes first: of two processes that make the log at once, the first identity in its order
    // wins, and with it the number of partitions that the other topics are made with.
    if missing.contains(&Topic::Control) {
        topics.create(&[Topic::Control], config.partitions, brokers).await?;
    }
    let identity = match read_identity(readers).await? {
        Some(identity) => identity,
        None => {
            let mine = LogIdentity::new(config.partitions);
            if let Some((found, _)) = listed.get(&Topic::Records) {
                // Made by an administrator; to write another count would only refuse it afterwards.
                warn_or_refuse(check_partitions(
                    Topic::Records,
                    &topics.clients().topic_name(Topic::Records),
                    *found,
                    config.partitions,
                ))?;
            }
            // Crash before this: the next start writes it. Answer lost: it is read back below.
            append_one(appender, Topic::Control, 1, mine.first_message()).await?;
            read_identity(readers).await?.ok_or_else(|| {
                OpenError::Unavailable("the log's identity was written but can't be read yet".to_owned())
            })?
        }
    };
    if identity.partitions != config.partitions {
        tracing::warn!(
            partitions = identity.partitions,
            configured = config.partitions,
            "the log has another number of partitions than is configured; the log's is used"
        );
    }
    let rest: Vec<Topic> = missing.into_iter().filter(|topic| *topic != Topic::Control).collect();
    if !rest.is_empty() {
        topics.create(&rest, identity.partitions, brokers).await?;
    }
    check_all(topics, identity.partitions).await?;
    compare_clocks(appender, identity.partitions).await?;
    appender.watch_strays(identity.partitions);
    Ok(identity)
}

/// Makes and checks the topics for a log that is copied to them: it brings its identity itself.
pub(super) async fn prepare(topics: &Topics, partitions: u32) -> Result<(), OpenError> {
    let (brokers, listed) = topics.list().await?;
    let missing = missing(topics, &listed)?;
    check_settings(topics, &listed).await?;
    if !missing.is_empty() {
        topics.create(&missing, partitions, brokers).await?;
    }
    check_all(topics, partitions).await
}

/// The topics that are not there, where they may be made.
fn missing(topics: &Topics, listed: &BTreeMap<Topic, (u32, usize)>) -> Result<Vec<Topic>, OpenError> {
    let missing: Vec<Topic> = Topic::ALL.into_iter().filter(|topic| !listed.contains_key(topic)).collect();
    if !missing.is_empty() && !topics.clients().config().create_topics {
        let names: Vec<String> = missing.iter().map(|topic| topics.clients().topic_name(*topic)).collect();
        return Err(OpenError::Refused(format!(
            "missing topics: {}; kafka.create_topics is false, and `flagtrail kafka plan` prints the commands that make them",
            names.join(", ")
        )));
    }
    Ok(missing)
}

/// Checks all topics, once they are known.
async fn check_all(topics: &Topics, partitions: u32) -> Result<(), OpenError> {
    let listed = propagated(topics).await?;
    check_settings(topics, &listed).await?;
    for (topic, (found, _)) in &listed {
        let name = topics.clients().topic_name(*topic);
        warn_or_refuse(check_partitions(*topic, &name, *found, partitions))?;
    }
    Ok(())
}

/// The topics, once all of them are known.
async fn propagated(topics: &Topics) -> Result<BTreeMap<Topic, (u32, usize)>, OpenError> {
    let until = tokio::time::Instant::now() + PROPAGATION_WAIT;
    loop {
        let (_, listed) = topics.list().await?;
        if listed.len() == Topic::ALL.len() && listed.values().all(|(partitions, _)| *partitions > 0) {
            return Ok(listed);
        }
        if tokio::time::Instant::now() >= until {
            return Err(OpenError::Unavailable("not every topic is known to the brokers yet".to_owned()));
        }
        tokio::time::sleep(PROPAGATION_TICK).await;
    }
}

async fn check_settings(topics: &Topics, listed: &BTreeMap<Topic, (u32, usize)>) -> Result<(), OpenError> {
    let there: Vec<Topic> = listed.keys().copied().collect();
    if there.is_empty() {
        return Ok(());
    }
    let until = tokio::time::Instant::now() + PROPAGATION_WAIT;
    let all = loop {
        match topics.settings(&there).await {
            Err(OpenError::Unavailable(_)) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(PROPAGATION_TICK).await;
            }
            outcome => break outcome?,
        }
    };
    for (topic, settings) in all {
        let (partitions, replicas) = listed[&topic];
        let found = Found { partitions, replicas, settings };
        let warnings =
            check(topic, &topics.clients().topic_name(topic), &found).map_err(OpenError::Refused)?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
    }
    Ok(())
}

fn warn_or_refuse(checked: Result<Option<String>, String>) -> Result<(), OpenError> {
    match checked {
        Ok(None) => Ok(()),
        Ok(Some(warning)) => {
            tracing::warn!("{warning}");
            Ok(())
        }
        Err(refusal) => Err(OpenError::Refused(refusal)),
    }
}

/// The identity as `control` has it now.
async fn read_identity(readers: &Readers) -> Result<Option<LogIdentity>, OpenError> {
    let unavailable = |error: ReadError| OpenError::Unavailable(error.to_string());
    let mut from = None;
    let mut events: Vec<Message> = Vec::new();
    let until = tokio::time::Instant::now() + PROPAGATION_WAIT;
    loop {
        let range = match readers.read(Topic::Control, 0, from.unwrap_or(0), CONTROL_READ).await {
            Ok(range) => range,
            Err(ReadError::OutOfRange { start, .. }) if from.is_none() => {
                return Err(OpenError::Refused(format!(
                    "the control topic begins at offset {start}: settings were removed from it; restore it"
                )));
            }
            // A topic that was just made has no leader yet.
            Err(_) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(PROPAGATION_TICK).await;
                continue;
            }
            Err(error) => return Err(unavailable(error)),
        };
        events.extend(range.messages.into_iter().filter(|message| message.key == identity_key()));
        from = Some(range.next);
        if range.next >= range.end {
            return LogIdentity::fold(&events);
        }
    }
}

async fn append_one(
    appender: &Appender,
    topic: Topic,
    partitions: u32,
    message: NewMessage,
) -> Result<Option<i64>, OpenError> {
    let (outcomes, at) = appender.append_timed(topic, partitions, &[message]).await;
    match outcomes.into_iter().next() {
        Some(AppendOutcome::Appended(_)) => Ok(at),
        Some(AppendOutcome::NotAppended(reason) | AppendOutcome::Unknown(reason)) => {
            Err(OpenError::Unavailable(format!("nothing can be appended: {reason}")))
        }
        None => Err(OpenError::Unavailable("nothing was appended".to_owned())),
    }
}

/// Compares our clock with the broker's, by the time at which it says it took a message.
async fn compare_clocks(appender: &Appender, partitions: u32) -> Result<(), OpenError> {
    let message = NewMessage {
        key: Bytes::from_static(CLOCK_KEY),
        headers: Vec::new(),
        value: Some(Bytes::from_static(b"{}")),
        placement: Placement::Fixed(0),
    };
    let before = now_ms();
    let taken = append_one(appender, Topic::Progress, partitions, message).await?;
    let after = now_ms();
    taken.map_or(Ok(()), |taken| check_clock(before, taken, after))
}

/// Whether the broker's time for a message fits ours before it was sent and after it was acknowledged, all in
/// milliseconds since 1970.
fn check_clock(before: i64, taken: i64, after: i64) -> Result<(), OpenError> {
    let skew = (before - taken).max(taken - after).max(0);
    if skew > CLOCK_SKEW_MAX.as_millis() as i64 {
        return Err(OpenError::Refused(format!(
            "this machine's clock is {} s from the broker's: set one of them right (more than {} s would put false times into the log)",
            skew / 1000,
            CLOCK_SKEW_MAX.as_secs()
        )));
    }
    Ok(())
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Closes what opening made, after it failed. Blocking work, so on a thread for it.
pub(super) async fn give_up(appender: std::sync::Arc<Appender>, readers: std::sync::Arc<Readers>) {
    readers.close();
    blocking(move || appender.close()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_MS: i64 = 1_763_726_400_000;

    #[test]
    fn a_clock_more_than_five_minutes_from_the_brokers_is_refused_and_says_how_far() {
        for (taken, far) in [(NOON_MS - 301_000, "301 s"), (NOON_MS + 3_600_500, "3600 s")] {
            let refused = check_clock(NOON_MS, taken, NOON_MS + 500).unwrap_err();
            assert!(matches!(&refused, OpenError::Refused(why) if why.contains(far)), "{refused}");
        }
    }

    #[test]
    fn a_slow_answer_is_no_skew_and_five_minutes_are_allowed() {
        let after = NOON_MS + 900_000;
        for taken in [NOON_MS - 300_000, NOON_MS, NOON_MS + 450_000, after, after + 300_000] {
            assert!(check_clock(NOON_MS, taken, after).is_ok(), "{taken}");
        }
    }
}
