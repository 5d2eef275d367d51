//! From configuration to the egress policy.

use std::net::IpAddr;

use audit_webhook::{Egress, EgressConfig};

use super::Config;
use crate::exit::{Exit, Stop};

impl Config {
    /// Where endpoints may be. An address stands for the network that holds it alone.
    pub(crate) fn egress(&self) -> anyhow::Result<Egress> {
        let mut allowed = EgressConfig { hosts: self.egress.allow_hosts.clone(), ..EgressConfig::default() };
        for text in &self.egress.allow_networks {
            let whole = match text.parse::<IpAddr>() {
                Ok(address) => format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }),
                Err(_) => text.clone(),
            };
            let refuse = |_| {
                Stop::error(
                    Exit::Usage,
                    format!(
                        "egress.allow_networks: {text:?} is neither a network such as 10.20.0.0/16 nor an address"
                    ),
                )
            };
            allowed.networks.push(whole.parse().map_err(refuse)?);
        }
        Ok(Egress::new(allowed))
    }
}
