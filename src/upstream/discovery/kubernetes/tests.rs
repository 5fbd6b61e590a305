//! A scripted API server over loopback.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::super::tests::{Taken, outlet};
use super::super::{KubernetesSettings, ServicePort};
use super::run;

/// A request that waits for what the test has to say.
struct Asked {
    /// Path and query.
    path: String,
    token: String,
    respond: SendResponse<Bytes>,
}

struct Api {
    settings: KubernetesSettings,
    asked: mpsc::UnboundedReceiver<Asked>,
    token: tempfile::NamedTempFile,
    task: tokio::task::JoinHandle<()>,
    connections: Arc<Mutex<u32>>,
}

impl Api {
    async fn start() -> Api {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "first\n").unwrap();
        let settings = KubernetesSettings {
            service: "books".into(),
            namespace: Some("shop".into()),
            port: Some(ServicePort::Named("grpc".into())),
            tls: false,
            server: Some(server.into()),
            token: Some(token.path().to_owned()),
            ca: None,
        };
        let (tell, asked) = mpsc::unbounded_channel();
        let connections = Arc::<Mutex<u32>>::default();
        let counted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                *counted.lock().unwrap() += 1;
                let tell = tell.clone();
                open.spawn(async move {
                    let mut connection = h2::server::handshake(socket).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let _ = tell.send(Asked::new(&request, respond));
                    }
                });
            }
        });
        Api { settings, asked, token, task, connections }
    }

    async fn asked(&mut self) -> Asked {
        tokio::time::timeout(Duration::from_secs(10), self.asked.recv()).await.expect("a request").unwrap()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asked {
    fn new<B>(request: &Request<B>, respond: SendResponse<Bytes>) -> Asked {
        let path = request.uri().path_and_query().unwrap().to_string();
        let token = request.headers().get("authorization").map_or("", |value| value.to_str().unwrap()).to_owned();
        Asked { path, token, respond }
    }

    fn whole(mut self, status: u16, body: &str) {
        let head = Response::builder().status(status).body(()).unwrap();
        let mut stream = self.respond.send_response(head, false).unwrap();
        stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true).unwrap();
    }

    fn stream(mut self) -> h2::SendStream<Bytes> {
        self.respond.send_response(Response::new(()), false).unwrap()
    }
}

fn slice(name: &str, version: u32, ips: &[&str]) -> String {
    let endpoints: Vec<String> = ips
        .iter()
        .map(|ip| format!(r#"{{"addresses": ["{ip}"], "conditions": {{"ready": true}}, "zone": "a"}}"#))
        .collect();
    format!(
        r#"{{"metadata": {{"name": "{name}", "resourceVersion": "{version}"}}, "endpoints": [{}],
            "ports": [{{"name": "grpc", "port": 50051, "protocol": "TCP"}}]}}"#,
        endpoints.join(",")
    )
    .replace('\n', " ")
}

fn list(version: u32, next: &str, slices: &[String]) -> String {
    format!(
        r#"{{"metadata": {{"resourceVersion": "{version}", "continue": "{next}"}}, "items": [{}]}}"#,
        slices.join(",")
    )
}

fn event(kind: &str, object: &str) -> Bytes {
    format!("{{\"type\": \"{kind}\", \"object\": {object}}}\n").into()
}

/// Runs the source, and answers its list with these slices; what is asked next is the watch.
async fn watched(api: &mut Api, slices: &[String]) -> (Taken, Asked) {
    let (outlet, taken) = outlet();
    tokio::spawn(run(api.settings.clone(), outlet));
    api.asked().await.whole(200, &list(10, "", slices));
    let watch = api.asked().await;
    (taken, watch)
}

#[tokio::test]
async fn slices_are_listed_by_pages_and_then_watched() {
    let mut api = Api::start().await;
    let (outlet, taken) = outlet();
    tokio::spawn(run(api.settings.clone(), outlet));
    let first = api.asked().await;
    assert_eq!(
        first.path,
        "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices\
         ?labelSelector=kubernetes%2Eio%2Fservice%2Dname%3Dbooks&limit=250"
    );
    assert_eq!(first.token, "Bearer first");
    first.whole(200, &list(9, "more==", &[slice("one", 3, &["10.0.0.1"])]));
    std::fs::write(api.token.path(), "second\n").unwrap();
    let second = api.asked().await;
    assert!(second.path.ends_with("&limit=250&continue=more%3D%3D"), "{}", second.path);
    assert_eq!(second.token, "Bearer second", "the token is read anew each time");
    second.whole(200, &list(10, "", &[slice("two", 4, &["10.0.0.2"])]));
    assert_eq!(taken.labels(1).await, ["10.0.0.1:50051", "10.0.0.2:50051"]);

    let watch = api.asked().await;
    assert!(watch.path.contains("watch=1") && watch.path.ends_with("&resourceVersion=10"), "{}", watch.path);
    let mut stream = watch.stream();
    let changed = event("MODIFIED", &slice("two", 11, &["10.0.0.3"]));
    // a line comes in pieces
    stream.send_data(changed.slice(..20), false).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    stream.send_data(changed.slice(20..), false).unwrap();
    assert_eq!(taken.labels(2).await, ["10.0.0.1:50051", "10.0.0.3:50051"]);
    stream.send_data(event("DELETED", &slice("one", 12, &[])), false).unwrap();
    assert_eq!(taken.labels(3).await, ["10.0.0.3:50051"]);
    // a service without pods has none: their addresses belong to others soon
    stream.send_data(event("MODIFIED", &slice("two", 13, &[])), false).unwrap();
    assert_eq!(taken.labels(4).await, [] as [&str; 0]);
    stream.send_data(event("BOOKMARK", r#"{"metadata": {"resourceVersion": "99"}}"#), true).unwrap();
    let again = api.asked().await;
    assert!(again.path.ends_with("&resourceVersion=99"), "a watch goes on where the last one ended: {}", again.path);
    assert_eq!(*api.connections.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_forgotten_version_is_listed_anew_however_it_is_told() {
    for as_a_line in [true, false] {
        let mut api = Api::start().await;
        let (taken, watch) = watched(&mut api, &[slice("one", 3, &["10.0.0.1"])]).await;
        let gone = r#"{"kind": "Status", "code": 410, "message": "too old"}"#;
        match as_a_line {
            true => watch.stream().send_data(event("ERROR", gone), true).unwrap(),
            false => watch.whole(410, gone),
        }
        let list_again = api.asked().await;
        assert!(list_again.path.ends_with("&limit=250"), "{}", list_again.path);
        list_again.whole(200, &list(20, "", &[slice("other", 19, &["10.0.0.9"])]));
        assert_eq!(taken.labels(2).await, ["10.0.0.9:50051"], "and what is not listed is gone");
        assert_eq!(taken.standing.failures(), 0);
    }
}

#[tokio::test]
async fn what_is_known_stays_while_the_server_fails() {
    let mut api = Api::start().await;
    let (taken, watch) = watched(&mut api, &[slice("one", 3, &["10.0.0.1"])]).await;
    watch.stream().send_data(Bytes::from_static(b"what?\n"), false).unwrap();
    api.asked().await.whole(403, r#"{"code": 403, "message": "endpointslices is forbidden"}"#);
    let reason = async {
        while !taken.standing.reason().is_some_and(|why| why.contains("403 endpointslices is forbidden")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reason).await.unwrap_or_else(|_| panic!("{:?}", taken.standing));
    api.asked().await.whole(200, &list(5, "", &[slice("one", 3, &["10.0.0.1", "10.0.0.2"])]));
    assert_eq!(taken.labels(2).await.len(), 2);
    assert_eq!(taken.standing.reason(), None);
}

#[tokio::test]
async fn hostile_bodies_end_the_connection_and_not_the_process() {
    let mut api = Api::start().await;
    let (outlet, taken) = outlet();
    tokio::spawn(run(api.settings.clone(), outlet));
    for bad in ["", "[]", "{\"items\": 5}", "{\"metadata\": {}, \"items\": []}", "\u{0}\u{1}"] {
        let asked = api.asked().await;
        asked.whole(200, bad);
    }
    api.asked().await.whole(200, &list(1, "", &[slice("one", 1, &["10.0.0.1", "not an address", ""])]));
    assert!(taken.labels(1).await.contains(&"10.0.0.1:50051".to_owned()));
}
