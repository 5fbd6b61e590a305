//! What single values look like: one small parser per form, used by the file and by the flags alike.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::catalog::Verb;
use crate::status::Code;
use crate::upstream::EndpointSettings;
use crate::wire::closest;

/// Why a value is not of the form that its key wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub text: String,
    pub hint: Option<String>,
}

pub(super) type Parsed<T> = Result<T, Wrong>;

/// Any text but none.
pub(super) fn text(value: &str) -> Parsed<String> {
    match value.trim() {
        "" => Err(wrong("is empty")),
        text => Ok(text.to_owned()),
    }
}

/// The name of an encoding: one of ours, or another that passes unread. In lower case, as headers have it.
pub(super) fn encoding(value: &str) -> Parsed<String> {
    let name = text(value)?;
    let token = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_');
    if name.chars().all(token) { Ok(name) } else { Err(unlike(value, "the name of an encoding, as gzip or zstd")) }
}

/// `true` or `false`; YAML 1.1's `yes` and `on` are refused rather than guessed at.
pub(super) fn boolean(value: &str) -> Parsed<bool> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        "yes" | "Yes" | "on" | "On" | "True" | "TRUE" => Err(unlike(value, "true or false").hint("write true")),
        "no" | "No" | "off" | "Off" | "False" | "FALSE" => Err(unlike(value, "true or false").hint("write false")),
        _ => Err(unlike(value, "true or false")),
    }
}

/// A whole number within bounds.
pub(super) fn count<T: TryFrom<u64>>(least: u64, most: u64) -> impl Fn(&str) -> Parsed<T> {
    move |value| {
        let number: u64 = value.replace('_', "").parse().map_err(|_| unlike(value, "a whole number"))?;
        match T::try_from(number) {
            Ok(fits) if (least..=most).contains(&number) => Ok(fits),
            _ => Err(wrong(format!("{value} is not between {least} and {most}"))),
        }
    }
}

/// A code of HTTP.
pub(super) fn http_code(least: u16, most: u16) -> impl Fn(&str) -> Parsed<u16> {
    count(least.into(), most.into())
}

/// The name of a gRPC code of an error, as NOT_FOUND.
pub(super) fn error_code(value: &str) -> Parsed<Code> {
    let codes = || (1..17).map(Code::from_number);
    codes().find(|code| code.name() == value).ok_or_else(|| {
        let wrong = unlike(value, "a gRPC code of an error, as NOT_FOUND");
        match closest(&value.to_ascii_uppercase(), codes().map(Code::name)) {
            Some(near) => wrong.hint(format!("did you mean {near}?")),
            None => wrong,
        }
    })
}

/// The value of a header field.
pub(super) fn header_value(value: &str) -> Parsed<http::HeaderValue> {
    let found = http::HeaderValue::from_str(&text(value)?);
    found.map_err(|_| unlike(value, "the value of a header field: visible ASCII on one line"))
}

/// Text on one line.
pub(super) fn line(value: &str) -> Parsed<String> {
    let found = text(value)?;
    if found.contains(['\r', '\n', '\0']) { Err(unlike(value, "text on one line")) } else { Ok(found) }
}

/// A whole number of things; 0 stands for no limit.
pub(super) fn number(value: &str) -> Parsed<usize> {
    count(0, u32::MAX.into())(value)
}

/// How deep messages may nest: up to protobuf's own limit.
pub(super) fn depth(value: &str) -> Parsed<u32> {
    count(1, crate::transcode::MAX_DEPTH.into())(value)
}

/// Blanks per level of printed JSON: up to eight.
pub(super) fn indent(value: &str) -> Parsed<u8> {
    count(0, 8)(value)
}

/// `10s`, `1m30s`, `250ms`, `1h`; more than nothing.
pub(super) fn duration(value: &str) -> Parsed<Duration> {
    let parsed = span_of_time(value)?;
    match parsed.is_zero() {
        true => Err(wrong("must be more than nothing").hint("remove the key for its default")),
        false => Ok(parsed),
    }
}

/// As [`duration`], nothing included.
pub(super) fn duration_or_zero(value: &str) -> Parsed<Duration> {
    span_of_time(value)
}

/// Whole or decimal seconds without a unit, as the flags have them; a unit may follow.
pub(super) fn seconds(value: &str) -> Parsed<Duration> {
    match value.parse::<f64>() {
        Ok(number) => Duration::try_from_secs_f64(number).map_err(|_| unlike(value, "a number of seconds")),
        Err(_) => span_of_time(value),
    }
}

fn span_of_time(value: &str) -> Parsed<Duration> {
    let form = || unlike(value, "a duration").hint("as in 10s, 1m30s, 250ms or 1h");
    if value.parse::<f64>().is_ok() {
        return Err(wrong(format!("{value} has no unit")).hint(format!("{value}s are seconds, {value}ms milliseconds")));
    }
    let (mut rest, mut total) = (value.trim(), Duration::ZERO);
    if rest.is_empty() {
        return Err(form());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(char::is_alphabetic).len();
        let (unit, tail) = tail.split_at(letters);
        let number: u64 = number.parse().map_err(|_| form())?;
        let part = match unit {
            "us" | "µs" => Some(Duration::from_micros(number)),
            "ms" => Some(Duration::from_millis(number)),
            "s" => Some(Duration::from_secs(number)),
            "m" => number.checked_mul(60).map(Duration::from_secs),
            "h" => number.checked_mul(3600).map(Duration::from_secs),
            "d" => number.checked_mul(86_400).map(Duration::from_secs),
            _ => return Err(form()),
        };
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= LONGEST)
            .ok_or_else(|| wrong(format!("{value} is longer than {} days", LONGEST.as_secs() / 86_400)))?;
        rest = tail;
    }
    Ok(total)
}

/// Longer times than this are slips, and would overflow a clock somewhere.
const LONGEST: Duration = Duration::from_secs(3660 * 86_400);

/// `4MiB`, `64KiB`, `10MB`, or bytes.
pub(super) fn size(value: &str) -> Parsed<usize> {
    let form = || unlike(value, "a size").hint("as in 4MiB, 64KiB or 65536 (bytes)");
    let trimmed = value.trim();
    let digits = trimmed.len() - trimmed.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').len();
    let (number, unit) = trimmed.split_at(digits);
    let number: usize = number.replace('_', "").parse().map_err(|_| form())?;
    let factor: usize = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" | "Ki" | "K" | "k" => 1 << 10,
        "MiB" | "Mi" | "M" => 1 << 20,
        "GiB" | "Gi" | "G" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(form()),
    };
    number.checked_mul(factor).ok_or_else(|| wrong(format!("{value} is more than this machine can count")))
}

/// A size within bounds, in bytes.
pub(super) fn size_within<T: TryFrom<usize>>(least: usize, most: usize) -> impl Fn(&str) -> Parsed<T> {
    move |value| {
        let bytes = size(value)?;
        match T::try_from(bytes) {
            Ok(fits) if (least..=most).contains(&bytes) => Ok(fits),
            _ => Err(wrong(format!("{value} is not between {least} and {most} bytes"))),
        }
    }
}

/// `127.0.0.1:8080`, `[::]:8443`, `localhost:8080`.
pub(super) fn address(value: &str) -> Parsed<SocketAddr> {
    if let Ok(address) = value.parse() {
        return Ok(address);
    }
    let form = unlike(value, "an address to listen on");
    if let Ok(ip) = value.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Err(form.hint(format!("the port is missing, as in {}", SocketAddr::new(ip, 8080))));
    }
    let (host, port) = value.rsplit_once(':').unwrap_or(("", value));
    let Ok(port) = port.parse::<u16>() else { return Err(form.hint("as in 127.0.0.1:8080 or [::]:8080")) };
    match host {
        "localhost" => Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)),
        "" | "*" => Err(form.hint(format!(
            "write 127.0.0.1:{port} for this machine alone, {} for every address",
            SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)
        ))),
        _ => Err(form.hint("an IP address, not a name, stands before the port")),
    }
}

/// An upstream's URL, as the upstream room reads it; here come the hints.
pub(super) fn endpoint(value: &str) -> Parsed<EndpointSettings> {
    EndpointSettings::parse(value).map_err(|error| {
        let wrong = wrong(error.to_string());
        match value.split_once("://") {
            _ if value.starts_with("dns:") => wrong.hint(format!("names to look up are `discovery: {value}`")),
            None => wrong.hint(format!("as in h2c://{value} or h2s://{value}")),
            Some((scheme, rest)) => match closest(scheme, SCHEMES) {
                Some(near) if near != scheme => wrong.hint(format!("did you mean {near}://{rest}?")),
                _ => wrong,
            },
        }
    })
}

const SCHEMES: [&str; 6] = ["h2c", "http", "grpc", "h2s", "https", "grpcs"];

/// What a browser sends as `Origin`: scheme, host and port only; or `*`.
pub(super) fn origin(value: &str) -> Parsed<String> {
    if value == "*" {
        return Ok(value.to_owned());
    }
    let Some((scheme, authority)) = value.split_once("://") else {
        return Err(unlike(value, "an origin").hint(format!("as in https://{value}, or \"*\" for every origin")));
    };
    if let Some(end) = authority.find(['/', '?', '#']) {
        let bare = authority.get(..end).unwrap_or_default();
        return Err(wrong("an origin has no path").hint(format!("write {scheme}://{bare}")));
    }
    if authority.contains('*') {
        return Err(wrong("an origin is matched as a whole").hint("list each origin, or \"*\" alone for every one"));
    }
    match authority.parse::<http::uri::Authority>() {
        // browsers send both in lower case, RFC 6454 section 6.2
        Ok(_) if !scheme.is_empty() && !authority.contains('@') => Ok(value.to_ascii_lowercase()),
        _ => Err(unlike(value, "an origin").hint("as in https://app.example")),
    }
}

/// A method of HTTP for a rule, or `*` for every one.
pub(super) fn verb(value: &str) -> Parsed<Verb> {
    match value {
        "*" => Ok(Verb::Any),
        _ => http_method(value).map(Verb::Exact),
    }
}

/// A method of HTTP.
pub(super) fn http_method(value: &str) -> Parsed<http::Method> {
    match http::Method::from_bytes(value.as_bytes()) {
        Ok(_) if value.chars().any(|c| c.is_ascii_lowercase()) => {
            Err(unlike(value, "a method of HTTP").hint(format!("write {}", value.to_ascii_uppercase())))
        }
        Ok(method) => Ok(method),
        Err(_) => Err(unlike(value, "a method of HTTP")),
    }
}

/// The name of a header.
pub(super) fn header_name(value: &str) -> Parsed<http::HeaderName> {
    http::HeaderName::from_bytes(value.as_bytes()).map_err(|_| unlike(value, "a header's name"))
}

/// The name of a cluster or catalog: it stands in messages and metrics.
pub(super) fn name(value: &str) -> Parsed<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match !value.is_empty() && value.len() <= 128 && value.chars().all(fits) {
        true => Ok(value.to_owned()),
        false => Err(unlike(value, "a name").hint("letters, digits, `-`, `_` and `.`; at most 128")),
    }
}

/// `host` or `host:port`, as in `:authority`.
pub(super) fn authority(value: &str) -> Parsed<String> {
    match value.parse::<http::uri::Authority>() {
        Ok(_) if !value.contains('@') => Ok(value.to_owned()),
        _ => Err(unlike(value, "a host, with a port or without").hint("as in books.example or books.example:8443")),
    }
}

/// A name for certificates: `books.example`, `*.books.example`, or (upstream only) an IP address.
pub(super) fn server_name(value: &str) -> Parsed<String> {
    let bare = value.strip_prefix("*.").unwrap_or(value);
    match rustls_pki_types::ServerName::try_from(bare) {
        Ok(_) if bare.len() == value.len() || bare.parse::<IpAddr>().is_err() => Ok(value.to_ascii_lowercase()),
        _ => Err(unlike(value, "a server's name").hint("as in books.example or *.books.example")),
    }
}

/// The host of a request, as a whole and without a port: `books.example`.
pub(super) fn host(value: &str) -> Parsed<String> {
    match value.rsplit_once(':') {
        Some((bare, port)) if !bare.contains(':') && port.parse::<u16>().is_ok() => {
            Err(wrong(format!("{value} has a port")).hint(format!("hosts are matched without it: {bare}")))
        }
        _ if value.contains('*') => Err(wrong("a host is matched as a whole").hint("list each of them")),
        _ => server_name(value),
    }
}

/// Services by name: `*`, `pkg.*` or `pkg.Service`.
pub(super) fn services(value: &str) -> Parsed<String> {
    let bare = if value == "*" { "" } else { value.strip_suffix(".*").unwrap_or(value) };
    match value == "*" || is_full_name(bare) {
        true => Ok(value.to_owned()),
        false => Err(unlike(value, "a name of services").hint("as in pkg.Service, pkg.* or *")),
    }
}

/// Which methods settings are for: `*`, `pkg.Service/*` or `pkg.Service/Method`.
pub(super) fn methods(value: &str) -> Parsed<String> {
    let form = || unlike(value, "a choice of methods");
    if value == "*" {
        return Ok(value.to_owned());
    }
    let bare = value.strip_prefix('/').unwrap_or(value);
    match bare.split_once('/') {
        Some((service, "*")) if is_full_name(service) => Ok(bare.to_owned()),
        Some((service, method)) if is_full_name(service) && is_identifier(method) => Ok(bare.to_owned()),
        Some(_) => Err(form().hint("as in *, pkg.Service/* or pkg.Service/Method")),
        None => {
            let dotted = bare.rsplit_once('.').filter(|(service, _)| service.contains('.'));
            let example = dotted.map(|(service, method)| format!("{bare}/* or {service}/{method}"));
            Err(form()
                .hint(format!("as in {}", example.unwrap_or_else(|| "*, pkg.Service/* or pkg.Service/Method".into()))))
        }
    }
}

/// Which methods a route is for: as [`methods`], or `pkg.*` for all below a package.
pub(super) fn route_methods(value: &str) -> Parsed<String> {
    match value.strip_suffix(".*") {
        Some(package) if is_full_name(package) => Ok(value.to_owned()),
        _ => methods(value),
    }
}

/// What a method becomes: `pkg.Service/Method`, or `pkg.Service/*` for its own name in another service.
pub(super) fn rename(value: &str) -> Parsed<String> {
    match methods(value)? {
        all if all == "*" => Err(unlike(value, "another name").hint("as in pkg.v2.Service/* or pkg.v2.Service/Method")),
        name => Ok(name),
    }
}

/// The host of a request without a port, or `*.` and what it ends with.
pub(super) fn host_pattern(value: &str) -> Parsed<String> {
    match value.strip_prefix("*.") {
        Some(below) => host(below).map(|below| format!("*.{below}")),
        None => host(value),
    }
}

/// `5`, `0.5` or `5%`, in millionths.
pub(super) fn percent(value: &str) -> Parsed<u32> {
    let form = || unlike(value, "a part of a hundred").hint("as in 5, 0.5 or 100");
    let number: f64 = value.strip_suffix('%').unwrap_or(value).trim().parse().map_err(|_| form())?;
    // in bounds, so that the cast keeps it
    if (0.0..=100.0).contains(&number) { Ok((number * 10_000.0).round() as u32) } else { Err(form()) }
}

/// A duration, or the least and the most with two dots between.
pub(super) fn delay(value: &str) -> Parsed<(Duration, Duration)> {
    let Some((least, most)) = value.split_once("..") else { return duration(value).map(|fixed| (fixed, fixed)) };
    let (least, most) = (duration_or_zero(least.trim())?, duration(most.trim())?);
    if least > most {
        return Err(wrong(format!("{least:?} is more than {most:?}")).hint("the least comes first"));
    }
    Ok((least, most))
}

/// A regular expression for whole values.
pub(super) fn regex(value: &str) -> Parsed<regex::bytes::Regex> {
    // by itself first, so that a bracket too many cannot close what is put around it
    let parsed = regex::bytes::Regex::new(value);
    let whole =
        parsed.and_then(|_| regex::bytes::RegexBuilder::new(&format!(r"\A(?:{value})\z")).size_limit(1 << 20).build());
    whole.map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        unlike(value, "a regular expression").hint(last)
    })
}

/// Bytes in hexadecimal.
pub(super) fn hex(value: &str) -> Parsed<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = value.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect();
    bytes.ok_or_else(|| unlike(value, "bytes in hexadecimal").hint("two digits for each byte"))
}

/// Bytes in base64, of either alphabet.
pub(super) fn base64(value: &str) -> Parsed<Vec<u8>> {
    let bytes = crate::wire::decode_bin(value.as_bytes()).map(|bytes| bytes.to_vec());
    bytes.map_err(|_| {
        unlike(value, "bytes in base64").hint("the values of -bin metadata are bytes; or give them as `hex`")
    })
}

/// Which methods a rule is for: the full name of one (`pkg.Service.Method`), all below a name (`pkg.Service.*`, `pkg.*`), or
/// all (`*`).
pub(super) fn selector(value: &str) -> Parsed<String> {
    let below = value.strip_suffix(".*");
    if value == "*" || is_full_name(below.unwrap_or(value)) && value.contains('.') {
        return Ok(value.to_owned());
    }
    let dotted = value.trim_start_matches('/').replace('/', ".");
    let hint = if is_full_name(&dotted) && dotted.contains('.') { dotted } else { "pkg.Service.Method".into() };
    Err(unlike(value, "a method's full name").hint(format!("as in {hint}")))
}

/// The path of a rule. Its grammar is checked with the catalog, which knows the fields that it names.
pub(super) fn template(value: &str) -> Parsed<String> {
    match value.strip_prefix('/') {
        Some(_) => Ok(value.to_owned()),
        None => Err(wrong("a path begins with `/`").hint(format!("write /{value}"))),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&str) -> Parsed<T> {
    move |value| match words.iter().find(|(word, _)| *word == value) {
        Some((_, choice)) => Ok(*choice),
        None => {
            let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let wrong = unlike(value, &all.join(" or "));
            Err(match closest(value, all) {
                Some(near) => wrong.hint(format!("did you mean \"{near}\"?")),
                None => wrong,
            })
        }
    }
}

/// Dotted identifiers.
fn is_full_name(name: &str) -> bool {
    name.split('.').all(is_identifier)
}

fn is_identifier(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

pub(super) fn wrong(text: impl Into<String>) -> Wrong {
    Wrong { text: text.into(), hint: None }
}

/// `"x" is not a duration`; a long value is cut.
pub(super) fn unlike(value: &str, form: &str) -> Wrong {
    match value {
        "" => wrong(format!("is empty, and should be {form}")),
        _ => wrong(format!("{} is not {form}", quoted(value))),
    }
}

/// A value in quotes and on one line, cut where it grows long.
pub(super) fn quoted(value: &str) -> String {
    let mut shown: String = value.chars().take(80).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

// === impl Wrong ===

impl Wrong {
    pub fn hint(mut self, hint: impl Into<String>) -> Wrong {
        self.hint = Some(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint<T: std::fmt::Debug>(parsed: Parsed<T>) -> String {
        parsed.expect_err("is refused").hint.unwrap_or_default()
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(hint(duration("30")), "30s are seconds, 30ms milliseconds");
        for bad in ["", "s", "10", "10 s", "10q", "-1s", "1.5s", "0s", "99999999999999999999s", "9999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(duration_or_zero("0s"), Ok(Duration::ZERO));
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        assert_eq!(seconds("1m"), Ok(Duration::from_secs(60)));
        for bad in ["-1", "NaN", "inf", "1e300", ""] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        assert_eq!(size("4MiB"), Ok(4 << 20));
        assert_eq!(size("64 KiB"), Ok(64 << 10));
        assert_eq!(size("65_536"), Ok(65_536));
        assert_eq!(size("1MB"), Ok(1_000_000));
        assert_eq!(size("0"), Ok(0));
        for bad in ["", "MiB", "-1", "4 apples", "1.5MiB", "99999999999999999999", "99999999999GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_an_ip_and_a_port() {
        assert_eq!(address("127.0.0.1:80").map(|a| a.to_string()), Ok("127.0.0.1:80".into()));
        assert_eq!(address("localhost:80").map(|a| a.to_string()), Ok("127.0.0.1:80".into()));
        assert_eq!(address("[::]:80").map(|a| a.to_string()), Ok("[::]:80".into()));
        assert_eq!(hint(address("8080")), "write 127.0.0.1:8080 for this machine alone, [::]:8080 for every address");
        assert_eq!(hint(address("0.0.0.0")), "the port is missing, as in 0.0.0.0:8080");
        assert_eq!(hint(address("::1")), "the port is missing, as in [::1]:8080");
        for bad in ["", ":", "books.example:80", "127.0.0.1:99999", "::", "[]"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn upstream_urls_have_six_schemes() {
        for scheme in SCHEMES {
            let tls = matches!(scheme, "h2s" | "https" | "grpcs");
            let expected = EndpointSettings::new("a.example", 50051, tls);
            assert_eq!(endpoint(&format!("{scheme}://a.example:50051")), Ok(expected), "{scheme}");
        }
        assert_eq!(hint(endpoint("127.0.0.1:50051")), "as in h2c://127.0.0.1:50051 or h2s://127.0.0.1:50051");
        assert_eq!(hint(endpoint("htps://a")), "did you mean https://a?");
        for bad in ["", "h2c://", "h2c://a:0", "h2c://a/path", "tcp://a", "unix:///a"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_are_what_browsers_send() {
        assert_eq!(origin("https://App.Example"), Ok("https://app.example".into()));
        assert_eq!(origin("*"), Ok("*".into()));
        assert_eq!(hint(origin("https://app.example/")), "write https://app.example");
        assert!(hint(origin("app.example")).starts_with("as in https://app.example"));
        for bad in ["", "https://", "https://*.example", "https://a b", "://a"] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn methods_are_chosen_by_star_service_or_name() {
        assert_eq!(methods("*"), Ok("*".into()));
        assert_eq!(methods("a.B/*"), Ok("a.B/*".into()));
        assert_eq!(methods("/a.B/C"), Ok("a.B/C".into()));
        assert_eq!(hint(methods("a.v1.B.C")), "as in a.v1.B.C/* or a.v1.B/C");
        for bad in ["", "a.B", "a.*", "a..B/C", "/", "a.B/C/D", "9/x"] {
            assert!(methods(bad).is_err(), "{bad}");
        }
        assert_eq!(hint(selector("/a.B/C")), "as in a.B.C");
        for good in ["a.B.C", "a.B.*", "a.*", "*"] {
            assert_eq!(selector(good).as_deref(), Ok(good));
        }
        for bad in ["a", "a.B*", ".*", "a.*.C", "**", "a.B/*"] {
            assert!(selector(bad).is_err(), "{bad}");
        }
        assert!(services("a.*").is_ok() && services("*").is_ok() && services("a.B").is_ok());
        assert!(services("a.B*").is_err() && services("").is_err() && services(".*").is_err());
    }

    #[test]
    fn values_of_routes_have_their_forms() {
        assert_eq!(route_methods("a.b.*").as_deref(), Ok("a.b.*"));
        assert_eq!(route_methods("/a.B/C").as_deref(), Ok("a.B/C"));
        assert!(route_methods("a.B").is_err() && route_methods(".*").is_err());
        assert_eq!(rename("a.v2.B/*").as_deref(), Ok("a.v2.B/*"));
        assert!(rename("*").is_err() && rename("a.*").is_err());
        assert_eq!((percent("5"), percent("0.5%"), percent("100")), (Ok(50_000), Ok(5_000), Ok(1_000_000)));
        for bad in ["", "-1", "101", "x", "NaN"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        assert_eq!((delay("200ms"), delay("0s..2s")), (Ok((ms(200), ms(200))), Ok((s(0), s(2)))));
        assert!(delay("0s").is_err() && delay("2s..1s").is_err() && delay("..").is_err());
        let whole = regex("a|b").expect("a pattern");
        assert!(whole.is_match(b"a") && !whole.is_match(b"ab") && !whole.is_match(b"a\n"));
        assert!(regex("a)(?:b").is_err() && regex("(").is_err());
        assert_eq!((hex("00fF"), hex("")), (Ok(vec![0, 255]), Ok(vec![])));
        assert!(hex("0").is_err() && hex("0g").is_err() && base64("*").is_err());
        assert_eq!(host_pattern("*.EU.example").as_deref(), Ok("*.eu.example"));
        assert!(host_pattern("*").is_err() && host_pattern("a.*").is_err() && host_pattern("a:1").is_err());
    }

    #[test]
    fn words_are_suggested() {
        let parse = choice(&[("refuse", 1), ("report", 2)]);
        assert_eq!(parse("report"), Ok(2));
        assert_eq!(hint(parse("refus")), "did you mean \"refuse\"?");
        assert_eq!(hint(boolean("yes")), "write true");
        assert_eq!(hint(http_method("get")), "write GET");
        assert_eq!(hint(host("*.a.example")), "list each of them");
        assert_eq!(hint(host("a.example:80")), "hosts are matched without it: a.example");
        assert!(
            server_name("*.a.example").is_ok() && server_name("a..b").is_err() && server_name("*.1.2.3.4").is_err()
        );
    }
}
