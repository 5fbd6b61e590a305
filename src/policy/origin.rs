//! Which pages may open a WebSocket. CORS does not hold for handshakes (Fetch standard, "WebSocket opening handshake"):
//! a browser tells where the page is from and leaves it to the server, so a page of anywhere could speak with the cookies
//! of its visitor if nobody looked.

use http::header::{HeaderMap, ORIGIN};

use super::cors::Cors;

/// Whether a handshake may go on: it came from no browser, from a page of this very host, or from an origin that CORS
/// allows. `authority` is the handshake's `host` or `:authority`.
pub fn may_open(headers: &HeaderMap, authority: Option<&str>, cors: Option<&Cors>) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let same = origin.to_str().ok().zip(authority).is_some_and(|(origin, host)| is_same(origin, host));
    same || cors.is_some_and(|cors| cors.origin(headers).is_some())
}

/// Whether the origin's host and port are those of the authority. The scheme is not compared: where TLS ends before us
/// we would not know it.
fn is_same(origin: &str, authority: &str) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(default).unwrap_or(text).to_ascii_lowercase();
    !host.is_empty() && bare(host) == bare(authority)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::super::cors::Settings;
    use super::*;

    fn from(origin: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))])
    }

    #[test]
    fn a_page_of_the_same_host_and_port_may_open_one() {
        for (origin, authority) in [
            ("http://edge.example", "edge.example"),
            ("http://edge.example:8080", "Edge.Example:8080"),
            ("https://edge.example", "edge.example:443"),
            ("http://[::1]:80", "[::1]"),
        ] {
            assert!(may_open(&from(origin), Some(authority), None), "{origin} {authority}");
        }
    }

    #[test]
    fn a_page_of_elsewhere_may_not_unless_cors_allows_it() {
        for (origin, authority) in [
            ("http://edge.example:8080", "edge.example"),
            ("http://edge.example.evil", "edge.example"),
            ("null", "edge.example"),
            ("http://", ""),
            ("file://edge.example", "edge.example"),
        ] {
            assert!(!may_open(&from(origin), Some(authority), None), "{origin} {authority}");
        }
        assert!(!may_open(&from("http://a.example"), None, None));
        let settings = Settings { origins: vec!["https://app.example".into()], ..Settings::default() };
        let cors = Cors::new(&settings);
        assert!(may_open(&from("https://app.example"), Some("edge.example"), cors.as_ref()));
        assert!(!may_open(&from("https://evil.example"), Some("edge.example"), cors.as_ref()));
    }

    #[test]
    fn what_is_no_browser_names_no_origin() {
        assert!(may_open(&HeaderMap::new(), Some("edge.example"), None));
    }
}
