//! Server-sent events (HTML standard, 9.2): how messages, their labels and the end of a stream stand in the text. Nothing
//! that comes from a message can break its lines.

use bytes::Bytes;

/// What a caller hears who has heard nothing for a while: a comment.
pub(super) const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

/// Stands behind a message that [`put_labels`] stands in front of.
pub(super) const END_OF_EVENT: &[u8] = b"\n\n";

/// The last event of a stream that ended well. Readers come again after any end; this one tells them not to.
pub(super) const END_OF_STREAM: Bytes = Bytes::from_static(b"event: end\ndata: {}\n\n");

/// The labels of a message, up to where its data stands, which is JSON in one line. A label that one line cannot hold is
/// left out, and so is an id with a NUL, which readers drop.
pub fn put_labels(event: Option<&str>, id: Option<&str>, out: &mut Vec<u8>) {
    put_line("event", event, out);
    put_line("id", id.filter(|id| !id.contains('\0')), out);
    out.extend_from_slice(b"data: ");
}

/// Whether a line can hold it.
pub fn fits_a_line(text: &str) -> bool {
    !text.contains(['\r', '\n'])
}

fn put_line(name: &str, text: Option<&str>, out: &mut Vec<u8>) {
    if let Some(text) = text.filter(|text| fits_a_line(text)) {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    }
}

/// How long readers are to wait before they come again.
pub(super) fn retry(after: std::time::Duration) -> String {
    format!("retry: {}\n\n", after.as_millis())
}

/// The last event of a stream that failed; `status` is JSON in one line.
pub(super) fn put_failure(status: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: error\ndata: ");
    out.extend_from_slice(status);
    out.extend_from_slice(END_OF_EVENT);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(event: Option<&str>, id: Option<&str>) -> String {
        let mut out = Vec::new();
        put_labels(event, id, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn labels_stand_in_front_of_the_data() {
        assert_eq!(labels(None, None), "data: ");
        assert_eq!(labels(Some("book"), Some("shelves/1 ä")), "event: book\nid: shelves/1 ä\ndata: ");
        assert_eq!(labels(Some(" led"), Some("")), "event:  led\nid: \ndata: ");
    }

    #[test]
    fn no_label_breaks_a_line() {
        for bad in ["a\nb", "a\rb", "a\r\n\r\ndata: x", "\n"] {
            assert_eq!(labels(Some(bad), Some(bad)), "data: ", "{bad:?}");
        }
        assert_eq!(labels(None, Some("a\0b")), "data: ");
    }
}
