//! Which names a certificate must have: patterns for the subject alternative names (RFC 5280, 4.2.1.6), and the search
//! for one that matches.
//!
//! The list stands in place of the check of the server's name, as in Envoy and in gRPC's A29: a workload whose only name
//! is a SPIFFE id could never pass both. The subject's common name is never looked at (RFC 9525, 2).

use std::fmt;
use std::net::IpAddr;

use rustls_pki_types::ServerName;
use webpki::EndEntityCert;

use crate::upstream::SettingsError;

/// One name, or a family of names, of which a certificate must have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SanPattern {
    /// A DNS name, lower case. A certificate's wildcard covers it as usual (RFC 9525, 6.3).
    Dns(Box<str>),
    /// `*.suffix`, kept as `suffix`: names with exactly one label before it, and the certificate's own `*.suffix`.
    DnsBelow(Box<str>),
    Ip(IpAddr),
    /// A URI, byte for byte.
    Uri(Box<str>),
    /// `scheme://authority/path/*`, kept up to the last slash: URIs with something behind it.
    UriBelow(Box<str>),
}

/// A certificate without any of the names that it should have.
#[derive(Debug)]
pub(super) struct NoSuchName {
    wanted: String,
    presented: String,
}

/// Names of a certificate that an error tells. More would fill logs, at the will of the peer.
const TOLD: usize = 8;
/// Bytes of each of them.
const TOLD_BYTES: usize = 128;

// === impl SanPattern ===

impl SanPattern {
    /// Reads `books.example`, `*.books.example`, an IP address, or a URI as `spiffe://td/ns/books` or
    /// `spiffe://td/ns/*`.
    ///
    /// Errors: what is wrong with the text.
    pub fn parse(text: &str) -> Result<SanPattern, SettingsError> {
        let wrong = |why: &str| SettingsError::new(format!("\"{text}\": {why}"));
        if text.contains("://") {
            return SanPattern::uri(text).map_err(wrong);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(SanPattern::Ip(address));
        }
        let is_name = |name: &str| matches!(ServerName::try_from(name), Ok(ServerName::DnsName(_)));
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("*.") {
            Some(suffix) if suffix.contains('*') => Err(wrong("only the first label may be \"*\"")),
            Some(suffix) if !suffix.contains('.') => {
                Err(wrong("a whole top-level domain is nobody's: two labels at least must follow \"*.\""))
            }
            Some(suffix) if is_name(suffix) => Ok(SanPattern::DnsBelow(suffix.into())),
            None if lower.contains('*') => Err(wrong("\"*\" may only be the whole first label, as in *.books.example")),
            None if is_name(&lower) => Ok(SanPattern::Dns(lower.into())),
            _ => Err(wrong("neither a DNS name, nor an IP address, nor a URI as spiffe://domain/path")),
        }
    }

    fn uri(text: &str) -> Result<SanPattern, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("no URI")?;
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\');
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
            || rest.is_empty()
            || rest.starts_with('/')
            || !rest.bytes().all(plain)
        {
            return Err("a URI needs scheme, \"://\", authority and a path of visible ASCII");
        }
        if scheme == "spiffe" {
            spiffe(rest)?;
        }
        match text.strip_suffix("/*") {
            Some(above) if above.contains('*') => Err("\"*\" may only stand at the end, behind a slash"),
            Some(above) => Ok(SanPattern::UriBelow(format!("{above}/").into())),
            None if text.contains('*') => Err("\"*\" may only stand at the end, behind a slash"),
            None => Ok(SanPattern::Uri(text.into())),
        }
    }

    /// Whether the certificate has a name of this pattern.
    fn matches(&self, certificate: &EndEntityCert<'_>) -> bool {
        match self {
            SanPattern::Dns(name) => ServerName::try_from(&**name)
                .is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok()),
            SanPattern::Ip(address) => {
                certificate.verify_is_valid_for_subject_name(&ServerName::IpAddress((*address).into())).is_ok()
            }
            SanPattern::DnsBelow(suffix) => certificate.valid_dns_names().any(|name| is_below(name, suffix)),
            SanPattern::Uri(uri) => certificate.valid_uri_names().any(|name| name == &**uri),
            SanPattern::UriBelow(above) => certificate.valid_uri_names().any(|name| continues(name, above)),
        }
    }
}

impl fmt::Display for SanPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SanPattern::Dns(name) | SanPattern::Uri(name) => f.write_str(name),
            SanPattern::DnsBelow(suffix) => write!(f, "*.{suffix}"),
            SanPattern::Ip(address) => address.fmt(f),
            SanPattern::UriBelow(above) => write!(f, "{above}*"),
        }
    }
}

/// What the SPIFFE-ID standard (section 2) asks of trust domain and path.
fn spiffe(rest: &str) -> Result<(), &'static str> {
    let (domain, path) = rest.split_once('/').unwrap_or((rest, ""));
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_');
    if !domain.bytes().all(fits) {
        return Err("a SPIFFE trust domain has lower case letters, digits, \".\", \"-\" and \"_\" only");
    }
    if path.is_empty() {
        return Err("a SPIFFE id of a workload has a path, as in spiffe://domain/books or spiffe://domain/*");
    }
    if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err("a SPIFFE path has no empty segments, and neither \".\" nor \"..\"");
    }
    Ok(())
}

/// Whether a DNS name is one label and `suffix`; names are ASCII, case does not count.
fn is_below(name: &str, suffix: &str) -> bool {
    name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(suffix))
}

/// Whether a URI goes on behind `above`, without climbing back out of it.
fn continues(uri: &str, above: &str) -> bool {
    let rest = uri.strip_prefix(above).unwrap_or_default();
    !rest.is_empty() && rest.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

/// Whether a certificate has one of these names at least.
pub(super) fn check(patterns: &[SanPattern], certificate: &EndEntityCert<'_>) -> Result<(), NoSuchName> {
    if patterns.iter().any(|pattern| pattern.matches(certificate)) {
        return Ok(());
    }
    let wanted = patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(NoSuchName { wanted, presented: presented(certificate) })
}

fn presented(certificate: &EndEntityCert<'_>) -> String {
    let mut names = certificate.valid_dns_names().chain(certificate.valid_uri_names());
    let mut told = Vec::new();
    for name in names.by_ref().take(TOLD) {
        // webpki has checked neither of these for what may stand in a log line
        told.push(name.chars().take(TOLD_BYTES).filter(|c| c.is_ascii_graphic()).collect::<String>());
    }
    match (told.is_empty(), names.next()) {
        (true, _) => "no DNS name and no URI".into(),
        (false, None) => told.join(", "),
        (false, Some(_)) => format!("{}, and more", told.join(", ")),
    }
}

// === impl NoSuchName ===

impl fmt::Display for NoSuchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no subject alternative name matches {}; the certificate has {}", self.wanted, self.presented)
    }
}

impl std::error::Error for NoSuchName {}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};
    use rustls_pki_types::CertificateDer;

    use super::*;

    fn certificate(names: &[&str], uris: &[&str], ips: &[&str]) -> CertificateDer<'static> {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        params.subject_alt_names.extend(ips.iter().map(|ip| SanType::IpAddress(ip.parse().unwrap())));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn found(patterns: &[&str], certificate: &CertificateDer<'_>) -> Result<(), String> {
        let patterns: Vec<_> = patterns.iter().map(|pattern| SanPattern::parse(pattern).unwrap()).collect();
        check(&patterns, &EndEntityCert::try_from(certificate).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_of_name_matches_its_own_kind_only() {
        let shown =
            certificate(&["a.books.example", "*.wild.example"], &["spiffe://td/ns/books"], &["10.0.0.7", "::1"]);
        for good in [
            "a.books.example",
            "A.Books.Example",
            "x.wild.example",
            "*.books.example",
            "*.wild.example",
            "spiffe://td/ns/books",
            "spiffe://td/ns/*",
            "spiffe://td/*",
            "10.0.0.7",
            "::1",
        ] {
            assert_eq!(found(&[good], &shown), Ok(()), "{good}");
            assert_eq!(found(&["other.example", good], &shown), Ok(()), "{good} among others");
        }
        for bad in [
            "books.example",
            "b.books.example",
            "*.example.org",
            "y.x.wild.example",
            "*.a.books.example",
            "spiffe://td/ns/book",
            "spiffe://td/ns/books/more",
            "spiffe://td/ns/books/*",
            "spiffe://other/ns/books",
            "https://td/ns/books",
            "10.0.0.8",
        ] {
            assert!(found(&[bad], &shown).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_says_what_was_wanted_and_what_was_shown() {
        let shown = certificate(&["a.example"], &["spiffe://td/a"], &[]);
        assert_eq!(
            found(&["b.example", "spiffe://td/b/*"], &shown).unwrap_err(),
            "no subject alternative name matches b.example, spiffe://td/b/*; the certificate has a.example, spiffe://td/a"
        );
        let none = certificate(&[], &[], &["10.0.0.1"]);
        assert!(found(&["b.example"], &none).unwrap_err().ends_with("has no DNS name and no URI"));
        let names: Vec<String> = (0..100).map(|n| format!("n{n}.example")).collect();
        let many = certificate(&names.iter().map(String::as_str).collect::<Vec<_>>(), &[], &[]);
        let told = found(&["b.example"], &many).unwrap_err();
        assert!(told.ends_with(", and more") && told.len() < 400, "{told}");
    }

    #[test]
    fn a_uri_that_climbs_out_of_its_family_is_none_of_it() {
        for bad in ["spiffe://td/ns/../x", "spiffe://td/ns/", "spiffe://td/ns//x", "spiffe://td/ns/."] {
            assert!(!continues(bad, "spiffe://td/ns/"), "{bad}");
        }
        assert!(continues("spiffe://td/ns/a/b", "spiffe://td/ns/"));
    }

    #[test]
    fn patterns_that_mean_nothing_or_too_much_are_refused() {
        for (text, why) in [
            ("", "neither"),
            ("*", "\"*\" may only"),
            ("*.com", "nobody's"),
            ("*.*.example", "first label"),
            ("a.*.example", "may only be the whole first label"),
            ("f*.example.org", "may only be the whole first label"),
            ("a b", "neither"),
            ("spiffe://", "authority"),
            ("spiffe://TD/a", "lower case"),
            ("spiffe://td", "has a path"),
            ("spiffe://td/a//b", "empty segments"),
            ("spiffe://td/a*", "behind a slash"),
            ("spiffe://td/*/b/*", "behind a slash"),
            ("://td/a", "needs scheme"),
            ("spiffe://td/ä", "visible ASCII"),
        ] {
            let error = SanPattern::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        for text in ["books.example", "*.books.example", "10.0.0.1", "::1", "spiffe://td/a", "spiffe://td/a/*"] {
            assert_eq!(SanPattern::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn damaged_certificates_are_refused_and_never_matched() {
        let good = certificate(&["a.example"], &["spiffe://td/a"], &[]);
        let pattern = SanPattern::parse("*.example.org").unwrap();
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 0xff;
            if let Ok(parsed) = EndEntityCert::try_from(&CertificateDer::from(bad.clone())) {
                assert!(check(std::slice::from_ref(&pattern), &parsed).is_err());
            }
            bad.truncate(at);
            assert!(EndEntityCert::try_from(&CertificateDer::from(bad)).is_err(), "cut at {at}");
        }
    }
}
