//! The door for WebSockets (RFC 6455), over an upgrade of HTTP/1.1 or an extended CONNECT of HTTP/2 (RFC 8441). One
//! socket, one call.
//!
//! `handshake` recognises and answers the request; `session` carries the call, in a task that a drain knows of; `socket`
//! is the wire. What frames mean is the dialects' matter (`protocol::socket`). Compression is never agreed to.

mod handshake;
mod session;
mod socket;

use std::sync::Arc;

use http::request::Parts;
use http::{Method, Response};
use tokio::sync::watch;

use super::Settings;
use super::drain::{InFlight, Stage};
use super::serve::{Corridor, Ties};
use crate::call::{Connection, Head, Kind, Refusal};
use crate::observe::{GaugeGuard, Meters};
use crate::proxy::{Body, refuse_handshake};
pub(super) use handshake::asks;
use session::{Limits, Session};
pub(super) use socket::Upgrade;

/// What a socket holds on to until it ends, and whom it turns to.
pub(super) struct Visit<'v, H> {
    pub(super) handler: Arc<H>,
    pub(super) connection: Arc<Connection>,
    pub(super) settings: &'v Settings,
    pub(super) meters: &'v Arc<Meters>,
    pub(super) in_flight: InFlight,
    pub(super) ties: Arc<Ties>,
    pub(super) stage: watch::Receiver<Stage>,
}

/// Answers a request for which [`asks`] holds. If the answer is good, the call begins once it is written, over what
/// `upgrade` gives then.
pub(super) fn receive<H: Corridor>(
    visit: Visit<'_, H>,
    parts: Parts,
    has_body: bool,
    upgrade: Upgrade,
) -> Response<Body> {
    let mut head = Head::new(parts, Arc::clone(&visit.connection));
    if *visit.stage.borrow() != Stage::Open {
        return refuse_handshake(&Refusal::new(Kind::Draining, "the edge is shutting down"), &head);
    }
    if has_body {
        // its bytes would be taken for frames
        return refuse_handshake(&Refusal::new(Kind::BadHeader, "a handshake for a WebSocket has no body"), &head);
    }
    let agreed = match handshake::agree(&head.parts) {
        Ok(agreed) => agreed,
        Err(fault) => return fault.answer(&head),
    };
    handshake::strip(&mut head.parts.headers);
    // a call, whatever verb opened its socket
    head.parts.method = Method::POST;
    head.socket = Some(agreed.subprotocol);
    let welcome = match visit.handler.welcome(&head) {
        Ok(welcome) => welcome,
        Err(refused) => return *refused,
    };
    let limits = Limits {
        metadata: usize::try_from(visit.settings.max_header_bytes).unwrap_or(usize::MAX),
        ping_interval: visit.settings.websocket_ping_interval,
        idle_timeout: visit.settings.idle_timeout,
    };
    let session = Session::new(visit.handler, visit.connection, agreed.subprotocol, welcome, head.parts, limits);
    let gauge = GaugeGuard::new(visit.meters, |meters| &meters.websockets_active);
    tokio::spawn(session.run(upgrade, visit.stage, (visit.in_flight, visit.ties, gauge)));
    agreed.answer()
}
