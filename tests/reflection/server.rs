//! A server of reflection that does what the test says, and another one while it runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use tokio::net::TcpListener;
use transom::catalog::{descriptors_at_hand, is_at_hand};
use transom::demo::upstream::reflection_v1 as messages;
use transom::demo::upstream::reflection_v1::{Answer, Question};

use super::port::Port;

/// What a server says.
#[derive(Clone, Debug)]
pub struct Script {
    /// The files, under the names by which they are asked for.
    pub files: BTreeMap<String, Bytes>,
    pub services: Vec<String>,
    /// The versions that it serves.
    pub versions: Vec<&'static str>,
    /// Whether a file comes with all that it imports.
    pub transitive: bool,
    pub manner: Manner,
}

/// How it misbehaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    Well,
    /// Answers the list of services, and nothing more.
    Hang,
    /// Announces a message of so many bytes.
    Announce(u32),
    /// Sends these bytes in place of each answer but the first.
    Raw(Bytes),
    /// Ends every call with this status.
    Status(u8),
    /// Answers HTTP with this code.
    Http(u16),
}

/// Runs until it falls.
pub struct Server {
    pub address: SocketAddr,
    script: Arc<Mutex<Script>>,
    /// The `:authority` of the last call.
    pub authority: Arc<Mutex<String>>,
    /// Calls that came.
    pub calls: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

// === impl Script ===

impl Script {
    /// The services of these texts, and their files; of what they import, the files that `sent` wants.
    pub fn of(texts: &[(&'static str, &'static str)]) -> Script {
        let names: Vec<&str> = texts.iter().map(|(name, _)| *name).collect();
        let files: BTreeMap<String, Bytes> = descriptors_at_hand(&names, texts)
            .unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
            .into_iter()
            .map(|(name, bytes)| (String::from(name), bytes))
            .collect();
        let mut services = Vec::new();
        for file in files.iter().filter(|(name, _)| !is_at_hand(name)).map(|(_, file)| file) {
            let file = prost_types::FileDescriptorProto::decode(file.clone()).expect("a descriptor");
            services.extend(file.service.iter().map(|service| format!("{}.{}", file.package(), service.name())));
        }
        services.push("grpc.reflection.v1.ServerReflection".into());
        Script { files, services, versions: vec!["v1", "v1alpha"], transitive: true, manner: Manner::Well }
    }

    pub fn manner(self, manner: Manner) -> Script {
        Script { manner, ..self }
    }

    fn answer(&self, question: Option<&Question>) -> Answer {
        let missing = || Answer::Error(messages::ErrorResponse { error_code: 5, error_message: "not here".into() });
        let file = match question {
            Some(Question::ListServices(_)) => {
                let service = self.services.iter().map(|name| messages::Service { name: name.clone() }).collect();
                return Answer::Services(messages::Services { service });
            }
            Some(Question::FileByFilename(name)) => self.files.get(name),
            Some(Question::FileContainingSymbol(symbol)) => self.files.values().find(|file| declares(file, symbol)),
            _ => None,
        };
        let Some(file) = file else { return missing() };
        let mut files = vec![file.clone()];
        let mut at = 0;
        while self.transitive && at < files.len() {
            let decoded = prost_types::FileDescriptorProto::decode(files[at].clone()).expect("a descriptor");
            for import in decoded.dependency {
                let more = self.files.get(&import).filter(|file| !files.contains(file)).cloned();
                files.extend(more);
            }
            at += 1;
        }
        Answer::Files(messages::FileDescriptors { file_descriptor_proto: files })
    }
}

fn declares(file: &Bytes, service: &str) -> bool {
    // one that is made to be too large to be decoded declares none
    if file.len() > 1 << 20 {
        return false;
    }
    let Ok(file) = prost_types::FileDescriptorProto::decode(file.clone()) else { return false };
    file.service.iter().any(|one| format!("{}.{}", file.package(), one.name()) == service)
}

// === impl Server ===

impl Server {
    pub async fn start(script: Script) -> Server {
        Server::on(Port::take().listen(), script)
    }

    pub fn on(listener: TcpListener, script: Script) -> Server {
        let address = listener.local_addr().expect("an address");
        let (script, calls) = (Arc::new(Mutex::new(script)), Arc::new(AtomicUsize::new(0)));
        let authority = Arc::new(Mutex::new(String::new()));
        let asked = Arc::clone(&authority);
        let shared = (Arc::clone(&script), Arc::clone(&calls));
        let task = tokio::spawn(async move {
            // in a set, so that the connections end with the task
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (script, calls, asked) = (Arc::clone(&shared.0), Arc::clone(&shared.1), Arc::clone(&asked));
                connections.spawn(async move {
                    let Ok(mut http2) = h2::server::handshake(socket).await else { return };
                    let mut open = tokio::task::JoinSet::new();
                    while let Some(Ok((request, respond))) = http2.accept().await {
                        calls.fetch_add(1, Ordering::SeqCst);
                        let authority = request.uri().authority().map(ToString::to_string);
                        *asked.lock().expect("an authority") = authority.unwrap_or_default();
                        let script = script.lock().expect("a script").clone();
                        open.spawn(call(request, respond, script));
                    }
                });
            }
        });
        Server { address, script, authority, calls, task }
    }

    pub fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }

    pub fn say(&self, script: Script) {
        *self.script.lock().expect("a script") = script;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn call(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, script: Script) {
    let path = request.uri().path().to_owned();
    let served = script.versions.iter().any(|version| path.starts_with(&format!("/grpc.reflection.{version}.")));
    let mut head = Response::new(());
    if let Manner::Http(code) = script.manner {
        *head.status_mut() = http::StatusCode::from_u16(code).expect("a code");
        drop(respond.send_response(head, true));
        return;
    }
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let status = match script.manner {
        Manner::Status(code) => Some(code),
        _ if !served => Some(12),
        _ => None,
    };
    if let Some(code) = status {
        head.headers_mut().insert("grpc-status", HeaderValue::from(u16::from(code)));
        head.headers_mut().insert("grpc-message", HeaderValue::from_static("as%20the%20test%20says"));
        drop(respond.send_response(head, true));
        return;
    }
    let Ok(mut out) = respond.send_response(head, false) else { return };
    let (mut body, mut buffer, mut answered) = (request.into_body(), BytesMut::new(), 0);
    while let Some(Ok(chunk)) = body.data().await {
        let _ = body.flow_control().release_capacity(chunk.len());
        buffer.extend_from_slice(&chunk);
        while let Some(message) = cut(&mut buffer) {
            let request = messages::Request::decode(message).expect("a request");
            if !reply(&mut out, &script, &request, answered).await {
                return;
            }
            answered += 1;
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let _ = out.send_trailers(trailers);
}

/// Whether the call goes on.
async fn reply(out: &mut SendStream<Bytes>, script: &Script, request: &messages::Request, answered: usize) -> bool {
    match &script.manner {
        Manner::Hang if answered > 0 => {
            std::future::poll_fn(|cx| out.poll_reset(cx)).await.ok();
            return false;
        }
        Manner::Announce(size) => {
            let mut frame = vec![0];
            frame.extend_from_slice(&size.to_be_bytes());
            return send(out, frame.into()).await;
        }
        Manner::Raw(bytes) if answered > 0 => return send(out, bytes.clone()).await,
        _ => {}
    }
    let answer = script.answer(request.question.as_ref());
    let message = messages::Response { host: String::new(), request: None, answer: Some(answer) }.encode_to_vec();
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).expect("a length").to_be_bytes());
    frame.extend_from_slice(&message);
    send(out, frame.into()).await
}

async fn send(out: &mut SendStream<Bytes>, mut bytes: Bytes) -> bool {
    while !bytes.is_empty() {
        out.reserve_capacity(bytes.len());
        match std::future::poll_fn(|cx| out.poll_capacity(cx)).await {
            Some(Ok(room)) if out.send_data(bytes.split_to(room.min(bytes.len())), false).is_ok() => {}
            _ => return false,
        }
    }
    true
}

fn cut(buffer: &mut BytesMut) -> Option<Bytes> {
    let length = u32::from_be_bytes(buffer.get(1..5)?.try_into().ok()?) as usize;
    (buffer.len() >= 5 + length).then(|| buffer.split_to(5 + length).split_off(5).freeze())
}
