//! Equal parts of a network, given out and taken back.

use component_config::kube_controller_manager::NodeFlags;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// One network cut into parts of one size.
#[derive(Debug)]
struct Range {
    network: IpNet,
    part: u8,
    used: Vec<u64>,
    next: u64,
}

/// More parts than this are not tracked: a network that large is cut into as many.
const MAX_PARTS: u32 = 16;

impl Range {
    fn new(network: IpNet, part: u8) -> Result<Self, String> {
        let network = network.trunc();
        if part < network.prefix_len() || part > network.max_prefix_len() {
            return Err(format!(
                "a node's mask of /{part} does not fit into --cluster-cidr={network}"
            ));
        }
        let bits = u32::from(part - network.prefix_len());
        if bits > MAX_PARTS {
            return Err(format!(
                "--cluster-cidr={network} with a node's mask of /{part} makes 2^{bits} ranges; at most 2^{MAX_PARTS} are supported"
            ));
        }
        Ok(Self {
            network,
            part,
            used: vec![0; (1usize << bits).div_ceil(64)],
            next: 0,
        })
    }

    fn parts(&self) -> u64 {
        1 << (self.part - self.network.prefix_len())
    }

    fn get(&self, index: u64) -> bool {
        self.used
            .get((index / 64) as usize)
            .is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    fn set(&mut self, index: u64, value: bool) {
        if let Some(word) = self.used.get_mut((index / 64) as usize) {
            if value {
                *word |= 1 << (index % 64)
            } else {
                *word &= !(1 << (index % 64))
            }
        }
    }

    /// After the last one given, so that a range is not reused at once.
    fn allocate(&mut self) -> Option<u64> {
        let parts = self.parts();
        let index = (0..parts)
            .map(|offset| (self.next + offset) % parts)
            .find(|index| !self.get(*index))?;
        self.set(index, true);
        self.next = (index + 1) % parts;
        Some(index)
    }

    fn text(&self, index: u64) -> String {
        match self.network {
            IpNet::V4(network) => {
                let address =
                    u32::from(network.network()) + ((index as u32) << ((32 - u32::from(self.part)) % 32));
                Ipv4Net::new(address.into(), self.part)
                    .map(|net| net.to_string())
                    .unwrap_or_default()
            }
            IpNet::V6(network) => {
                let address = u128::from(network.network())
                    + (u128::from(index) << ((128 - u32::from(self.part)) % 128));
                Ipv6Net::new(address.into(), self.part)
                    .map(|net| net.to_string())
                    .unwrap_or_default()
            }
        }
    }

    /// The parts that a network overlaps.
    fn overlapped(&self, other: &IpNet) -> Option<std::ops::RangeInclusive<u64>> {
        let index = |address: std::net::IpAddr| -> Option<u64> {
            if !self.network.contains(&address) {
                return None;
            }
            match (self.network, address) {
                (IpNet::V4(network), std::net::IpAddr::V4(address)) => {
                    let offset = u32::from(address) - u32::from(network.network());
                    Some(u64::from(offset) >> (32 - u32::from(self.part)))
                }
                (IpNet::V6(network), std::net::IpAddr::V6(address)) => {
                    let offset = u128::from(address) - u128::from(network.network());
                    u64::try_from(offset >> (128 - u32::from(self.part)).min(127)).ok()
                }
                _ => None,
            }
        };
        if other.contains(&self.network) {
            return Some(0..=self.parts() - 1);
        }
        Some(index(other.network())?..=index(other.broadcast())?)
    }
}

/// The cluster's networks, one of each family.
#[derive(Debug)]
pub struct Ranges {
    ranges: Vec<Range>,
}

impl Ranges {
    /// An error says which flag is wrong. The service range is kept out of the nodes' ranges.
    pub fn new(flags: &NodeFlags) -> Result<Self, String> {
        if flags.cluster_cidr.is_empty() {
            return Err("--allocate-node-cidrs needs --cluster-cidr".to_owned());
        }
        let single = flags.cluster_cidr.len() == 1;
        let ranges = flags.cluster_cidr.iter().map(|network| {
            let (own, default) = match network {
                IpNet::V4(_) => (flags.node_cidr_mask_size_ipv4, 24),
                IpNet::V6(_) => (flags.node_cidr_mask_size_ipv6, 64),
            };
            let both = flags.node_cidr_mask_size.filter(|_| single);
            Range::new(*network, both.or(own).unwrap_or(default))
        });
        let mut made = Self {
            ranges: ranges.collect::<Result<_, _>>()?,
        };
        for network in &flags.service_cluster_ip_range {
            made.occupy(&network.to_string());
        }
        Ok(made)
    }

    /// Takes a range out that is in use. False when it is in none of the networks.
    pub fn occupy(&mut self, cidr: &str) -> bool {
        self.mark(cidr, true)
    }

    pub fn release(&mut self, cidrs: &[String]) {
        for cidr in cidrs {
            self.mark(cidr, false);
        }
    }

    fn mark(&mut self, cidr: &str, value: bool) -> bool {
        let Ok(network) = cidr.parse::<IpNet>() else {
            return false;
        };
        let mut known = false;
        for range in &mut self.ranges {
            if let Some(parts) = range.overlapped(&network) {
                known = true;
                parts.for_each(|index| range.set(index, value));
            }
        }
        known
    }

    /// One part of each network, or nothing at all.
    pub fn allocate(&mut self) -> Option<Vec<String>> {
        let mut given = Vec::new();
        for range in &mut self.ranges {
            match range.allocate() {
                Some(index) => given.push(range.text(index)),
                None => {
                    self.release(&given);
                    return None;
                }
            }
        }
        Some(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use component_config::kube_controller_manager::ControllerManagerFlags;
    use proptest::prelude::*;

    fn ranges(words: &str) -> Result<Ranges, String> {
        let line = std::iter::once("kcm").chain(words.split_whitespace());
        Ranges::new(&ControllerManagerFlags::try_parse_from(line).unwrap().nodes)
    }

    #[test]
    fn ranges_are_given_in_order_and_used_ones_left_out() {
        let mut ranges =
            ranges("--cluster-cidr=10.200.0.0/16,fd00:1::/56 --service-cluster-ip-range=10.200.0.0/24")
                .unwrap();
        assert!(ranges.occupy("10.200.1.0/24"));
        assert!(!ranges.occupy("10.201.1.0/24"));
        assert_eq!(ranges.allocate().unwrap(), ["10.200.2.0/24", "fd00:1::/64"]);
        assert_eq!(ranges.allocate().unwrap(), ["10.200.3.0/24", "fd00:1:0:1::/64"]);
    }

    #[test]
    fn an_exhausted_network_gives_nothing_until_one_comes_back() {
        let mut ranges = ranges("--cluster-cidr=10.0.0.0/23 --node-cidr-mask-size=24").unwrap();
        let first = ranges.allocate().unwrap();
        ranges.allocate().unwrap();
        assert_eq!(ranges.allocate(), None);
        ranges.release(&first);
        assert_eq!(ranges.allocate(), Some(first));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for words in [
            "",
            "--cluster-cidr=10.0.0.0/24 --node-cidr-mask-size=16",
            "--cluster-cidr=fd00::/32",
        ] {
            assert!(ranges(words).is_err(), "{words}");
        }
    }

    proptest! {
        #[test]
        fn no_two_nodes_share_an_address(prefix in 16u8..24, size in 0u8..8) {
            let mut ranges = ranges(&format!("--cluster-cidr=10.0.0.0/{prefix} --node-cidr-mask-size={}", prefix + size)).unwrap();
            let mut seen: Vec<IpNet> = Vec::new();
            while let Some(given) = ranges.allocate() {
                let network: IpNet = given[0].parse().unwrap();
                prop_assert!(seen.iter().all(|other| !other.contains(&network) && !network.contains(other)));
                seen.push(network);
            }
            prop_assert_eq!(seen.len(), 1 << size);
        }
    }
}
