//! Compression by hop: what the caller speaks is not what the upstream must speak, bombs are stopped, and nobody gets
//! what he did not offer to read.

use base64::Engine;
use transom::status::Code;

use super::dialects::{ALL, BASE64, BIDI, CLIENT, Dialect, SERVER, UNARY, frames, pack, prefix, unpack};
use super::support::{Answer, Ask, Edge, Transport, shared};

const EVERY: [&str; 5] = ["gzip", "deflate", "snappy", "zstd", "br"];
const FAST: (&str, &str) = ("x-demo-interval-ms", "0");

fn long() -> String {
    "the quick brown fox ".repeat(300)
}

/// What the upstream saw of a call.
fn seen(dialect: Dialect, answer: &Answer) -> String {
    let told = dialect.read(answer);
    let head = told.trailing.get("x-demo-head-bin").unwrap_or_else(|| panic!("the upstream tells: {told:?}"));
    String::from_utf8(BASE64.decode(head.as_bytes()).expect("base64")).expect("text")
}

/// Whether anything in the answer is compressed.
fn is_packed(dialect: Dialect, answer: &Answer) -> bool {
    let whole = !answer.header("content-encoding").is_empty();
    let framed = dialect.encoding_fields().0 != "content-encoding";
    let body = if dialect.is_text() { super::dialects::decode_text(&answer.body) } else { answer.body.clone() };
    whole || (framed && frames(&body).iter().any(|(flags, _)| flags & 1 != 0))
}

#[tokio::test]
async fn every_encoding_is_read_and_written_in_every_dialect() {
    let (edge, text) = (shared(), long());
    for dialect in ALL {
        for path in [UNARY, SERVER, CLIENT, BIDI].into_iter().filter(|path| dialect.speaks(path)) {
            for encoding in EVERY {
                let ask = dialect.ask_in(path, &[&text], Some(encoding));
                let ask = ask.headers(&[("x-demo-stream-count", "1"), FAST]);
                let transport = Transport::Http2;
                let answer = edge.ask(transport, &ask).await;
                let at = format!("{dialect:?} {path} {encoding}");
                let told = dialect.read(&answer);
                assert_eq!((told.code, told.messages), (Some(Code::Ok), vec![text.clone()]), "{at}");
                // frames of protobuf are compressed as the upstream likes it, and it was not asked to
                let made = dialect.is_json() || dialect == Dialect::ConnectProto;
                assert_eq!(is_packed(dialect, &answer), made, "{at} {:?}", answer.headers);
                let asked = ask.header("x-demo-compress", "deflate");
                let told = dialect.read(&edge.ask(transport, &asked).await);
                assert_eq!((told.code, told.messages), (Some(Code::Ok), vec![text.clone()]), "{at} back in deflate");
            }
        }
    }
}

#[tokio::test]
async fn what_the_upstream_reads_passes_and_the_rest_is_unpacked() {
    let edge = Edge::start("settings: [{match: \"*\", compression: {upstream: [gzip, zstd]}}]").await;
    let default = shared();
    for dialect in [Dialect::Grpc, Dialect::Web, Dialect::WebText, Dialect::ConnectStreamProto] {
        let path = if dialect == Dialect::ConnectStreamProto { CLIENT } else { UNARY };
        for (edge, encoding, passes) in [
            (default, "gzip", true),
            (default, "zstd", false),
            (default, "br", false),
            (&edge, "zstd", true),
            (&edge, "br", false),
        ] {
            let ask = dialect.ask_in(path, &[&long()], Some(encoding)).header("x-demo-tell", "1");
            let head = seen(dialect, &edge.ask(Transport::Http2, &ask).await);
            assert_eq!(head.contains(&format!("grpc-encoding: {encoding}")), passes, "{dialect:?} {encoding}: {head}");
            assert!(head.contains(&format!("grpc-accept-encoding: {encoding}")), "{dialect:?}: {head}");
            assert!(!head.contains("connect-"), "{dialect:?}: {head}");
        }
    }
}

#[tokio::test]
async fn nobody_gets_what_he_did_not_offer_to_read() {
    let (edge, text) = (shared(), long());
    for dialect in ALL {
        for path in [UNARY, SERVER].into_iter().filter(|path| dialect.speaks(path)) {
            let levers = [("x-demo-compress", "gzip"), ("x-demo-stream-count", "2"), FAST];
            let ask = dialect.ask(path, &[&text]).headers(&levers);
            let answer = edge.ask(Transport::Http2, &ask).await;
            let told = dialect.read(&answer);
            assert_eq!(told.code, Some(Code::Ok), "{dialect:?} {told:?}");
            assert!(told.messages.iter().all(|message| *message == text), "{dialect:?}");
            assert!(!is_packed(dialect, &answer), "{dialect:?} {answer:?}");
            let (field, accepted) = dialect.encoding_fields();
            assert_eq!(answer.header(field), "", "{dialect:?}");
            // who offers something else gets that, or nothing
            let answer = edge.ask(Transport::Http2, &ask.clone().header(accepted, "br, identity;q=0.1")).await;
            assert!(["", "br"].contains(&answer.header(field)), "{dialect:?} {:?}", answer.headers);
            assert_eq!(dialect.read(&answer).messages, told.messages, "{dialect:?}");
            // who offers the upstream's gets it, unread if frames pass
            let answer = edge.ask(Transport::Http2, &ask.header(accepted, "gzip")).await;
            assert!(is_packed(dialect, &answer), "{dialect:?}");
            assert_eq!(dialect.read(&answer).messages, told.messages, "{dialect:?}");
        }
    }
}

#[tokio::test]
async fn small_answers_are_not_compressed_and_caches_are_told_of_others() {
    let edge = shared();
    for (text, packed) in [("hi".to_owned(), false), (long(), true)] {
        let ask = Dialect::Rest.ask(UNARY, &[&text]).header("accept-encoding", "gzip, deflate, br, zstd");
        let answer = edge.ask(Transport::Http1, &ask).await;
        assert_eq!(answer.header("content-encoding") == "zstd", packed);
        assert_eq!(answer.header("vary") == "accept-encoding", packed);
        assert_eq!(Dialect::Rest.read(&answer).messages, [text]);
    }
    let never = Edge::start("settings: [{match: \"*\", compression: {answers_from: 0}}]").await;
    for (dialect, path) in [(Dialect::Rest, UNARY), (Dialect::RestLines, SERVER), (Dialect::WebJson, UNARY)] {
        let ask = dialect.ask(path, &[&long()]).headers(&[("x-demo-stream-count", "1"), FAST]);
        let answer = never.ask(Transport::Http1, &ask.header(dialect.encoding_fields().1, "gzip")).await;
        assert!(!is_packed(dialect, &answer), "{dialect:?} {:?}", answer.headers);
    }
}

#[tokio::test]
async fn a_compressed_stream_that_fails_is_not_taken_for_whole() {
    let edge = shared();
    let levers = [("x-demo-stream-count", "2"), ("x-demo-status", "DATA_LOSS"), FAST, ("accept-encoding", "gzip")];
    let lines = edge.ask(Transport::Http2, &Dialect::RestLines.ask(SERVER, &["hi"]).headers(&levers)).await;
    assert_eq!((lines.header("content-encoding"), lines.cut), ("gzip", false));
    let told = Dialect::RestLines.read(&lines);
    assert_eq!((told.messages.len(), told.code), (2, Some(Code::DataLoss)));
    let array = edge.ask(Transport::Http2, &Dialect::RestArray.ask(SERVER, &["hi"]).headers(&levers)).await;
    assert!(array.cut);
    let mut plain = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(&array.body[..]);
    assert!(std::io::Read::read_to_end(&mut reader, &mut plain).is_err(), "the end of the gzip is missing too");
    assert!(String::from_utf8(plain).expect("text").contains("\"error\""));
}

#[tokio::test]
async fn a_bomb_is_refused_in_every_dialect() {
    // the limit of this edge is 64 KiB a message
    let (edge, zeros) = (shared(), "0".repeat(4 << 20));
    for dialect in ALL {
        for path in [UNARY, CLIENT].into_iter().filter(|path| dialect.speaks(path)) {
            for encoding in EVERY {
                let ask = dialect.ask_in(path, &[&zeros], Some(encoding));
                if ask.body.len() > 40_000 {
                    assert_eq!(encoding, "snappy", "the others are bombs");
                    continue;
                }
                let told = dialect.read(&edge.ask(Transport::Http2, &ask).await);
                assert_eq!(told.code, Some(Code::ResourceExhausted), "{dialect:?} {path} {encoding}: {told:?}");
            }
        }
    }
}

#[tokio::test]
async fn damage_is_told_and_a_flag_needs_an_encoding() {
    let edge = shared();
    for dialect in ALL {
        for path in [UNARY, CLIENT].into_iter().filter(|path| dialect.speaks(path)) {
            for encoding in ["deflate", "zstd", "br", "snappy"] {
                let mut ask = dialect.ask_in(path, &[&long()], Some(encoding));
                // what stands there says what it is, in each of them
                let at = if dialect.encoding_fields().0 == "content-encoding" { 0..4 } else { 5..9 };
                let mut body = ask.body;
                if dialect.is_text() {
                    body = BASE64.decode(&body).expect("base64");
                }
                body[at].fill(0x5a);
                ask.body = if dialect.is_text() { BASE64.encode(body).into_bytes() } else { body };
                let told = dialect.read(&edge.ask(Transport::Http2, &ask).await);
                let refused = [Some(Code::Internal), Some(Code::InvalidArgument), Some(Code::ResourceExhausted)];
                assert!(refused.contains(&told.code), "{dialect:?} {path} {encoding}: {told:?}");
            }
        }
        if dialect.encoding_fields().0 != "content-encoding" && dialect.is_json() {
            let path = if dialect.speaks(UNARY) { UNARY } else { CLIENT };
            let coded = dialect.coded("hi");
            let body = [&prefix(1, coded.len())[..], &coded].concat();
            let body = if dialect.is_text() { BASE64.encode(body).into_bytes() } else { body };
            let told = dialect.read(&edge.ask(Transport::Http2, &Ask { body, ..dialect.ask(path, &["hi"]) }).await);
            assert_eq!(told.code, Some(Code::Internal), "{dialect:?} {told:?}");
            assert!(told.message.contains("no encoding is named"), "{told:?}");
        }
    }
}

#[tokio::test]
async fn an_unknown_encoding_passes_where_the_upstream_is_said_to_read_it() {
    let edge = Edge::start("settings: [{match: \"*\", compression: {upstream: [lz4]}}]").await;
    let ask = Dialect::Grpc.ask(UNARY, &["hi"]).headers(&[("grpc-encoding", "lz4"), ("x-demo-tell", "1")]);
    // nothing is flagged as compressed, so that the upstream can answer all the same
    let head = seen(Dialect::Grpc, &edge.ask(Transport::Http2, &ask).await);
    assert!(head.contains("grpc-encoding: lz4"), "{head}");
    let told = Dialect::Grpc.read(&shared().ask(Transport::Http2, &ask).await);
    assert_eq!(told.code, Some(Code::Unimplemented));
    assert!(told.message.contains("gzip, deflate, snappy, zstd, br"), "{told:?}");
}

#[tokio::test]
async fn a_connect_get_may_be_compressed() {
    let edge = shared();
    let packed = BASE64.encode(pack("zstd", br#"{"name": "Ada"}"#)).replace('+', "-").replace('/', "_");
    let path =
        format!("/helloworld.Greeter/SayHello?connect=v1&encoding=json&base64=1&compression=zstd&message={packed}");
    let answer = edge.ask(Transport::Http2, &Ask::get(path)).await;
    assert_eq!((answer.status, answer.text()), (200, r#"{"message":"Hello Ada"}"#.to_owned()));
    assert_eq!(unpack("zstd", &pack("zstd", b"x")), b"x");
}
