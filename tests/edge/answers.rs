//! Answers to REST callers as settings would have them: codes, header fields, what may be kept, what is printed.

use serde_json::{Value, json};

use super::echoing::Echoing;
use super::support::{Answer, Ask, Edge, Transport, shared};

const OVER: [Transport; 2] = [Transport::Http1, Transport::Http2];

const SETTINGS: &str = "settings:
  - match: bookstore.v1.Bookstore/*
    rest:
      error_codes: {NOT_FOUND: 410, INVALID_ARGUMENT: 422, UNIMPLEMENTED: 418}
      response_headers: [x-echo-a, x-echo-trailer-a-bin]
      etag: true
      cache_control: max-age=60
      location: \"/v1/{name}\"
    query: {fields_parameter: fields}
  - {match: bookstore.v1.Bookstore/CreateShelf, rest: {success: 201}}
  - {match: bookstore.v1.Bookstore/CreateBook, rest: {success: 201, location: \"https://books.example/v1/{name}?t={title}\"}}
  - {match: bookstore.v1.Bookstore/DeleteBook, rest: {success: 204}}
  - {match: helloworld.Greeter/*, rest: {etag: true, cache_control: no-store}}
";

async fn edge() -> Edge {
    Edge::start(SETTINGS).await
}

fn post(path: &str, body: Value) -> Ask {
    Ask::post(path, "application/json", body.to_string())
}

#[tokio::test]
async fn good_answers_have_the_code_and_the_location_of_the_settings() {
    let edge = edge().await;
    for (transport, n) in OVER.into_iter().zip(1..) {
        let made = edge.ask(transport, &post("/v1/shelves", json!({"theme": "Maps"}))).await;
        assert_eq!(made.status, 201, "{}", made.text());
        assert_eq!(made.header("location"), format!("/v1/{}", made.json()["name"].as_str().expect("a name")));
        let path = format!("/v1/shelves/1/books?book_id=b{n}");
        let made = edge.ask(transport, &post(&path, json!({"title": "Ä b/c?"}))).await;
        let location = format!("https://books.example/v1/shelves/1/books/b{n}?t=%C3%84%20b/c%3F");
        assert_eq!((made.status, made.header("location")), (201, &*location));
        // an error has none
        let again = edge.ask(transport, &post(&path, json!({"title": "x"}))).await;
        assert_eq!((again.status, again.header("location")), (409, ""));

        let gone = edge.ask(transport, &Ask::new("DELETE", format!("/v1/shelves/1/books/b{n}"))).await;
        assert_eq!((gone.status, gone.body.len(), gone.header("content-type")), (204, 0, ""));
        assert_eq!((gone.header("content-length"), gone.header("etag"), gone.cut), ("", "", false));
    }
}

#[tokio::test]
async fn a_location_without_its_field_is_none() {
    let proto = r#"
        syntax = "proto3";
        package e;
        import "google/api/annotations.proto";
        message M { string name = 1; M inner = 2; int64 number = 3; }
        service S { rpc Say(M) returns (M) { option (google.api.http) = { post: "/v1/m" body: "*" }; } }
    "#;
    let settings = "settings: [{match: \"*\", rest: {success: 202, location: \"/v1/{inner.name}/{number}\"}}]\n";
    let echoing = Echoing::start(proto, "", settings).await;
    let located = |body: Value| {
        let ask = post("/v1/m", body);
        let echoing = &echoing;
        async move {
            let answer = echoing.ask(&ask).await;
            assert_eq!(answer.status, 202, "{}", answer.text());
            answer.header("location").to_owned()
        }
    };
    assert_eq!(located(json!({"inner": {"name": "a/b"}, "number": "7"})).await, "/v1/a/b/7");
    assert_eq!(located(json!({"inner": {"name": "a"}})).await, "/v1/a/0", "which may be the first of them");
    assert_eq!(located(json!({"inner": {}})).await, "");
    assert_eq!(located(json!({"name": "a"})).await, "");
}

#[tokio::test]
async fn errors_have_the_codes_of_the_settings_but_where_the_edge_knows_better() {
    let edge = edge().await;
    let get = |path: &'static str| edge.ask(Transport::Http1, Box::leak(Box::new(Ask::get(path))));
    assert_eq!(get("/v1/shelves/1/books/404").await.status, 410, "the upstream's");
    assert_eq!(get("/v1/shelves/1/books?page_size=x").await.status, 422, "the edge's, which says the same");
    assert_eq!(get("/v1/shelves/9/books?page_size=-1").await.status, 410);
    assert_eq!(get("/v1/nothing").await.status, 404, "no method's");
    let wrong = edge.ask(Transport::Http1, &Ask::new("PUT", "/v1/shelves/1")).await;
    assert_eq!(wrong.status, 405);
    let packed = edge.ask(Transport::Http1, &post("/v1/shelves", json!({})).header("content-encoding", "lz4")).await;
    assert_eq!(packed.status, 415, "tells more than UNIMPLEMENTED does");
}

#[tokio::test]
async fn every_error_is_a_problem_to_who_asks_for_it() {
    let edge = edge().await;
    let problem = |ask: Ask| {
        let ask = ask.header("accept", "application/json, application/problem+json");
        let edge = &edge;
        async move {
            let answer = edge.ask(Transport::Http2, &ask).await;
            assert_eq!(answer.header("content-type"), "application/problem+json", "{ask:?}: {}", answer.text());
            assert_eq!(answer.header("vary"), "accept");
            let told = answer.json();
            assert_eq!((&told["type"], &told["status"]), (&json!("about:blank"), &json!(answer.status)));
            assert!(told["title"].is_string() && told["detail"].is_string(), "{told}");
            (answer.status, told["code"].as_str().expect("a code").to_owned(), told["details"][0]["@type"].clone())
        }
    };
    let detail = |name: &str| json!(format!("type.googleapis.com/google.rpc.{name}"));
    let (info, bad) = (detail("ErrorInfo"), detail("BadRequest"));
    for (ask, expected) in [
        (Ask::get("/v1/shelves/1/books/404"), (410, "NOT_FOUND", &info)),
        (Ask::get("/v1/nothing"), (404, "UNIMPLEMENTED", &info)),
        (Ask::new("PUT", "/v1/shelves/1"), (405, "UNIMPLEMENTED", &info)),
        (Ask::new("PUT", "/bookstore.v1.Bookstore/GetShelf"), (405, "UNIMPLEMENTED", &info)),
        (Ask::post("/bookstore.v1.Bookstore/GetShelf", "text/xml", "x"), (415, "UNIMPLEMENTED", &info)),
        (Ask::get("/v1/shelves/1/books?page_siez=1"), (422, "INVALID_ARGUMENT", &bad)),
        (post("/v1/shelves", json!({"theme": "x".repeat(5 << 20)})), (413, "RESOURCE_EXHAUSTED", &info)),
        (post("/v1/shelves", json!({})).header("content-encoding", "lz4"), (415, "UNIMPLEMENTED", &info)),
    ] {
        let (status, code, detail) = problem(ask).await;
        assert_eq!((status, &*code, &detail), expected);
    }
    // whoever speaks Connect gets Connect's errors
    let connect = post("/bookstore.v1.Bookstore/GetShelf", json!({"name": "shelves/404"}));
    let answer = edge.ask(Transport::Http2, &connect).await;
    assert_eq!((answer.header("content-type"), &answer.json()["code"]), ("application/json", &json!("not_found")));
    let plain = edge.ask(Transport::Http2, &Ask::get("/v1/nothing").header("accept", "*/*")).await;
    assert_eq!(plain.header("content-type"), "application/json");
}

#[tokio::test]
async fn only_listed_metadata_becomes_header_fields() {
    let edge = edge().await;
    let levers = [
        ("x-echo-a", "1"),
        ("x-echo-b", "2"),
        ("x-echo-trailer-a-bin", "AAE"),
        ("x-echo-trailer-b", "4"),
        ("accept-encoding", "gzip"),
    ];
    for (path, listed) in [("/v1/shelves/1", true), ("/v1/shelves/404", true), ("/v1/greeter/joe", false)] {
        let answer = edge.ask(Transport::Http1, &Ask::get(path).headers(&levers)).await;
        let shown = |name: &str| answer.headers.contains_key(name);
        assert!(shown("x-echo-a") && shown("trailer-x-echo-trailer-a-bin"), "{path}: {:?}", answer.headers);
        assert_eq!((shown("x-echo-b"), shown("trailer-x-echo-trailer-b")), (!listed, !listed), "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let stream = Ask::get("/v1/shelves/1/books:watch?count=1").headers(&levers);
    let answer = edge.ask(Transport::Http1, &stream).await;
    assert_eq!((answer.header("x-echo-a"), answer.header("x-echo-b")), ("1", ""));
}

#[tokio::test]
async fn answers_without_side_effects_are_kept_by_their_tag() {
    let edge = edge().await;
    let connect =
        "/bookstore.v1.Bookstore/GetShelf?connect=v1&encoding=json&message=%7B%22name%22%3A%22shelves%2F1%22%7D";
    for (transport, path) in
        OVER.into_iter().flat_map(|over| ["/v1/shelves/1/books/1", connect].map(|path| (over, path)))
    {
        let ask = Ask::get(path);
        let fresh = edge.ask(transport, &ask).await;
        let tag = fresh.header("etag").to_owned();
        assert!(fresh.status == 200 && tag.len() == 24 && tag.starts_with('"'), "{fresh:?}");
        assert_eq!((fresh.header("cache-control"), fresh.header("vary")), ("max-age=60", "accept-encoding"));
        assert_eq!(edge.ask(transport, &ask).await.header("etag"), tag);
        for known in [tag.clone(), format!("W/{tag}"), "*".into(), format!("\"x\", {tag}")] {
            let same = edge.ask(transport, &ask.clone().header("if-none-match", &known)).await;
            assert_eq!((same.status, same.body.len(), same.cut), (304, 0, false), "{known}");
            assert_eq!((same.header("etag"), same.header("cache-control")), (&*tag, "max-age=60"));
            assert_eq!((same.header("content-type"), same.header("vary")), ("", "accept-encoding"));
        }
        for other in ["\"x\"", "x", "", "W/"] {
            assert_eq!(edge.ask(transport, &ask.clone().header("if-none-match", other)).await.status, 200, "{other}");
        }
        let head = edge.ask(transport, &Ask { method: "HEAD", ..ask }).await;
        assert_eq!((head.status, head.header("etag"), head.body.len()), (200, &*tag, 0));
    }
}

#[tokio::test]
async fn compressed_bodies_have_weak_tags() {
    let edge = Edge::start(&SETTINGS.replace("    query:", "    compression: {answers_from: 10B}\n    query:")).await;
    let plain = edge.ask(Transport::Http1, &Ask::get("/v1/shelves/1/books/1")).await;
    let packed = Ask::get("/v1/shelves/1/books/1").header("accept-encoding", "gzip");
    let answer = edge.ask(Transport::Http1, &packed).await;
    assert_eq!((answer.header("content-encoding"), answer.header("vary")), ("gzip", "accept-encoding"));
    assert_eq!(answer.header("etag"), format!("W/{}", plain.header("etag")));
    let same = edge.ask(Transport::Http1, &packed.header("if-none-match", answer.header("etag"))).await;
    assert_eq!((same.status, same.header("content-encoding"), same.header("etag")), (304, "", answer.header("etag")));
}

#[tokio::test]
async fn nothing_else_is_kept() {
    let edge = edge().await;
    let bare = |answer: &Answer| {
        let named = ["etag", "cache-control"].iter().any(|name| answer.headers.contains_key(*name));
        assert!(!named, "{answer:?}");
    };
    bare(&edge.ask(Transport::Http1, &Ask::get("/v1/shelves/1/books/404")).await);
    bare(&edge.ask(Transport::Http1, &post("/v1/books:search", json!({"query": "whale"}))).await);
    // no setting says anything of these
    bare(&edge.ask(Transport::Http1, &Ask::get("/v1/feature/1/1")).await);
    bare(&shared().ask(Transport::Http1, &Ask::get("/v1/shelves/1")).await);
    let stream =
        edge.ask(Transport::Http1, &Ask::get("/v1/shelves/1/books:watch?count=1").header("if-none-match", "*")).await;
    assert_eq!(stream.status, 200);
    bare(&stream);
}

#[tokio::test]
async fn a_caller_gets_the_fields_that_it_names() {
    let edge = edge().await;
    let get = |path: String| {
        let edge = &edge;
        async move { edge.ask(Transport::Http1, &Ask::get(path)).await }
    };
    for (mask, expected) in [
        ("name", json!({"name": "shelves/1/books/1"})),
        ("title,price.currencyCode", json!({"title": "Moby-Dick", "price": {"currencyCode": "EUR"}})),
        ("title,price(currency_code)", json!({"title": "Moby-Dick", "price": {"currencyCode": "EUR"}})),
    ] {
        let answer = get(format!("/v1/shelves/1/books/1?fields={mask}")).await;
        assert_eq!((answer.status, answer.json()), (200, expected), "{mask}");
    }
    let whole = get("/v1/shelves/1/books/1".into()).await;
    assert_eq!(get("/v1/shelves/1/books/1?fields=".into()).await.body, whole.body);
    assert_eq!(get("/v1/shelves/1/books/1?fields=*".into()).await.body, whole.body);
    let list = get("/v1/shelves/1/books?page_size=2&fields=books/title&fields=nextPageToken".into()).await.json();
    assert_eq!(list, json!({"books": [{"title": "Moby-Dick"}, {"title": "Frankenstein"}], "nextPageToken": "2"}));
    // of what the rule shows: here the list alone
    let all = get("/v1/shelves:all?fields=name".into()).await.json();
    assert_eq!(all[0], json!({"name": "shelves/1"}));
    for accept in ["application/x-ndjson", "text/event-stream"] {
        let ask = Ask::get("/v1/shelves/1/books:watch?count=1&fields=book.title,sequence").header("accept", accept);
        let text = edge.ask(Transport::Http1, &ask).await.text();
        assert!(text.contains(r#"{"sequence":"1","book":{"title":"Moby-Dick"}}"#), "{text}");
    }
    let searched = post("/v1/books:search?fields=hits.book.title", json!({"query": "whale", "limit": 1}));
    let answer = edge.ask(Transport::Http1, &searched).await;
    assert_eq!(answer.json()["hits"][0].as_object().map(|hit| hit.len()), Some(1), "{}", answer.text());
}

#[tokio::test]
async fn fields_that_there_are_not_are_refused_by_name() {
    let edge = edge().await;
    for (mask, why) in [
        ("titel", "titel: bookstore.v1.Book has no field \"titel\" (did you mean \"title\"?)"),
        ("price.unitz", "price.unitz: bookstore.v1.Book.Price has no field \"unitz\" (did you mean \"price.units\"?)"),
        ("title.x", "title: \"title\" has no fields to choose from"),
        ("price(", "a name is missing at the end"),
    ] {
        let answer = edge.ask(Transport::Http1, &Ask::get(format!("/v1/shelves/1/books/1?fields={mask}"))).await;
        assert_eq!(answer.status, 422, "{mask}");
        let error = answer.json();
        assert_eq!(error["details"][0]["fieldViolations"][0], json!({"field": "fields", "description": why}));
        assert_eq!(error["message"], format!("fields: {why}"));
    }
    // without the setting it is a parameter like others
    let answer = shared().ask(Transport::Http1, &Ask::get("/v1/shelves/1/books/1?fields=title")).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("unknown query parameter"), "{}", answer.text());
}
