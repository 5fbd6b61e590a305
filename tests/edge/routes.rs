//! The bookstore over plain HTTP/JSON: everything that `google.api.http` can say.

use serde_json::{Value, json};

use super::support::{Answer, Ask, Edge, Transport, shared};

async fn get(path: &str) -> Answer {
    shared().ask(Transport::Http1, &Ask::get(path)).await
}

async fn send(edge: &Edge, method: &'static str, path: &str, body: Value) -> Answer {
    let ask = Ask { method, ..Ask::post(path, "application/json", body.to_string()) };
    edge.ask(Transport::Http2, &ask).await
}

/// A request that must be refused as 400, and the fields that are named.
fn violations(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 400, "{}", answer.text());
    let error = answer.json();
    let detail = &error["details"][0];
    assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.BadRequest", "{error}");
    let fields = detail["fieldViolations"].as_array().expect("violations").iter();
    fields.map(|one| one["field"].as_str().unwrap_or("").to_owned()).collect()
}

#[tokio::test]
async fn paths_fill_fields_and_additional_bindings_lead_to_the_same_method() {
    let book = get("/v1/shelves/1/books/1").await;
    assert_eq!((book.status, book.header("content-type")), (200, "application/json"));
    assert_eq!(book.json()["name"], "shelves/1/books/1");
    assert_eq!(book.json()["title"], "Moby-Dick");
    assert!(book.json()["isbn"].is_string(), "64-bit numbers are strings");
    assert_eq!(get("/v1/shelves/1").await.json()["theme"], "Fiction");
    assert_eq!(get("/v1/shelves/1/books").await.json()["books"].as_array().map(Vec::len), Some(3));
    let all = get("/v1/shelves:all").await.json();
    assert!(all.is_array(), "the field of response_body alone: {all}");
    let feature = get("/v1/feature/409146138/-746188906").await.json();
    assert_eq!(feature["location"], json!({"latitude": 409146138, "longitude": -746188906}));
    for path in ["/v1/greeter/Ada%20L", "/v1/greeter/Ada L".replace(' ', "%20").as_str()] {
        assert_eq!(get(path).await.json(), json!({"message": "Hello Ada L"}));
    }
    let posted = send(shared(), "POST", "/v1/greeter", json!({"name": "Ada"})).await;
    assert_eq!(posted.json(), json!({"message": "Hello Ada"}));
    let json = send(shared(), "POST", "/bookstore.v1.Bookstore/GetBook", json!({"name": "shelves/1/books/2"})).await;
    assert_eq!(json.json()["title"], "Frankenstein");
}

#[tokio::test]
async fn query_parameters_fill_the_other_fields() {
    let page = get("/v1/shelves/1/books?page_size=2&orderBy=title").await.json();
    assert_eq!(page["books"].as_array().map(Vec::len), Some(2));
    let by_author = "/v1/shelves/1/books?filter.authors=Mary%20Shelley&filter.authors=George+Eliot";
    assert_eq!(get(by_author).await.json()["books"].as_array().map(Vec::len), Some(2));
    let masked = get("/v1/shelves/1/books/1?read_mask=name,title").await.json();
    assert_eq!(masked, json!({"name": "shelves/1/books/1", "title": "Moby-Dick"}));
    for genre in ["NOVEL", "1"] {
        let found = get(&format!("/v1/shelves/1/books?filter.genre={genre}")).await.json();
        assert_eq!(found["books"].as_array().map(Vec::len), Some(3), "{found}");
    }
    let after = get("/v1/shelves/1/books?filter.publishedAfter=1860-01-01T00:00:00Z").await.json();
    assert_eq!(after["books"].as_array().map(Vec::len), Some(1), "{after}");
    let found = get("/v1/books:search?query=revolution&genres=NONFICTION&genres=ESSAY").await.json();
    assert!(found["hits"].as_array().is_some_and(|hits| !hits.is_empty()), "{found}");
    let found = send(shared(), "POST", "/v1/books:search", json!({"query": "whale"})).await;
    assert_eq!(found.status, 200);
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_refused_by_name() {
    let wrong = get("/v1/shelves/1/books?page_siez=2").await;
    assert_eq!(violations(&wrong), ["page_siez"]);
    assert!(wrong.text().contains("page_size") || wrong.text().contains("pageSize"), "{}", wrong.text());
    assert_eq!(violations(&get("/v1/shelves/1/books?page_size=two").await), ["page_size"]);
    assert_eq!(violations(&get("/v1/shelves/1/books?filter.genre=SHOPPING").await), ["filter.genre"]);
    assert_eq!(violations(&get("/v1/feature/x/1").await), ["latitude"]);
    assert_eq!(violations(&get("/v1/greeter/%ff").await), ["name"]);
    let unknown = send(shared(), "POST", "/v1/greeter", json!({"nmae": "Ada"})).await;
    assert_eq!(violations(&unknown), ["nmae"]);
    let broken = Ask::post("/v1/greeter", "application/json", "{\"name\": ");
    assert_eq!(shared().ask(Transport::Http1, &broken).await.status, 400);
}

#[tokio::test]
async fn bodies_fill_a_field_or_the_message() {
    // changes the data: an upstream of its own
    let edge = Edge::start("").await;
    let made =
        send(&edge, "POST", "/v1/shelves/1/books?book_id=emma", json!({"title": "Emma", "genre": "NOVEL"})).await;
    assert_eq!((made.status, &made.json()["name"]), (200, &json!("shelves/1/books/emma")), "{}", made.text());
    let again = send(&edge, "POST", "/v1/shelves/1/books?book_id=emma", json!({"title": "Emma"})).await;
    assert_eq!((again.status, &again.json()["code"]), (409, &json!(6)));
    let empty = send(&edge, "POST", "/v1/shelves/1/books", json!({"title": ""})).await;
    assert_eq!(violations(&empty), ["book.title"]);

    let path = "/v1/shelves/1/books/emma";
    let masked = format!("{path}?update_mask=rating,labels");
    let patched = send(&edge, "PATCH", &masked, json!({"rating": 4.75, "labels": {"lent": "no"}, "title": "X"})).await;
    let book = patched.json();
    assert_eq!(
        (&book["rating"], &book["labels"]["lent"], &book["title"]),
        (&json!(4.75), &json!("no"), &json!("Emma"))
    );
    let stale = send(&edge, "PATCH", path, json!({"etag": "old", "title": "Y"})).await;
    assert_eq!((stale.status, &stale.json()["code"]), (409, &json!(10)), "{}", stale.text());

    let moved = send(&edge, "POST", &format!("{path}:move"), json!({"destination": "shelves/3"})).await;
    assert_eq!((moved.status, &moved.json()["name"]), (200, &json!("shelves/3/books/emma")));
    let both = json!({"destination": "shelves/3", "name": "shelves/2/books/1"});
    let conflict = send(&edge, "POST", "/v1/shelves/1/books/2:move", both).await;
    // the path says which: the body cannot say otherwise
    assert_eq!(violations(&conflict), ["name"]);

    let gone = edge.ask(Transport::Http1, &Ask::new("DELETE", "/v1/shelves/3/books/emma")).await;
    assert_eq!((gone.status, gone.json()), (200, json!({})));
    let full = edge.ask(Transport::Http1, &Ask::new("DELETE", "/v1/shelves/3")).await;
    assert_eq!(full.status, 400);
    assert_eq!(full.json()["details"][0]["@type"], "type.googleapis.com/google.rpc.PreconditionFailure");
    let forced = edge.ask(Transport::Http1, &Ask::new("DELETE", "/v1/shelves/3?force=true")).await;
    assert_eq!(forced.status, 200);
}

#[tokio::test]
async fn errors_have_the_code_and_the_details_of_the_service() {
    let missing = get("/v1/shelves/1/books/404").await;
    assert_eq!(missing.status, 404);
    let error = missing.json();
    assert_eq!(error["code"], 5);
    assert_eq!(error["details"][0]["reason"], "BOOK_NOT_FOUND");
    assert_eq!(error["details"][0]["metadata"]["name"], "shelves/1/books/404");
    assert_eq!(error["details"][1]["resourceName"], "shelves/1/books/404");
    let wrong = shared().ask(Transport::Http1, &Ask::new("PUT", "/v1/shelves/1")).await;
    assert_eq!(wrong.status, 405);
    let mut verbs: Vec<_> = wrong.header("allow").split(", ").collect();
    verbs.sort_unstable();
    assert!(verbs.contains(&"DELETE") && verbs.contains(&"GET"), "{verbs:?}");
}

#[tokio::test]
async fn a_stream_of_events_comes_as_lines_or_as_an_array() {
    let path = "/v1/shelves/1/books:watch?count=2";
    let lines = shared().ask(Transport::Http1, &Ask::get(path).header("accept", "application/x-ndjson")).await;
    let events: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(events.iter().map(|event| &event["sequence"]).collect::<Vec<_>>(), ["1", "2"]);
    let array = get(path).await.json();
    assert_eq!(array.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_template_goes_on_behind_any_number_of_segments() {
    for path in ["files/a", "files/covers/moby-dick.txt", "files/a/b/c/d/content"] {
        let answer = get(&format!("/v1/{path}/content")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let expected = format!("contents of {path}\n");
        assert_eq!((answer.text(), answer.header("content-type")), (expected, "text/plain"));
    }
    assert_eq!(get("/v1/files/404/content").await.status, 404);
    assert_eq!(get("/v1/files/content/").await.status, 404);
}
