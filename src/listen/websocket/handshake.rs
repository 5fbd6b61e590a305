//! The opening handshake: RFC 6455 section 4.2 over HTTP/1.1, RFC 8441 section 5 over HTTP/2.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use h2::ext::Protocol;
use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{Extensions, Method, Request, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::call::{Head, Kind, Refusal, Subprotocol};
use crate::proxy::{Body, refuse_handshake};

/// What both sides will speak.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) subprotocol: Subprotocol,
    /// For `sec-websocket-accept`; HTTP/2 has none.
    accept: Option<HeaderValue>,
}

/// Why a handshake fails.
#[derive(Debug)]
pub(super) enum Fault {
    /// RFC 6455 section 4.4: the answer names the version that we speak.
    Version,
    Refused(Refusal),
}

const SPOKEN: HeaderValue = HeaderValue::from_static("13");

/// Whether a request asks for a WebSocket. HTTP/1.1 lets a server ignore every other upgrade, and this one by another
/// verb (RFC 9110 section 7.8); an extended CONNECT is one whatever protocol it names.
pub(in crate::listen) fn asks<B>(request: &Request<B>) -> bool {
    match request.version() {
        Version::HTTP_2 => request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_some(),
        Version::HTTP_11 => {
            let headers = request.headers();
            request.method() == Method::GET
                && headers.contains_key(UPGRADE)
                && names(headers, &UPGRADE, "websocket")
                && names(headers, &CONNECTION, "upgrade")
        }
        _ => false,
    }
}

/// Whether a list names this word, in any case.
fn names(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    words(headers, name).any(|one| one.eq_ignore_ascii_case(word))
}

/// The words of a field's lists, line after line.
fn words<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

/// Checks the request and chooses what to speak.
pub(super) fn agree(parts: &Parts) -> Result<Agreed, Fault> {
    protocol(&parts.extensions)?;
    if parts.headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| *version != SPOKEN) {
        return Err(Fault::Version);
    }
    let accept = if parts.version == Version::HTTP_2 { None } else { Some(accept(&parts.headers)?) };
    Ok(Agreed { subprotocol: chosen(&parts.headers)?, accept })
}

fn protocol(extensions: &Extensions) -> Result<(), Fault> {
    match extensions.get::<Protocol>() {
        Some(protocol) if protocol.as_str() != "websocket" => {
            let text = format!("CONNECT for {:?} is not answered, only for websocket", protocol.as_str());
            Err(Fault::Refused(Refusal::new(Kind::NotSupported, text)))
        }
        _ => Ok(()),
    }
}

fn accept(headers: &HeaderMap) -> Result<HeaderValue, Fault> {
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    let sound = STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    let accept = HeaderValue::try_from(derive_accept_key(key));
    accept.ok().filter(|_| sound).ok_or_else(|| bad("sec-websocket-key is not 16 bytes in base64"))
}

/// The first of the caller's subprotocols that is ours; plain JSON if it names none.
fn chosen(headers: &HeaderMap) -> Result<Subprotocol, Fault> {
    let mut asked = words(headers, &SEC_WEBSOCKET_PROTOCOL).peekable();
    if asked.peek().is_none() {
        return Ok(Subprotocol::Json);
    }
    asked.find_map(Subprotocol::named).ok_or_else(|| {
        bad("none of the subprotocols in sec-websocket-protocol is spoken here; \
             grpc-websockets and transom.json.v1 are, and plain JSON without one")
    })
}

fn bad(text: &'static str) -> Fault {
    Fault::Refused(Refusal::new(Kind::BadHeader, text))
}

/// Takes the handshake's own fields away: they are no metadata.
pub(super) fn strip(headers: &mut HeaderMap) {
    for name in [
        SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_VERSION,
        SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_ACCEPT,
    ] {
        headers.remove(name);
    }
}

// === impl Agreed ===

impl Agreed {
    /// The answer that opens the socket.
    pub(super) fn answer(self) -> Response<Body> {
        let mut response = Response::new(Body::Empty);
        let headers = response.headers_mut();
        if let Some(name) = self.subprotocol.name() {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
        }
        if let Some(accept) = self.accept {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        }
        response
    }
}

// === impl Fault ===

impl Fault {
    pub(super) fn answer(&self, head: &Head) -> Response<Body> {
        match self {
            Fault::Refused(refusal) => refuse_handshake(refusal, head),
            Fault::Version => {
                let text = "the version of WebSocket that is spoken here is 13 (RFC 6455)";
                let mut response = refuse_handshake(&Refusal::new(Kind::BadHeader, text), head);
                *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
                response.headers_mut().insert(SEC_WEBSOCKET_VERSION, SPOKEN);
                response
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: [(&str, &str); 4] = [
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn request(fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri("/a.B/C");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn with(name: &'static str, value: &'static str) -> Parts {
        let mut request = request(&ASKED);
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        request.into_parts().0
    }

    #[test]
    fn the_example_of_the_rfc_is_answered_as_there() {
        assert!(asks(&request(&ASKED)));
        let agreed = agree(&request(&ASKED).into_parts().0).unwrap();
        assert_eq!(agreed.subprotocol, Subprotocol::Json);
        let response = agreed.answer();
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!response.headers().contains_key("sec-websocket-protocol"));
    }

    #[test]
    fn other_upgrades_and_verbs_are_plain_requests() {
        assert!(!asks(&request(&[("upgrade", "h2c"), ("connection", "upgrade")])));
        assert!(!asks(&request(&[("upgrade", "websocket")])));
        assert!(!asks(&request(&[])));
        let mut post = request(&ASKED);
        *post.method_mut() = Method::POST;
        assert!(!asks(&post));
        let mut old = request(&ASKED);
        *old.version_mut() = Version::HTTP_10;
        assert!(!asks(&old));
        let mut plain_connect = request(&ASKED);
        *plain_connect.version_mut() = Version::HTTP_2;
        *plain_connect.method_mut() = Method::CONNECT;
        assert!(!asks(&plain_connect));
    }

    #[test]
    fn the_callers_first_subprotocol_that_is_ours_is_chosen() {
        for (list, expected) in [
            ("grpc-websockets", Subprotocol::Grpc),
            ("chat, transom.json.v1, grpc-websockets", Subprotocol::Envelopes),
            ("Grpc-WebSockets", Subprotocol::Grpc),
            (" , ", Subprotocol::Json),
        ] {
            assert_eq!(agree(&with("sec-websocket-protocol", list)).unwrap().subprotocol, expected, "{list}");
        }
        assert!(matches!(agree(&with("sec-websocket-protocol", "chat")), Err(Fault::Refused(_))));
    }

    #[test]
    fn a_damaged_handshake_is_refused() {
        assert!(matches!(agree(&with("sec-websocket-version", "8")), Err(Fault::Version)));
        for key in ["", "AAAA", "not base64", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="] {
            assert!(matches!(agree(&with("sec-websocket-key", key)), Err(Fault::Refused(_))), "{key}");
        }
        let parts = request(&ASKED[..3]).into_parts().0;
        assert!(matches!(agree(&parts), Err(Fault::Refused(_))));
    }
}
