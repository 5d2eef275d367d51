//! What tests share: real Kafka brokers, child processes, webhook receivers that behave and that don't, a company that does not exist, waiting for a
//! condition. Never shipped.
//!
//! Everything here is real: brokers are Apache Kafka in its own JVMs, receivers are HTTP servers on loopback, processes are
//! processes that can be killed. Everything ends with the test that started it, also when that test is killed.

pub mod authority;
pub mod clients;
pub mod company;
pub mod kafka;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod receiver;
mod requirement;
pub mod wait;
pub mod wire;
