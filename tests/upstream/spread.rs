//! How calls are spread over the endpoints of a cluster, and who gets none: over real connections.

use std::collections::HashMap;

use transom::observe::{ClusterFigures, EndpointFigures, Health};
use transom::upstream::{Balance, Ejection, HashBy, Limits, Verdict, hash_key};

use super::*;

/// The policies that go by nothing but calls. (p2c gives more to whoever answers faster; its own tests tell it how fast.)
const BY_CALLS: [Balance; 2] = [Balance::RoundRobin, Balance::LeastRequest];

impl Bench {
    async fn open_by(&self, path: &'static str, choice: &Choice<'_>) -> Result<Exchange, Fault> {
        self.pool.open(&self.cluster, choice, PathAndQuery::from_static(path), HeaderMap::new(), true).await
    }

    /// A call that is answered by trailers alone; where it went.
    async fn call(&self) -> Result<u64, Fault> {
        let mut exchange = self.open_by("/status", &Choice::default()).await?;
        let id = exchange.endpoint().id();
        head(&mut exchange.response).await?;
        exchange.response.judge(Verdict::Success);
        Ok(id)
    }

    /// The same, until every endpoint is connected.
    async fn warm(&self) {
        let count = self.cluster.endpoints().len();
        let began = Instant::now();
        while self.connections() < count {
            assert!(began.elapsed() < Duration::from_secs(30), "not all endpoints get connected");
            self.call().await.unwrap();
        }
    }

    fn figures(&self, index: usize) -> EndpointFigures {
        self.cluster.figures().endpoints[index].clone()
    }
}

async fn peers(count: usize) -> (Vec<H2Peer>, ClusterSettings) {
    let mut peers = Vec::new();
    for _ in 0..count {
        peers.push(H2Peer::start(100).await);
    }
    let urls: Vec<String> = peers.iter().map(H2Peer::url).collect();
    (peers, settings(&urls.iter().map(String::as_str).collect::<Vec<_>>()))
}

#[tokio::test]
async fn weights_hold_over_two_thousand_calls() {
    bounded(async {
        let (_peers, mut settings) = peers(3).await;
        for (endpoint, weight) in settings.endpoints.iter_mut().zip([1, 3, 6]) {
            endpoint.weight = weight;
        }
        for balance in BY_CALLS {
            let bench = Arc::new(Bench::of(ClusterSettings { balance: balance.clone(), ..settings.clone() }));
            bench.warm().await;
            let before: Vec<u64> = (0..3).map(|index| bench.figures(index).calls).collect();
            for _ in 0..250 {
                // eight at a time
                let calls = (0..8).map(|_| {
                    let bench = Arc::clone(&bench);
                    tokio::spawn(async move { bench.call().await.unwrap() })
                });
                for call in calls.collect::<Vec<_>>() {
                    call.await.unwrap();
                }
            }
            for (index, expected) in [200_u64, 600, 1200].into_iter().enumerate() {
                let count = bench.figures(index).calls - before[index];
                // five deviations of what comes by chance: 13, 20 and 22 calls of 2,000
                let slack = if balance == Balance::RoundRobin { 2 } else { [67, 102, 110][index] };
                assert!(count.abs_diff(expected) <= slack, "{balance:?}, {index}: {count}, not {expected}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_fails_every_call_is_ejected_and_comes_back_by_one_trial() {
    bounded(async {
        let (_peers, settings) = peers(3).await;
        let time = Backoff { first: Duration::from_millis(400), cap: Duration::from_secs(1) };
        let ejection = Some(Ejection { time, ..Ejection::default() });
        let bench = Bench::of(ClusterSettings { ejection, balance: Balance::RoundRobin, ..settings });
        bench.warm().await;
        let bad = bench.cluster.endpoints()[0].id();
        let call = async |fails: bool| {
            let mut exchange = bench.open_by("/status", &Choice::default()).await.unwrap();
            let id = exchange.endpoint().id();
            head(&mut exchange.response).await.unwrap();
            exchange.response.judge_status(if fails && id == bad { Code::Unavailable } else { Code::NotFound });
            id == bad
        };
        let (mut failed, mut ejected) = (0, Instant::now());
        while bench.figures(0).health != Health::Ejected {
            ejected = Instant::now();
            failed += u32::from(call(true).await);
            assert!(failed <= 5);
        }
        assert_eq!((failed, bench.figures(0).ejections), (5, 1));
        // the trial goes to it; it fails, and the endpoint is out for twice as long; a fifth less or more, by chance
        let mut again = Instant::now();
        while !call(true).await {
            again = Instant::now();
        }
        assert!(ejected.elapsed() >= Duration::from_millis(320), "{:?}", ejected.elapsed());
        assert_eq!((bench.figures(0).health, bench.figures(0).ejections), (Health::Ejected, 2));
        while !call(false).await {}
        assert!(again.elapsed() >= Duration::from_millis(640), "{:?}", again.elapsed());
        assert_eq!(bench.figures(0).health, Health::Healthy);
        let mut shares = 0;
        for _ in 0..90 {
            shares += u32::from(call(false).await);
        }
        assert!(shares > 10, "{shares} of 90");
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_let_go_at_its_deadline_without_an_answer_counts_against_the_endpoint() {
    bounded(async {
        let (_peers, settings) = peers(2).await;
        let bench = Bench::of(settings);
        bench.warm().await;
        let failed = |index: usize, name: &str| {
            bench.figures(index).failures.iter().find(|count| count.name == name).map(|count| count.count)
        };
        let both = |name: &str| failed(0, name).unwrap() + failed(1, name).unwrap();
        // the caller goes away: says nothing
        drop(bench.open_by("/hold", &Choice::default()).await.unwrap());
        let later = Choice { deadline: Some(Instant::now() + Duration::from_secs(60)), ..Choice::default() };
        drop(bench.open_by("/hold", &later).await.unwrap());
        assert_eq!(both("deadline"), 0);
        let now = Choice { deadline: Some(Instant::now()), ..Choice::default() };
        drop(bench.open_by("/hold", &now).await.unwrap());
        assert_eq!(both("deadline"), 1);
        // one that has begun to answer is a stream that has lasted long enough
        let mut open = bench.open_by("/open", &now).await.unwrap();
        head(&mut open.response).await.unwrap();
        drop(open);
        assert_eq!(both("deadline"), 1);
    })
    .await;
}

#[tokio::test]
async fn all_calls_that_are_lost_with_one_connection_count_as_one_failure() {
    bounded(async {
        let (mut peers, settings) = peers(2).await;
        let bench = Bench::of(ClusterSettings { balance: Balance::RoundRobin, ..settings });
        bench.warm().await;
        let mut held = Vec::new();
        for _ in 0..40 {
            held.push(bench.open_by("/hold", &Choice::default()).await.unwrap());
        }
        drop(peers.remove(0));
        for exchange in &mut held {
            if exchange.endpoint().id() == bench.cluster.endpoints()[0].id() {
                assert_eq!(head(&mut exchange.response).await.unwrap_err().kind(), FaultKind::Broken);
            }
        }
        let figures = bench.figures(0);
        let lost = figures.failures.iter().find(|count| count.name == "lost").unwrap();
        assert_eq!((lost.count, figures.ejections), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn what_is_beyond_a_limit_is_refused_at_once_and_counted() {
    bounded(async {
        let (_peers, settings) = peers(2).await;
        let limits = Limits { calls: Some(3), ..Limits::default() };
        let bench = Bench::of(ClusterSettings { limits, ..settings.clone() });
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(bench.open("/hold").await.unwrap());
        }
        let fault = bench.open("/hold").await.unwrap_err();
        assert_eq!((fault.kind(), fault.code()), (FaultKind::Overloaded, Code::Unavailable));
        assert_eq!(fault.message(), "cluster test has as many calls as it may have at once");
        held.pop();
        held.push(bench.open("/hold").await.unwrap());
        drop(held);
        assert_eq!(bench.cluster.figures().overloaded[0].count, 1);

        let limits = Limits { endpoint_calls: Some(2), ..Limits::default() };
        let bench = Bench::of(ClusterSettings { limits, ..settings });
        bench.warm().await;
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(bench.open("/hold").await.unwrap());
        }
        let at = |id: u64| held.iter().filter(|exchange| exchange.endpoint().id() == id).count();
        assert!(bench.cluster.endpoints().iter().all(|endpoint| at(endpoint.id()) == 2));
        let fault = bench.open("/hold").await.unwrap_err();
        assert_eq!(fault.message(), "cluster test has no endpoint left that may have another call");
        let ClusterFigures { overloaded, endpoints, .. } = bench.cluster.figures();
        assert_eq!(overloaded[2].count, 1);
        assert!(endpoints.iter().all(|at| at.failures.iter().all(|failure| failure.count == 0)));
    })
    .await;
}

#[tokio::test]
async fn no_more_calls_wait_for_a_connection_than_may() {
    bounded(async {
        // takes connections and never speaks
        let (_silent, url) = listener().await;
        let limits = Limits { pending: Some(2), ..Limits::default() };
        let connect_timeout = Duration::from_secs(6);
        let bench = Arc::new(Bench::of(ClusterSettings { limits, connect_timeout, ..settings(&[&url]) }));
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let bench = Arc::clone(&bench);
                tokio::spawn(async move { bench.echo(b"x").await })
            })
            .collect();
        until("two wait", || bench.cluster.figures().pending == 2).await;
        assert_eq!(bench.echo(b"x").await.unwrap_err().kind(), FaultKind::Overloaded);
        for call in waiting {
            assert_eq!(call.await.unwrap().unwrap_err().kind(), FaultKind::Connect);
        }
        assert_eq!(bench.cluster.figures().pending, 0);
    })
    .await;
}

#[tokio::test]
async fn endpoints_come_and_go_while_calls_run() {
    bounded(async {
        let (peers, settings) = peers(3).await;
        let [first, second, third] = settings.endpoints.clone().try_into().unwrap();
        let bench = Bench::of(ClusterSettings { endpoints: vec![first.clone(), second.clone()], ..settings });
        bench.warm().await;
        let ids: Vec<u64> = bench.cluster.endpoints().iter().map(|endpoint| endpoint.id()).collect();
        let mut old = loop {
            let exchange = bench.open("/echo").await.unwrap();
            if exchange.endpoint().id() == ids[0] {
                break exchange;
            }
        };
        bench.cluster.replace_endpoints(vec![second, third]);
        // who answers faster gets more calls; in the end all are called
        while peers[2].accepted() == 0 {
            assert_ne!(bench.call().await.unwrap(), ids[0]);
        }
        for _ in 0..40 {
            assert_ne!(bench.call().await.unwrap(), ids[0]);
        }
        assert_eq!((peers[1].accepted(), peers[2].accepted()), (1, 1), "the one that stayed keeps its connection");
        send(&mut old.request, Bytes::from_static(b"still"), true).await.unwrap();
        head(&mut old.response).await.unwrap();
        assert_eq!(read_all(&mut old.response).await.unwrap(), "still");
        drop(old);
        until("the connection of the one that went closes", || bench.meters.upstream_connections_active.get() == 2)
            .await;
        // nobody left, and then somebody again
        bench.cluster.replace_endpoints(Vec::new());
        assert_eq!(bench.call().await.unwrap_err().message(), "cluster test has no endpoints");
        bench.cluster.replace_endpoints(vec![first]);
        assert_ne!(bench.call().await.unwrap(), ids[0], "it is another endpoint now");
    })
    .await;
}

#[tokio::test]
async fn calls_of_one_key_stay_together_and_those_of_an_endpoint_that_dies_move() {
    bounded(async {
        let (mut peers, settings) = peers(4).await;
        let balance = Balance::RingHash(HashBy::Header("x-user".parse().unwrap()));
        let bench = Bench::of(ClusterSettings { balance, ..settings });
        let place = async |key: u64| {
            let choice = Choice { hash: Some(hash_key(&key.to_be_bytes())), ..Choice::default() };
            let mut exchange = bench.open_by("/status", &choice).await?;
            head(&mut exchange.response).await?;
            Ok::<_, Fault>(exchange.endpoint().id())
        };
        let mut places = HashMap::new();
        for key in 0..40 {
            places.insert(key, place(key).await.unwrap());
        }
        for key in 0..40 {
            assert_eq!(place(key).await.unwrap(), places[&key]);
        }
        let dead = bench.cluster.endpoints()[2].id();
        assert!(places.values().any(|id| *id == dead));
        drop(peers.remove(2));
        until("the connection is lost", || bench.connections() == 3).await;
        for key in 0..40 {
            let now = place(key).await.unwrap();
            assert!(now != dead && (places[&key] == dead || now == places[&key]));
        }
    })
    .await;
}

#[tokio::test]
async fn a_worker_with_a_subset_connects_to_no_more_than_that() {
    bounded(async {
        let (peers, settings) = peers(6).await;
        let bench = Bench::of(ClusterSettings { subset_size: 2, ..settings });
        let pool = Pool::of_worker(Arc::clone(&bench.meters), 1, 3);
        for pool in [&bench.pool, &Arc::new(pool)] {
            let mut calls = 0;
            while calls < 40 || pool.connections(&bench.cluster) < 2 {
                let path = PathAndQuery::from_static("/status");
                let opened = pool.open(&bench.cluster, &Choice::default(), path, HeaderMap::new(), true).await;
                head(&mut opened.unwrap().response).await.unwrap();
                calls += 1;
            }
            assert_eq!(pool.connections(&bench.cluster), 2);
        }
        let used = peers.iter().filter(|peer| peer.accepted() > 0).count();
        assert!(used >= 2, "{used}");
    })
    .await;
}

#[tokio::test]
async fn the_own_zone_is_called_until_it_fails_and_then_the_next() {
    bounded(async {
        let (mut peers, mut settings) = peers(3).await;
        for (endpoint, zone) in settings.endpoints.iter_mut().zip(["a", "b", "b"]) {
            endpoint.zone = Some(zone.into());
        }
        let bench = Bench::of(ClusterSettings { zone: Some("a".into()), ..settings });
        let near = bench.cluster.endpoints()[0].id();
        for _ in 0..40 {
            assert_eq!(bench.call().await.unwrap(), near);
        }
        drop(peers.remove(0));
        until("the connection is lost", || bench.connections() == 0).await;
        for _ in 0..40 {
            assert_ne!(bench.call().await.unwrap(), near);
        }
        assert_eq!(bench.figures(0).health, Health::Down);
        assert!(!bench.cluster.figures().panic, "the other zone can take it");
    })
    .await;
}

#[tokio::test]
async fn endpoints_to_be_avoided_are_taken_only_if_there_is_no_other() {
    bounded(async {
        let (_peers, settings) = peers(2).await;
        let bench = Bench::of(settings);
        bench.warm().await;
        let ids: Vec<u64> = bench.cluster.endpoints().iter().map(|endpoint| endpoint.id()).collect();
        for avoid in [&ids[..1], &ids[1..]] {
            for _ in 0..20 {
                let choice = Choice { avoid, ..Choice::default() };
                let exchange = bench.open_by("/status", &choice).await.unwrap();
                assert!(!avoid.contains(&exchange.endpoint().id()));
            }
        }
        let all = Choice { avoid: &ids, ..Choice::default() };
        assert!(bench.open_by("/status", &all).await.is_ok());
    })
    .await;
}
