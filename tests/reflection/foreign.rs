//! A server that others wrote: tonic's, which sends each file alone and serves one version at a time.

use bytes::Bytes;
use tonic::transport::server::TcpIncoming;
use tonic_reflection::server::Builder;

use super::program::{Folder, stderr, stdout};
use super::shop;

/// The set of the shop's files, as a build script would have made it.
fn set() -> Bytes {
    let mut set = Vec::new();
    for file in shop().files.values() {
        set.push(0x0a);
        prost::encoding::encode_varint(file.len() as u64, &mut set);
        set.extend_from_slice(file);
    }
    set.into()
}

#[tokio::test]
async fn both_versions_of_tonics_reflection_are_read() {
    let set = set();
    for version in ["v1", "v1alpha"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let builder = Builder::configure().register_encoded_file_descriptor_set(&set);
        let mut server = tonic::transport::Server::builder();
        let router = match version {
            "v1" => server.add_service(builder.build_v1().expect("a service")),
            _ => server.add_service(builder.build_v1alpha().expect("a service")),
        };
        let serving = tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
        let output = Folder::new().transom(&["reflect", "--upstream", &format!("h2c://{address}")]).await;
        let text = stdout(&output);
        assert!(text.contains(&format!("{address} ({version}): 1 service, 1 method")), "{text}{}", stderr(&output));
        let url = format!("h2c://{address}");
        let output = Folder::new().transom(&["routes", "--reflect", "--upstream", &url]).await;
        assert!(stdout(&output).contains("/v1/{name=orders/*}"), "{}", stderr(&output));
        serving.abort();
    }
}
