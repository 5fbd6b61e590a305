//! Percent coding of `grpc-message` (gRPC `doc/PROTOCOL-HTTP2.md`, "Status-Message").

use std::borrow::Cow;

use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};

/// Everything outside 0x20..=0x7E, and `%` itself.
const RESERVED: &AsciiSet = &CONTROLS.add(b'%').add(0x7f);

/// The text as a header value.
pub fn encode_message(text: &str) -> HeaderValue {
    let coded: Cow<'_, str> = utf8_percent_encode(text, RESERVED).into();
    // all that is left is 0x20..=0x7E, which a header value may hold
    HeaderValue::from_str(&coded).unwrap_or(HeaderValue::from_static(""))
}

/// The text of a header value. A bad escape stays as it is, bytes that are not UTF-8 become U+FFFD: a receiver never
/// fails on a message.
pub fn decode_message(value: &[u8]) -> String {
    percent_decode(value).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip() {
        for text in ["", "plain", "100 % \u{e9}t\u{e9}\r\n\t\u{1f600}", "a%20b", "\u{7f}~ "] {
            let coded = encode_message(text);
            assert!(coded.as_bytes().iter().all(|b| (0x20..=0x7e).contains(b)), "{coded:?}");
            assert_eq!(decode_message(coded.as_bytes()), text);
        }
    }

    #[test]
    fn a_bad_escape_is_kept_and_bad_utf8_replaced() {
        assert_eq!(decode_message(b"50%"), "50%");
        assert_eq!(decode_message(b"%zz %4"), "%zz %4");
        assert_eq!(decode_message(b"%ff"), "\u{fffd}");
    }
}
