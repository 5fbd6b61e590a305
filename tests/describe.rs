//! What the edge says of itself before it runs: `explain`, the lints of `check`, `openapi`, driven as a person drives them.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// A folder of its own for a test.
struct Folder(tempfile::TempDir);

const SHOP: &str = r#"syntax = "proto3";
package shop.v1;
import "google/api/annotations.proto";
import "google/api/field_behavior.proto";
import "google/api/httpbody.proto";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "buf/validate/validate.proto";

// Sells things.
service Shop {
  // Gets an item. It has to be there.
  rpc GetItem(GetItemRequest) returns (Item) {
    option (google.api.http) = {
      get: "/v1/{name=shops/*/items/*}"
      additional_bindings { get: "/v1/items/{name}" }
    };
  }
  // Makes one.
  rpc CreateItem(CreateItemRequest) returns (Item) {
    option deprecated = true;
    option (google.api.http) = { post: "/v1/{parent=shops/*}/items" body: "item" };
  }
  rpc MoveItem(MoveItemRequest) returns (google.protobuf.Empty) {
    option (google.api.http) = { post: "/v1/{name=shops/*/items/*}:move" body: "*" };
  }
  rpc Watch(GetItemRequest) returns (stream Item) {
    option (google.api.http) = { get: "/v1/{name=shops/*}:watch" };
  }
  rpc Send(stream Item) returns (google.api.HttpBody) {
    option (google.api.http) = { post: "/v1/send" body: "*" };
  }
  rpc Any(GetItemRequest) returns (google.api.HttpBody) {
    option (google.api.http) = { custom { kind: "*" path: "/v1/any/{name=**}" } };
  }
}
message GetItemRequest {
  // Which one.
  string name = 1 [(google.api.field_behavior) = REQUIRED];
  Filter filter = 2;
  repeated Colour colours = 3;
}
message Filter { google.protobuf.Timestamp since = 1; Filter inner = 2; map<string, string> labels = 3; bytes mark = 4; }
message CreateItemRequest {
  string parent = 1;
  Item item = 2 [(google.api.field_behavior) = REQUIRED];
  int64 at = 3;
}
message MoveItemRequest { string name = 1; string to = 2; }
// Colours.
enum Colour {
  COLOUR_UNSPECIFIED = 0;
  // Like blood.
  COLOUR_RED = 1;
}
// A thing.
message Item {
  // Its name. (-- for reviewers --)
  string name = 1 [(google.api.field_behavior) = OUTPUT_ONLY];
  string title = 2 [(buf.validate.field).string = {min_len: 2, max_len: 40, pattern: "^[a-z]+$"}];
  int64 price = 3 [(buf.validate.field).int64.gt = 0];
  int32 count = 4 [(buf.validate.field).int32 = {gte: 1, lt: 100}];
  repeated string tags = 5 [(buf.validate.field).repeated = {min_items: 1, unique: true, items: {string: {max_len: 5}}}];
  map<int32, Colour> shades = 6 [(buf.validate.field).map = {max_pairs: 3}];
  Item parent = 7;
  oneof size { int32 inches = 8; double metres = 9; }
  google.protobuf.Duration age = 10;
  google.protobuf.StringValue note = 11;
  google.protobuf.Struct extra = 12;
  google.protobuf.Any what = 13;
  string secret = 14 [(google.api.field_behavior) = INPUT_ONLY, deprecated = true];
  string mail = 15 [(buf.validate.field).string.email = true, (buf.validate.field).required = true];
  bytes raw = 16;
  uint64 big = 17;
}
"#;

// === impl Folder ===

impl Folder {
    fn with(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        for (name, text) in files {
            std::fs::write(folder.0.path().join(name), text).expect("written");
        }
        folder
    }

    fn shop() -> Folder {
        Folder::with(&[("shop.proto", SHOP)])
    }

    fn transom(&self, arguments: &[&str]) -> Output {
        run(self.0.path(), arguments, b"")
    }

    /// The document of `transom openapi` with these arguments besides.
    fn openapi(&self, arguments: &[&str]) -> Value {
        let output = self.transom(&[&["openapi", "--proto-path", "."], arguments].concat());
        assert!(output.status.success(), "{}", told(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

fn run(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_transom"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("is piped");
    // one that reads nothing may be gone
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("ends")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn shown(output: &Output) -> String {
    assert!(output.status.success(), "{}", told(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

// === explain

#[test]
fn a_request_is_explained_from_its_rule_to_its_message() {
    let path = "/v1/shelves/1/books?page_size=2&filter.genre=NOVEL&readMask=title";
    let output = run(&root(), &["explain", "GET", path, "catalogs/demo.yaml"], b"");
    let text = shown(&output);
    for line in [
        "rule        GET /v1/{parent=shelves/*}/books  catalogs/../protos/bookstore.proto:97:5",
        "method      bookstore.v1.Bookstore.ListBooks (unary)  catalogs/../protos/bookstore.proto:95:3",
        "path        parent = \"shelves/1\" -> parent",
        "query       page_size = \"2\" -> page_size",
        "            filter.genre = \"NOVEL\" -> filter.genre",
        "dialect     rest",
        "settings    max_deadline: 3600s",
        "upstream    cluster \"demo\": h2c://127.0.0.1:50051",
        "            POST /bookstore.v1.Bookstore/ListBooks",
        "deadline    3600s",
        "message     {\"parent\":\"shelves/1\",\"pageSize\":2,\"filter\":{\"genre\":\"NOVEL\"},\"readMask\":\"title\"}",
        "      is for POST",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    assert!(text.contains("            content-type: application/grpc\n"), "{text}");
}

#[test]
fn an_explanation_is_json_for_programs() {
    let body = r#"{"destination": "shelves/3"}"#;
    let arguments = ["explain", "POST", "https://books.example/v1/shelves/1/books/2:move", "catalogs/demo.yaml"];
    let output = run(&root(), &[&arguments[..], &["--body", body, "--header", "x-trace: 7", "--json"]].concat(), b"");
    let json: Value = serde_json::from_str(&shown(&output)).expect("JSON");
    assert_eq!(json["rule"]["template"], "/v1/{name=shelves/*/books/*}:move");
    assert_eq!(json["body"], "*");
    assert_eq!(
        json["variables"][0],
        json!({"name": "name", "value": "shelves/1/books/2", "field": "name", "why": null})
    );
    let upstream = &json["upstream"];
    assert_eq!(upstream["path"], "/bookstore.v1.Bookstore/MoveBook");
    assert_eq!(upstream["messages"], json!([{"destination": "shelves/3", "name": "shelves/1/books/2"}]));
    assert!(upstream["metadata"].as_array().unwrap().contains(&json!(["x-trace", "7"])), "{upstream}");
    assert_eq!(json["told"], Value::Null);
    // without its verb the path is that of a book
    let others: Vec<&str> = json["others"].as_array().unwrap().iter().map(|one| one["why"].as_str().unwrap()).collect();
    assert_eq!(others, ["is for GET", "is for PATCH", "is for DELETE"]);
}

#[test]
fn a_body_comes_from_a_file_or_the_standard_input() {
    let folder = Folder::with(&[("shop.proto", SHOP), ("body.json", r#"{"to": "shops/2"}"#)]);
    let request = ["explain", "POST", "/v1/shops/1/items/2:move", "--proto-path", ".", "--json", "--body"];
    let file = folder.transom(&[&request[..], &["@body.json"]].concat());
    let input = run(folder.0.path(), &[&request[..], &["@-"]].concat(), br#"{"to": "shops/2"}"#);
    for output in [file, input] {
        let json: Value = serde_json::from_str(&shown(&output)).expect("JSON");
        assert_eq!(json["upstream"]["messages"], json!([{"to": "shops/2", "name": "shops/1/items/2"}]));
        // nobody answers: the catalog is only described
        assert_eq!(json["upstream"]["endpoints"], json!([]));
    }
}

#[test]
fn the_route_that_a_request_takes_is_told_among_those_for_its_method() {
    let explain = |more: &[&str]| {
        let arguments = ["explain", "POST", "/v1/shelves", "catalogs/routes.yaml"];
        shown(&run(&root(), &[&arguments[..], more].concat(), b""))
    };
    let text = explain(&["--body", r#"{"theme": "Maps"}"#]);
    for line in [
        "routes        faults: if x-test-fault is \"1\" -> the catalog's cluster; fault: 20ms to 200ms late, UNAVAILABLE",
        "            * europe: if field shelf.theme is Maps or History -> books-eu",
        "upstream    cluster \"books-eu\": h2c://127.0.0.1:50053",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    let json: Value = serde_json::from_str(&explain(&["--header", "x-canary: yes", "--json"])).expect("JSON");
    assert_eq!((&json["route"], &json["upstream"]["cluster"]), (&json!("try-next"), &json!("books-next")));
    assert_eq!(json["routes"].as_array().map(Vec::len), Some(4));
    let json: Value = serde_json::from_str(&explain(&["--header", "x-test-fault: 1", "--json"])).expect("JSON");
    assert_eq!((&json["route"], &json["told"]["status"]), (&json!("faults"), &json!(503)));

    let text = shown(&run(&root(), &["routes", "catalogs/routes.yaml"], b""));
    let canary = "  canary: bookstore.v1.Bookstore/* -> books (99), books-next (1); mirrored to books-next 10% of calls, compared";
    assert!(text.lines().any(|line| line == canary), "{text}");
    let json: Value =
        serde_json::from_str(&shown(&run(&root(), &["routes", "catalogs/routes.yaml", "--json"], b""))).expect("JSON");
    let line = json
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["path"] == "/v1/shelves" && line["verb"] == "POST")
        .expect("there");
    let names: Vec<&str> = line["routes"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["faults", "try-next", "europe", "canary"]);
    let checked = run(&root(), &["check", "catalogs/routes.yaml"], b"");
    assert!(
        shown(&checked).contains("  route try-next: bookstore.v1.* if x-canary is \"yes\" -> books-next\n"),
        "{checked:?}"
    );

    let folder = Folder::shop();
    let text = "clusters: {a: {endpoints: h2c://a}}\ncatalogs: [{name: s, proto_paths: ., cluster: a}]\n\
                routes: [{match: shop.v1.Shop/GetItme, cluster: a}]\n";
    std::fs::write(folder.0.path().join("transom.yaml"), text).expect("written");
    for verb in ["check", "routes"] {
        let output = folder.transom(&[verb, "transom.yaml"]);
        assert_eq!(output.status.code(), Some(2), "{verb}");
        let told = told(&output);
        assert!(
            told.contains("transom.yaml:3:18: routes[0].match: \"shop.v1.Shop/GetItme\" matches no method"),
            "{told}"
        );
        assert!(told.contains("did you mean \"shop.v1.Shop/GetItem\"?"), "{told}");
    }
}

#[test]
fn a_refusal_is_what_the_caller_would_be_told() {
    let folder = Folder::shop();
    let explain = |arguments: &[&str]| -> Value {
        let output = folder.transom(&[&["explain", "--proto-path", ".", "--json"], arguments].concat());
        serde_json::from_str(&shown(&output)).expect("JSON")
    };
    let unknown = explain(&["GET", "/v1/items/7?filter.sinse=x&colours=COLOUR_RED"]);
    assert_eq!(unknown["told"]["status"], 400);
    assert!(unknown["told"]["body"].as_str().unwrap().contains("did you mean \\\"filter.since\\\"?"), "{unknown}");
    assert_eq!(unknown["query"][0]["field"], Value::Null);
    assert_eq!(unknown["query"][1]["field"], "colours", "a mistake in one parameter hides nothing of the others");
    assert_eq!(unknown["upstream"], Value::Null);

    let verb = explain(&["DELETE", "/v1/items/7"]);
    assert_eq!(verb["told"]["status"], 405);
    assert!(verb["told"]["headers"].as_array().unwrap().contains(&json!(["allow", "GET, HEAD, OPTIONS"])), "{verb}");
    assert_eq!(verb["others"][0]["why"], "is for GET");

    let slip = explain(&["GET", "/v1/itmes/7"]);
    assert_eq!((&slip["told"]["status"], &slip["rule"]), (&json!(404), &Value::Null));
    assert_eq!(slip["others"][0]["template"], "/v1/items/{name}");
    assert_eq!(slip["others"][0]["why"], "segment 2 is \"itmes\", the template has \"items\"");

    let method = explain(&["POST", "/shop.v1.Shop/GetItem", "--header", "content-type: text/plain", "--body", "x"]);
    assert_eq!((&method["told"]["status"], &method["rule"]), (&json!(415), &Value::Null));
    assert_eq!(method["method"]["name"], "shop.v1.Shop.GetItem");
}

#[test]
fn frames_of_other_protocols_are_explained_as_well() {
    let folder = Folder::with(&[("shop.proto", SHOP)]);
    std::fs::write(folder.0.path().join("frame"), b"\0\0\0\0\x03\x0a\x01x").expect("written");
    let arguments =
        ["explain", "POST", "http://any/shop.v1.Shop/GetItem", "--proto-path", ".", "--body", "@frame", "--header"];
    let output =
        folder.transom(&[&arguments[..], &["content-type: application/grpc", "--header", "te: trailers"]].concat());
    let text = shown(&output);
    assert!(text.contains("dialect     grpc\n") && text.contains("message     {\"name\":\"x\"}\n"), "{text}");
}

#[test]
fn bad_usage_of_explain_is_told_all_at_once() {
    let folder = Folder::shop();
    let output =
        folder.transom(&["explain", "G T", "nowhere", "--header", "x", "--body", "@missing", "--proto-path", "."]);
    assert_eq!(output.status.code(), Some(2));
    let text = told(&output);
    for part in ["\"G T\" is no HTTP method", "\"nowhere\" is no URL", "--header \"x\"", "@missing", "4 mistakes"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

// === lints

const ODD: &str = r#"syntax = "proto3";
package odd;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
service Odd {
  rpc Shadowed(R) returns (R) { option (google.api.http) = { get: "/a/{x=**}" }; }
  rpc None(R) returns (R) { option idempotency_level = NO_SIDE_EFFECTS; option (google.api.http) = { get: "/a" }; }
  rpc More(R) returns (R) { option idempotency_level = NO_SIDE_EFFECTS; option (google.api.http) = { get: "/a/{x=*}/{y=**}" }; }
  rpc Own(R) returns (R) { option (google.api.http) = { post: "/odd.Odd/None" body: "*" }; }
  rpc Drop(R) returns (R) { option (google.api.http) = { delete: "/drop" body: "*" }; }
  rpc Flow(stream R) returns (R) { option (google.api.http) = { post: "/flow" }; }
  rpc Raw(F) returns (F) { option (google.api.http) = { post: "/raw" body: "*" }; }
  rpc Far(L) returns (R) { option (google.api.http) = { post: "/far" }; }
  rpc Twice(R) returns (R) { option (google.api.http) = { post: "/twice/{x}" body: "x" }; }
  rpc Strange(R) returns (R) { option (google.api.http) = { custom { kind: "FETCH" path: "/strange" } }; }
}
message R { string x = 1; string y = 2; }
message F { google.api.HttpBody file = 1; }
message L { repeated R all = 1; }
"#;

const ODDITIES: [(&str, u32); 10] = [
    ("shadowed-rule", 6),
    ("side-effects-unsaid", 6),
    ("rule-of-method-path", 9),
    ("body-on-bodiless-verb", 10),
    ("stream-without-body", 11),
    ("http-body-misplaced", 12),
    ("field-out-of-reach", 13),
    ("body-bound-by-path", 14),
    ("odd-verb", 15),
    ("", 0),
];

#[test]
fn what_is_hardly_meant_is_told_with_its_place_and_fails_nothing() {
    let folder = Folder::with(&[("odd.proto", ODD)]);
    let output = folder.transom(&["check", "--proto-path", "."]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    for ((id, line), told) in ODDITIES.iter().zip(&lines) {
        assert!(told.starts_with(&format!("warning: ./odd.proto:{line}:")), "{id}: {text}");
        assert!(told.ends_with(&format!("[{id}]")), "{id}: {told}");
        assert!(told.contains(" ("), "has a hint: {told}");
    }
    assert_eq!(lines.len(), ODDITIES.len() - 1, "{text}");
}

#[test]
fn lints_fail_a_check_that_denies_them_and_can_be_let_be() {
    let folder = Folder::with(&[("odd.proto", ODD)]);
    let check = |more: &[&str]| folder.transom(&[&["check", "--proto-path", "."], more].concat());
    let denied = check(&["--deny-warnings"]);
    assert_eq!(denied.status.code(), Some(2));
    assert!(told(&denied).ends_with("9 warnings, and warnings are denied\n"), "{}", told(&denied));
    let ids: std::collections::BTreeSet<&str> =
        ODDITIES.iter().map(|(id, _)| *id).filter(|id| !id.is_empty()).collect();
    let allowed: Vec<&str> = ids.iter().flat_map(|id| ["--allow", id]).chain(["--deny-warnings"]).collect();
    assert_eq!(check(&allowed).status.code(), Some(0));
    let unknown = check(&["--allow", "shadowed-rul"]);
    assert!(told(&unknown).contains("did you mean \"shadowed-rule\"?"), "{}", told(&unknown));
    let listed = shown(&check(&["--lints"]));
    assert!(ids.iter().all(|id| listed.contains(id)), "{listed}");
}

#[test]
fn findings_are_json_and_sarif_for_programs() {
    let folder = Folder::with(&[("odd.proto", ODD)]);
    let check = |more: &[&str]| folder.transom(&[&["check", "--proto-path", "."], more].concat());
    let json: Value = serde_json::from_str(&shown(&check(&["--format", "json"]))).expect("JSON");
    let first = &json["findings"][0];
    assert_eq!(
        (&first["id"], &first["file"], &first["line"]),
        (&json!("shadowed-rule"), &json!("./odd.proto"), &json!(6))
    );
    let sarif: Value = serde_json::from_str(&shown(&check(&["--format", "sarif"]))).expect("JSON");
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), 9);
    // mistakes are findings too
    std::fs::write(folder.0.path().join("bad.proto"), "syntax = \"proto3\";\nmessage A { Missing b = 1; }\n").unwrap();
    let output = check(&["--format", "sarif"]);
    assert_eq!(output.status.code(), Some(2));
    let sarif: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&json!("mistake"), &json!("error")));
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 2);
}

#[test]
fn the_examples_have_nothing_odd() {
    for example in ["demo.yaml", "minimal.yaml", "rest-rules.yaml"] {
        let output = run(&root().join("catalogs"), &["check", example, "--deny-warnings"], b"");
        assert!(output.status.success(), "{example}: {}", told(&output));
    }
}

// === openapi

#[test]
fn templates_become_paths_with_a_parameter_for_each_wildcard() {
    let document = Folder::shop().openapi(&[]);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"], json!({"title": "shop.v1.Shop", "version": "v1"}));
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/v1/shops/{shop}/items/{item}",
            "/v1/items/{name}",
            "/v1/shops/{shop}/items",
            "/v1/shops/{shop}/items/{item}:move",
            "/v1/shops/{shop}:watch",
            "/v1/send",
            "/v1/any/{name}",
        ]
    );
    let any: Vec<&String> = document["paths"]["/v1/any/{name}"].as_object().unwrap().keys().collect();
    assert_eq!(any, ["get", "put", "post", "delete", "patch"]);
    let get = &document["paths"]["/v1/shops/{shop}/items/{item}"]["get"];
    assert_eq!(
        (&get["summary"], &get["description"]),
        (&json!("Gets an item"), &json!("Gets an item. It has to be there."))
    );
    assert_eq!((&get["tags"], &get["operationId"]), (&json!(["shop.v1.Shop"]), &json!("Shop_GetItem")));
    let names: Vec<&str> =
        get["parameters"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["shop", "item", "filter.since", "filter.mark", "colours"],
        "a message in itself is not followed"
    );
    let colours = &get["parameters"][4]["schema"];
    assert_eq!(colours, &json!({"type": "array", "items": {"$ref": "#/components/schemas/shop.v1.Colour"}}));
}

#[test]
fn bodies_leave_out_what_the_path_says() {
    let document = Folder::shop().openapi(&[]);
    let moved = &document["paths"]["/v1/shops/{shop}/items/{item}:move"]["post"];
    let body = &moved["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["properties"], json!({"to": {"type": "string"}}));
    assert_eq!(body["additionalProperties"], false);
    let created = &document["paths"]["/v1/shops/{shop}/items"]["post"];
    assert_eq!(created["deprecated"], true);
    assert_eq!(created["requestBody"]["required"], true);
    let schema = &created["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(schema["$ref"], "#/components/schemas/shop.v1.Item-input");
    let at = created["parameters"].as_array().unwrap().iter().find(|one| one["name"] == "at").unwrap();
    assert_eq!((&at["schema"]["type"], &at["schema"]["format"]), (&json!("string"), &json!("int64")));
}

#[test]
fn messages_are_what_their_json_is_with_the_rules_that_they_carry() {
    let document = Folder::shop().openapi(&[]);
    let schemas = &document["components"]["schemas"];
    let input = &schemas["shop.v1.Item-input"];
    let field = |name: &str| &input["properties"][name];
    assert_eq!(input["description"], "A thing.");
    assert_eq!(field("name")["readOnly"], true);
    assert_eq!(field("name")["description"], "Its name.");
    assert_eq!((&field("secret")["writeOnly"], &field("secret")["deprecated"]), (&json!(true), &json!(true)));
    let title = field("title");
    assert_eq!(
        (&title["minLength"], &title["maxLength"], &title["pattern"]),
        (&json!(2), &json!(40), &json!("^[a-z]+$"))
    );
    assert_eq!(field("price")["description"], "Must be greater than 0.", "what no keyword says of a text");
    let count = field("count");
    assert_eq!((&count["minimum"], &count["exclusiveMaximum"]), (&json!(1), &json!(100)));
    let tags = field("tags");
    assert_eq!(
        (&tags["minItems"], &tags["uniqueItems"], &tags["items"]["maxLength"]),
        (&json!(1), &json!(true), &json!(5))
    );
    let shades = field("shades");
    assert_eq!((&shades["maxProperties"], &shades["type"]), (&json!(3), &json!("object")));
    assert_eq!(shades["additionalProperties"]["$ref"], "#/components/schemas/shop.v1.Colour");
    assert!(shades["propertyNames"]["pattern"].is_string());
    assert_eq!(field("parent")["$ref"], "#/components/schemas/shop.v1.Item-input");
    assert_eq!(field("mail")["format"], "email");
    assert_eq!(field("note")["type"], "string");
    assert_eq!(field("extra")["additionalProperties"], true);
    assert_eq!(field("what")["required"], json!(["@type"]));
    assert_eq!(field("raw")["contentEncoding"], "base64");
    assert_eq!(field("big")["format"], "uint64");
    let one_of = &input["allOf"][0]["oneOf"];
    assert_eq!((&one_of[0], &one_of[1]), (&json!({"required": ["inches"]}), &json!({"required": ["metres"]})));
    // tags: at least one element is asked for, and none is what an absent list has
    assert_eq!(input["required"], json!(["title", "price", "count", "tags", "mail"]));
    let answer = &schemas["shop.v1.Item"];
    assert!(answer.get("required").is_none() && answer.get("additionalProperties").is_none());
    let colour = &schemas["shop.v1.Colour"];
    assert_eq!(colour["enum"], json!(["COLOUR_UNSPECIFIED", "COLOUR_RED"]));
    assert_eq!(colour["description"], "Colours.\n\n- `COLOUR_RED`: Like blood.");
}

#[test]
fn answers_have_their_media_types() {
    let document = Folder::shop().openapi(&[]);
    let paths = &document["paths"];
    let answer = |path: &str, verb: &str| &paths[path][verb]["responses"]["200"]["content"];
    let stream = answer("/v1/shops/{shop}:watch", "get");
    assert_eq!(stream["application/json"]["schema"]["type"], "array");
    assert_eq!(stream["application/x-ndjson"]["schema"]["$ref"], "#/components/schemas/shop.v1.Item");
    assert_eq!(answer("/v1/send", "post"), &json!({"*/*": {}}));
    let sent = &paths["/v1/send"]["post"]["requestBody"]["content"];
    assert_eq!(sent["application/json"]["schema"]["items"]["$ref"], "#/components/schemas/shop.v1.Item-input");
    let error = &paths["/v1/send"]["post"]["responses"]["default"]["$ref"];
    assert_eq!(error, "#/components/responses/Error");
    assert!(document["components"]["schemas"]["google.rpc.Status"].is_object());
}

#[test]
fn the_settings_of_a_route_shape_its_schemas() {
    let folder = Folder::shop();
    let config = "\
catalogs: [{name: shop, proto_paths: [.], upstream: [\"h2c://127.0.0.1:1\"]}]
settings:
  - match: shop.v1.Shop/GetItem
    json: {names: proto, enums: short, int64: number, bytes: hex}
  - match: shop.v1.Shop/CreateItem
    rest: {success: 201, location: \"/v1/{name}\"}
";
    std::fs::write(folder.0.path().join("transom.yaml"), config).unwrap();
    let output = folder.transom(&["openapi", "transom.yaml"]);
    let document: Value = serde_json::from_str(&shown(&output)).expect("JSON");
    let get =
        &document["paths"]["/v1/items/{name}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    let name = get["$ref"].as_str().unwrap().strip_prefix("#/components/schemas/").unwrap();
    assert_eq!(name, "shop.v1.Item-proto-names-short-enums-int64-numbers-hex");
    let item = &document["components"]["schemas"][name];
    assert_eq!(item["properties"]["price"]["anyOf"][0]["type"], "integer");
    assert_eq!(item["properties"]["raw"]["contentEncoding"], "base16");
    let created = &document["paths"]["/v1/shops/{shop}/items"]["post"]["responses"];
    assert!(created.get("200").is_none());
    assert!(created["201"]["headers"]["Location"].is_object(), "{created}");
}

#[test]
fn method_paths_servers_and_yaml_are_there_when_asked_for() {
    let folder = Folder::shop();
    let document =
        folder.openapi(&["--include-methods", "--server", "https://a.example", "--server", "https://b.example"]);
    assert_eq!(document["servers"], json!([{"url": "https://a.example"}, {"url": "https://b.example"}]));
    let call = &document["paths"]["/shop.v1.Shop/GetItem"]["post"];
    assert_eq!(call["operationId"], "Shop_GetItem_call");
    assert_eq!(call["responses"]["default"]["$ref"], "#/components/responses/ConnectError");
    let yaml = shown(&folder.transom(&["openapi", "--proto-path", ".", "--format", "yaml"]));
    let read: Value = serde_saphyr::from_str(&yaml).expect("YAML");
    assert_eq!(read, folder.openapi(&[]));
    let mut ids = std::collections::HashSet::new();
    for operation in document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values())
    {
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
    }
}

#[test]
fn title_servers_and_security_schemes_are_those_of_the_configuration() {
    let folder = Folder::shop();
    let config = "\
catalogs: [{name: shop, proto_paths: [.], upstream: [\"h2c://127.0.0.1:1\"]}]
openapi:
  title: The shop
  version: '1.4'
  servers: https://api.example
  security:
    token: {type: bearer, format: JWT}
    key: {type: api_key, in: header, name: x-api-key}
";
    std::fs::write(folder.0.path().join("transom.yaml"), config).unwrap();
    let document = |arguments: &[&str]| -> Value {
        let output = folder.transom(&[&["openapi", "transom.yaml"], arguments].concat());
        serde_json::from_str(&shown(&output)).expect("JSON")
    };
    let told = document(&[]);
    assert_eq!(told["info"], json!({"title": "The shop", "version": "1.4"}));
    assert_eq!(told["servers"], json!([{"url": "https://api.example"}]));
    assert_eq!(told["security"], json!([{"token": []}, {"key": []}]));
    let schemes = json!({
        "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    });
    assert_eq!(told["components"]["securitySchemes"], schemes);
    assert_eq!(document(&["--server", "https://b.example"])["servers"], json!([{"url": "https://b.example"}]));
}

#[test]
fn what_openapi_cannot_say_is_listed() {
    let text = ODD.replace("/strange", "/v1/strange");
    let folder = Folder::with(&[("odd.proto", &text)]);
    let document = folder.openapi(&[]);
    let omitted = document["x-transom-omitted"].as_array().unwrap();
    assert_eq!(omitted.len(), 1);
    assert_eq!(omitted[0]["rule"], "FETCH /v1/strange");
    assert!(omitted[0]["place"].as_str().unwrap().starts_with("./odd.proto:15:"), "{omitted:?}");
}

// === the operator's door

/// The answer to a GET, head and body.
fn get(address: &str, path: &str) -> String {
    let mut socket = std::net::TcpStream::connect(address).expect("connects");
    socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a timeout");
    write!(socket, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("read");
    answer
}

#[test]
fn the_operators_door_describes_the_generation_in_force() {
    use std::io::{BufRead, BufReader};
    let folder = Folder::shop();
    let mut child = Command::new(env!("CARGO_BIN_EXE_transom"))
        .args(["serve", "--upstream", "h2c://127.0.0.1:1", "--proto-path", ".", "--listen", "127.0.0.1:0"])
        .args(["--admin", "127.0.0.1:0", "--workers", "1"])
        .current_dir(folder.0.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stderr.take().expect("is piped")).lines().map_while(Result::ok);
    let admin = lines.find_map(|line| line.strip_prefix("admin on ").map(str::to_owned)).expect("an address");
    assert!(lines.any(|line| line.starts_with("listening on ")));
    let json = get(&admin, "/openapi.json");
    let yaml = get(&admin, "/openapi.yaml");
    let routes = get(&admin, "/routes");
    let nothing = get(&admin, "/nothing");
    child.kill().expect("is killed");
    child.wait().expect("ends");
    assert!(json.starts_with("HTTP/1.1 200") && json.contains("content-type: application/json"), "{json}");
    let body = json.split_once("\r\n\r\n").expect("a body").1;
    let document: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(document, folder.openapi(&[]));
    assert!(yaml.contains("content-type: application/yaml") && yaml.contains("openapi: \"3.1.0\""), "{yaml}");
    let listed: Value = serde_json::from_str(routes.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    assert!(listed.as_array().unwrap().iter().any(|route| route["path"] == "/v1/items/{name}"));
    assert!(nothing.starts_with("HTTP/1.1 404"), "{nothing}");
}
