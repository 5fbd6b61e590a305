//! gRPC's published interop cases (grpc's doc/interop-test-descriptions.md) with tonic as the client and as the server,
//! and the edge between them, over h2c and over TLS. Other stacks: tests/foreign/interop.

mod between;
mod messages;
mod server;

use std::time::{Duration, Instant};

use between::{Between, Client, PATIENCE, Transport};
use futures_util::stream::{self, Stream};
use messages::{
    EchoStatus, Empty, InputRequest, InputResponse, OutputRequest, OutputResponse, ResponseParameters, SimpleRequest,
    SimpleResponse, size, zeros,
};
use server::{INITIAL, SEEN, TRAILING};
use tokio::sync::mpsc;
use tonic::codec::CompressionEncoding::{self, Gzip, Zstd};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Response, Status, Streaming};

const EMPTY_CALL: &str = "TestService/EmptyCall";
const UNARY_CALL: &str = "TestService/UnaryCall";
const INPUT_CALL: &str = "TestService/StreamingInputCall";
const OUTPUT_CALL: &str = "TestService/StreamingOutputCall";
const DUPLEX_CALL: &str = "TestService/FullDuplexCall";

/// What is asked for, and what is sent with it, bytes.
const SIZES: [(i32, i32); 4] = [(31415, 27182), (9, 8), (2653, 1828), (58979, 45904)];
/// Longer than any case may take.
const ASLEEP: ResponseParameters = ResponseParameters { size: 31415, interval_us: 60_000_000 };
const SPECIAL: &str = "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n";

/// One test a case and transport.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        mod h2c {
            $(#[tokio::test] async fn $case() { super::within_patience(super::Transport::H2c, super::$case).await })+
        }
        mod tls {
            $(#[tokio::test] async fn $case() { super::within_patience(super::Transport::Tls, super::$case).await })+
        }
    };
}

cases! {
    empty_unary, large_unary, client_streaming, server_streaming, ping_pong, empty_stream, status_code_and_message,
    special_status_message, custom_metadata, unimplemented_method, unimplemented_service, cancel_after_begin,
    cancel_after_first_response, timeout_on_sleeping_server, deadline_is_forwarded, gzip_unary, zstd_unary,
    gzip_streaming, zstd_streaming, rpc_soak, channel_soak,
}

async fn within_patience(transport: Transport, case: impl AsyncFnOnce(&Between)) {
    let between = Between::start(transport).await;
    tokio::time::timeout(PATIENCE, case(&between)).await.expect("it ends in time");
}

// === the cases, by their published names

async fn empty_unary(between: &Between) {
    let answer: Response<Empty> = between.client.unary(EMPTY_CALL, Request::new(Empty {})).await.expect("an answer");
    assert_eq!(answer.into_inner(), Empty {});
}

async fn large_unary(between: &Between) {
    call_large(&between.client).await;
}

async fn client_streaming(between: &Between) {
    let sent = stream::iter(SIZES.map(|(_, size)| InputRequest { payload: zeros(size) }));
    let answer: Response<InputResponse> =
        between.client.client_stream(INPUT_CALL, Request::new(sent)).await.expect("an answer");
    assert_eq!(answer.into_inner().aggregated_payload_size, 74922);
}

async fn server_streaming(between: &Between) {
    let answers = between.client.server_stream(OUTPUT_CALL, Request::new(every_size())).await.expect("a stream");
    assert_eq!(sizes(answers).await.expect("all"), [31415, 9, 2653, 58979]);
}

async fn ping_pong(between: &Between) {
    let (pen, sent) = pen();
    let answers = between.client.both_stream(DUPLEX_CALL, Request::new(sent)).await.expect("a stream");
    let mut answers: Streaming<OutputResponse> = answers.into_inner();
    for (asked, sent) in SIZES {
        pen.send(output(asked, sent)).expect("an open stream");
        let answer = answers.message().await.expect("no error").expect("an answer before the next request");
        assert_eq!(size(&answer.payload), usize::try_from(asked).expect("a size"));
    }
    drop(pen);
    assert!(answers.message().await.expect("no error").is_none());
}

async fn empty_stream(between: &Between) {
    let sent = Request::new(stream::empty::<OutputRequest>());
    let answers = between.client.both_stream(DUPLEX_CALL, sent).await.expect("a stream");
    assert!(sizes(answers).await.expect("no error").is_empty());
}

async fn status_code_and_message(between: &Between) {
    refused_with(between, "test status message").await;
}

async fn special_status_message(between: &Between) {
    refused_with(between, SPECIAL).await;
}

async fn custom_metadata(between: &Between) {
    let answer: Response<SimpleResponse> =
        between.client.unary(UNARY_CALL, with_metadata(simple(1, 1))).await.expect("an answer");
    // tonic adds the trailers of a unary call to its head
    echoed(answer.metadata(), answer.metadata());

    let sent = with_metadata(stream::iter([output(1, 1)]));
    let answers: Response<Streaming<OutputResponse>> =
        between.client.both_stream(DUPLEX_CALL, sent).await.expect("a stream");
    let head = answers.metadata().clone();
    assert!(!head.contains_key(TRAILING), "trailers came with the head");
    let mut answers = answers.into_inner();
    while answers.message().await.expect("no error").is_some() {}
    echoed(&head, &answers.trailers().await.expect("no error").expect("trailers"));
}

async fn unimplemented_method(between: &Between) {
    unimplemented(between, "TestService/UnimplementedCall").await;
}

async fn unimplemented_service(between: &Between) {
    unimplemented(between, "UnimplementedService/UnimplementedCall").await;
}

/// The server lets go of the call, though its request never ends.
async fn cancel_after_begin(between: &Between) {
    let sent = Request::new(stream::pending::<InputRequest>());
    let call = between.client.client_stream::<_, InputResponse, _>(INPUT_CALL, sent);
    tokio::select! {
        _ = call => panic!("an answer to half a request"),
        () = between.until_under_way(1) => {}
    }
    between.until_under_way(0).await;
}

/// hyper resets a stream only once its request has ended, so it is the server that has more to say.
async fn cancel_after_first_response(between: &Between) {
    let mut request = output(31415, 27182);
    request.response_parameters.push(ASLEEP);
    let sent = Request::new(stream::iter([request]));
    let answers = between.client.both_stream(DUPLEX_CALL, sent).await.expect("a stream");
    let mut answers: Streaming<OutputResponse> = answers.into_inner();
    assert!(answers.message().await.expect("no error").is_some());
    assert_eq!(between.server.under_way(), 1);
    drop(answers);
    between.until_under_way(0).await;
}

/// tonic keeps a deadline until the head only, on both sides: once there is a head, it is the edge that ends the call.
async fn timeout_on_sleeping_server(between: &Between) {
    let (pen, sent) = pen();
    let mut request = Request::new(sent);
    request.set_timeout(Duration::from_millis(300));
    let began = Instant::now();
    let answers = between.client.both_stream(DUPLEX_CALL, request).await.expect("a head before the deadline");
    let mut answers: Streaming<OutputResponse> = answers.into_inner();
    let request = OutputRequest { response_parameters: vec![ASLEEP], ..output(0, 27182) };
    pen.send(request).expect("an open stream");
    let status = answers.message().await.map(|_| ()).expect_err("a deadline");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    between.until_under_way(0).await;
}

async fn deadline_is_forwarded(between: &Between) {
    let mut request = Request::new(simple(1, 1));
    request.set_timeout(Duration::from_secs(7));
    let answer: Response<SimpleResponse> = between.client.unary(UNARY_CALL, request).await.expect("an answer");
    let seen = text(answer.metadata(), SEEN[0].1);
    let (number, unit) = seen.split_at(seen.len() - 1);
    let unit = match unit {
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        other => panic!("grpc-timeout in {other:?}"),
    };
    let seen = unit * number.parse::<u32>().expect("a number");
    assert!(seen > Duration::from_secs(1) && seen <= Duration::from_secs(7), "{seen:?}");
}

async fn gzip_unary(between: &Between) {
    compressed_unary(between, Gzip, "gzip").await;
}

/// The edge's default is an upstream that reads gzip alone: the request is unpacked on the way.
async fn zstd_unary(between: &Between) {
    compressed_unary(between, Zstd, "").await;
}

async fn gzip_streaming(between: &Between) {
    compressed_streaming(between, Gzip).await;
}

/// The edge was told that the upstream reads zstd in calls of this method.
async fn zstd_streaming(between: &Between) {
    compressed_streaming(between, Zstd).await;
}

async fn rpc_soak(between: &Between) {
    for _ in 0..20 {
        call_large(&between.client).await;
    }
}

async fn channel_soak(between: &Between) {
    for _ in 0..20 {
        call_large(&between.another_client().await).await;
    }
}

// === what cases share

async fn call_large(client: &Client) -> Response<()> {
    let answer: Response<SimpleResponse> =
        client.unary(UNARY_CALL, Request::new(simple(314_159, 271_828))).await.expect("an answer");
    let (head, answer, extensions) = answer.into_parts();
    assert!(answer.payload == zeros(314_159), "{} bytes", size(&answer.payload));
    Response::from_parts(head, (), extensions)
}

async fn refused_with(between: &Between, message: &str) {
    let response_status = Some(EchoStatus { code: 2, message: message.to_owned() });
    let request = SimpleRequest { response_status: response_status.clone(), ..simple(0, 0) };
    let unary = between.client.unary::<_, SimpleResponse>(UNARY_CALL, Request::new(request)).await;
    let request = OutputRequest { response_status, ..output(1, 1) };
    let streamed = match between.client.both_stream(DUPLEX_CALL, Request::new(stream::iter([request]))).await {
        Ok(answers) => sizes(answers).await.map(|_| ()),
        Err(status) => Err(status),
    };
    for status in [unary.map(|_| ()).expect_err("a refusal"), streamed.expect_err("a refusal")] {
        assert_eq!((status.code(), status.message()), (Code::Unknown, message));
    }
}

async fn unimplemented(between: &Between, method: &str) {
    let answer = between.client.unary::<_, Empty>(method, Request::new(Empty {})).await;
    assert_eq!(answer.expect_err("a refusal").code(), Code::Unimplemented);
}

/// Both ways; `seen` is the request's encoding at the server.
async fn compressed_unary(between: &Between, encoding: CompressionEncoding, seen: &str) {
    let answer = call_large(&between.client.clone().compressing(encoding)).await;
    assert_eq!(text(answer.metadata(), SEEN[1].1), seen, "the request's");
    assert_eq!(text(answer.metadata(), "grpc-encoding"), encoding.to_string(), "the answer's");
}

async fn compressed_streaming(between: &Between, encoding: CompressionEncoding) {
    let client = between.client.clone().compressing(encoding);
    let sent = stream::iter(SIZES.map(|(asked, sent)| output(asked, sent)));
    let answers = client.both_stream(DUPLEX_CALL, Request::new(sent)).await.expect("a stream");
    assert_eq!(text(answers.metadata(), SEEN[1].1), encoding.to_string(), "the request's");
    assert_eq!(text(answers.metadata(), "grpc-encoding"), encoding.to_string(), "the answer's");
    assert_eq!(sizes(answers).await.expect("all"), [31415, 9, 2653, 58979]);
}

fn simple(response_size: i32, payload: i32) -> SimpleRequest {
    SimpleRequest { response_size, payload: zeros(payload), response_status: None }
}

fn output(asked: i32, payload: i32) -> OutputRequest {
    let response_parameters = vec![ResponseParameters { size: asked, interval_us: 0 }];
    OutputRequest { response_parameters, payload: zeros(payload), response_status: None }
}

fn every_size() -> OutputRequest {
    let response_parameters = SIZES.map(|(size, _)| ResponseParameters { size, interval_us: 0 }).to_vec();
    OutputRequest { response_parameters, ..OutputRequest::default() }
}

/// The sizes of all payloads of a stream, up to its end.
async fn sizes(answers: Response<Streaming<OutputResponse>>) -> Result<Vec<usize>, Status> {
    let mut answers = answers.into_inner();
    let mut sizes = Vec::new();
    while let Some(answer) = answers.message().await? {
        sizes.push(size(&answer.payload));
    }
    Ok(sizes)
}

/// A request whose messages go out when they are sent here; it ends when the pen falls.
fn pen() -> (mpsc::UnboundedSender<OutputRequest>, impl Stream<Item = OutputRequest> + Send + 'static) {
    let (pen, mut sent) = mpsc::unbounded_channel();
    (pen, stream::poll_fn(move |cx| sent.poll_recv(cx)))
}

fn with_metadata<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(INITIAL, MetadataValue::from_static("test_initial_metadata_value"));
    request.metadata_mut().insert_bin(TRAILING, MetadataValue::from_bytes(&[0xab, 0xab, 0xab]));
    request
}

fn echoed(head: &MetadataMap, end: &MetadataMap) {
    assert_eq!(text(head, INITIAL), "test_initial_metadata_value");
    let bytes = end.get_bin(TRAILING).map(|value| value.to_bytes().expect("base64"));
    assert_eq!(bytes.as_deref(), Some(&[0xab, 0xab, 0xab][..]));
}

fn text<'a>(metadata: &'a MetadataMap, name: &str) -> &'a str {
    metadata.get(name).map_or("", |value| value.to_str().expect("text"))
}
