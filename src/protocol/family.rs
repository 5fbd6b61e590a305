//! The family that a request's content type names, before anything is known of its method.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};

/// How messages are encoded on the caller's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    Proto,
    Json,
}

/// What a content type says of the caller's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Grpc(Option<Codec>),
    GrpcWeb {
        text: bool,
        codec: Option<Codec>,
    },
    ConnectStream(Option<Codec>),
    /// `application/json`, with or without parameters.
    Json,
    /// JSON texts in a row: `application/x-ndjson` and its other names.
    JsonLines,
    /// `application/proto`, `application/protobuf` or `application/x-protobuf`.
    Proto,
    /// No content type.
    None,
    /// Something else.
    Other,
}

/// More than the longest media type that is told from others by its suffix or its end (`application/grpc-web-text+proto`).
const LONGEST: usize = 64;

/// Reads the content type. Parameters as `; charset=utf-8` are accepted and ignored; case does not matter.
pub fn family(headers: &HeaderMap) -> Family {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Family::None };
    match value.as_bytes() {
        b"application/grpc" | b"application/grpc+proto" => Family::Grpc(Some(Codec::Proto)),
        value => {
            let essence = value.split(|byte| *byte == b';').next().unwrap_or(&[]).trim_ascii();
            // none of ours is longer, so what is cut here stays another
            let mut lower = [0; LONGEST + 1];
            let length = essence.len().min(lower.len());
            let lower = lower.get_mut(..length).unwrap_or_default();
            lower.copy_from_slice(essence.get(..length).unwrap_or_default());
            lower.make_ascii_lowercase();
            of_essence(lower)
        }
    }
}

/// Whether the caller says in so many words that it speaks Connect: `Connect-Protocol-Version: 1`, or `connect=v1` in the
/// query of a GET (Connect protocol reference, "Unary-Request", "Unary-Get-Request"). What to make of JSON on a path that
/// is no method's follows from it, since REST is JSON too.
pub fn names_connect(method: &Method, headers: &HeaderMap, query: Option<&str>) -> bool {
    if *method == Method::GET {
        let mut fields = form_urlencoded::parse(query.unwrap_or("").as_bytes());
        return fields.any(|(name, value)| name == "connect" && value == "v1");
    }
    *method == Method::POST && headers.get("connect-protocol-version").is_some_and(|version| version == "1")
}

/// Whether this media type, in lower case and without parameters, is one JSON text behind the other. It was never
/// registered, so it has several names.
pub(super) fn names_lines(essence: &[u8]) -> bool {
    matches!(
        essence,
        b"application/x-ndjson" | b"application/ndjson" | b"application/jsonl" | b"application/x-jsonlines"
    )
}

/// Of this media type, in lower case and without parameters.
fn of_essence(essence: &[u8]) -> Family {
    let (kind, suffix) = match essence.iter().position(|byte| *byte == b'+') {
        Some(plus) => essence.split_at(plus),
        None => (essence, &b""[..]),
    };
    let codec = match suffix {
        b"" | b"+proto" => Some(Codec::Proto),
        b"+json" => Some(Codec::Json),
        _ => None,
    };
    match (kind, suffix) {
        (b"application/grpc", _) => Family::Grpc(codec),
        (b"application/grpc-web", _) => Family::GrpcWeb { text: false, codec },
        (b"application/grpc-web-text", _) => Family::GrpcWeb { text: true, codec },
        (b"application/connect", suffix) if !suffix.is_empty() => Family::ConnectStream(codec),
        (b"application/json", b"") => Family::Json,
        _ if names_lines(essence) => Family::JsonLines,
        (b"application/proto" | b"application/protobuf" | b"application/x-protobuf", b"") => Family::Proto,
        _ => Family::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_name_their_family() {
        use Codec::{Json, Proto};
        for (text, expected) in [
            ("application/grpc", Family::Grpc(Some(Proto))),
            ("application/grpc+proto", Family::Grpc(Some(Proto))),
            ("application/grpc+json", Family::Grpc(Some(Json))),
            ("application/grpc+thrift", Family::Grpc(None)),
            ("Application/gRPC-Web; charset=utf-8", Family::GrpcWeb { text: false, codec: Some(Proto) }),
            ("application/grpc-web-text+proto", Family::GrpcWeb { text: true, codec: Some(Proto) }),
            // cut anywhere, it must not become one that we know
            (&format!("application/grpc+{}json", "x".repeat(80)), Family::Grpc(None)),
            (&format!("application/json{}", "x".repeat(80)), Family::Other),
            ("application/connect+json", Family::ConnectStream(Some(Json))),
            ("application/connect", Family::Other),
            ("application/json;charset=utf-8", Family::Json),
            ("application/proto", Family::Proto),
            ("application/x-ndjson", Family::JsonLines),
            ("application/JSONL; charset=utf-8", Family::JsonLines),
            ("application/grpcfoo", Family::Other),
            ("text/plain", Family::Other),
            ("", Family::Other),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, text.parse().unwrap());
            assert_eq!(family(&headers), expected, "{text:?}");
        }
        assert_eq!(family(&HeaderMap::new()), Family::None);
    }
    #[test]
    fn connect_is_named_by_its_version_field_or_by_the_query_of_a_get() {
        for (method, version, query, expected) in [
            (Method::POST, Some("1"), None, true),
            (Method::POST, Some("2"), None, false),
            (Method::POST, None, Some("connect=v1"), false),
            (Method::PUT, Some("1"), None, false),
            (Method::GET, None, Some("encoding=json&connect=v1&message=%7B%7D"), true),
            (Method::GET, None, Some("connect=v2"), false),
            (Method::GET, None, Some("disconnect=v1&connect&=v1&%63onnec=v1"), false),
            (Method::GET, Some("1"), None, false),
            (Method::GET, None, Some("%ff%&&=%c"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(version) = version {
                headers.insert("connect-protocol-version", version.parse().unwrap());
            }
            assert_eq!(names_connect(&method, &headers, query), expected, "{method} {version:?} {query:?}");
        }
    }
}
