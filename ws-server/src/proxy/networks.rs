use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A network of IP addresses, such as `10.0.0.0/8`, `fd00::/8`, or a single address.
///
/// An IPv4 address that is mapped to IPv6 (`::ffff:10.0.0.1`) counts as the IPv4 address, in a network as well as in
/// [`contains`](Self::contains): `::/0` contains no IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    /// The first address. It is not a mapped IPv4 address.
    first: IpAddr,
    /// The number of leading bits that all addresses share.
    prefix: u8,
}

/// Why text, or an address and a prefix, are no [`Network`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Not `ADDRESS` or `ADDRESS/PREFIX`.
    #[error("\"{0}\" is not an IP address, nor an IP address and the length of a prefix")]
    Syntax(String),
    /// The prefix is longer than the address: 32 bits, or 128 bits for IPv6. For an IPv4 address that is mapped to
    /// IPv6, it may also be too short: at least 96 bits.
    #[error("a prefix of {prefix} bits does not fit the address {address}")]
    Prefix {
        /// The address.
        address: IpAddr,
        /// The length of the prefix in bits.
        prefix: u8,
    },
    /// Bits behind the prefix are set, so it is not clear which addresses are meant.
    #[error("the address {address} has bits behind its prefix of {prefix} bits")]
    HostBits {
        /// The address.
        address: IpAddr,
        /// The length of the prefix in bits.
        prefix: u8,
    },
}

impl Network {
    /// The network of the addresses that share the first `prefix` bits of `address`.
    ///
    /// # Errors
    /// [`NetworkError::Prefix`] and [`NetworkError::HostBits`].
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, NetworkError> {
        let first = address.to_canonical();
        let mapped_bits = bits(address) - bits(first);
        let wrong_prefix = NetworkError::Prefix { address, prefix };
        let own_prefix = prefix.checked_sub(mapped_bits).filter(|prefix| *prefix <= bits(first));
        let network = Self { first, prefix: own_prefix.ok_or(wrong_prefix)? };
        if network.first_of(first) == first {
            Ok(network)
        } else {
            Err(NetworkError::HostBits { address, prefix })
        }
    }

    /// Whether the address belongs to the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && self.first_of(address) == self.first
    }

    /// The address with all bits behind the prefix cleared.
    fn first_of(&self, address: IpAddr) -> IpAddr {
        let behind = u32::from(bits(address).saturating_sub(self.prefix));
        match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(behind).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        }
    }
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The network of one address.
impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let first = address.to_canonical();
        Self { first, prefix: bits(first) }
    }
}

/// Parses `ADDRESS` or `ADDRESS/PREFIX`.
impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let syntax = || NetworkError::Syntax(text.to_owned());
        let Some((address, prefix)) = text.split_once('/') else {
            return text.parse().map(|address: IpAddr| address.into()).map_err(|_| syntax());
        };
        let address = address.parse().map_err(|_| syntax())?;
        if !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(syntax());
        }
        Self::new(address, prefix.parse().map_err(|_| syntax())?)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// A set of [`Network`]s. Empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// The addresses of this machine: `127.0.0.0/8` and `::1`.
    #[must_use]
    pub fn loopback() -> Self {
        let ipv4 = Network { first: Ipv4Addr::new(127, 0, 0, 0).into(), prefix: 8 };
        Self(vec![ipv4, IpAddr::from(Ipv6Addr::LOCALHOST).into()])
    }

    /// Whether the address belongs to one of the networks.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// Parses a list of networks, separated by commas. Spaces around a network are allowed.
impl FromStr for Networks {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        text.split(',').map(|network| network.trim_matches(' ').parse()).collect()
    }
}

impl From<Network> for Networks {
    fn from(network: Network) -> Self {
        Self(vec![network])
    }
}

impl<const N: usize> From<[Network; N]> for Networks {
    fn from(networks: [Network; N]) -> Self {
        Self(networks.into())
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<T: IntoIterator<Item = Network>>(networks: T) -> Self {
        Self(networks.into_iter().collect())
    }
}

impl Extend<Network> for Networks {
    fn extend<T: IntoIterator<Item = Network>>(&mut self, networks: T) {
        self.0.extend(networks);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_contains_the_addresses_that_share_its_prefix() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0"]),
            ("192.0.2.7", ["192.0.2.7", "::ffff:192.0.2.7"], ["192.0.2.6", "192.0.2.8"]),
            ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "::1"]),
            ("fd00::/8", ["fd00::", "fdff::1"], ["fc00::", "fe00::"]),
            ("2001:db8::1", ["2001:db8::1", "2001:db8:0::1"], ["2001:db8::", "2001:db8::2"]),
            ("::/0", ["::", "ffff::"], ["10.0.0.1", "::ffff:10.0.0.1"]),
            ("::ffff:10.0.0.0/104", ["10.0.0.1", "::ffff:10.9.9.9"], ["11.0.0.0", "::10.0.0.1"]),
        ] {
            let network = network(text);
            assert!(inside.iter().all(|inside| network.contains(address(inside))), "{text}");
            assert!(!outside.iter().any(|outside| network.contains(address(outside))), "{text}");
        }
    }

    #[test]
    fn text_that_names_no_network_is_an_error_that_quotes_it() {
        for text in
            ["", "/8", "10.0.0.0/", "10.0.0.0/+8", "10.0.0/8", "10.0.0.0/8/8", " 10.0.0.1", "fe80::1%1"]
        {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Syntax(text.to_owned())));
        }
        for (text, prefix) in [("10.0.0.0", 33), ("::", 129), ("::ffff:10.0.0.0", 95)] {
            let error = NetworkError::Prefix { address: address(text), prefix };
            assert_eq!(format!("{text}/{prefix}").parse::<Network>(), Err(error));
        }
        for (text, prefix) in [("10.0.0.1", 8), ("fd00::1", 8), ("::ffff:10.0.0.1", 104)] {
            let error = NetworkError::HostBits { address: address(text), prefix };
            assert!(error.to_string().contains(text));
            assert_eq!(format!("{text}/{prefix}").parse::<Network>(), Err(error));
        }
    }

    #[test]
    fn a_list_is_separated_by_commas() {
        let networks: Networks = "10.0.0.0/8, ::1 ,192.0.2.1".parse().unwrap();
        assert_eq!(networks, Networks::from([network("10.0.0.0/8"), network("::1"), network("192.0.2.1")]));
        assert!("10.0.0.0/8,".parse::<Networks>().is_err());
        assert!(!Networks::default().contains(address("127.0.0.1")));
    }

    #[test]
    fn the_loopback_addresses_are_those_of_both_families() {
        let loopback = Networks::loopback();
        for text in ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"] {
            assert!(loopback.contains(address(text)), "{text}");
        }
        for text in ["126.255.255.255", "128.0.0.0", "::", "::2", "::127.0.0.1"] {
            assert!(!loopback.contains(address(text)), "{text}");
        }
        assert_eq!(loopback, "127.0.0.0/8,::1".parse().unwrap());
    }

    /// The family and the bits of an address, as a model compares them.
    fn text_of_bits(address: IpAddr) -> String {
        match address.to_canonical() {
            IpAddr::V4(address) => format!("4{:032b}", address.to_bits()),
            IpAddr::V6(address) => format!("6{:0128b}", address.to_bits()),
        }
    }

    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
            any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).to_ipv6_mapped().into()),
            any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
        ]
    }

    proptest! {
        /// The model compares text: the bits up to the prefix are equal.
        #[test]
        fn containment_is_equality_of_prefixes(first in any_address(), other in any_address(), prefix in 0_u8..=128, flip in 0_usize..128) {
            let (text, family) = (text_of_bits(first), first.to_canonical());
            let prefix = prefix.min(bits(family));
            let network = Network { first: Network { first: family, prefix }.first_of(family), prefix };
            let start = |text: &str| text.chars().take(1 + usize::from(prefix)).collect::<String>();
            let model = |address: IpAddr| start(&text_of_bits(address)) == start(&text);
            prop_assert!(network.contains(first));
            prop_assert_eq!(network.contains(other), model(other));
            // An address that differs in one bit.
            let flipped: IpAddr = match family {
                IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() ^ (1 << (flip % 32))).into(),
                IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() ^ (1 << flip)).into(),
            };
            prop_assert_eq!(network.contains(flipped), model(flipped));
            prop_assert_eq!(network.to_string().parse::<Network>().unwrap(), network);
            prop_assert_eq!(Network::new(network.first, prefix).unwrap(), network);
        }

        #[test]
        fn any_text_is_a_network_or_an_error(text in "[0-9a-f:./, ]{0,24}|.{0,24}") {
            if let Ok(network) = text.parse::<Network>() {
                prop_assert_eq!(network.to_string().parse::<Network>(), Ok(network));
            }
            let _ = text.parse::<Networks>();
        }
    }
}
