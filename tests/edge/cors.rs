//! Browsers of other origins: preflights, and what their pages may read of answers good and bad.

use super::dialects::{Dialect, UNARY};
use super::support::{Ask, Transport, shared};

const ORIGIN: &str = "https://app.example";

fn preflight(origin: &str) -> Ask {
    Ask::new("OPTIONS", UNARY)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,x-grpc-web,x-app")
}

#[tokio::test]
async fn a_preflight_is_answered_without_a_call() {
    for transport in [Transport::Http1, Transport::Http2] {
        let answer = shared().ask(transport, &preflight(ORIGIN)).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
        assert!(answer.header("access-control-allow-methods").contains("POST"));
        let allowed = answer.header("access-control-allow-headers");
        assert!(allowed.contains("x-grpc-web") && allowed.contains("x-app"), "{allowed}");
        assert!(answer.header("vary").contains("origin"));

        let answer = shared().ask(transport, &preflight("https://evil.example")).await;
        assert_eq!(answer.status, 204);
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn good_answers_errors_and_refusals_can_be_read() {
    for dialect in [Dialect::Web, Dialect::WebText, Dialect::ConnectJson, Dialect::Rest] {
        let good = dialect.ask(UNARY, &["hi"]).header("x-echo-a", "one").header("x-echo-trailer-b", "two");
        let failed = good.clone().header("x-demo-status", "5");
        let refused = dialect.ask(UNARY, &[&"x".repeat(70_000)]);
        let lost = Ask { path: "/no.such/Method".to_owned(), ..dialect.ask(UNARY, &["hi"]) };
        for (what, ask) in [("good", good), ("failed", failed), ("refused", refused), ("lost", lost)] {
            let answer = shared().ask(Transport::Http1, &ask.header("origin", ORIGIN)).await;
            let at = format!("{dialect:?} {what} {answer:?}");
            assert_eq!(answer.header("access-control-allow-origin"), ORIGIN, "{at}");
            assert!(answer.headers.get_all("vary").iter().any(|value| value == "origin"), "{at}");
            let exposed = answer.header("access-control-expose-headers").to_owned();
            let exposed: Vec<&str> = exposed.split(", ").collect();
            for name in answer.headers.keys().map(|name| name.as_str()) {
                if name.starts_with("x-") || name.starts_with("grpc-") || name.starts_with("trailer-") {
                    assert!(exposed.contains(&name), "{name}: {at}");
                }
            }
            assert!(exposed.contains(&"grpc-status") && exposed.contains(&"grpc-message"), "{at}");
        }
        let foreign = dialect.ask(UNARY, &["hi"]).header("origin", "https://evil.example");
        let answer = shared().ask(Transport::Http1, &foreign).await;
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
}
