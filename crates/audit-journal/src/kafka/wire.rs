//! Messages between our types and librdkafka's.

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use rdkafka::{IntoOpaque, error::KafkaError};

use crate::header::HeaderName;
use crate::message::{Message, NewMessage};
use crate::position::{Offset, Partition};

/// Copies a message out of librdkafka's buffer: one allocation for all its bytes.
pub(super) fn message_of(borrowed: &BorrowedMessage<'_>) -> Message {
    let key = borrowed.key().unwrap_or_default();
    let value = borrowed.payload();
    // Gone through once: librdkafka looks each of them up.
    let headers: Vec<_> = borrowed.headers().into_iter().flat_map(|headers| headers.iter()).collect();
    let header_bytes: usize = headers.iter().map(|header| header.value.map_or(0, <[u8]>::len)).sum();
    let mut buffer = Vec::with_capacity(key.len() + value.map_or(0, <[u8]>::len) + header_bytes);
    buffer.extend_from_slice(key);
    buffer.extend_from_slice(value.unwrap_or_default());
    headers.iter().for_each(|header| buffer.extend_from_slice(header.value.unwrap_or_default()));
    let mut rest = Bytes::from(buffer);
    let key = rest.split_to(key.len());
    let value = value.map(|value| rest.split_to(value.len()));
    let headers = headers
        .iter()
        .map(|header| (HeaderName::read(header.key), rest.split_to(header.value.map_or(0, <[u8]>::len))))
        .collect();
    Message {
        partition: borrowed.partition() as Partition,
        offset: borrowed.offset() as Offset,
        appended_at_ms: borrowed.timestamp().to_millis().unwrap_or_default(),
        key,
        headers,
        value,
    }
}

/// Hands a message to a producer. It is copied; nothing has been sent when this returns.
pub(super) fn produce<C>(
    producer: &ThreadedProducer<C>,
    topic: &str,
    partition: Partition,
    message: &NewMessage,
    opaque: C::DeliveryOpaque,
) -> Result<(), KafkaError>
where
    C: ProducerContext + 'static,
    C::DeliveryOpaque: IntoOpaque,
{
    let mut record: BaseRecord<'_, [u8], [u8], _> =
        BaseRecord::with_opaque_to(topic, opaque).partition(partition as i32).key(&message.key[..]);
    if let Some(value) = &message.value {
        record = record.payload(&value[..]);
    }
    if !message.headers.is_empty() {
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
        for (name, value) in &message.headers {
            headers = headers.insert(Header { key: name, value: Some(&value[..]) });
        }
        record = record.headers(headers);
    }
    producer.send(record).map_err(|(error, _)| error)
}
