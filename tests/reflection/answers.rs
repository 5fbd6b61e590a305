//! Servers differ, and some are broken: what is asked of each, what is made of it, and what is told when it is nothing.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::program::{Folder, stderr, stdout};
use super::server::{Manner, Script, Server};
use super::{MONEY, SHOP, shop};

/// The routes that `transom routes` prints before a server, or all that it complains of.
async fn routes(script: Script) -> Result<String, String> {
    let server = Server::start(script).await;
    let output = Folder::new().transom(&["routes", "--reflect", "--upstream", &server.url()]).await;
    if output.status.success() { Ok(stdout(&output)) } else { Err(stderr(&output)) }
}

async fn has_routes(what: &str, script: Script) {
    let routes = routes(script).await.unwrap_or_else(|told| panic!("{what}: {told}"));
    for part in ["GET", "/v1/{name=orders/*}", "shop.v1.Shop"] {
        assert!(routes.contains(part), "{what}: {routes}");
    }
    assert!(!routes.contains("grpc.reflection"), "{what}: {routes}");
}

/// One mistake, which says this and ends with its count.
async fn refused(script: Script, says: &[&str]) {
    let told = routes(script.clone()).await.expect_err("it is refused");
    for part in says {
        assert!(told.contains(part), "{part:?} is not in {told:?} ({:?})", script.manner);
    }
    assert!(told.contains("reflection of 127.0.0.1:"), "which endpoint: {told}");
    assert!(told.ends_with("1 mistake\n"), "{told}");
}

fn without(mut script: Script, gone: impl Fn(&str) -> bool) -> Script {
    script.files.retain(|name, _| !gone(name));
    script
}

#[tokio::test]
async fn either_version_will_do_and_files_may_come_alone_or_with_what_they_import() {
    for versions in [vec!["v1"], vec!["v1alpha"], vec!["v1", "v1alpha"]] {
        for transitive in [true, false] {
            let what = format!("{versions:?}, transitive: {transitive}");
            has_routes(&what, Script { versions: versions.clone(), transitive, ..shop() }).await;
        }
    }
}

#[tokio::test]
async fn what_every_catalog_has_need_not_be_there_and_a_file_may_have_another_name() {
    for transitive in [true, false] {
        let bare = without(shop(), |name| name.starts_with("google/"));
        has_routes("no google files", Script { transitive, ..bare }).await;

        // registered as money.proto, imported as shop/money.proto: by asking, and by its only namesake
        let mut other = Script { transitive, ..shop() };
        let money = Script::of(&[("money.proto", MONEY)]).files["money.proto"].clone();
        other.files.insert("shop/money.proto".into(), money.clone());
        has_routes("another name", other.clone()).await;
        other.files.remove("shop/money.proto");
        other.files.insert("money.proto".into(), money);
        let more = SHOP.replace("package shop.v1;", "package shop.v1; import \"money.proto\";").leak();
        let more = Script::of(&[
            ("shop/shop.proto", more),
            ("money.proto", MONEY),
            ("shop/money.proto", "syntax = \"proto3\";"),
        ]);
        other.files.insert("shop/shop.proto".into(), more.files["shop/shop.proto"].clone());
        has_routes("a namesake", other).await;
    }
}

#[tokio::test]
async fn an_import_that_nobody_needs_may_be_missing_and_one_with_a_type_may_not() {
    let text = SHOP.replace("package shop.v1;", "package shop.v1; import \"lint/options.proto\";").leak();
    let script = Script::of(&[
        ("shop/shop.proto", text),
        ("shop/money.proto", MONEY),
        ("lint/options.proto", "syntax = \"proto3\"; package lint; message Unused {}"),
    ]);
    let script = without(script, |name| name.starts_with("lint/"));
    let server = Server::start(script.clone()).await;
    let output = Folder::new().transom(&["routes", "--reflect", "--upstream", &server.url()]).await;
    assert!(output.status.success() && stdout(&output).contains("/v1/{name=orders/*}"), "{}", stderr(&output));
    assert!(stderr(&output).contains("it does not have the file \"lint/options.proto\""), "{}", stderr(&output));

    let told = routes(without(shop(), |name| name == "shop/money.proto")).await.expect_err("a type is missing");
    assert!(told.contains("shop/shop.proto") && told.contains("Money"), "{told}");
}

#[tokio::test]
async fn every_failure_says_where_and_what() {
    let versions = Script { versions: vec![], ..shop() };
    refused(versions, &["--reflect: ", "serves no reflection, neither grpc.reflection.v1 nor v1alpha", "--"]).await;
    refused(shop().manner(Manner::Http(404)), &["serves no reflection"]).await;
    refused(shop().manner(Manner::Http(503)), &["asked for its services: UNAVAILABLE: HTTP 503"]).await;
    refused(shop().manner(Manner::Status(7)), &["PERMISSION_DENIED: as the test says", "pin"]).await;
    refused(shop().manner(Manner::Status(0)), &["it ended the call before it had answered"]).await;
    refused(Script { services: vec![], ..shop() }, &["no service that is wanted: it lists none"]).await;
    let own = Script { services: vec!["grpc.health.v1.Health".into()], ..shop() };
    refused(own, &["it lists grpc.health.v1.Health"]).await;
    let mut lost = shop();
    lost.services.push("shop.v1.Lost".into());
    refused(lost, &["for the file of shop.v1.Lost, which it lists: NOT_FOUND: not here", "!shop.v1.Lost"]).await;
    refused(Script { services: vec!["no name".into()], ..shop() }, &["a service \"no name\", as none can be called"])
        .await;
}

#[tokio::test]
async fn hostile_answers_are_bounded_and_told() {
    refused(shop().manner(Manner::Announce(u32::MAX)), &["4294967295 bytes is over the limit of 67108864"]).await;
    let frame = |message: &[u8]| {
        let mut bytes = vec![0];
        bytes.extend_from_slice(&u32::try_from(message.len()).expect("a length").to_be_bytes());
        bytes.extend_from_slice(message);
        Bytes::from(bytes)
    };
    refused(shop().manner(Manner::Raw(frame(b"\xff\xff"))), &["the answer is no protobuf"]).await;
    refused(shop().manner(Manner::Raw(frame(b""))), &["it answers something else"]).await;
    refused(shop().manner(Manner::Raw(frame(b"\x22\x05\x0a\x03\xff\xff\xff"))), &["no file descriptor"]).await;
    refused(shop().manner(Manner::Raw(Bytes::from_static(b"\x01\0\0\0\x01x"))), &["compressed"]).await;
    refused(shop().manner(Manner::Raw(Bytes::from_static(b"HTTP/1.1"))), &["flags"]).await;
    // 4 MiB of files of two bytes
    let many: Vec<u8> = b"\x0a\x00".repeat(2 << 20);
    let mut message = vec![0x22];
    prost::encoding::encode_varint(many.len() as u64, &mut message);
    message.extend_from_slice(&many);
    refused(shop().manner(Manner::Raw(frame(&message))), &["more than 20000 files"]).await;
    // a file of 2 million messages, each of two bytes here and of hundreds if it were decoded
    let mut file = vec![0x0a, 7];
    file.extend_from_slice(b"x.proto");
    file.extend_from_slice(&b"\x22\x00".repeat(2 << 20));
    let mut script = shop();
    script.files.insert("shop/money.proto".into(), file.into());
    refused(Script { transitive: false, ..script }, &["more parts than are taken"]).await;
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time() {
    let server = Server::start(shop().manner(Manner::Hang)).await;
    let folder = Folder::new();
    let config = format!("catalogs: [{{name: shop, upstream: \"{}\", reflect: {{timeout: 700ms}}}}]", server.url());
    folder.write("t.yaml", &config);
    let begun = Instant::now();
    let output = folder.transom(&["check", "t.yaml"]).await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    let told = stderr(&output);
    assert!(told.starts_with("t.yaml:1:"), "{told}");
    assert!(told.contains("catalogs[0].reflect: reflection of 127.0.0.1:"), "{told}");
    assert!(told.contains("asked for the file of shop.v1.Shop: no answer within 700ms"), "{told}");
    assert_eq!((output.status.code(), server.calls.load(Ordering::SeqCst)), (Some(2), 1));
}

#[tokio::test]
async fn patterns_say_which_services_are_taken() {
    let mut script = Script::of(&[
        ("shop/shop.proto", SHOP),
        ("shop/money.proto", MONEY),
        (
            "more.proto",
            "syntax = \"proto3\"; package more; message M {} service A { rpc Do(M) returns (M); }
                        service B { rpc Do(M) returns (M); }",
        ),
    ]);
    // it is in the file, and yet not served
    script.services.retain(|name| name != "more.B");
    let server = Server::start(script).await;
    let folder = Folder::new();
    for (patterns, taken) in [
        ("", vec!["shop.v1.Shop", "more.A"]),
        ("services: more.*", vec!["more.A"]),
        ("services: [\"!shop.*\"]", vec!["more.A"]),
        ("services: [shop.v1.Shop, \"!*\"]", vec!["shop.v1.Shop"]),
    ] {
        let config = format!("catalogs: [{{name: shop, upstream: \"{}\", reflect: {{{patterns}}}}}]", server.url());
        folder.write("t.yaml", &config);
        let output = folder.transom(&["routes", "t.yaml"]).await;
        assert!(output.status.success(), "{}", stderr(&output));
        for name in ["shop.v1.Shop", "more.A", "more.B"] {
            assert_eq!(stdout(&output).contains(name), taken.contains(&name), "{patterns}: {}", stdout(&output));
        }
    }
    folder.write(
        "t.yaml",
        &format!("catalogs: [{{name: s, upstream: \"{}\", reflect: {{services: [\"a b\"]}}}}]", server.url()),
    );
    assert!(stderr(&folder.transom(&["check", "t.yaml"]).await).contains("no pattern of services"));
}

#[tokio::test]
async fn the_clusters_tls_and_authority_are_those_of_its_reflection() {
    let server = Server::start(shop()).await;
    let folder = Folder::new();
    let pair = rcgen::generate_simple_self_signed(vec!["shop.internal".to_owned()]).expect("a certificate");
    folder.write("cert.pem", &pair.cert.pem());
    folder.write("key.pem", &pair.signing_key.serialize_pem());
    // an edge that passes all on stands for a server with TLS
    let pass = format!("catalogs: [{{name: all, upstream: \"{}\", unknown_methods: pass}}]\n", server.url());
    folder.write("pass.yaml", &pass);
    let before = folder.serve(&["pass.yaml", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]).await;
    let config = |tls: &str| {
        format!(
            "clusters: {{shop: {{endpoints: \"h2s://127.0.0.1:{}\", authority: orders.shop.internal, tls: {{{tls}}}}}}}
catalogs: [{{name: shop, cluster: shop, reflect: true}}]\n",
            before.address.port()
        )
    };
    folder.write("t.yaml", &config("server_name: shop.internal"));
    let told = stderr(&folder.transom(&["routes", "t.yaml"]).await);
    assert!(told.contains("catalogs[0].reflect: reflection of 127.0.0.1:") && told.contains("TLS handshake"), "{told}");
    folder.write("t.yaml", &config("server_name: shop.internal, ca: cert.pem"));
    let output = folder.transom(&["routes", "t.yaml"]).await;
    assert!(stdout(&output).contains("/v1/{name=orders/*}"), "{}{}", stderr(&output), before.told());

    let clear = format!(
        "clusters: {{shop: {{endpoints: \"{}\", authority: orders.shop.internal}}}}
catalogs: [{{name: shop, cluster: shop, reflect: true}}]\n",
        server.url()
    );
    folder.write("t.yaml", &clear);
    assert!(folder.transom(&["routes", "t.yaml"]).await.status.success());
    assert_eq!(*server.authority.lock().expect("an authority"), "orders.shop.internal");
}
