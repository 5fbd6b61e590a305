//! Requests that are sent twice at a time.

use std::time::Duration;

use transom::status::Code;

use super::dialects::{Dialect, SERVER, Told, UNARY};
use super::staged::{Act, Seen, Staged, Word, bad, bad_with, good, is_repeated};
use super::support::{Edge, Transport, until};

const HEDGED: &str = "settings: [{match: \"*\", idempotent: true, hedge: {after: 300ms, attempts: 3}}]\n";
/// Of [`HEDGED`].
const AFTER: Duration = Duration::from_millis(300);
const LATE: Duration = Duration::from_secs(15);

fn late(act: Act) -> Act {
    Act::After(LATE, Box::new(act))
}

async fn call(edge: &Edge, dialect: Dialect, path: &str) -> Told {
    let begun = std::time::Instant::now();
    let told = dialect.read(&edge.ask(Transport::Http2, &dialect.ask(path, &["hi"])).await);
    assert!(begun.elapsed() < LATE, "nobody waited for the late one");
    told
}

#[tokio::test]
async fn the_first_good_answer_wins_and_the_others_are_let_go() {
    for (dialect, path) in [(Dialect::Grpc, UNARY), (Dialect::Rest, UNARY), (Dialect::Web, SERVER)] {
        let upstream =
            Staged::start(2, |_, headers| if is_repeated(headers) { good("soon") } else { late(good("late")) });
        let upstream = upstream.await;
        let edge = Edge::before(&upstream.urls(), &HEDGED.replace("attempts: 3", "attempts: 2")).await;
        let begun = std::time::Instant::now();
        let told = call(&edge, dialect, path).await;
        assert!(begun.elapsed() >= AFTER, "the first had its time");
        assert_eq!((told.code, &*told.messages), (Some(Code::Ok), &["soon".to_owned()][..]), "{dialect:?}");
        let mut seen = upstream.seen();
        // of two connections either may be read first
        seen.sort_by_key(Seen::is_repeated);
        assert_eq!(seen.len(), 2, "{dialect:?}");
        assert_eq!(seen[0].body, seen[1].body);
        assert_ne!(seen[0].upstream, seen[1].upstream, "another endpoint");
        assert_eq!(seen[1].header("grpc-previous-rpc-attempts"), "1");
        until("the late one is reset", || async { upstream.seen().iter().any(|seen| seen.reset) }).await;
        assert_eq!(edge.metric("transom_upstream_hedges_total").await, 1);
        assert_eq!(edge.metric("transom_upstream_hedges_won_total").await, 1);
    }
}

#[tokio::test]
async fn a_quick_answer_has_no_hedge() {
    until("an answer is quick", || async {
        let upstream = Staged::acts(vec![good("quick")]).await;
        let edge = Edge::before(&upstream.urls(), HEDGED).await;
        let begun = std::time::Instant::now();
        assert_eq!(call(&edge, Dialect::Grpc, UNARY).await.messages, ["quick"]);
        let was_quick = begun.elapsed() < AFTER;
        tokio::time::sleep(AFTER + Duration::from_millis(400)).await;
        assert!(upstream.seen().len() == 1 || !was_quick);
        was_quick
    })
    .await;
}

#[tokio::test]
async fn a_failure_that_is_not_fatal_brings_the_next_at_once_and_a_fatal_one_ends_the_call() {
    let upstream = Staged::acts(vec![bad("14"), bad("14"), good("third")]).await;
    // who waited for that would wait for longer than a test does
    let edge = Edge::before(&upstream.urls(), &HEDGED.replace("300ms", "60s")).await;
    let told = call(&edge, Dialect::Grpc, UNARY).await;
    assert_eq!((told.code, upstream.seen().len()), (Some(Code::Ok), 3), "{told:?}");
    // the late one is let go, though it would have been good
    let upstream = Staged::acts(vec![late(good("late")), bad("5")]).await;
    let edge = Edge::before(&upstream.urls(), HEDGED).await;
    assert_eq!(call(&edge, Dialect::Grpc, UNARY).await.code, Some(Code::NotFound));
    until("the late one is reset", || async { upstream.seen()[0].reset }).await;
    // a failure while another is under way is not the caller's
    let word = Word::default();
    let upstream = Staged::acts(vec![Act::When(word.clone(), Box::new(good("first"))), bad("14"), bad("14")]).await;
    let edge = Edge::before(&upstream.urls(), HEDGED).await;
    let all_failed = async {
        until("both have come", || async { upstream.seen().len() == 3 }).await;
        tokio::time::sleep(AFTER).await;
        word.give();
    };
    let (told, ()) = tokio::join!(call(&edge, Dialect::Rest, UNARY), all_failed);
    assert_eq!((told.code, &*told.messages, upstream.seen().len()), (Some(Code::Ok), &["first".to_owned()][..], 3));
    assert_eq!(edge.metric("transom_upstream_hedges_won_total").await, 0);
}

#[tokio::test]
async fn an_upstream_that_pushes_back_gets_no_more_of_them() {
    let word = Word::default();
    let slow = Act::When(word.clone(), Box::new(good("slow")));
    let upstream = Staged::acts(vec![slow, bad_with("14", &[("grpc-retry-pushback-ms", "-1")]), good("never")]).await;
    let edge = Edge::before(&upstream.urls(), HEDGED).await;
    let none_follows = async {
        until("one has come", || async { upstream.seen().len() == 2 }).await;
        tokio::time::sleep(AFTER * 3).await;
        word.give();
    };
    let (told, ()) = tokio::join!(call(&edge, Dialect::Grpc, UNARY), none_follows);
    assert_eq!((&*told.messages, upstream.seen().len()), (&["slow".to_owned()][..], 2));
}

#[tokio::test]
async fn hedges_are_of_the_budget_too_and_never_of_methods_that_may_not_be_executed_twice() {
    let word = Word::default();
    let upstream = Staged::acts(vec![Act::When(word.clone(), Box::new(good("slow")))]).await;
    let text = super::support::configuration(&upstream.urls(), &super::support::protos(), HEDGED);
    let budget = "    retry_budget: {ratio: 0, min_per_second: 0}\ncatalogs:";
    let edge = Edge::by(&text.replacen("catalogs:", budget, 1)).await;
    let refused = || async { edge.metric("transom_upstream_retries_over_budget_total").await == 1 };
    let none_follows = async {
        until("the budget is asked", refused).await;
        tokio::time::sleep(AFTER * 2).await;
        word.give();
    };
    let (told, ()) = tokio::join!(call(&edge, Dialect::Grpc, UNARY), none_follows);
    assert_eq!(told.code, Some(Code::Ok));
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(edge.metric("transom_upstream_retries_over_budget_total").await, 1);
    let upstream = Staged::acts(vec![Act::After(AFTER * 3, Box::new(good("slow")))]).await;
    let edge = Edge::before(&upstream.urls(), &HEDGED.replace("idempotent: true", "idempotent: false")).await;
    assert_eq!(call(&edge, Dialect::Grpc, UNARY).await.code, Some(Code::Ok));
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_body_that_is_not_kept_whole_is_not_hedged() {
    let upstream = Staged::acts(vec![Act::After(AFTER * 3, Box::new(good("slow")))]).await;
    let edge = Edge::before(&upstream.urls(), HEDGED).await;
    let large = "x".repeat(100 << 10);
    let told = Dialect::Grpc.read(&edge.ask(Transport::Http2, &Dialect::Grpc.ask(UNARY, &[&large])).await);
    assert_eq!((told.code, upstream.seen().len()), (Some(Code::Ok), 1));
}
