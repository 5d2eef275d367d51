//! The contract on three brokers.

use super::{KafkaLog, Three};
use crate::contract::contract;

contract!(KafkaLog<Three>);
