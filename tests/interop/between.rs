//! `transom serve` as a process between a tonic client and the tonic server.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use prost::Message;
use tempfile::TempDir;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::server::Server;

/// No case takes longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    H2c,
    Tls,
}

/// A client, the edge that it calls, and the server behind.
pub struct Between {
    pub client: Client,
    pub server: Server,
    edge: Edge,
    transport: Transport,
}

/// The edge; killed when it falls.
struct Edge {
    child: Child,
    clear: SocketAddr,
    tls: SocketAddr,
    certificate: String,
    _folder: TempDir,
}

/// Calls methods of `grpc.testing` by their names.
#[derive(Clone)]
pub struct Client {
    grpc: Grpc<Channel>,
}

// === impl Between ===

impl Between {
    pub async fn start(transport: Transport) -> Between {
        let server = Server::start().await;
        let edge = Edge::start(server.address);
        let client = Client { grpc: Grpc::new(edge.channel(transport).await) };
        Between { client, server, edge, transport }
    }

    /// A client on a connection of its own.
    pub async fn another_client(&self) -> Client {
        Client { grpc: Grpc::new(self.edge.channel(self.transport).await) }
    }

    /// Waits until the server works on this many calls.
    pub async fn until_under_way(&self, calls: usize) {
        while self.server.under_way() != calls {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

// === impl Edge ===

impl Edge {
    fn start(upstream: SocketAddr) -> Edge {
        let folder = TempDir::new().expect("a folder");
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let certificate = pair.cert.pem();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
        write("cert.pem", &certificate);
        write("key.pem", &pair.signing_key.serialize_pem());
        write("edge.yaml", &configuration(upstream));
        let mut child = Command::new(env!("CARGO_BIN_EXE_transom"))
            .arg("serve")
            .arg(folder.path().join("edge.yaml"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the edge");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines().map_while(Result::ok);
        let mut address = || {
            let mut found = lines.by_ref().filter_map(|line| line.strip_prefix("listening on ")?.parse().ok());
            found.next().expect("an address")
        };
        let (clear, tls) = (address(), address());
        // what it says later is read, so that it never waits for a reader
        std::thread::spawn(move || lines.for_each(drop));
        Edge { child, clear, tls, certificate, _folder: folder }
    }

    async fn channel(&self, transport: Transport) -> Channel {
        let endpoint = match transport {
            Transport::H2c => Endpoint::from_shared(format!("http://{}", self.clear)).expect("an address"),
            Transport::Tls => {
                let root = Certificate::from_pem(&self.certificate);
                let tls = ClientTlsConfig::new().ca_certificate(root).domain_name("localhost");
                let endpoint = Endpoint::from_shared(format!("https://{}", self.tls)).expect("an address");
                endpoint.tls_config(tls).expect("TLS")
            }
        };
        endpoint.connect().await.expect("a connection")
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(upstream: SocketAddr) -> String {
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    format!(
        "workers: 1
listeners:
  - address: 127.0.0.1:0
  - address: 127.0.0.1:0
    tls: {{certificate: cert.pem, key: key.pem}}
clusters:
  tonic: {{endpoints: h2c://{upstream}}}
catalogs:
  - {{name: interop, proto_paths: [{}], protos: [test.proto], cluster: tonic}}
settings:
  - match: grpc.testing.TestService/FullDuplexCall
    compression: {{upstream: [gzip, zstd]}}
",
        protos.display()
    )
}

// === impl Client ===

impl Client {
    /// Sends and accepts this encoding.
    pub fn compressing(self, encoding: CompressionEncoding) -> Client {
        Client { grpc: self.grpc.send_compressed(encoding).accept_compressed(encoding) }
    }

    pub async fn unary<A, B>(&self, method: &str, request: Request<A>) -> Result<Response<B>, Status>
    where
        A: Message + 'static,
        B: Message + Default + 'static,
    {
        let mut grpc = self.ready().await;
        grpc.unary(request, path(method), ProstCodec::<A, B>::default()).await
    }

    pub async fn client_stream<A, B, S>(&self, method: &str, request: Request<S>) -> Result<Response<B>, Status>
    where
        A: Message + 'static,
        B: Message + Default + 'static,
        S: futures_util::Stream<Item = A> + Send + 'static,
    {
        let mut grpc = self.ready().await;
        grpc.client_streaming(request, path(method), ProstCodec::<A, B>::default()).await
    }

    pub async fn server_stream<A, B>(&self, method: &str, request: Request<A>) -> Result<Response<Streaming<B>>, Status>
    where
        A: Message + 'static,
        B: Message + Default + 'static,
    {
        let mut grpc = self.ready().await;
        grpc.server_streaming(request, path(method), ProstCodec::<A, B>::default()).await
    }

    pub async fn both_stream<A, B, S>(
        &self,
        method: &str,
        request: Request<S>,
    ) -> Result<Response<Streaming<B>>, Status>
    where
        A: Message + 'static,
        B: Message + Default + 'static,
        S: futures_util::Stream<Item = A> + Send + 'static,
    {
        let mut grpc = self.ready().await;
        grpc.streaming(request, path(method), ProstCodec::<A, B>::default()).await
    }

    async fn ready(&self) -> Grpc<Channel> {
        let mut grpc = self.grpc.clone();
        grpc.ready().await.expect("a connection");
        grpc
    }
}

fn path(method: &str) -> http::uri::PathAndQuery {
    format!("/grpc.testing.{method}").parse().expect("a path")
}
