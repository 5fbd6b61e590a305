//! Names and addresses of hosts: hostname, e-mail, IP, prefix, host and port.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Which IP addresses are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Any,
    V4,
    V6,
}

/// Labels of letters, digits and hyphens, the last of which is not a number: at most 253 bytes without the trailing dot.
pub(super) fn is_hostname(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// A valid e-mail address of the HTML standard, which knows no quotes and no comments.
pub(super) fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_atom = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    !local.is_empty() && local.bytes().all(is_atom) && domain.split('.').all(is_label)
}

/// IPv4 in dotted decimals; IPv6 (RFC 4291), with or without a zone (RFC 4007), which may be any text.
pub(super) fn is_ip(text: &str, version: Version) -> bool {
    match version {
        Version::V4 => text.parse::<Ipv4Addr>().is_ok(),
        Version::V6 => {
            let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
            address.parse::<Ipv6Addr>().is_ok() && zone != Some("")
        }
        Version::Any => is_ip(text, Version::V4) || is_ip(text, Version::V6),
    }
}

/// An address, a slash and how many bits of it are the prefix. `strict`: all other bits are zero.
pub(super) fn is_prefix(text: &str, version: Version, strict: bool) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let bits = |value: u128, size: u32| {
        let length = number(length).filter(|length| *length <= size);
        // as many as the address has would be too far to shift for 128
        length.is_some_and(|length| !strict || value.checked_shl(128 - size + length).unwrap_or(0) == 0)
    };
    match version {
        Version::V4 => address.parse::<Ipv4Addr>().is_ok_and(|ip| bits(u128::from(ip.to_bits()), 32)),
        Version::V6 => address.parse::<Ipv6Addr>().is_ok_and(|ip| bits(ip.to_bits(), 128)),
        Version::Any => is_prefix(text, Version::V4, strict) || is_prefix(text, Version::V6, strict),
    }
}

/// A hostname, an IPv4 address or an IPv6 address in brackets, and a port.
pub(super) fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|address| is_ip(address, Version::V6)),
        None => is_hostname(host) || is_ip(host, Version::V4),
    };
    is_host && number(port).is_some_and(|port| port <= 65_535)
}

/// Decimal digits without zeros in front.
fn number(digits: &str) -> Option<u32> {
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_plain && (digits.len() == 1 || !digits.starts_with('0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames_have_labels() {
        let long = format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
        for good in ["a", "A-1.b", "1.a", "a.b.", &long, &format!("{long}.")] {
            assert!(is_hostname(good), "{good}");
        }
        let (longer, label) = (format!("{long}d"), "a".repeat(64));
        for bad in ["", ".", "a..b", ".a", "a.1", "1", "-a", "a-", "a_b", "\u{e9}", "a b", "a..", &longer, &label] {
            assert!(!is_hostname(bad), "{bad}");
        }
    }

    #[test]
    fn emails_are_those_of_html() {
        for good in ["a@b", "a.!#$%&'*+/=?^_`{|}~-@b-c.d", "a@1.2"] {
            assert!(is_email(good), "{good}");
        }
        for bad in
            ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@-b", "a@b.", "\"a\"@b", "a@[1.2.3.4]", "\u{e9}@b", "a@b\n"]
        {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn addresses_have_a_version() {
        for (text, four, six) in [
            ("127.0.0.1", true, false),
            ("01.0.0.1", false, false),
            ("1.2.3", false, false),
            ("256.0.0.1", false, false),
            ("::1", false, true),
            ("::ffff:1.2.3.4", false, true),
            ("fe80::1%a b%", false, true),
            ("fe80::1%", false, false),
            ("1:2:3:4:5:6:7:8:9", false, false),
            ("12345::", false, false),
            (" ::1", false, false),
            ("", false, false),
        ] {
            let found = (is_ip(text, Version::V4), is_ip(text, Version::V6), is_ip(text, Version::Any));
            assert_eq!(found, (four, six, four || six), "{text}");
        }
    }

    #[test]
    fn prefixes_may_have_to_be_all_that_there_is() {
        for (text, loose, strict) in [
            ("1.2.3.0/24", true, true),
            ("1.2.3.4/24", true, false),
            ("1.2.3.4/32", true, true),
            ("0.0.0.0/0", true, true),
            ("128.0.0.0/0", true, false),
            ("1.2.3.4/33", false, false),
            ("1.2.3.4/024", false, false),
            ("1.2.3.4/+4", false, false),
            ("1.2.3.4/", false, false),
            ("1.2.3.4", false, false),
            ("2001:db8::/32", true, true),
            ("2001:db8::1/127", true, false),
            ("2001:db8::1/128", true, true),
            ("::/0", true, true),
            ("::1%a/128", false, false),
            ("::1/129", false, false),
        ] {
            assert_eq!(is_prefix(text, Version::Any, false), loose, "{text}");
            assert_eq!(is_prefix(text, Version::Any, true), strict, "{text}");
        }
        assert!(!is_prefix("1.2.3.0/24", Version::V6, false) && !is_prefix("::/0", Version::V4, false));
    }

    #[test]
    fn ports_are_numbers() {
        for good in ["a:0", "a.b.:65535", "1.2.3.4:80", "[::1]:80", "[::1%a]:1"] {
            assert!(is_host_and_port(good), "{good}");
        }
        for bad in [
            "",
            "a",
            ":1",
            "a:",
            "a:65536",
            "a:01",
            "a:+1",
            "::1:80",
            "[::1]",
            "[::1]80",
            "[1.2.3.4]:1",
            "a:1:2",
            "[a]:1",
        ] {
            assert!(!is_host_and_port(bad), "{bad}");
        }
    }
}
