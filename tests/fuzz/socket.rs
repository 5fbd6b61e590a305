//! What the fuzz target of the WebSocket dialects does with its input; `tests/transcode` runs the committed corpus through
//! the same. (The frames of the WebSocket protocol itself are read by tungstenite.)

use bytes::Bytes;
use transom::call::Subprotocol;
use transom::protocol::{Cutter, Said, SocketFrame, merge, said};

/// Bytes of metadata that a caller may send, so few that inputs reach it.
const LONGEST: usize = 200;

/// The first byte names the subprotocol and where in a call the frame stands; the rest is a frame of the caller's, and the
/// body of an answer, which is cut into the same frames however it comes.
pub fn socket(data: &[u8]) {
    let Some((&first, payload)) = data.split_first() else { return };
    let subprotocol = [Subprotocol::Grpc, Subprotocol::Json, Subprotocol::Envelopes][usize::from(first & 3) % 3];
    match said(subprotocol, first & 4 == 0, first & 8 == 0, Bytes::copy_from_slice(payload), LONGEST) {
        Ok(Said::Headers(fields)) => {
            let size: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
            assert!(size <= LONGEST, "{size} bytes of metadata");
            merge(&mut fields.clone(), fields);
        }
        Ok(Said::Message(message)) => assert!(message.len() <= payload.len()),
        Ok(Said::End | Said::Nothing) => {}
        Err(refusal) => assert!(!refusal.message.is_empty() && refusal.message.len() < 1000, "{}", refusal.message),
    }
    let whole = cut(subprotocol, payload, payload.len().max(1));
    for size in [1, 3, 7] {
        let pieces = cut(subprotocol, payload, size);
        if subprotocol == Subprotocol::Grpc {
            assert_eq!(bytes_of(&pieces), bytes_of(&whole));
        } else {
            assert_eq!(pieces, whole, "chunks of {size}");
        }
    }
}

/// The frames, and whether there was a fault.
fn cut(subprotocol: Subprotocol, body: &[u8], size: usize) -> (Vec<SocketFrame>, bool) {
    let (mut cutter, mut frames) = (Cutter::new(subprotocol), Vec::new());
    for chunk in body.chunks(size) {
        cutter.push(Bytes::copy_from_slice(chunk));
        loop {
            match cutter.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

fn bytes_of(cut: &(Vec<SocketFrame>, bool)) -> Vec<u8> {
    let binary = cut.0.iter().filter_map(|frame| match frame {
        SocketFrame::Binary(bytes) => Some(&bytes[..]),
        _ => None,
    });
    binary.flatten().copied().collect()
}
