//! The contract on one broker.

use super::{KafkaLog, One};
use crate::contract::contract;

contract!(KafkaLog<One>);
