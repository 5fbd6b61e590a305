//! The messages of `grpc.reflection.v1.ServerReflection`, by hand (protos/grpc/reflection/v1/reflection.proto; `v1alpha` has
//! the same numbers). A decoder into vectors of messages would let two bytes of a hostile answer become dozens in memory;
//! here what is kept is counted.

use bytes::Bytes;

use super::services::is_full_name;
use crate::status::Code;
use crate::wire::{Malformed, Record, prefix, put_bytes, records};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Which services there are.
    Services,
    /// The file that declares this service.
    Symbol(String),
    /// The file of this name.
    File(String),
}

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Encoded `FileDescriptorProto`s.
    Files(Vec<Bytes>),
    /// Full names.
    Services(Vec<String>),
    /// The question has no answer; the stream goes on.
    Error { code: Code, message: String },
    /// What nobody asked for.
    Other,
}

/// Why bytes are no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Malformed(Malformed),
    /// More of something than is believed.
    TooMany {
        what: &'static str,
        limit: usize,
    },
    /// A service has a name that none can have.
    BadName(String),
}

/// Files in one answer: all of googleapis are 6,000.
const MAX_FILES: usize = 20_000;
/// Services of one server.
const MAX_SERVICES: usize = 10_000;
/// Bytes of a server's message that are shown.
const MAX_SHOWN: usize = 300;

/// Numbers of the fields of both messages.
mod number {
    pub const FILE_BY_FILENAME: u32 = 3;
    pub const FILE_CONTAINING_SYMBOL: u32 = 4;
    pub const LIST_SERVICES: u32 = 7;
    pub const FILES_ANSWER: u32 = 4;
    pub const SERVICES_ANSWER: u32 = 6;
    pub const ERROR_ANSWER: u32 = 7;
}

/// The tag of a length-delimited field.
const fn delimited(number: u32) -> u32 {
    number << 3 | 2
}

/// A text of a peer, short enough to be shown, on one line.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::new();
    for char in text.chars() {
        if out.len() >= MAX_SHOWN {
            out.push_str("...");
            break;
        }
        match char.is_control()
            || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        {
            true => out.extend(char.escape_default()),
            false => out.push(char),
        }
    }
    out
}

// === impl Question ===

impl Question {
    /// The question as a frame of gRPC.
    pub(super) fn frame(&self) -> Bytes {
        let mut message = Vec::new();
        match self {
            // what stands there is not looked at; grpcurl sends the same
            Question::Services => put_bytes(&mut message, number::LIST_SERVICES, b"*"),
            Question::Symbol(name) => put_bytes(&mut message, number::FILE_CONTAINING_SYMBOL, name.as_bytes()),
            Question::File(name) => put_bytes(&mut message, number::FILE_BY_FILENAME, name.as_bytes()),
        }
        [&prefix(0, message.len())[..], &message].concat().into()
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Question::Services => f.write_str("for its services"),
            Question::Symbol(name) => write!(f, "for the file of {name}"),
            Question::File(name) => write!(f, "for the file \"{}\"", shown(name)),
        }
    }
}

// === impl Answer ===

impl Answer {
    /// Reads a `ServerReflectionResponse`. Of several answers in it the last one counts, as of any `oneof`.
    pub(super) fn read(message: &Bytes) -> Result<Answer, Unreadable> {
        const FILES: u32 = delimited(number::FILES_ANSWER);
        const SERVICES: u32 = delimited(number::SERVICES_ANSWER);
        const ERROR: u32 = delimited(number::ERROR_ANSWER);
        let mut answer = Answer::Other;
        for record in records(message) {
            let Record { tag, piece, .. } = record?;
            match tag {
                FILES => answer = Answer::Files(files(message, piece.bytes)?),
                SERVICES => answer = Answer::Services(services(piece.bytes)?),
                ERROR => answer = error(piece.bytes)?,
                _ => {}
            }
        }
        Ok(answer)
    }
}

/// `FileDescriptorResponse`: `file_descriptor_proto` = 1.
fn files(message: &Bytes, bytes: &[u8]) -> Result<Vec<Bytes>, Unreadable> {
    let mut found = Vec::new();
    for record in records(bytes) {
        let Record { tag, piece, .. } = record?;
        if tag == delimited(1) {
            if found.len() >= MAX_FILES {
                return Err(Unreadable::TooMany { what: "files", limit: MAX_FILES });
            }
            found.push(message.slice_ref(piece.bytes));
        }
    }
    Ok(found)
}

/// `ListServiceResponse`: `service` = 1, of which each has `name` = 1.
fn services(bytes: &[u8]) -> Result<Vec<String>, Unreadable> {
    let mut found = Vec::new();
    for record in records(bytes) {
        let Record { tag, piece, .. } = record?;
        if tag == delimited(1) {
            if found.len() >= MAX_SERVICES {
                return Err(Unreadable::TooMany { what: "services", limit: MAX_SERVICES });
            }
            found.push(name(piece.bytes)?);
        }
    }
    Ok(found)
}

fn name(service: &[u8]) -> Result<String, Unreadable> {
    let mut name = "";
    for record in records(service) {
        let Record { tag, piece, .. } = record?;
        if tag == delimited(1) {
            name = std::str::from_utf8(piece.bytes).map_err(|_| Unreadable::BadName("no UTF-8".into()))?;
        }
    }
    if is_full_name(name) { Ok(name.to_owned()) } else { Err(Unreadable::BadName(shown(name))) }
}

/// `ErrorResponse`: `error_code` = 1, `error_message` = 2.
fn error(bytes: &[u8]) -> Result<Answer, Unreadable> {
    let (mut code, mut message) = (Code::Unknown, String::new());
    for record in records(bytes) {
        let Record { tag, piece, .. } = record?;
        match tag {
            8 => code = u32::try_from(piece.bits).map_or(Code::Unknown, Code::from_number),
            18 => message = shown(&String::from_utf8_lossy(piece.bytes)),
            _ => {}
        }
    }
    Ok(Answer::Error { code, message })
}

// === impl Unreadable ===

impl From<Malformed> for Unreadable {
    fn from(malformed: Malformed) -> Unreadable {
        Unreadable::Malformed(malformed)
    }
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unreadable::Malformed(Malformed(why)) => write!(f, "the answer is no protobuf: {why}"),
            Unreadable::TooMany { what, limit } => write!(f, "the answer has more than {limit} {what}"),
            Unreadable::BadName(name) => write!(f, "the answer names a service \"{name}\", as none can be called"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::put_uint;

    fn delimited_message(number: u32, parts: &[(u32, &[u8])]) -> Bytes {
        let mut inner = Vec::new();
        parts.iter().for_each(|(number, bytes)| put_bytes(&mut inner, *number, bytes));
        let mut out = Vec::new();
        put_bytes(&mut out, 1, b"host");
        put_bytes(&mut out, number, &inner);
        out.into()
    }

    #[test]
    fn questions_are_frames_of_the_request_message() {
        assert_eq!(&Question::Services.frame()[..], b"\0\0\0\0\x03\x3a\x01*");
        assert_eq!(&Question::Symbol("a.B".into()).frame()[..], b"\0\0\0\0\x05\x22\x03a.B");
        assert_eq!(&Question::File("a.proto".into()).frame()[..], b"\0\0\0\0\x09\x1a\x07a.proto");
    }

    #[test]
    fn answers_are_files_services_or_an_error() {
        let files = delimited_message(4, &[(1, b"one"), (1, b"two"), (9, b"more")]);
        assert_eq!(Answer::read(&files), Ok(Answer::Files(vec!["one".into(), "two".into()])));
        let services = delimited_message(6, &[(1, b"\x0a\x03a.B"), (1, b"\x12\x01x\x0a\x01C")]);
        assert_eq!(Answer::read(&services), Ok(Answer::Services(vec!["a.B".into(), "C".into()])));
        let mut inner = Vec::new();
        put_uint(&mut inner, 1, 5);
        put_bytes(&mut inner, 2, b"no\nsuch \xff");
        let mut error = Vec::new();
        put_bytes(&mut error, 7, &inner);
        let message = "no\\nsuch \u{fffd}".to_owned();
        assert_eq!(Answer::read(&error.into()), Ok(Answer::Error { code: Code::NotFound, message }));
        assert_eq!(Answer::read(&Bytes::new()), Ok(Answer::Other));
    }

    #[test]
    fn damaged_answers_are_refused_wherever_they_are_cut() {
        let whole = delimited_message(6, &[(1, b"\x0a\x03a.B"), (1, b"\x0a\x01C")]);
        for end in 1..whole.len() {
            let cut = Answer::read(&whole.slice(..end));
            // between the host and the answer a message is whole
            assert!(cut.is_err() || cut == Ok(Answer::Other), "{end}: {cut:?}");
        }
        for name in [&b""[..], b"a b", b"a\n", b"\xff", b"a..b", b"/a"] {
            let mut service = Vec::new();
            put_bytes(&mut service, 1, name);
            let answer = Answer::read(&delimited_message(6, &[(1, &service)]));
            assert!(matches!(answer, Err(Unreadable::BadName(_))), "{name:?}");
        }
    }

    #[test]
    fn what_would_become_large_in_memory_is_counted() {
        let many = |number| delimited_message(number, &vec![(1, &b""[..]); MAX_FILES + 1]);
        assert_eq!(Answer::read(&many(4)), Err(Unreadable::TooMany { what: "files", limit: MAX_FILES }));
        let services = delimited_message(6, &vec![(1, &b"\x0a\x01a"[..]); MAX_SERVICES + 1]);
        assert_eq!(Answer::read(&services), Err(Unreadable::TooMany { what: "services", limit: MAX_SERVICES }));
        assert_eq!(shown(&"x".repeat(1000)).len(), MAX_SHOWN + 3);
    }
}
