//! Ports that stay free while nobody listens on them, so that a program that was killed finds its own when it comes back.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Result, bail};

/// Where ports are taken from: below the range that operating systems give to outgoing connections, so that the port of a program
/// that is down is still free when it comes back.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// Listeners on so many free ports of loopback, none of which this process was given before. Whoever hands a port to another program
/// drops its listener first, and repeats both steps should a third be quicker.
///
/// # Errors
/// When there are not so many.
pub fn free(count: usize) -> Result<Vec<TcpListener>> {
    /// The next one to try. A random beginning keeps test binaries that start at the same time apart.
    static NEXT: OnceLock<AtomicUsize> = OnceLock::new();
    let beginning = usize::try_from(uuid::Uuid::new_v4().as_u128() % 1_000_003)?;
    let next = NEXT.get_or_init(|| AtomicUsize::new(beginning));
    let mut listeners = Vec::new();
    for _ in PORTS {
        if listeners.len() == count {
            break;
        }
        let offset = next.fetch_add(1, Ordering::Relaxed) % usize::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(offset)?;
        listeners.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    }
    if listeners.len() < count {
        bail!("no {count} free ports between {} and {}", PORTS.start, PORTS.end);
    }
    Ok(listeners)
}
