//! `grpc.testing.TestService` on tonic's server, without generated code.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::{HeaderMap, HeaderName};
use http_body::Frame;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService};
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::messages::{
    EchoStatus, Empty, InputRequest, InputResponse, OutputRequest, OutputResponse, SimpleRequest, SimpleResponse, size,
    zeros,
};

/// Is sent back with the head.
pub const INITIAL: &str = "x-grpc-test-echo-initial";
/// Is sent back with the end.
pub const TRAILING: &str = "x-grpc-test-echo-trailing-bin";
/// Tells in the head what came in these headers: `grpc-timeout`, `grpc-encoding`.
pub const SEEN: [(&str, &str); 2] = [("grpc-timeout", "x-seen-timeout"), ("grpc-encoding", "x-seen-encoding")];

/// A server on a free port of loopback; gone when it falls.
pub struct Server {
    pub address: SocketAddr,
    pub calls: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct TestService {
    calls: Arc<AtomicUsize>,
}

/// Counts a call for as long as the server works on it.
struct UnderWay(Arc<AtomicUsize>);

/// An answer's body with more trailers than tonic would send.
struct Answer {
    inner: tonic::body::Body,
    trailers: HeaderMap,
    _under_way: UnderWay,
}

type Answers = BoxStream<'static, Result<OutputResponse, Status>>;

// === impl Server ===

impl Server {
    pub async fn start() -> Server {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let calls = Arc::new(AtomicUsize::new(0));
        let service = TestService { calls: Arc::clone(&calls) };
        let serving = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
        let task = tokio::spawn(async move { serving.await.expect("a server") });
        Server { address, calls, task }
    }

    /// Calls that the server works on.
    pub fn under_way(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl TestService ===

impl NamedService for TestService {
    const NAME: &'static str = "grpc.testing.TestService";
}

impl Service<http::Request<tonic::body::Body>> for TestService {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let under_way = UnderWay::new(&self.calls);
        Box::pin(async move {
            let asked = request.headers().clone();
            let (mut head, inner) = answer(request).await.into_parts();
            for (from, to) in [(INITIAL, INITIAL), SEEN[0], SEEN[1]] {
                if let Some(value) = asked.get(from) {
                    head.headers.insert(HeaderName::from_static(to), value.clone());
                }
            }
            let mut trailers = HeaderMap::new();
            if let Some(value) = asked.get(TRAILING) {
                trailers.insert(HeaderName::from_static(TRAILING), value.clone());
            }
            let body = tonic::body::Body::new(Answer { inner, trailers, _under_way: under_way });
            Ok(http::Response::from_parts(head, body))
        })
    }
}

async fn answer(request: http::Request<tonic::body::Body>) -> http::Response<tonic::body::Body> {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    match method.as_str() {
        "EmptyCall" => {
            let call = |_: Request<Empty>| async { Ok(Response::new(Empty {})) };
            grpc::<Empty, Empty>().unary(service_fn(call), request).await
        }
        "UnaryCall" => grpc().unary(service_fn(unary_call), request).await,
        "StreamingOutputCall" => {
            let call = |asked: Request<OutputRequest>| async { Ok(Response::new(answers(asked.into_inner()))) };
            grpc().server_streaming(service_fn(call), request).await
        }
        "StreamingInputCall" => grpc().client_streaming(service_fn(streaming_input_call), request).await,
        "FullDuplexCall" => grpc().streaming(service_fn(full_duplex_call), request).await,
        _ => Status::unimplemented(method).into_http(),
    }
}

fn grpc<Asked, Answered>() -> Grpc<ProstCodec<Answered, Asked>>
where
    Asked: prost::Message + Default + 'static,
    Answered: prost::Message + 'static,
{
    Grpc::new(ProstCodec::default())
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .send_compressed(Gzip)
        .send_compressed(Zstd)
}

async fn unary_call(asked: Request<SimpleRequest>) -> Result<Response<SimpleResponse>, Status> {
    let asked = asked.into_inner();
    refuse_as_asked(&asked.response_status)?;
    Ok(Response::new(SimpleResponse { payload: zeros(asked.response_size) }))
}

async fn streaming_input_call(asked: Request<Streaming<InputRequest>>) -> Result<Response<InputResponse>, Status> {
    let mut messages = asked.into_inner();
    let mut sum = 0;
    while let Some(message) = messages.message().await? {
        sum += size(&message.payload);
    }
    let aggregated_payload_size = i32::try_from(sum).map_err(|_| Status::out_of_range("too much"))?;
    Ok(Response::new(InputResponse { aggregated_payload_size }))
}

async fn full_duplex_call(asked: Request<Streaming<OutputRequest>>) -> Result<Response<Answers>, Status> {
    let each = asked.into_inner().flat_map(|message| match message {
        Ok(message) => answers(message),
        Err(status) => stream::iter([Err(status)]).boxed(),
    });
    Ok(Response::new(each.boxed()))
}

fn answers(asked: OutputRequest) -> Answers {
    if let Err(status) = refuse_as_asked(&asked.response_status) {
        return stream::iter([Err(status)]).boxed();
    }
    let one_by_one = stream::iter(asked.response_parameters).then(|asked| async move {
        let pause = Duration::from_micros(asked.interval_us.unsigned_abs().into());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(OutputResponse { payload: zeros(asked.size) })
    });
    one_by_one.boxed()
}

fn refuse_as_asked(status: &Option<EchoStatus>) -> Result<(), Status> {
    match status {
        Some(status) if status.code != 0 => Err(Status::new(Code::from_i32(status.code), status.message.clone())),
        _ => Ok(()),
    }
}

// === impl UnderWay ===

impl UnderWay {
    fn new(calls: &Arc<AtomicUsize>) -> UnderWay {
        calls.fetch_add(1, Ordering::SeqCst);
        UnderWay(Arc::clone(calls))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

// === impl Answer ===

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map(|mut frame| {
                if let Some(trailers) = frame.trailers_mut() {
                    trailers.extend(std::mem::take(&mut self.trailers));
                }
                frame
            })
        }))
    }
}
