//! Calls by WebSocket: what is looked at before the handshake is answered, and where such a call goes. A socket may be
//! opened by a page of anywhere, so its origin is looked at first; what comes later is told in the caller's dialect.

use std::sync::Arc;

use http::{Method as Verb, Response};

use super::body::Body;
use super::ending::{expand, from_refusal};
use super::handler::{Routed, begin, called, refused};
use super::recode::Rule;
use super::tables::{Called, Tables};
use crate::call::{CallRecord, Head, Kind, Refusal, Subprotocol};
use crate::catalog::{self, MethodSettings};
use crate::policy::origin::may_open;
use crate::protocol::{Family, by_socket, refusal_answer, socket_answer};
use crate::route::Match;

/// What a door must know of a call before its handshake is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    pub takes: Takes,
    /// The bytes of one message of the caller's; 0: no limit.
    pub max_message: usize,
}

/// How many messages of the caller's a call has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// All is in the path and the query.
    Nothing,
    One,
    Many,
}

/// Who may open this socket, and for what.
///
/// Errors: what refuses the handshake. gRPC tells an unknown method in its own form, behind the handshake: its callers
/// have no eyes for HTTP codes.
pub(super) fn welcome(tables: &Arc<Tables>, head: &Head, subprotocol: Subprotocol) -> Result<Welcome, Refusal> {
    let authority = match head.parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => head.parts.headers.get(http::header::HOST).and_then(|value| value.to_str().ok()),
    };
    if !may_open(&head.parts.headers, authority, tables.cors.as_ref()) {
        let text = "a page of this origin may not open a WebSocket here (see `cors.origins`)";
        return Err(Refusal::new(Kind::Denied, text));
    }
    match find(tables, head, subprotocol) {
        Ok((called, rule)) => Ok(Welcome {
            takes: takes(called.method(), rule.as_ref(), subprotocol),
            max_message: called.method().settings.max_request_message,
        }),
        Err(_) if subprotocol == Subprotocol::Grpc => {
            Ok(Welcome { takes: Takes::Many, max_message: MethodSettings::default().max_request_message })
        }
        Err(refusal) => Err(refusal),
    }
}

fn takes(method: &catalog::Method, rule: Option<&Rule>, subprotocol: Subprotocol) -> Takes {
    let binding = rule.and_then(|(at, _)| method.bindings.get(*at));
    match binding {
        _ if subprotocol == Subprotocol::Grpc => Takes::Many,
        Some(binding) if binding.body == catalog::Body::None => Takes::Nothing,
        _ if method.kind.client_streams() => Takes::Many,
        _ => Takes::One,
    }
}

/// Where the call goes, and in which dialect.
pub(super) fn routed(
    tables: &Arc<Tables>,
    subprotocol: Subprotocol,
    head: &mut Head,
    record: &mut CallRecord,
) -> Result<Routed, Refusal> {
    let (called, rule) = find(tables, head, subprotocol)?;
    let spoken = by_socket(subprotocol, head, called.method())?;
    Ok(begin(called, spoken, rule, head, record))
}

/// The method whose path this is, else the rule whose template matches. Browsers open sockets by GET alone, so a rule of
/// any verb will do; one for GET comes first.
fn find(tables: &Arc<Tables>, head: &Head, subprotocol: Subprotocol) -> Result<(Called, Option<Rule>), Refusal> {
    let path = head.parts.uri.path();
    if let Some(at) = tables.routes.method(path) {
        return Ok((called(tables, at)?, None));
    }
    let none = || Refusal::new(Kind::NoRoute, format!("nothing is called by WebSocket at {path}"));
    if subprotocol == Subprotocol::Grpc {
        return Called::unknown(tables).map(|called| (called, None)).ok_or_else(none);
    }
    let mut found = tables.routes.template(&Verb::GET, head.host(), path);
    if let Match::WrongVerb { allow } = &found {
        let verbs = allow.split(", ").filter_map(|verb| Verb::from_bytes(verb.as_bytes()).ok());
        let mut others = verbs.map(|verb| tables.routes.template(&verb, head.host(), path));
        found = others.find(|other| !matches!(other, Match::WrongVerb { .. } | Match::None)).unwrap_or(Match::None);
    }
    match found {
        Match::Found { method, binding, variables } => {
            let variables = variables.iter().map(|text| text.to_string()).enumerate().collect();
            Ok((called(tables, method)?, Some((binding, variables))))
        }
        Match::Malformed { .. } => {
            Err(Refusal::new(Kind::BadRequest, format!("{path} has a part that is not percent-encoded UTF-8")))
        }
        Match::WrongVerb { .. } | Match::None => Err(none()),
    }
}

/// A handshake that is refused: HTTP's own answer, for no socket is there yet.
pub fn refuse_handshake(refusal: &Refusal, head: &Head) -> Response<Body> {
    let (_, mut answer) = refusal_answer(Family::None, head, None, refusal.kind);
    refused(refusal, answer.as_mut(), None)
}

/// An end that the door makes, of a call whose caller did what its dialect does not allow. Its body is cut into frames as
/// any other. `begun`: the head of another answer is out already.
pub fn end_socket(subprotocol: Subprotocol, refusal: &Refusal, begun: bool) -> Response<Body> {
    let (_, mut answer) = socket_answer(subprotocol);
    if !begun {
        return refused(refusal, answer.as_mut(), None);
    }
    let mut end = from_refusal(refusal, answer.details());
    expand(&mut end, answer.details(), None);
    Response::new(Body::of(answer.end(end).bytes, None))
}
