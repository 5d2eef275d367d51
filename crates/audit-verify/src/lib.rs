//! Checks exports; a library without Kafka, OpenSSL or tokio.
