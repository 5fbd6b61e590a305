//! Forms: `application/x-www-form-urlencoded` and `multipart/form-data` to fields, files to streams of messages; and the
//! field mask of a PATCH.

use prost::Message;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use transom::demo::upstream::bookstore_v1::UpdateBookRequest;
use transom::demo::upstream::files_v1::UploadRequest;

use super::dialects::frames;
use super::scripted::{Script, Scripted};
use super::support::{Answer, Ask, Edge, Transport, read_http1, shared, tcp};

const CLEAR: [Transport; 2] = [Transport::Http1, Transport::Http2];
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=\"--a b\"";

/// Name, what else stands behind it in the content disposition, content type, content.
type Part<'a> = (&'a str, &'a str, &'a str, &'a [u8]);

fn multipart(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, more, content_type, content) in parts {
        body.extend_from_slice(
            format!("----a b\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n").as_bytes(),
        );
        if !content_type.is_empty() {
            body.extend_from_slice(format!("Content-Type: {content_type}\r\n").as_bytes());
        }
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"----a b--\r\n");
    body
}

fn form(path: &str, parts: &[Part<'_>]) -> Ask {
    Ask::post(path, MULTIPART, multipart(parts))
}

fn ok(answer: Answer) -> Value {
    assert_eq!((answer.status, answer.cut), (200, false), "{}", answer.text());
    answer.json()
}

/// The message of an error, and the fields that it blames.
async fn refused(edge: &Edge, ask: &Ask) -> (String, Vec<String>) {
    let answer = edge.ask(Transport::Http2, ask).await;
    assert_eq!(answer.status, 400, "{ask:?}: {}", answer.text());
    let error = answer.json();
    let violations = error["details"][0]["fieldViolations"].as_array().cloned().unwrap_or_default();
    let fields = violations.iter().filter_map(|one| one["field"].as_str().map(str::to_owned));
    (error["message"].as_str().unwrap_or_default().to_owned(), fields.collect())
}

#[tokio::test]
async fn an_encoded_form_fills_the_fields_of_the_body() {
    let edge = shared();
    for (transport, id) in CLEAR.into_iter().zip(["form-1", "form-2"]) {
        let body =
            "title=Pride+%26+Prejudice&authors=Jane+Austen&authors=Anon&genre=NOVEL&print.pages=3&rating=4.5&stock=0";
        let made = ok(edge.ask(transport, &Ask::post(format!("/v1/shelves/1/books?book_id={id}"), FORM, body)).await);
        assert_eq!((&made["title"], &made["authors"]), (&json!("Pride & Prejudice"), &json!(["Jane Austen", "Anon"])));
        assert_eq!((&made["print"]["pages"], &made["rating"], &made["stock"]), (&json!(3), &json!(4.5), &json!(0)));
        let gone = edge.ask(transport, &Ask::new("DELETE", format!("/v1/shelves/1/books/{id}"))).await;
        assert_eq!(gone.status, 200);
    }
    let (told, fields) =
        refused(edge, &Ask::post("/v1/shelves/1/books", FORM, "titel=x&rating=good&title=a&title=b")).await;
    assert!(told.contains("titel: unknown form field (did you mean \"title\"?)"), "{told}");
    assert_eq!(fields, ["titel", "rating", "title"]);
    let (_, fields) = refused(edge, &Ask::post("/v1/shelves/1/books?titel=x", FORM, "title=a")).await;
    assert_eq!(fields, ["titel"], "the query is read as ever");
}

#[tokio::test]
async fn json_that_says_it_is_a_form_is_json() {
    let edge = shared();
    for transport in CLEAR {
        let ask = Ask::post("/v1/greeter", FORM, " {\"name\": \"joe\"}");
        assert_eq!(ok(edge.ask(transport, &ask).await), json!({"message": "Hello joe"}));
        assert_eq!(ok(edge.ask(transport, &Ask::post("/v1/greeter", FORM, "name=joe")).await)["message"], "Hello joe");
        for (body, expected) in [
            ("{\"message\": \"a\"} {\"message\": \"b\"}", "a, b"),
            ("[{\"message\": \"a\"}, {\"message\": \"b\"}]", "a, b"),
            ("message=a%2C", "a,"),
        ] {
            assert_eq!(
                ok(edge.ask(transport, &Ask::post("/v1/echo:join", FORM, body)).await)["message"],
                expected,
                "{body}"
            );
        }
        assert_eq!(ok(edge.ask(transport, &Ask::post("/v1/echo/p:join", FORM, "")).await)["message"], "p");
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, b"message=packed").expect("memory");
    let ask = Ask::post("/v1/echo:join", FORM, packed.finish().expect("gzip")).header("content-encoding", "gzip");
    assert_eq!(ok(edge.ask(Transport::Http1, &ask).await)["message"], "packed");
    let large =
        edge.ask(Transport::Http1, &Ask::post("/v1/echo:join", FORM, format!("message={}", "x".repeat(70_000)))).await;
    assert_eq!(large.status, 413);
}

#[tokio::test]
async fn the_parts_of_a_form_make_one_message() {
    let edge = shared();
    for transport in CLEAR {
        let ask = form(
            "/notes",
            &[
                ("note", "", "", "vör".as_bytes()),
                ("content", "; filename=\"C:\\\\pic%22.png\"", "image/png", b"\x89PNG\r\n--a b\0"),
            ],
        );
        let stored = ok(edge.ask(transport, &ask).await);
        let expected = json!({"path": "C:\\pic\".png", "contentType": "image/png", "size": "12", "note": "vör",
            "filename": "C:\\pic\".png", "messages": "1", "crc": stored["crc"]});
        assert_eq!(stored, expected);
        let ask = form("/notes", &[("path", "", "", b"x"), ("content", "", "application/json", b"{\"a\":1}")]);
        assert_eq!(ok(edge.ask(transport, &ask).await)["contentType"], "application/json");
        // the rules' body is a message of its own, whose fields the parts are
        let ask = form(
            "/v1/shelves/1/books?book_id=parts",
            &[
                ("title", "", "", b"t"),
                ("print", "", "application/json", b"{\"pages\": 3}"),
                ("thumbnail", "; filename=a", "", b"\xff"),
            ],
        );
        let made = ok(edge.ask(transport, &ask).await);
        assert_eq!((&made["print"]["pages"], &made["thumbnail"]), (&json!(3), &json!("/w==")));
        edge.ask(transport, &Ask::new("DELETE", "/v1/shelves/1/books/parts")).await;
    }
}

#[tokio::test]
async fn a_form_that_is_broken_is_told_by_its_parts() {
    let edge = shared();
    let whole = multipart(&[("note", "", "", b"n"), ("content", "; filename=f", "", b"0123456789")]);
    for path in ["/notes", "/files"] {
        let ask = |content_type: &str, body: &[u8]| Ask::post(path, content_type, body);
        let (told, _) = refused(edge, &ask("multipart/form-data", &whole)).await;
        assert!(told.contains("names no boundary"), "{told}");
        let (told, _) = refused(edge, &ask("multipart/form-data; boundary=other", &whole)).await;
        assert!(told.contains("no boundary as its content type names it"), "{told}");
        let (told, _) = refused(edge, &ask(MULTIPART, b"")).await;
        assert!(told.contains("no boundary"), "{told}");
        let (told, fields) = refused(edge, &ask(MULTIPART, &whole[..whole.len() - 20])).await;
        assert!(told.contains("part 2 of the form: the form ends before its last boundary"), "{told}");
        assert_eq!(fields, ["content"]);
        let (told, _) = refused(edge, &ask(MULTIPART, &multipart(&[("note", "", "", &b""[..]); 1001]))).await;
        assert!(told.contains("part 1001 of the form: a form may have 1000 parts"), "{told}");
        let huge = format!("; x={}", "x".repeat(9000));
        let (told, _) = refused(edge, &ask(MULTIPART, &multipart(&[("a", &huge, "", b"")]))).await;
        assert!(told.contains("part 1 of the form: its head is longer than 8192 bytes"), "{told}");
        let (told, fields) = refused(edge, &form(path, &[("ntoe", "", "", b""), ("path", "", "", b"\xff")])).await;
        assert!(told.contains("unknown form field"), "{told}");
        assert_eq!(fields, ["ntoe", "path"]);
        let large = edge.ask(Transport::Http1, &form(path, &[("note", "", "", &[b'x'; 70_000])])).await;
        assert_eq!(large.status, 413);
        assert!(large.text().contains("part 1 of the form, \\\"note\\\""), "{}", large.text());
    }
}

/// The messages that an upstream hears of a form, sent in pieces of this size.
async fn heard(parts: &[Part<'_>], piece: usize, settings: &str) -> Vec<UploadRequest> {
    let mut upstream = Scripted::start(Script::new(&[], &[b"\0\0\0\0\0"], &[("grpc-status", "0")])).await;
    let edge = Edge::before(&upstream.url(), &format!("settings: [{{match: \"*\", {settings}}}]")).await;
    let body = multipart(parts);
    let mut socket = tcp(edge.clear).await;
    let head = Ask::post("/files", MULTIPART, "").head();
    let head = format!("{head}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    socket.write_all(head.as_bytes()).await.expect("a head");
    for piece in body.chunks(piece) {
        socket.write_all(piece).await.expect("a piece");
        tokio::task::yield_now().await;
    }
    let mut raw = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut raw).await.expect("an answer");
    assert_eq!(read_http1(&raw).status, 200, "{}", String::from_utf8_lossy(&raw));
    let body = upstream.asked().await.body;
    frames(&body).into_iter().map(|(_, bytes)| UploadRequest::decode(&bytes[..]).expect("a message")).collect()
}

#[tokio::test]
async fn files_of_a_form_are_messages_as_they_arrive() {
    let large: Vec<u8> = (0..10_000).map(|at| (at % 251) as u8).collect();
    let parts: [Part<'_>; 6] = [
        ("path", "", "", b"p"),
        ("content", "; filename=one.png", "image/png", &large),
        ("note", "", "", b"second"),
        ("content", "; filename=two.png", "", b""),
        ("content.data", "; filename=three", "", b"bare"),
        ("note", "", "", b"end"),
    ];
    for piece in [7, 1000, 100_000] {
        let messages = heard(&parts, piece, "max_request_message: 8KiB").await;
        let firsts: Vec<_> = messages.iter().filter(|one| !one.filename.is_empty() || !one.note.is_empty()).collect();
        let told: Vec<_> = firsts.iter().map(|one| (&*one.path, &*one.filename, &*one.note)).collect();
        let three = ("", "", "");
        assert_eq!(told, [("p", "one.png", ""), ("", "two.png", "second"), ("", "", "end")], "{three:?}");
        let content = |one: &UploadRequest| one.content.clone().unwrap_or_default();
        assert_eq!(content(firsts[0]).content_type, "image/png");
        let all: Vec<u8> = messages.iter().flat_map(|one| content(one).data).collect();
        assert!(all == [&large[..], b"bare"].concat(), "{} bytes", all.len());
        assert!(messages.len() >= 6 && messages.iter().all(|one| content(one).data.len() <= 4096));
    }
    let messages = heard(&[("note", "", "", b"n"), ("path", "", "", b"p")], 10, "weave: every").await;
    assert_eq!(messages.len(), 1);
    assert_eq!((&*messages[0].path, &*messages[0].note, &messages[0].content), ("p", "n", &None));
    assert_eq!(heard(&[], 10, "weave: every").await, [UploadRequest::default()]);
}

#[tokio::test]
async fn a_form_with_a_file_reaches_the_store() {
    let edge = shared();
    let content = vec![b'x'; 150_000];
    for transport in CLEAR {
        let ask = form("/files", &[("path", "", "", b"form/big"), ("content", "; filename=f", "a/b", &content)]);
        let stored = ok(edge.ask(transport, &ask).await);
        assert_eq!((&stored["size"], &stored["filename"]), (&json!("150000"), &json!("f")));
        let answer = edge.ask(transport, &Ask::get("/files/form/big")).await;
        assert!(answer.body == content && answer.header("content-type") == "a/b");
    }
}

/// The mask that a PATCH comes with.
async fn mask(settings: &str, ask: &Ask) -> Option<Vec<String>> {
    let mut upstream = Scripted::start(Script::new(&[], &[b"\0\0\0\0\0"], &[("grpc-status", "0")])).await;
    let edge = Edge::before(&upstream.url(), &format!("settings: [{{match: \"*\"{settings}}}]")).await;
    ok(edge.ask(Transport::Http1, ask).await);
    let body = upstream.asked().await.body;
    let request = UpdateBookRequest::decode(&frames(&body)[0].1[..]).expect("a message");
    assert_eq!(request.book.expect("a book").name, "shelves/1/books/1");
    request.update_mask.map(|mask| mask.paths)
}

#[tokio::test]
async fn the_mask_of_a_patch_is_filled_where_that_is_switched_on() {
    let fill = ", rest: {update_mask: fill}";
    let patch = |path: &str, body: &str| Ask { method: "PATCH", ..Ask::post(path, "application/json", body) };
    let ask = patch(
        "/v1/shelves/1/books/1",
        r#"{"rating": 4, "print": {"pages": 3}, "labels": {"a": "b"}, "publishTime": null}"#,
    );
    let paths = ["rating", "print.pages", "labels", "publish_time"].map(str::to_owned).to_vec();
    assert_eq!(mask(fill, &ask).await, Some(paths));
    assert_eq!(mask("", &ask).await, None);
    let said = patch("/v1/shelves/1/books/1?update_mask=title", "{\"rating\": 4}");
    assert_eq!(mask(fill, &said).await, Some(vec!["title".into()]));
    assert_eq!(mask(fill, &patch("/v1/shelves/1/books/1", "{}")).await, None);
}
