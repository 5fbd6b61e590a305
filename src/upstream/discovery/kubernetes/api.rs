//! As much of a client of the Kubernetes API as lists and watches of one kind need: GET over HTTP/2, with the service
//! account's token and authorities.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderValue, Request, StatusCode, Version, header};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::KubernetesSettings;
use super::slices::Status;
use crate::upstream::probe::{Io, keep_asking};
use crate::upstream::tls::{self, ALPN};
use crate::upstream::{Roots, TlsSettings};

/// Where the API is, and as whom it is asked.
#[derive(Debug)]
pub(super) struct Api {
    host: String,
    port: u16,
    tls: bool,
    token: Option<PathBuf>,
    ca: Option<PathBuf>,
    pub(super) namespace: String,
}

/// A connection to the API server.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    /// Ends when the connection does, also when the server is gone without a word.
    driver: JoinHandle<()>,
}

/// A body, cut into lines.
#[derive(Debug)]
pub(super) struct Lines {
    body: RecvStream,
    partial: BytesMut,
}

/// Why a request failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// 410: the version is forgotten.
    Gone,
    Other(String),
}

/// Where a pod finds its service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// From the first packet to the head of an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// For a page of a list.
const PAGE: Duration = Duration::from_secs(30);
/// The largest page that is read, bytes.
const LARGEST_PAGE: usize = 64 << 20;
/// The largest line of a watch, bytes. etcd keeps no object above 1.5 MiB.
const LARGEST_LINE: usize = 4 << 20;
/// The largest token, bytes.
const LARGEST_TOKEN: u64 = 64 << 10;
const WINDOW: u32 = 1 << 20;
const PING_EVERY: Duration = Duration::from_secs(30);

// === impl Api ===

impl Api {
    /// Finds the API of these settings; what they leave out is as it is in a pod.
    pub(super) fn find(settings: &KubernetesSettings) -> Result<Api, String> {
        let environment = |name: &str| std::env::var(name).map_err(|_| outside(name));
        let (host, port, tls) = match &settings.server {
            Some(url) => address(url).ok_or_else(|| format!("{url:?} is not the URL of an API server"))?,
            None => {
                let port = environment("KUBERNETES_SERVICE_PORT")?;
                let port = port.parse().map_err(|_| format!("KUBERNETES_SERVICE_PORT is {port:?}"))?;
                (environment("KUBERNETES_SERVICE_HOST")?, port, true)
            }
        };
        let account = |file: &str| settings.server.is_none().then(|| Path::new(ACCOUNT).join(file));
        let namespace = match &settings.namespace {
            Some(namespace) => namespace.to_string(),
            None => read(&Path::new(ACCOUNT).join("namespace"))?,
        };
        let token = settings.token.clone().or_else(|| account("token"));
        let ca = settings.ca.clone().or_else(|| account("ca.crt"));
        Ok(Api { host, port, tls, token, ca, namespace })
    }

    /// Connects; certificates are read anew each time.
    pub(super) async fn connect(&self) -> Result<Connection, String> {
        timeout(PATIENCE, self.try_connect()).await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
    }

    async fn try_connect(&self) -> Result<Connection, String> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())?;
        let io: Box<dyn Io> = if self.tls {
            let roots = match &self.ca {
                Some(ca) => Roots::Pem(std::fs::read(ca).map_err(|error| of(ca, &error))?.into()),
                None => Roots::Public,
            };
            let settings = TlsSettings { roots, ..TlsSettings::default() };
            let config = settings.client_config().map_err(|error| error.to_string())?;
            let name = settings.name_for(&self.host).map_err(|error| error.to_string())?;
            let stream = TlsConnector::from(config).connect(name, socket).await;
            let stream = stream.map_err(|error| format!("TLS handshake: {}", tls::reason(&error)))?;
            if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
                return Err("the API server did not agree to HTTP/2".into());
            }
            Box::new(stream)
        } else {
            Box::new(socket)
        };
        let handshake = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(io)
            .await;
        let (sender, mut connection) = handshake.map_err(|error| error.to_string())?;
        let pings = keep_asking(connection.ping_pong(), PING_EVERY, PATIENCE);
        let driver = tokio::spawn(async move {
            // its streams tell how it ended
            tokio::select! {
                _ = connection => {}
                _ = pings => {}
            }
        });
        Ok(Connection { sender, driver })
    }

    /// Asks for a path, and waits for the head of the answer.
    pub(super) async fn get(&self, connection: &Connection, path: &str) -> Result<Lines, Failure> {
        let request = self.request(path).map_err(Failure::Other)?;
        let asked = async {
            let mut sender = connection.sender.clone().ready().await?;
            let (answer, _) = sender.send_request(request, true)?;
            answer.await
        };
        let answer = timeout(PATIENCE, asked).await;
        let answer = answer.map_err(|_| Failure::Other(format!("no answer within {PATIENCE:?}")))?;
        let answer = answer.map_err(|error| Failure::Other(error.to_string()))?;
        let status = answer.status();
        let mut lines = Lines { body: answer.into_body(), partial: BytesMut::new() };
        match status {
            StatusCode::OK => Ok(lines),
            StatusCode::GONE => Err(Failure::Gone),
            status => {
                let said = lines.whole().await.unwrap_or_default();
                let said = serde_json::from_slice::<Status>(&said).unwrap_or_default();
                Err(Failure::Other(Status { code: status.as_u16(), ..said }.told()))
            }
        }
    }

    fn request(&self, path: &str) -> Result<Request<()>, String> {
        let (scheme, host) = (if self.tls { "https" } else { "http" }, &self.host);
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let mut request = Request::builder()
            .version(Version::HTTP_2)
            .uri(format!("{scheme}://{host}:{}{path}", self.port))
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("transom/", env!("CARGO_PKG_VERSION")))
            .body(())
            .map_err(|error| error.to_string())?;
        if let Some(file) = &self.token {
            let token = read(file)?;
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| format!("{} holds no token", file.display()))?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }
}

fn outside(name: &str) -> String {
    format!("{name} is not set: outside of a Kubernetes cluster, `server`, `token` and `ca` have to be said")
}

fn of(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// A small file on one line.
fn read(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| of(path, &error))?;
    let mut text = String::new();
    let read = std::io::Read::read_to_string(&mut std::io::Read::take(file, LARGEST_TOKEN), &mut text);
    read.map_err(|error| of(path, &error))?;
    Ok(text.trim().to_owned())
}

/// Host, port and whether it is TLS. `http://` is HTTP/2 in clear text.
pub(super) fn address(url: &str) -> Option<(String, u16, bool)> {
    let endpoint = crate::upstream::EndpointSettings::parse(url).ok()?;
    let known = url.starts_with("https://") || url.starts_with("http://");
    known.then(|| (endpoint.host.to_string(), endpoint.port, endpoint.tls))
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

// === impl Lines ===

impl Lines {
    /// All of the body.
    pub(super) async fn whole(&mut self) -> Result<Bytes, String> {
        let reading = async {
            while self.more().await? {
                if self.partial.len() > LARGEST_PAGE {
                    return Err(format!("a page is larger than {} MiB", LARGEST_PAGE >> 20));
                }
            }
            Ok(self.partial.split().freeze())
        };
        timeout(PAGE, reading).await.unwrap_or_else(|_| Err(format!("no whole answer within {PAGE:?}")))
    }

    /// The next line, without its end; `None` at the end of the body. May be dropped and asked for again.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        let mut looked = 0;
        loop {
            if let Some(at) = memchr::memchr(b'\n', self.partial.get(looked..).unwrap_or_default()) {
                let mut line = self.partial.split_to(looked + at + 1);
                line.truncate(line.len() - 1);
                return Ok(Some(line.freeze()));
            }
            looked = self.partial.len();
            if looked > LARGEST_LINE {
                return Err(format!("a line of the watch is longer than {} MiB", LARGEST_LINE >> 20));
            }
            if !self.more().await? {
                let rest = self.partial.split().freeze();
                return Ok((!rest.is_empty()).then_some(rest));
            }
        }
    }

    /// Whether another line is there already.
    pub(super) fn has_line(&self) -> bool {
        memchr::memchr(b'\n', &self.partial).is_some()
    }

    async fn more(&mut self) -> Result<bool, String> {
        let Some(chunk) = self.body.data().await else { return Ok(false) };
        let chunk = chunk.map_err(|error| error.to_string())?;
        let _ = self.body.flow_control().release_capacity(chunk.len());
        self.partial.extend_from_slice(&chunk);
        Ok(true)
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Failure {
        Failure::Other(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_server_is_named_by_its_url() {
        assert_eq!(address("https://10.0.0.1:6443"), Some(("10.0.0.1".into(), 6443, true)));
        assert_eq!(address("http://[::1]:8001/"), Some(("::1".into(), 8001, false)));
        for bad in ["10.0.0.1", "h2c://a:1", "https://a/b", "https://"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
