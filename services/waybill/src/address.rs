//! Addresses as clients write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::Uri;

/// The address that a client on this machine connects to: `0.0.0.0` and `[::]` are for listening
/// only.
pub(crate) fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

/// The address as a `Host` header has it: version six in brackets.
pub(crate) fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// The host of an `http` or `https` URL, without its port; `None` for anything else.
pub(crate) fn host_of(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    matches!(url.scheme_str()?, "http" | "https").then(|| url.host().map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_can_be_reached_and_is_answered() {
        for (bound, url) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ] {
            let reachable = reachable(bound.parse().unwrap());
            assert_eq!(reachable.to_string(), url);
            assert!(url.starts_with(&host(reachable.ip())), "{url}");
        }
    }

    #[test]
    fn a_public_url_has_a_host() {
        let host = |url| host_of(url).unwrap_or_default();
        assert_eq!(
            host("https://gateway.example.com/way"),
            "gateway.example.com"
        );
        assert_eq!(host("http://[2001:db8::1]:80"), "[2001:db8::1]");
        assert_eq!(host("gateway.example.com"), "");
        assert_eq!(host("ftp://gateway.example.com"), "");
    }
}
