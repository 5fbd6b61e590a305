//! One call on a stream of HTTP/2: waits for the head of its answer, then carries the body as the caller's window allows.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderValue, Response};
use http_body::Body as _;
use pin_project_lite::pin_project;

use super::tunnel::Offer;
use crate::net::date::now;
use crate::proxy::{Body, BodyError};

pin_project! {
    /// Carries the answer that `opened` gives.
    pub(super) struct Carry<F> {
        #[pin]
        stage: Stage<F>,
        respond: SendResponse<Bytes>,
        // for what becomes a tunnel if the answer is good
        offer: Option<Offer>,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<F> {
        Opening { #[pin] opened: F },
        Telling { body: Body, stream: SendStream<Bytes> },
        Over,
    }
}

// === impl Carry ===

impl<F: Future<Output = Response<Body>>> Carry<F> {
    pub(super) fn new(opened: F, respond: SendResponse<Bytes>) -> Carry<F> {
        Carry { stage: Stage::Opening { opened }, respond, offer: None }
    }

    pub(super) fn offering(mut self, offer: Offer) -> Carry<F> {
        self.offer = Some(offer);
        self
    }
}

impl<F: Future<Output = Response<Body>>> Future for Carry<F> {
    type Output = ();

    /// A call whose caller has gone is dropped with the task.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            let next = match this.stage.as_mut().project() {
                StageProj::Opening { opened } => match opened.poll(cx) {
                    Poll::Ready(response) => told(response, this.respond, this.offer.take()),
                    Poll::Pending => {
                        ready!(this.respond.poll_reset(cx)).ok();
                        Stage::Over
                    }
                },
                StageProj::Telling { body, stream } => {
                    if let Err(reason) = ready!(poll_body(body, stream, cx)) {
                        stream.send_reset(reason);
                    }
                    Stage::Over
                }
                StageProj::Over => return Poll::Ready(()),
            };
            this.stage.set(next);
        }
    }
}

/// Sends the head; what follows.
fn told<F>(response: Response<Body>, respond: &mut SendResponse<Bytes>, offer: Option<Offer>) -> Stage<F> {
    let (mut parts, body) = response.into_parts();
    parts.headers.entry(DATE).or_insert_with(now);
    let ends = body.is_end_stream();
    let opens = offer.filter(|_| parts.status.is_success());
    if !ends && let Some(length) = body.size_hint().exact() {
        parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    let Ok(stream) = respond.send_response(Response::from_parts(parts, ()), ends && opens.is_none()) else {
        // the caller has gone
        return Stage::Over;
    };
    match opens {
        Some(offer) => {
            offer.open(stream);
            Stage::Over
        }
        None if ends => Stage::Over,
        None => Stage::Telling { body, stream },
    }
}

/// Carries the body to its end. A chunk is asked for when the caller's window has room for more than what is on its way,
/// so that one chunk waits at most.
///
/// Errors: why the stream is to be reset.
fn poll_body(body: &mut Body, stream: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
    loop {
        if stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        stream.reserve_capacity(1);
        if stream.capacity() == 0 {
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => continue,
                // the caller has gone
                Some(Err(_)) | None => return Poll::Ready(Ok(())),
            }
        }
        let sent = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    let ends = body.is_end_stream();
                    let sent = stream.send_data(data, ends);
                    if !ends && sent.is_ok() {
                        continue;
                    }
                    sent
                }
                Err(frame) => {
                    stream.reserve_capacity(0);
                    stream.send_trailers(frame.into_trailers().unwrap_or_default())
                }
            },
            Some(Err(error)) => return Poll::Ready(Err(reason(&error))),
            None => stream.send_data(Bytes::new(), true),
        };
        // it fails if the caller has gone
        return Poll::Ready(sent.map_err(|_| Reason::CANCEL).or(Ok(())));
    }
}

/// The reason that a cut body gives.
fn reason(error: &BodyError) -> Reason {
    let source = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    source.and_then(h2::Error::reason).unwrap_or(Reason::INTERNAL_ERROR)
}
