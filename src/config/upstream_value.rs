//! What single values look like that say how endpoints are found and judged.

use std::net::{IpAddr, SocketAddr};

use super::value::{Parsed, Wrong, unlike, wrong};
use crate::upstream::{EndpointSettings, SanPattern, ServicePort};

/// `dns:///name:port`, `dns://server/name:port` (gRPC `doc/naming.md`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DnsUrl {
    pub resolver: Option<SocketAddr>,
    pub name: String,
    pub port: Option<u16>,
}

/// A name for DNS: labels of letters, digits, `-` and `_`; a last `.` keeps the system from searching below its domains.
pub(super) fn dns_name(value: &str) -> Parsed<String> {
    let bare = value.strip_suffix('.').unwrap_or(value);
    if value.parse::<IpAddr>().is_ok() {
        return Err(wrong(format!("{value} is an address, and needs no look-up")).hint("name it under `endpoints`"));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let labels = bare.split('.').all(|label| (1..=63).contains(&label.len()) && label.chars().all(fits));
    match labels && bare.len() <= 253 {
        true => Ok(value.to_ascii_lowercase()),
        false if value.contains(':') => Err(unlike(value, "a name to look up").hint("the port goes to `port`")),
        false => Err(unlike(value, "a name to look up").hint("as in books.example or _grpc._tcp.books.example")),
    }
}

/// The form of gRPC's names.
pub(super) fn dns_url(value: &str) -> Parsed<DnsUrl> {
    let form = || unlike(value, "where endpoints come from").hint("as in dns:///books.example:50051, or a table");
    let rest = value.strip_prefix("dns:").ok_or_else(form)?;
    let (server, address) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_once('/').ok_or_else(form)?,
        None => ("", rest),
    };
    let resolver = (!server.is_empty()).then(|| resolver(server)).transpose()?;
    let (name, port) = match address.split_once(':') {
        Some((name, port)) => {
            let port = port.parse::<u16>().ok().filter(|port| *port > 0);
            (name, Some(port.ok_or_else(|| wrong("the port must be a number from 1 to 65535"))?))
        }
        None => (address, None),
    };
    Ok(DnsUrl { resolver, name: dns_name(name)?, port })
}

/// A name server: an address, with a port or without.
pub(super) fn resolver(value: &str) -> Parsed<SocketAddr> {
    if let Ok(ip) = value.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, 53));
    }
    match value.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => Ok(address),
        _ => Err(unlike(value, "the address of a name server").hint("as in 10.0.0.53 or 10.0.0.53:5353")),
    }
}

/// A number, or a name as Kubernetes has them for ports.
pub(super) fn service_port(value: &str) -> Parsed<ServicePort> {
    match value.parse::<u16>() {
        Ok(0) => Err(wrong("the port must be a number from 1 to 65535")),
        Ok(number) => Ok(ServicePort::Number(number)),
        Err(_) if value.chars().all(|c| c.is_ascii_digit()) => Err(wrong("the port must be a number from 1 to 65535")),
        Err(_) => label(value).map(|name| ServicePort::Named(name.into())),
    }
}

/// A name of Kubernetes: a label of RFC 1123.
pub(super) fn label(value: &str) -> Parsed<String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    match value.len() <= 63 && value.starts_with(ends) && value.ends_with(ends) && value.chars().all(fits) {
        true => Ok(value.to_owned()),
        false => Err(unlike(value, "a name of Kubernetes").hint("lower case letters, digits and `-`; at most 63")),
    }
}

/// The URL of an API server.
pub(super) fn api_server(value: &str) -> Parsed<String> {
    let known = value.starts_with("https://") || value.starts_with("http://");
    match EndpointSettings::parse(value) {
        Ok(_) if known => Ok(value.to_owned()),
        _ => Err(unlike(value, "the URL of an API server").hint("as in https://10.0.0.1:6443")),
    }
}

/// The name that a server knows its health by: a service, or any other text that fits a message; none for the server
/// as a whole.
pub(super) fn health_service(value: &str) -> Parsed<String> {
    match value.trim() {
        service if service.len() <= 256 => Ok(service.to_owned()),
        _ => Err(wrong("is longer than 256 bytes")),
    }
}

/// A name that a certificate may have.
pub(super) fn san(value: &str) -> Parsed<SanPattern> {
    SanPattern::parse(value).map_err(|error| Wrong {
        text: error.to_string(),
        hint: Some("as in books.example, *.books.example, 10.0.0.1, spiffe://domain/books or spiffe://domain/*".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_grpc_are_read_with_server_and_port() {
        let read = |text: &str| dns_url(text).unwrap();
        let url = |resolver: Option<&str>, name: &str, port: Option<u16>| DnsUrl {
            resolver: resolver.map(|text| text.parse().unwrap()),
            name: name.into(),
            port,
        };
        assert_eq!(read("dns:///books.example:50051"), url(None, "books.example", Some(50051)));
        assert_eq!(read("dns:books.example"), url(None, "books.example", None));
        assert_eq!(read("dns://10.0.0.53/books:1"), url(Some("10.0.0.53:53"), "books", Some(1)));
        assert_eq!(read("dns://[::1]:5353/books:1"), url(Some("[::1]:5353"), "books", Some(1)));
        for bad in [
            "books:1",
            "dns://books:1",
            "dns:///",
            "dns:///a:0",
            "dns:///a:x",
            "dns:///a b",
            "dns://ns/a",
            "dns:///10.0.0.1:1",
        ] {
            assert!(dns_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ports_names_and_servers_have_their_forms() {
        assert_eq!(service_port("50051"), Ok(ServicePort::Number(50051)));
        assert_eq!(service_port("grpc"), Ok(ServicePort::Named("grpc".into())));
        assert!(["0", "65536", "Grpc", "a_b", ""].iter().all(|bad| service_port(bad).is_err()));
        assert_eq!(dns_name("_Grpc._tcp.Books."), Ok("_grpc._tcp.books.".into()));
        assert!(["", ".", "a..b", "a:1", "10.0.0.1", "::1", "ä"].iter().all(|bad| dns_name(bad).is_err()));
        assert!(api_server("https://k8s:6443").is_ok() && api_server("h2s://k8s").is_err());
    }
}
