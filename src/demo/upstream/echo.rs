//! `grpc.examples.echo.Echo`: the four kinds of call, with the levers of the module's page.

use std::time::Duration;

use bytes::Bytes;

use super::call::{Call, Outcome, Stop, frame};
use super::messages::echo::{EchoRequest, EchoResponse};
use crate::status::{Code, Status};

/// What ClientStreamingEcho joins may get so long.
const LONGEST_JOIN: usize = 4 << 20;

pub(super) async fn unary(call: &mut Call) -> Outcome {
    let request: EchoRequest = call.only().await?;
    answer_once(call, request.message).await
}

pub(super) async fn client_streaming(call: &mut Call) -> Outcome {
    let mut joined = String::new();
    let mut first = true;
    while let Some(EchoRequest { message }) = call.receive().await? {
        if joined.len() + message.len() > LONGEST_JOIN {
            let text = format!("the messages together are longer than {LONGEST_JOIN} bytes");
            return Err(Status::new(Code::ResourceExhausted, text).into());
        }
        if !std::mem::take(&mut first) {
            joined.push_str(", ");
        }
        joined.push_str(&message);
    }
    answer_once(call, joined).await
}

pub(super) async fn server_streaming(call: &mut Call) -> Outcome {
    let request: EchoRequest = call.only().await?;
    let count = call.levers.count.unwrap_or(5);
    let interval = call.levers.interval.unwrap_or(Duration::from_millis(200));
    let answer = echo(call, request.message);
    call.pause(call.levers.delay).await?;
    call.open()?;
    for sent in 0..count {
        if sent > 0 {
            call.pause(interval).await?;
        }
        cut_after(call, sent)?;
        call.send_frame(answer.clone()).await?;
    }
    end(call, count)
}

pub(super) async fn bidirectional(call: &mut Call) -> Outcome {
    call.pause(call.levers.delay).await?;
    call.open()?;
    let mut sent = 0;
    while call.levers.count.is_none_or(|count| sent < count) {
        cut_after(call, sent)?;
        let Some(EchoRequest { message }) = call.receive().await? else { break };
        call.pause(call.levers.interval.unwrap_or_default()).await?;
        let answer = echo(call, message);
        call.send_frame(answer).await?;
        sent += 1;
    }
    end(call, sent)
}

/// An answer of the methods that have one: with a status to end with, there is none.
async fn answer_once(call: &mut Call, message: String) -> Outcome {
    call.pause(call.levers.delay).await?;
    cut_after(call, 0)?;
    if call.levers.status.as_ref().is_none_or(Status::is_ok) {
        let answer = echo(call, message);
        call.send_frame(answer).await?;
    }
    end(call, 1)
}

fn echo(call: &Call, message: String) -> Bytes {
    let message = match call.levers.size {
        None => message,
        Some(size) => "x".repeat(size),
    };
    frame(&EchoResponse { message })
}

fn cut_after(call: &Call, sent: u64) -> Outcome {
    match call.levers.cut {
        Some(cut) if cut.after <= sent => Err(Stop::Cut),
        _ => Ok(()),
    }
}

fn end(call: &mut Call, sent: u64) -> Outcome {
    cut_after(call, sent)?;
    match call.levers.status.take() {
        Some(status) if !status.is_ok() => Err(status.into()),
        _ => Ok(()),
    }
}
