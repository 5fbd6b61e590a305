//! CORS (Fetch standard, "CORS protocol") with the lists that gRPC-Web and Connect need filled in, so that an operator
//! only names origins. Browsers hide every response header that is not exposed: each answer to a cross-origin call
//! therefore exposes the fields that it really carries, gRPC's status fields first.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderName, Method, StatusCode};
use std::time::Duration;

/// Who may call from a browser page of another origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Exact origins (`https://app.example`), or `*`.
    pub origins: Vec<String>,
    /// The methods that a page may use; `None`: the usual ones.
    pub methods: Option<Vec<Method>>,
    /// Request headers beside those of the protocols. A preflight that asks for others is answered with this list.
    pub allow_headers: Vec<HeaderName>,
    /// Response headers to expose beside those that the answer carries.
    pub expose_headers: Vec<HeaderName>,
    /// Whether cookies and authorization may be sent. With it, `*` answers the caller's own origin.
    pub credentials: bool,
    /// How long a browser may keep a preflight's answer.
    pub max_age: Duration,
}

/// The policy, ready to answer.
#[derive(Debug)]
pub struct Cors {
    any: bool,
    origins: Vec<HeaderValue>,
    credentials: bool,
    methods: HeaderValue,
    allow_headers: HeaderValue,
    expose_headers: String,
    max_age: HeaderValue,
}

/// What the protocols' own clients send (grpc-web, connect-web), plus what REST callers commonly do.
const ALLOW: &str = "content-type, grpc-timeout, x-grpc-web, x-user-agent, connect-protocol-version, connect-timeout-ms, \
    connect-content-encoding, connect-accept-encoding, grpc-encoding, grpc-accept-encoding, accept, authorization";
const EXPOSE: &str = "grpc-status, grpc-message, grpc-status-details-bin";
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS");
const VARY_PREFLIGHT: HeaderValue =
    HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers");

/// The longest list of request headers that a preflight may ask for, bytes; what is longer is answered with our list.
const LONGEST_REQUEST: usize = 2048;

// === impl Settings ===

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            origins: Vec::new(),
            methods: None,
            allow_headers: Vec::new(),
            expose_headers: Vec::new(),
            credentials: false,
            max_age: Duration::from_secs(7200),
        }
    }
}

// === impl Cors ===

impl Cors {
    /// `None` when no origin is named: then no answer carries a CORS field, and browsers refuse.
    pub fn new(settings: &Settings) -> Option<Cors> {
        if settings.origins.is_empty() {
            return None;
        }
        let joined =
            |base: &str, more: &[HeaderName]| more.iter().fold(base.to_owned(), |list, name| format!("{list}, {name}"));
        Some(Cors {
            any: settings.origins.iter().any(|origin| origin == "*"),
            origins: settings.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect(),
            credentials: settings.credentials,
            methods: settings.methods.as_deref().map_or(METHODS, joined_methods),
            allow_headers: HeaderValue::from_str(&joined(ALLOW, &settings.allow_headers))
                .unwrap_or(HeaderValue::from_static(ALLOW)),
            expose_headers: joined(EXPOSE, &settings.expose_headers),
            max_age: HeaderValue::from(settings.max_age.as_secs()),
        })
    }

    /// The origin of a cross-origin call that the policy allows: what `decorate` needs once the head is gone.
    pub fn origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        (self.any || self.origins.contains(origin)).then(|| origin.clone())
    }

    /// The answer to a preflight; `None` if the request is none. Answered before routing, so that a path that does not
    /// exist gets its real error on the real call.
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<(StatusCode, HeaderMap)> {
        if method != Method::OPTIONS
            || !headers.contains_key(ORIGIN)
            || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return None;
        }
        let mut out = HeaderMap::new();
        out.insert(VARY, VARY_PREFLIGHT);
        if let Some(origin) = self.origin(headers) {
            self.allow(&mut out, origin);
            out.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            out.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.allowed(headers));
            out.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
        Some((StatusCode::NO_CONTENT, out))
    }

    /// Application metadata is named by the application: an allowed origin may send the headers it asks for.
    fn allowed(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            Some(asked) if asked.len() <= LONGEST_REQUEST => asked.clone(),
            _ => self.allow_headers.clone(),
        }
    }

    fn allow(&self, out: &mut HeaderMap, origin: HeaderValue) {
        if self.any && !self.credentials {
            out.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            out.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        if self.credentials {
            out.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// Adds to an answer what lets the page of this origin read it: every field that it carries, by name (`*` is not
    /// understood with credentials).
    pub fn decorate(&self, origin: Option<HeaderValue>, headers: &mut HeaderMap) {
        if !self.any || self.credentials {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = origin else { return };
        let mut expose = self.expose_headers.clone();
        for name in headers.keys() {
            if !EXPOSE.contains(name.as_str()) {
                expose.push_str(", ");
                expose.push_str(name.as_str());
            }
        }
        self.allow(headers, origin);
        if let Ok(expose) = HeaderValue::from_str(&expose) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose);
        }
    }
}

fn joined_methods(methods: &[Method]) -> HeaderValue {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    HeaderValue::from_str(&names.join(", ")).unwrap_or(METHODS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(origins: &[&str], credentials: bool) -> Cors {
        let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        Cors::new(&Settings { origins, credentials, ..Settings::default() }).unwrap()
    }

    fn asked(origin: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static(origin));
        headers.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        headers
    }

    #[test]
    fn no_origins_means_no_policy() {
        assert!(Cors::new(&Settings::default()).is_none());
    }

    #[test]
    fn a_preflight_from_an_allowed_origin_gets_the_protocols_lists() {
        let cors = policy(&["https://a.example"], true);
        let (status, out) = cors.preflight(&Method::OPTIONS, &asked("https://a.example")).unwrap();
        assert_eq!(status, 204);
        assert_eq!(out[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        assert_eq!(out[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(out[ACCESS_CONTROL_MAX_AGE], "7200");
        for name in ["x-grpc-web", "grpc-timeout", "x-user-agent", "connect-protocol-version"] {
            assert!(out[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().contains(name), "{name}");
        }
    }

    #[test]
    fn a_preflight_from_elsewhere_is_answered_and_allows_nothing() {
        let cors = policy(&["https://a.example"], false);
        let (_, out) = cors.preflight(&Method::OPTIONS, &asked("https://b.example")).unwrap();
        assert!(!out.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        assert!(cors.preflight(&Method::POST, &asked("https://a.example")).is_none());
        assert!(cors.preflight(&Method::OPTIONS, &HeaderMap::new()).is_none());
    }

    #[test]
    fn an_answer_exposes_what_it_carries() {
        let cors = policy(&["*"], false);
        let mut headers = HeaderMap::new();
        headers.insert("x-app", HeaderValue::from_static("1"));
        headers.insert("grpc-status", HeaderValue::from_static("5"));
        cors.decorate(Some(HeaderValue::from_static("https://a.example")), &mut headers);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(headers[ACCESS_CONTROL_EXPOSE_HEADERS], "grpc-status, grpc-message, grpc-status-details-bin, x-app");
    }
}
