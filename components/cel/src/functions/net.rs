//! IP addresses and networks.
use super::{Overload, Sig, function, method, no_such_overload};
use crate::evaluate::{EvalError, Scratch};
use crate::go_netip::parse_address;
use crate::value::{Opaque, Value};
use Sig::{Bool, Int, String};
use std::fmt;
use std::net::IpAddr;

const IP: Sig = Sig::Opaque("net.IP");
const CIDR: Sig = Sig::Opaque("net.CIDR");

type Answer<'a> = Result<Value<'a>, EvalError>;

/// An IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip(IpAddr);

impl Ip {
    pub(crate) fn cost_size(self) -> u64 {
        if self.0.is_ipv4() { 4 } else { 16 }
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A network, with the address it was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr(ipnet::IpNet);

impl Cidr {
    pub(crate) fn cost_size(self) -> u64 {
        u64::from(self.0.prefix_len()).div_ceil(8)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn parse_ip(text: &str) -> Result<IpAddr, EvalError> {
    let quoted = || apimachinery::field::quote(text);
    if let Some((address, zone)) = text.split_once('%')
        && is_version_6(address)
        && !zone.is_empty()
    {
        return Err(EvalError::new(format!(
            "IP address {} with zone value is not allowed",
            quoted()
        )));
    }
    let ip = parse_address(text).map_err(|why| {
        EvalError::new(format!(
            "IP Address {} parse error during conversion from string: {why}",
            quoted()
        ))
    })?;
    if is_mapped(ip) {
        return Err(EvalError::new(format!(
            "IPv4-mapped IPv6 address {} is not allowed",
            quoted()
        )));
    }
    Ok(ip)
}

fn is_version_6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

fn is_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(six) if six.to_ipv4_mapped().is_some())
}

fn parse_cidr(text: &str) -> Result<ipnet::IpNet, EvalError> {
    const FAILED: &str = "network address parse error during conversion from string: ";
    let quoted = apimachinery::field::quote;
    let prefix = read_prefix(text).map_err(|why| {
        // Upstream says it twice.
        EvalError::new(format!(
            "{FAILED}{FAILED}netip.ParsePrefix({}): {why}",
            quoted(text)
        ))
    })?;
    if is_mapped(prefix.addr()) {
        return Err(EvalError::new(format!(
            "{FAILED}IPv4-mapped IPv6 address {} is not allowed",
            quoted(text)
        )));
    }
    Ok(prefix)
}

/// As Go's `netip.ParsePrefix`.
fn read_prefix(text: &str) -> Result<ipnet::IpNet, std::string::String> {
    let quoted = apimachinery::field::quote;
    let (address, bits) = text.rsplit_once('/').ok_or("no '/'")?;
    if let Some((_, zone)) = address.split_once('%').filter(|(front, _)| is_version_6(front))
        && !zone.is_empty()
    {
        return Err("IPv6 zones cannot be present in a prefix".to_owned());
    }
    let parsed = parse_address(address)?;
    let number = bits
        .parse::<u32>()
        .ok()
        .filter(|_| bits.len() == 1 || bits.starts_with(|c: char| ('1'..='9').contains(&c)))
        .ok_or_else(|| format!("bad bits after slash: {}", quoted(bits)))?;
    u8::try_from(number)
        .ok()
        .and_then(|number| ipnet::IpNet::new(parsed, number).ok())
        .ok_or_else(|| "prefix length out of range".to_owned())
}

fn ip_test<'a>(args: &[Value<'a>], test: fn(&IpAddr) -> bool) -> Answer<'a> {
    match &args[0] {
        Value::Opaque(Opaque::Ip(ip)) => Ok(Value::Bool(test(&ip.0))),
        _ => Err(no_such_overload()),
    }
}

fn to_ip(value: &Value<'_>) -> Result<IpAddr, EvalError> {
    match value {
        Value::Opaque(Opaque::Ip(ip)) => Ok(ip.0),
        Value::String(text) => parse_ip(text.as_str()),
        _ => Err(no_such_overload()),
    }
}

fn to_cidr(value: &Value<'_>) -> Result<ipnet::IpNet, EvalError> {
    match value {
        Value::Opaque(Opaque::Cidr(cidr)) => Ok(cidr.0),
        Value::String(text) => parse_cidr(text.as_str()),
        _ => Err(no_such_overload()),
    }
}

fn contains_ip<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    Ok(Value::Bool(to_cidr(&args[0])?.contains(&to_ip(&args[1])?)))
}

fn contains_cidr<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let (outer, inner) = (to_cidr(&args[0])?, to_cidr(&args[1])?);
    let inside = outer.addr().is_ipv4() == inner.addr().is_ipv4()
        && outer.prefix_len() <= inner.prefix_len()
        && outer.contains(&inner.addr());
    Ok(Value::Bool(inside))
}

fn link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => six.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn link_local_multicast(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(four) => four.octets()[..3] == [224, 0, 0],
        IpAddr::V6(six) => six.segments()[0] & 0xff0f == 0xff02,
    }
}

fn global_unicast(ip: &IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(four) if four.is_broadcast());
    !broadcast && !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast() && !link_local(ip)
}

macro_rules! test {
    ($name:literal, $test:expr) => {
        ($name, method("", &[IP], Bool, |_, args| ip_test(args, $test)))
    };
}

pub(super) static FUNCTIONS: &[(&str, Overload)] = &[
    (
        "ip",
        function("", &[String], IP, |_, args| {
            to_ip(&args[0]).map(|ip| Value::Opaque(Opaque::Ip(Ip(ip))))
        }),
    ),
    (
        "isIP",
        function("", &[String], Bool, |_, args| {
            Ok(Value::Bool(to_ip(&args[0]).is_ok()))
        }),
    ),
    (
        "ip.isCanonical",
        function("", &[String], Bool, |_, args| {
            let text = args[0].as_str().ok_or_else(no_such_overload)?;
            Ok(Value::Bool(parse_ip(text)?.to_string() == text))
        }),
    ),
    (
        "family",
        method("", &[IP], Int, |_, args| {
            Ok(Value::Int(if to_ip(&args[0])?.is_ipv4() { 4 } else { 6 }))
        }),
    ),
    test!("isUnspecified", IpAddr::is_unspecified),
    test!("isLoopback", IpAddr::is_loopback),
    test!("isLinkLocalMulticast", link_local_multicast),
    test!("isLinkLocalUnicast", link_local),
    test!("isGlobalUnicast", global_unicast),
    (
        "cidr",
        function("", &[String], CIDR, |_, args| {
            to_cidr(&args[0]).map(|cidr| Value::Opaque(Opaque::Cidr(Cidr(cidr))))
        }),
    ),
    (
        "isCIDR",
        function("", &[String], Bool, |_, args| {
            Ok(Value::Bool(to_cidr(&args[0]).is_ok()))
        }),
    ),
    ("containsIP", method("", &[CIDR, IP], Bool, contains_ip)),
    ("containsIP", method("text", &[CIDR, String], Bool, contains_ip)),
    ("containsCIDR", method("", &[CIDR, CIDR], Bool, contains_cidr)),
    (
        "containsCIDR",
        method("text", &[CIDR, String], Bool, contains_cidr),
    ),
    (
        "ip",
        method("cidr_ip", &[CIDR], IP, |_, args| {
            to_cidr(&args[0]).map(|cidr| Value::Opaque(Opaque::Ip(Ip(cidr.addr()))))
        }),
    ),
    (
        "masked",
        method("", &[CIDR], CIDR, |_, args| {
            to_cidr(&args[0]).map(|cidr| Value::Opaque(Opaque::Cidr(Cidr(cidr.trunc()))))
        }),
    ),
    (
        "prefixLength",
        method("", &[CIDR], Int, |_, args| {
            to_cidr(&args[0]).map(|cidr| Value::Int(i64::from(cidr.prefix_len())))
        }),
    ),
];
