//! Certificates towards upstreams: renewed on disk while calls run, and judged by their names.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tokio::time::{Instant, sleep};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use transom::status::Code;

use super::discovery::call;
use super::peer::Peer;
use super::support::port::Port;
use super::support::{Edge, PATIENCE, configuration, protos};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new([]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// A certificate of these names, and its key.
fn signed(by: &Authority, names: &[&str], uris: &[&str]) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().expect("a key");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("parameters");
    params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("a URI"))));
    (params.signed_by(&key, by).expect("a certificate"), key)
}

/// A server of these names that asks for a certificate of the authority.
fn server(by: &Authority, names: &[&str], uris: &[&str]) -> Arc<ServerConfig> {
    let (certificate, key) = signed(by, names, uris);
    let mut roots = RootCertStore::empty();
    roots.add(by.der().clone()).expect("a root");
    let judge = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build().expect("a judge");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let config = ServerConfig::builder().with_client_cert_verifier(judge).with_single_cert(chain, key);
    let mut config = config.expect("a configuration");
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// One that shows this, and reads who calls.
fn peer(config: Arc<ServerConfig>) -> Peer {
    Peer::on(Port::take().listen(), "peer", Some(config))
}

fn show(folder: &Path, by: &Authority, name: &str) -> Vec<u8> {
    let (certificate, key) = signed(by, &[name], &[]);
    // beside and then in place, as renewers do it: one file at a time, so that for a moment they do not fit
    for (file, text) in [("client.pem", certificate.pem()), ("client.key", key.serialize_pem())] {
        std::fs::write(folder.join("new"), text).expect("a file");
        std::fs::rename(folder.join("new"), folder.join(file)).expect("a file in its place");
    }
    certificate.der().to_vec()
}

async fn edge(peer: &Peer, tls: &str, more: &str) -> Edge {
    let cluster = format!("endpoints: h2s://localhost:{}\n    tls: {tls}{more}", peer.address.port());
    Edge::by(&configuration("MARK", &protos(), "workers: 1\n").replace("endpoints: MARK", &cluster)).await
}

#[tokio::test]
async fn a_certificate_that_is_renewed_on_disk_fails_no_call_and_keeps_connections() {
    let (old, new) = (authority(), authority());
    let folder = tempfile::TempDir::new().expect("a folder");
    let (at, ca) = (folder.path().display(), folder.path().join("ca.pem"));
    std::fs::write(&ca, old.pem()).expect("a file");
    let first = show(folder.path(), &old, "client-1");
    let peer = self::peer(server(&old, &["localhost"], &[]));
    let tls = format!("{{ca: \"{at}/ca.pem\", certificate: \"{at}/client.pem\", key: \"{at}/client.key\"}}");
    let edge = edge(&peer, &tls, "\n    health: {interval: 200ms, no_traffic_interval: 200ms, mode: tcp}").await;
    for _ in 0..5 {
        assert_eq!(call(&edge).await.as_deref(), Ok("peer"));
    }
    let generation = edge.metric("transom_generation").await;
    let second = show(folder.path(), &old, "client-2");
    let begun = Instant::now();
    let last = || peer.shared.shown.lock().expect("a lock").last().cloned().flatten();
    // each check makes a connection: what it shows is what the next connection of a call would
    while last().as_ref() != Some(&second) {
        assert_eq!(call(&edge).await.as_deref(), Ok("peer"));
        assert!(begun.elapsed() < PATIENCE, "the new certificate is not shown");
        sleep(Duration::from_millis(5)).await;
    }
    assert!(peer.shared.shown.lock().expect("a lock").contains(&Some(first)));
    assert!(edge.metric("transom_generation").await > generation);
    assert_eq!(edge.metric("transom_upstream_connect_failures_total").await, 0);
    let open = edge.metric("transom_upstream_connections_active").await;

    // the server goes over to another authority: trusted beside the old one first, then alone
    std::fs::write(&ca, format!("{}{}", old.pem(), new.pem())).expect("a file");
    let seen = edge.metric("transom_generation").await;
    while edge.metric("transom_generation").await == seen {
        assert!(begun.elapsed() < PATIENCE * 2, "no reload");
        sleep(Duration::from_millis(20)).await;
    }
    *peer.shared.tls.lock().expect("a lock") = Some(server(&new, &["localhost"], &[]));
    let made = peer.connections();
    let begun = Instant::now();
    while peer.connections() < made + 3 {
        assert!(begun.elapsed() < PATIENCE, "no check makes a connection");
        assert_eq!(call(&edge).await.as_deref(), Ok("peer"));
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(edge.metric("transom_upstream_connections_active").await, open, "connections of calls stay");
}

#[tokio::test]
async fn names_of_a_certificate_are_checked_in_place_of_the_name_asked_for() {
    let by = authority();
    let folder = tempfile::TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("ca.pem"), by.pem()).expect("a file");
    let config = server(&by, &["books.internal"], &["spiffe://shop/ns/books"]);
    let peer = self::peer(config);
    let at = folder.path().display();
    for (san, good) in [
        ("spiffe://shop/ns/books", true),
        ("spiffe://shop/*", true),
        ("\"*.internal.example\", books.internal", true),
        ("spiffe://shop/ns/other", false),
        ("localhost", false),
    ] {
        let edge = edge(&peer, &format!("{{ca: \"{at}/ca.pem\", verify: {{san: [{san}]}}}}"), "").await;
        match (call(&edge).await, good) {
            (Ok(_), true) => {}
            (Err((code, message)), false) => {
                assert_eq!(code, Some(Code::Unavailable));
                let why = "no subject alternative name matches";
                let has = "the certificate has books.internal, spiffe://shop/ns/books";
                assert!(message.contains(why) && message.contains(has), "{message}");
            }
            (outcome, _) => panic!("{san}: {outcome:?}"),
        }
    }
    // a listed name does not spare the signature
    std::fs::write(folder.path().join("ca.pem"), authority().pem()).expect("a file");
    let stranger = edge(&peer, &format!("{{ca: \"{at}/ca.pem\", verify: {{san: books.internal}}}}"), "").await;
    let (code, message) = call(&stranger).await.unwrap_err();
    assert_eq!(code, Some(Code::Unavailable));
    assert!(message.contains("invalid peer certificate"), "{message}");
    // and who checks nothing takes anybody
    let blind = edge(&peer, "{insecure_skip_verify: true}", "").await;
    assert_eq!(call(&blind).await.as_deref(), Ok("peer"));
}

#[tokio::test]
async fn an_old_version_of_tls_can_be_refused() {
    let by = authority();
    let folder = tempfile::TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("ca.pem"), by.pem()).expect("a file");
    let (certificate, key) = signed(&by, &["localhost"], &[]);
    let versions = &[&tokio_rustls::rustls::version::TLS12];
    let config = ServerConfig::builder_with_protocol_versions(versions).with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let mut config = config.with_single_cert(vec![certificate.der().clone()], key).expect("a configuration");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let peer = self::peer(Arc::new(config));
    let at = folder.path().display();
    let lenient = edge(&peer, &format!("{{ca: \"{at}/ca.pem\"}}"), "").await;
    assert_eq!(call(&lenient).await.as_deref(), Ok("peer"));
    let strict = edge(&peer, &format!("{{ca: \"{at}/ca.pem\", min_version: \"1.3\"}}"), "").await;
    let (code, message) = call(&strict).await.unwrap_err();
    assert_eq!(code, Some(Code::Unavailable));
    assert!(message.contains("TLS handshake"), "{message}");
}
