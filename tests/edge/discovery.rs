//! Endpoints that are found: by DNS and by a file, while calls run.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use transom::status::Code;
use transom::upstream::{Cluster, ClusterSettings, Clusters, Discovery, DnsSettings};

use super::dialects::{Dialect, UNARY};
use super::name_server::{A, AAAA, NameServer, SRV, Say};
use super::peer::Peer;
use super::support::port::Port;
use super::support::{Edge, PATIENCE, Transport, configuration, protos, until};

/// An edge whose one cluster has these lines.
pub async fn edge(cluster: &str) -> Edge {
    edge_with(2, cluster).await
}

pub async fn edge_with(workers: usize, cluster: &str) -> Edge {
    let text = configuration("MARK", &protos(), &format!("workers: {workers}\n"));
    Edge::by(&text.replace("    endpoints: MARK", &format!("    {}", cluster.trim().replace('\n', "\n    ")))).await
}

/// Calls, and who answered; the code and the message if nobody did.
pub async fn call(edge: &Edge) -> Result<String, (Option<Code>, String)> {
    let answer = edge.ask(Transport::Http2, &Dialect::Grpc.ask(UNARY, &["hi"])).await;
    let told = Dialect::Grpc.read(&answer);
    match told.code {
        Some(Code::Ok) => Ok(told.initial.get("x-peer").expect("a peer").to_str().expect("text").to_owned()),
        code => Err((code, told.message)),
    }
}

/// Calls until this one answers, and alone: ten times in a row. No call may fail.
pub async fn moved_to(edge: &Edge, name: &str) {
    let (begun, mut row) = (Instant::now(), 0);
    while row < 10 {
        let answered = call(edge).await.unwrap_or_else(|told| panic!("a call failed: {told:?}"));
        row = if answered == name { row + 1 } else { 0 };
        assert!(begun.elapsed() < PATIENCE, "still {answered}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Two peers at one port of two addresses, as a name with one port has them.
fn neighbours() -> (Peer, Peer) {
    let ports = two_ports();
    (Peer::on(ports[0].listen(), "first", None), Peer::on(ports[1].listen(), "second", None))
}

fn two_ports() -> Vec<Port> {
    Port::at_each(&[[127, 0, 0, 2], [127, 0, 0, 3]].map(Into::into))
}

/// Waits until nothing has been asked for this name for a while.
async fn nothing_is_asked(names: &NameServer, name: &str) {
    until("the name server is left alone", || async {
        let asked = names.asked(name, A);
        sleep(Duration::from_millis(600)).await;
        names.asked(name, A) == asked
    })
    .await;
}

fn dns(server: &NameServer, port: u16, more: &str) -> String {
    let at = server.address;
    format!("discovery: {{dns: books.test, port: {port}, resolvers: \"{at}\", min_refresh: 100ms{more}}}")
}

#[tokio::test]
async fn addresses_of_a_name_change_under_calls_and_none_fails() {
    let (first, second) = neighbours();
    let names = NameServer::start(0).await;
    names.point("books.test", &["127.0.0.2"]);
    let edge = edge(&dns(&names, first.address.port(), "")).await;
    moved_to(&edge, "first").await;
    names.point("books.test", &["127.0.0.3"]);
    moved_to(&edge, "second").await;
    // no answer, an empty one, and nonsense: what was known stays
    for say in [Say::NoSuchName, Say::Nothing, Say::Failure, Say::Garbage(vec![0xff; 40]), Say::Silence] {
        let asked = names.asked("books.test", A);
        names.say("books.test", A, say.clone());
        until(&format!("it is asked, and says {say:?}"), || async {
            assert_eq!(call(&edge).await.as_deref(), Ok("second"), "{say:?}");
            names.asked("books.test", A) > asked
        })
        .await;
        for _ in 0..20 {
            assert_eq!(call(&edge).await.as_deref(), Ok("second"), "{say:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }
    names.point("books.test", &["127.0.0.2", "127.0.0.3"]);
    let mut answered = std::collections::BTreeSet::new();
    let begun = Instant::now();
    while answered.len() < 2 && begun.elapsed() < PATIENCE {
        answered.insert(call(&edge).await.expect("an answer"));
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(answered.len(), 2, "both are called again");
    drop((first, second));
}

#[tokio::test]
async fn an_answer_is_kept_for_its_ttl_unless_nobody_answers() {
    // nobody listens on the first
    let ports = two_ports();
    let peer = Peer::on(ports[1].listen(), "alive", None);
    let names = NameServer::start(3600).await;
    names.point("books.test", &["127.0.0.2"]);
    let edge = edge(&dns(&names, peer.address.port(), "")).await;
    let (code, message) = call(&edge).await.unwrap_err();
    assert_eq!(code, Some(Code::Unavailable));
    assert!(message.contains("127.0.0.2"), "{message}");
    names.point("books.test", &["127.0.0.3"]);
    let begun = Instant::now();
    while call(&edge).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "it is not looked up again");
        sleep(Duration::from_millis(20)).await;
    }
    // the TTL is an hour
    nothing_is_asked(&names, "books.test").await;
}

#[tokio::test]
async fn calls_before_a_name_can_be_looked_up_are_told_why() {
    let names = NameServer::start(0).await;
    let edge = edge(&dns(&names, 1, "")).await;
    let (code, message) = call(&edge).await.unwrap_err();
    assert_eq!(code, Some(Code::Unavailable));
    assert!(message.contains("look-up of books.test: there is no such name"), "{message}");
}

/// A cluster outside of an edge, to look at.
fn cluster(clusters: &Clusters, discovery: Discovery) -> std::sync::Arc<Cluster> {
    let settings = ClusterSettings { discovery, ..ClusterSettings::new("books", Vec::new()) };
    clusters.obtain(settings).expect("a cluster")
}

/// Its endpoints with priority and weight, as soon as there are so many.
async fn endpoints(cluster: &Cluster, count: usize) -> Vec<(String, u32, u32)> {
    let begun = Instant::now();
    loop {
        let states = cluster.figures().endpoints;
        if states.len() == count {
            let told =
                |state: &transom::observe::EndpointFigures| (state.endpoint.to_string(), state.priority, state.weight);
            let mut all: Vec<_> = states.iter().map(told).collect();
            all.sort();
            return all;
        }
        assert!(begun.elapsed() < PATIENCE, "{states:?} {:?}", cluster.discovery());
        sleep(Duration::from_millis(10)).await;
    }
}

fn looked_up(server: &NameServer, name: &str) -> DnsSettings {
    DnsSettings {
        resolvers: vec![server.address],
        min_refresh: Duration::from_millis(50),
        ..DnsSettings::new(name, 50051, false)
    }
}

#[tokio::test]
async fn targets_of_a_service_come_with_port_priority_and_weight() {
    let names = NameServer::start(0).await;
    let service = "_grpc._tcp.books.test";
    names.say(
        service,
        SRV,
        Say::Targets(vec![(10, 5, 7001, "a.books.test."), (20, 0, 7002, "b.books.test"), (0, 1, 7003, "gone.test")]),
    );
    names.point("a.books.test", &["10.0.0.1"]);
    names.say("b.books.test", AAAA, Say::Addresses(vec!["fd00::2".parse().expect("an address")]));
    let clusters = Clusters::default();
    let cluster = cluster(&clusters, Discovery::Srv(looked_up(&names, service)));
    assert_eq!(
        endpoints(&cluster, 2).await,
        [("10.0.0.1:7001".to_owned(), 10, 5), ("[fd00::2]:7002".to_owned(), 20, 1)],
        "a target that is not to be found leaves the others"
    );
    // "." says that there is no such service; nobody is worse than those who were there
    names.say(service, SRV, Say::Targets(vec![(0, 0, 0, ".")]));
    let begun = Instant::now();
    while cluster.discovery().expect("discovery").reason.is_none() {
        assert!(begun.elapsed() < PATIENCE);
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(cluster.figures().endpoints.len(), 2);
}

#[tokio::test]
async fn both_families_are_taken_and_one_is_enough() {
    let names = NameServer::start(0).await;
    names.point("books.test", &["10.0.0.1", "10.0.0.2"]);
    names.say("books.test", AAAA, Say::Addresses(vec!["fd00::1".parse().expect("an address")]));
    let clusters = Clusters::default();
    let both = cluster(&clusters, Discovery::Dns(looked_up(&names, "books.test")));
    let all = endpoints(&both, 3).await;
    assert_eq!(all[2].0, "[fd00::1]:50051");
    names.say("books.test", AAAA, Say::Failure);
    assert_eq!(endpoints(&both, 2).await[0].0, "10.0.0.1:50051");
    assert_eq!(both.discovery().expect("discovery").reason, None);
    // what nobody holds is looked up no more
    drop(both);
    nothing_is_asked(&names, "books.test").await;
}

#[tokio::test]
async fn a_file_of_endpoints_is_followed_under_calls_and_a_broken_one_changes_nothing() {
    let (first, second) = (Peer::start("first").await, Peer::start("second").await);
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("books.yaml");
    let write = |text: &str| std::fs::write(&file, text).expect("a file");
    write(&format!("endpoints: h2c://{}\n", first.address));
    let edge = edge(&format!("discovery: {{file: \"{}\"}}", file.display())).await;
    moved_to(&edge, "first").await;
    write(&format!("endpoints:\n  - h2c://{}\n", second.address));
    moved_to(&edge, "second").await;
    for broken in ["", "endpoints: [h2c://", "endpoints: []\n", "endpoints: nonsense\n", "other: 1\n", "\u{0}"] {
        write(broken);
        let until = Instant::now() + Duration::from_millis(1200);
        while Instant::now() < until {
            assert_eq!(call(&edge).await.as_deref(), Ok("second"), "{broken:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
    // JSON is YAML
    write(&format!("{{\"endpoints\": [\"h2c://{}\"]}}", first.address));
    moved_to(&edge, "first").await;
}
