//! `--reflect` with every verb that looks at catalogs, and with every dialect that `serve` speaks.

use bytes::Bytes;
use transom::demo::upstream::Upstream;

use super::program::{Folder, stderr, stdout};
use super::server::Server;
use super::shop;

fn demo() -> (transom::demo::upstream::Running, String) {
    let running = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let url = format!("h2c://{}", running.address());
    (running, url)
}

/// The paths that a verb names, as words of its text or as keys of a document. Places and comments are those of source files.
fn paths(text: &str) -> Vec<String> {
    let document: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    if let Some(paths) = document["paths"].as_object() {
        return paths.keys().cloned().collect();
    }
    let words = text.split([' ', '\n', '"']).filter(|word| word.starts_with("/v1/"));
    let mut words: Vec<String> = words.map(str::to_owned).collect();
    words.sort();
    words.dedup();
    words
}

#[tokio::test]
async fn every_verb_sees_the_same_as_by_the_files() {
    let (_upstream, url) = demo();
    let folder = Folder::new();
    let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/protos");
    let by_files = ["--proto-path", protos, "--proto", "helloworld.proto", "--proto", "echo.proto", "--proto"];
    let by_files =
        [&by_files[..], &["route_guide.proto", "--proto", "bookstore.proto", "--proto", "files.proto"]].concat();
    let by_reflection = ["--reflect", "--upstream", &url];
    let both = |verb: &[&str]| {
        let arguments = |more: &[&str]| [verb, more].concat().iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        (arguments(&by_files), arguments(&by_reflection))
    };
    for verb in
        [&["routes"][..], &["openapi"], &["explain", "GET", "/v1/shelves/1/books/2?view=BOOK_VIEW_FULL", "--json"]]
    {
        let (files, reflection) = both(verb);
        let files = folder.transom(&files.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let reflection = folder.transom(&reflection.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert!(reflection.status.success(), "{verb:?}: {}", stderr(&reflection));
        assert_eq!(paths(&stdout(&reflection)), paths(&stdout(&files)), "{verb:?}");
        assert!(!paths(&stdout(&files)).is_empty(), "{verb:?}");
    }
    let output = folder.transom(&["check", "--reflect", "--upstream", &url]).await;
    assert!(stdout(&output).contains("catalog command-line: 5 services"), "{}{}", stdout(&output), stderr(&output));
    let output = folder.transom(&["check", "--reflect"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("--reflect: whose reflection is to be asked? (give --upstream URL"),
        "{}",
        stderr(&output)
    );
}

#[tokio::test]
async fn a_catalog_from_reflection_serves_every_dialect() {
    let (_upstream, url) = demo();
    let serving = Folder::new().serve(&["--reflect", "--upstream", &url]).await;

    let rest = serving.get("/v1/greeter/joe").await;
    assert!(rest.starts_with("HTTP/1.1 200 ") && rest.contains(r#"{"message":"Hello joe"}"#), "{rest}");
    let bound = serving.get("/v1/shelves/1/books/404").await;
    assert!(bound.starts_with("HTTP/1.1 404 ") && bound.contains("BOOK_NOT_FOUND"), "{bound}");
    let connect = serving.post("/helloworld.Greeter/SayHello", "application/json", r#"{"name":"joe"}"#).await;
    assert!(connect.contains(r#"{"message":"Hello joe"}"#), "{connect}");
    let web = serving.post("/helloworld.Greeter/SayHello", "application/grpc-web-text", "AAAAAAUKA2pvZQ==").await;
    assert!(web.starts_with("HTTP/1.1 200 ") && web.contains("application/grpc-web-text"), "{web}");
    let stream = serving.get("/v1/shelves/1/books:watch?count=2").await;
    assert!(stream.starts_with("HTTP/1.1 200 ") && stream.contains("\"sequence\""), "{stream}");

    let socket = tokio::net::TcpStream::connect(serving.address).await.expect("a connection");
    let (mut client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let driving = tokio::spawn(connection);
    let request = http::Request::post(format!("http://{}/helloworld.Greeter/SayHello", serving.address))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    let (answer, mut body) = client.send_request(request, false).expect("a stream");
    body.send_data(Bytes::from_static(b"\0\0\0\0\x05\x0a\x03joe"), true).expect("sent");
    let mut answer = answer.await.expect("a head").into_body();
    let mut received = Vec::new();
    while let Some(chunk) = answer.data().await {
        received.extend_from_slice(&chunk.expect("a chunk"));
    }
    let trailers = answer.trailers().await.expect("trailers").expect("trailers");
    assert_eq!(&received[..], b"\0\0\0\0\x0b\x0a\x09Hello joe");
    assert_eq!(trailers["grpc-status"], "0");
    driving.abort();

    let unknown = serving.post("/grpc.health.v1.Health/Check", "application/json", "{}").await;
    assert!(unknown.starts_with("HTTP/1.1 404 "), "health is the edge's own matter: {unknown}");
    assert!(serving.page("/drift").await.contains("agrees"));
}

#[tokio::test]
async fn reflection_stands_beside_files_and_whoever_asks_is_told_of_its_place() {
    let (_upstream, url) = demo();
    let server = Server::start(shop()).await;
    let folder = Folder::new();
    let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/protos");
    folder.write(
        "t.yaml",
        &format!(
            "clusters: {{demo: {{endpoints: \"{url}\"}}, shop: {{endpoints: \"{}\"}}}}
catalogs:
  - name: all
    proto_paths: [\"{protos}\"]
    protos: [helloworld.proto]
    cluster: demo
    reflect: {{cluster: shop}}
    rules: [{{selector: shop.v1.Shop.Get, get: \"/orders/{{name}}\", add: true}}]
",
            server.url()
        ),
    );
    let output = folder.transom(&["routes", "t.yaml"]).await;
    let routes = stdout(&output);
    for part in ["/v1/greeter/{name}", "/v1/{name=orders/*}", "/orders/{name}", "reflection of shop(shop/shop.proto)"] {
        assert!(routes.contains(part), "{part} is not in {routes}{}", stderr(&output));
    }

    for (reflect, told) in [
        ("{cluster: shp}", "catalogs[0].reflect.cluster: there is no cluster \"shp\" (did you mean \"shop\"?)"),
        ("{cluster: shop, upstream: \"h2c://127.0.0.1:1\"}", "`upstream` and `cluster: shop` exclude each other"),
        ("{refesh: 1s}", "catalogs[0].reflect.refesh: unknown key (did you mean \"refresh\"?)"),
        ("{drift: refse}", "\"refse\" is not report or refuse (did you mean \"refuse\"?)"),
        ("maybe", "\"maybe\" is not true or false"),
        ("{interval: 5s}", "catalogs[0].reflect.interval: unknown key (did you mean \"refresh\"?)"),
    ] {
        let text = format!(
            "clusters: {{shop: {{endpoints: \"{}\"}}}}\ncatalogs: [{{name: all, cluster: shop, reflect: {reflect}}}]\n",
            server.url()
        );
        folder.write("t.yaml", &text);
        let output = folder.transom(&["check", "t.yaml"]).await;
        assert!(stderr(&output).contains(told), "{reflect}: {}", stderr(&output));
        assert_eq!(stderr(&output).lines().count(), 2, "one mistake, once: {}", stderr(&output));
    }
}
