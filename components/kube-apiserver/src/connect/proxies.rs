//! The proxies that the environment names: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, read as Go reads them.

use super::egress::Proxy;
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;
use url::Url;

/// Which proxy leads to what.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Arc<Proxy>>,
    https: Option<Arc<Proxy>>,
    exceptions: Vec<Exception>,
}

/// What is reached directly, of all ports or of one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    All,
    Network(IpNet),
    Address(IpAddr, Option<u16>),
    /// `.example.com` for what is below it; with `itself` that domain too.
    Domain {
        suffix: String,
        itself: bool,
        port: Option<u16>,
    },
}

impl Proxies {
    pub fn from_environment() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    /// As a lookup of variables has them; those in capitals come first.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let any = |name: &str| {
            [name.to_owned(), name.to_lowercase()]
                .iter()
                .filter_map(|name| variable(name))
                .find(|text| !text.is_empty())
        };
        let proxy = |name: &'static str| any(name).and_then(|text| proxy_at(name, &text));
        let exceptions = any("NO_PROXY").unwrap_or_default();
        Self {
            http: proxy("HTTP_PROXY"),
            https: proxy("HTTPS_PROXY"),
            exceptions: exceptions.split(',').filter_map(Exception::parse).collect(),
        }
    }

    /// The proxy for https, where it leads anywhere.
    pub fn https(&self) -> Option<&Arc<Proxy>> {
        self.https.as_ref()
    }

    /// The proxy that leads to a URL; `None` is directly.
    pub fn to(&self, url: &Url) -> Option<&Arc<Proxy>> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        }?;
        let host = url.host_str()?.trim_matches(['[', ']']).to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok();
        let own = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        let port = url.port_or_known_default()?;
        let direct = own || self.exceptions.iter().any(|one| one.has(&host, address, port));
        (!direct).then_some(proxy)
    }
}

/// Without a scheme it is `http`.
fn proxy_at(variable: &'static str, text: &str) -> Option<Arc<Proxy>> {
    let known = |url: &Url| matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h");
    let url = Url::parse(text)
        .ok()
        .filter(known)
        .or_else(|| Url::parse(&format!("http://{text}")).ok());
    let proxy = url.and_then(|url| Proxy::at(&url).ok());
    if proxy.is_none() {
        // The text may have a password.
        tracing::error!(
            variable,
            "a proxy of the environment can't be used; it has to be an http or https URL"
        );
    }
    proxy.map(Arc::new)
}

impl Exception {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        match text.as_str() {
            "" => return None,
            "*" => return Some(Self::All),
            _ => {}
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Some(Self::Network(network));
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(Self::Address(address, None));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
            None => (text.as_str(), None),
        };
        let host = host.trim_matches(['[', ']']);
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(Self::Address(address, port));
        }
        let host = host
            .strip_prefix('*')
            .filter(|rest| rest.starts_with('.'))
            .unwrap_or(host);
        let itself = !host.starts_with('.');
        let suffix = format!(".{}", host.trim_start_matches('.'));
        (suffix.len() > 1).then_some(Self::Domain { suffix, itself, port })
    }

    fn has(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        let of_port = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Self::All => true,
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Self::Address(wanted, one) => address == Some(*wanted) && of_port(one),
            Self::Domain { suffix, itself, port } => {
                (host.ends_with(suffix.as_str()) || (*itself && host == &suffix[1..])) && of_port(port)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::of(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_is_reached_by_a_proxy() {
        let usual = ("HTTPS_PROXY", "http://proxy:3128");
        let without = |exceptions: &'static str| vec![usual, ("NO_PROXY", exceptions)];
        let issuer = "https://issuer.example.com/keys";
        for (variables, url, expected) in [
            (vec![], issuer, false),
            (vec![usual], issuer, true),
            (vec![usual], "http://issuer.example.com/keys", false),
            (
                vec![("HTTP_PROXY", "proxy:3128")],
                "http://issuer.example.com/keys",
                true,
            ),
            (vec![("https_proxy", "proxy:3128")], issuer, true),
            (vec![("HTTPS_PROXY", "socks5://proxy:1080")], issuer, false),
            (vec![usual], "https://localhost/keys", false),
            (vec![usual], "https://127.0.0.1/keys", false),
            (vec![usual], "https://[::1]/keys", false),
            (without("*"), issuer, false),
            (without("example.com"), issuer, false),
            (without("example.com"), "https://example.com", false),
            (without(".example.com"), "https://example.com", true),
            (without("*.example.com"), issuer, false),
            (without("ample.com"), issuer, true),
            (without("other.com, ISSUER.example.com"), issuer, false),
            (without("issuer.example.com:443"), issuer, false),
            (without("issuer.example.com:8443"), issuer, true),
            (without("10.0.0.0/8"), "https://10.1.2.3", false),
            (without("10.0.0.0/8"), "https://11.1.2.3", true),
            (without("10.1.2.3"), "https://10.1.2.3", false),
            (without("10.1.2.3:443"), "https://10.1.2.3:444", true),
            (vec![usual, ("no_proxy", "example.com")], issuer, false),
        ] {
            let found = proxies(&variables);
            let url = Url::parse(url).unwrap();
            assert_eq!(found.to(&url).is_some(), expected, "{variables:?} {url}");
        }
    }
}
