//! A shadow: the second exchange of a mirrored call.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::uri::PathAndQuery;
use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::{AnswerDigest, Answered, Feed, MirrorMeters, Outcome, Seat, Watched};
use crate::proxy::ending::{from_fields, has_status};
use crate::status::Code;
use crate::upstream::{Choice, Cluster, Exchange, Pool, RequestStream, ResponseStream};
use crate::wire::Encoding;

/// What a shadow has until it ends.
pub(super) struct Shadow {
    pub feed: Arc<Feed>,
    pub pool: Arc<Pool>,
    pub cluster: Arc<Cluster>,
    pub meters: Arc<MirrorMeters>,
    /// How the call itself ends; `None`: nothing is compared.
    pub primary: Option<oneshot::Receiver<Answered>>,
    /// Bytes of one message of the answer; 0: no limit.
    pub limit: usize,
    pub _seat: Seat,
}

/// The exchange while it lasts.
struct Carrying<'f> {
    feed: &'f Feed,
    request: RequestStream,
    /// What is being sent, and whether it is the last.
    piece: Option<(Bytes, bool)>,
    sent: bool,
    response: ResponseStream,
    digest: AnswerDigest,
    head_is_there: bool,
    body_is_over: bool,
    /// Runs from the request's end on, whether the shadow has taken it or not.
    patience: Option<Pin<Box<Sleep>>>,
}

/// How long a shadow may take to be connected, and to answer once it has the whole request.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);

// === impl Shadow ===

impl Shadow {
    pub async fn run(mut self, path: PathAndQuery, headers: HeaderMap) {
        let outcome = match self.carry(path, headers).await {
            Ok(answered) => match self.primary.take() {
                Some(primary) => primary.await.map_or(Outcome::Dropped, |primary| compared(&primary, &answered)),
                None => Outcome::Answered,
            },
            Err(outcome) => outcome,
        };
        self.meters.count(outcome);
    }

    async fn carry(&self, path: PathAndQuery, headers: HeaderMap) -> Result<Answered, Outcome> {
        let opened =
            tokio::time::timeout(CONNECT, self.pool.open(&self.cluster, &Choice::default(), path, headers, false))
                .await;
        let Ok(Ok(Exchange { request, response, .. })) = opened else { return Err(Outcome::Failed) };
        let mut carrying = Carrying {
            feed: &self.feed,
            request,
            piece: None,
            sent: false,
            response,
            digest: AnswerDigest::new(self.limit),
            head_is_there: false,
            body_is_over: false,
            patience: None,
        };
        let code = poll_fn(|cx| carrying.poll(cx)).await?;
        Ok(Answered { code, digest: carrying.digest.finish() })
    }
}

fn compared(primary: &Answered, shadow: &Answered) -> Outcome {
    match (primary.code == shadow.code, primary.digest == shadow.digest) {
        (false, _) => Outcome::DifferentStatus,
        (true, false) => Outcome::DifferentMessage,
        (true, true) => Outcome::Same,
    }
}

// === impl Carrying ===

impl Carrying<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Code, Outcome>> {
        let watched = self.feed.watch(cx);
        if watched == Watched::Cut && !self.sent {
            return Poll::Ready(Err(Outcome::Dropped));
        }
        if watched == Watched::Ended || self.sent {
            self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(ANSWER)));
        }
        if let Poll::Ready(Err(outcome)) = self.poll_send(cx) {
            return Poll::Ready(Err(outcome));
        }
        if let Some(patience) = &mut self.patience
            && patience.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(Outcome::Failed));
        }
        self.poll_answer(cx)
    }

    /// Ready when all is sent, or the shadow takes no more: it may answer before it has read all.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Outcome>> {
        while !self.sent {
            let (piece, last) = match &mut self.piece {
                Some(piece) => piece,
                None => match ready!(self.feed.poll_next(cx)) {
                    Some(next) => self.piece.insert(next),
                    None => return Poll::Ready(Err(Outcome::Dropped)),
                },
            };
            let Ok(room) = ready!(self.request.poll_ready(cx, piece.len())) else { break };
            let part = piece.split_to(room.min(piece.len()));
            let ends = *last && piece.is_empty();
            if self.request.send(part, ends).is_err() || ends {
                break;
            }
            if piece.is_empty() {
                self.piece = None;
            }
        }
        self.sent = true;
        // nothing of what is still to come will be taken
        self.feed.cut();
        self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(ANSWER)));
        Poll::Ready(Ok(()))
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Code, Outcome>> {
        if !self.head_is_there {
            let Ok(head) = ready!(self.response.poll_head(cx)) else { return Poll::Ready(Err(Outcome::Failed)) };
            self.head_is_there = true;
            if head.is_end {
                return Poll::Ready(code_of(Some(head.parts.headers)));
            }
            if head.parts.status != http::StatusCode::OK {
                return Poll::Ready(Err(Outcome::Failed));
            }
            let told = head.parts.headers.get("grpc-encoding");
            self.digest.packed(told.and_then(|name| Encoding::from_name(name.as_bytes())));
        }
        while !self.body_is_over {
            match ready!(self.response.poll_chunk(cx)) {
                Some(Ok(chunk)) => {
                    self.digest.push(&chunk);
                    self.response.release(chunk.len());
                }
                Some(Err(_)) => return Poll::Ready(Err(Outcome::Failed)),
                None => self.body_is_over = true,
            }
        }
        let trailers = ready!(self.response.poll_trailers(cx)).map_err(|_| Outcome::Failed)?;
        Poll::Ready(if self.digest.at_boundary() { code_of(trailers) } else { Err(Outcome::Failed) })
    }
}

fn code_of(fields: Option<HeaderMap>) -> Result<Code, Outcome> {
    let fields = fields.filter(has_status).ok_or(Outcome::Failed)?;
    from_fields(fields).map(|end| end.status.code).map_err(|_| Outcome::Failed)
}
