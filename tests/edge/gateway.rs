//! What the documents of grpc-gateway (v2) and of Envoy's transcoder say of requests by the services of their own examples:
//! schemas written after theirs, and the requests. Where the edge answers otherwise, `src/README.md` has the reason
//! ("What differs from grpc-gateway and Envoy").

use serde_json::{Value, json};

use super::echoing::{CALLED, Echoing};
use super::support::{Ask, Transport};

/// After grpc-gateway's `ABitOfEverythingService`, `ResponseBodyService`, `FlowCombination`, `ExcessBodyService` and
/// `NonStandardService`.
const GATEWAY: &str = r#"
syntax = "proto3";
package gw;
import "google/api/annotations.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum Digit { ZERO = 0; ONE = 1; }
enum snake_case { value_c = 0; value_d = 1; }
message Nested { string name = 1; uint32 amount = 2; Deep ok = 3; enum Deep { FALSE = 0; TRUE = 1; } }
message Everything {
  string uuid = 1;
  repeated Nested nested = 2;
  float float_value = 3;
  double double_value = 4;
  int64 int64_value = 5;
  uint64 uint64_value = 6;
  int32 int32_value = 7;
  fixed64 fixed64_value = 8;
  fixed32 fixed32_value = 9;
  bool bool_value = 10;
  string string_value = 11;
  uint32 uint32_value = 13;
  Digit enum_value = 14;
  sfixed32 sfixed32_value = 15;
  sfixed64 sfixed64_value = 16;
  sint32 sint32_value = 17;
  sint64 sint64_value = 18;
  repeated string repeated_string_value = 19;
  oneof oneof_value { google.protobuf.Empty oneof_empty = 20; string oneof_string = 21; }
  map<string, Digit> map_value = 22;
  map<string, string> mapped_string_value = 23;
  map<string, Nested> mapped_nested_value = 24;
  Nested single_nested = 25;
  string nonConventionalNameValue = 26;
  google.protobuf.Timestamp timestamp_value = 27;
  repeated Digit repeated_enum_value = 28;
  bytes bytes_value = 29;
  optional string optional_string_value = 40;
  snake_case who = 50;
}
message Text { string value = 1; }
message Update { Everything abe = 1; google.protobuf.FieldMask update_mask = 2; }
message Wrappers { google.protobuf.StringValue s = 1; google.protobuf.Int64Value i = 2; google.protobuf.BoolValue b = 3; google.protobuf.BytesValue y = 4; }
message Body { string name = 1; }
message Response { string data = 1; }
message In { string data = 1; Response response = 2; repeated Response responses = 3; repeated string values = 4; }
message Abc { string a = 1; string b = 2; string c = 3; }
message NestedAbc { Text a = 1; string b = 2; string c = 3; }
message Odd { string id = 1 [json_name = "ID"]; int64 Num = 2 [json_name = "Num"]; string langIdent = 4 [json_name = "langIdent"]; string no = 7 [json_name = "yes"]; }
service Everythings {
  rpc Create(Everything) returns (Everything) {
    option (google.api.http) = { post: "/v1/e/{float_value}/{double_value}/{int64_value}/separator/{uint64_value}/{int32_value}/{fixed64_value}/{fixed32_value}/{bool_value}/{string_value=strprefix/*}/{uint32_value}/{sfixed32_value}/{sfixed64_value}/{sint32_value}/{sint64_value}/{nonConventionalNameValue}/{enum_value}" };
  }
  rpc CreateBody(Everything) returns (Everything) { option (google.api.http) = { post: "/v1/e" body: "*" }; }
  rpc Lookup(Everything) returns (Everything) { option (google.api.http) = { get: "/v1/e/{uuid}" }; }
  rpc Custom(Everything) returns (Everything) {
    option (google.api.http) = { post: "/v1/e/{uuid}:custom" additional_bindings { get: "/v1/e/custom/{optional_string_value}" } };
  }
  rpc DoubleColon(Everything) returns (Everything) { option (google.api.http) = { post: "/v1/e/{uuid}:custom:custom" }; }
  rpc Replace(Everything) returns (Everything) { option (google.api.http) = { put: "/v1/e/{uuid}" body: "*" }; }
  rpc UpdateV2(Update) returns (Update) {
    option (google.api.http) = {
      put: "/v2/e/{abe.uuid}" body: "abe"
      additional_bindings { patch: "/v2/e/{abe.uuid}" body: "abe" }
      additional_bindings { patch: "/v2a/e/{abe.uuid}" body: "*" }
    };
  }
  rpc Delete(Everything) returns (Everything) { option (google.api.http) = { delete: "/v1/e/{uuid}" }; }
  rpc GetQuery(Everything) returns (Everything) { option (google.api.http) = { get: "/v1/e/query/{uuid}" }; }
  rpc Echo(Text) returns (Text) {
    option (google.api.http) = {
      get: "/v1/e/echo/{value}"
      additional_bindings { post: "/v2/echo" body: "value" }
      additional_bindings { get: "/v2/echo" }
    };
  }
  rpc DeepPathEcho(Everything) returns (Everything) { option (google.api.http) = { post: "/v1/deep_path/{single_nested.name}" body: "*" }; }
  rpc PostWithEmptyBody(Body) returns (Body) { option (google.api.http) = { post: "/v2/postwithemptybody/{name}" body: "*" }; }
  rpc NestedEnum(Everything) returns (Everything) { option (google.api.http) = { get: "/v1/e/params/get/nested_enum/{single_nested.ok}" }; }
  rpc PostQuery(Everything) returns (Everything) { option (google.api.http) = { post: "/v1/e/params/post/{string_value}" body: "single_nested" }; }
  rpc Check(Everything) returns (Everything) { option (google.api.http) = { get: "/v2/{enum_value}:check" }; }
  rpc Exists(Everything) returns (Everything) { option (google.api.http) = { custom { kind: "HEAD" path: "/v1/e/{uuid}" } }; }
  rpc Options(Everything) returns (Everything) { option (google.api.http) = { custom { kind: "OPTIONS" path: "/v1/e/{uuid}" } }; }
  rpc Trace(Everything) returns (Everything) { option (google.api.http) = { custom { kind: "TRACE" path: "/v1/e/{uuid}" } }; }
  rpc Snake(Everything) returns (Everything) { option (google.api.http) = { get: "/v1/snake/{who}" }; }
  rpc Unbound(Text) returns (Text);
}
service Others {
  rpc GetResponseBody(In) returns (In) { option (google.api.http) = { get: "/responsebody/{response.data}" response_body: "response" }; }
  rpc ListBodies(In) returns (In) { option (google.api.http) = { post: "/responsebodies" body: "*" response_body: "responses" }; }
  rpc ListStrings(In) returns (In) { option (google.api.http) = { get: "/responsestrings" response_body: "values" }; }
  rpc StreamBody(In) returns (stream In) { option (google.api.http) = { get: "/responsebody/stream/{response.data}" response_body: "response" }; }
  rpc NoBody(Abc) returns (Abc) { option (google.api.http) = { post: "/rpc/excess-body" additional_bindings { post: "/rpc/excess-body/with" body: "*" } }; }
  rpc Flow(Abc) returns (Abc) {
    option (google.api.http) = {
      post: "/rpc/body/rpc" body: "*"
      additional_bindings { post: "/rpc/path/{a}/{b}/{c}/rpc" }
      additional_bindings { post: "/rpc/query/rpc" }
      additional_bindings { post: "/rpc/body/path/{a}/{b}/rpc" body: "c" }
      additional_bindings { post: "/rpc/body/path/{a}/query/rpc" body: "c" }
    };
  }
  rpc NestedFlow(NestedAbc) returns (NestedAbc) { option (google.api.http) = { post: "/rpc/path-nested/{a.value}/{b}/rpc" body: "c" additional_bindings { post: "/rpc/path-nested1/{a.value}/rpc" } }; }
  rpc Wrap(Wrappers) returns (Wrappers) { option (google.api.http) = { post: "/v1/wrappers" body: "*" additional_bindings { get: "/v1/wrappers/{i}" } }; }
  rpc OddNames(Odd) returns (Odd) { option (google.api.http) = { get: "/v1/odd/{id}" }; }
}
"#;

const BRACKETS: &str = "settings: [{match: \"*\", query: {brackets: true}}]";

async fn gateway() -> Echoing {
    Echoing::start(GATEWAY, "", BRACKETS).await
}

fn send(method: &'static str, path: &str, body: Value) -> Ask {
    Ask { method, ..Ask::post(path, "application/json", body.to_string()) }
}

fn called(method: &str, message: Value) -> (String, Value) {
    (method.to_owned(), message)
}

#[tokio::test]
async fn grpc_gateways_path_parameters_of_every_type() {
    let edge = gateway().await;
    let path = "/v1/e/1.5/2.5/4294967296/separator/9223372036854775807/-2147483648/9223372036854775807/4294967295/true/\
        strprefix/foo/4294967295/2147483647/-4611686018427387904/2147483647/4611686018427387903/camelCase/ONE";
    let (method, message) = edge.sent(Ask::new("POST", path)).await;
    assert_eq!(method, "Create");
    assert_eq!(
        message,
        json!({
            "floatValue": 1.5, "doubleValue": 2.5, "int64Value": "4294967296", "uint64Value": "9223372036854775807",
            "int32Value": -2_147_483_648i64, "fixed64Value": "9223372036854775807", "fixed32Value": 4_294_967_295u32,
            "boolValue": true, "stringValue": "strprefix/foo", "uint32Value": 4_294_967_295u32,
            "sfixed32Value": 2_147_483_647, "sfixed64Value": "-4611686018427387904", "sint32Value": 2_147_483_647,
            "sint64Value": "4611686018427387903", "nonConventionalNameValue": "camelCase", "enumValue": "ONE",
        })
    );
    assert_eq!(edge.sent(Ask::get("/v2/ONE:check")).await, called("Check", json!({"enumValue": "ONE"})));
    assert_eq!(edge.sent(Ask::get("/v2/1:check")).await, called("Check", json!({"enumValue": "ONE"})));
    let nested = json!({"singleNested": {"ok": "TRUE"}});
    assert_eq!(edge.got("/v1/e/params/get/nested_enum/TRUE").await, nested);
    assert_eq!(edge.got("/v1/snake/value_d").await, json!({"who": "value_d"}));
    assert_eq!(edge.got("/v1/e/custom/text").await, json!({"optionalStringValue": "text"}));
    assert_eq!(
        edge.got("/v1/e/echo/myid%2Ffoo").await,
        json!({"value": "myid/foo"}),
        "as UnescapingModeAllExceptReserved"
    );
    assert_eq!(
        edge.got("/v1/odd/x?Num=2&langIdent=l&yes=n").await,
        json!({"ID": "x", "Num": "2", "langIdent": "l", "yes": "n"})
    );
    assert_eq!(
        edge.got("/v1/wrappers/7?s=x&b=true&y=AQ%3D%3D").await,
        json!({"i": "7", "s": "x", "b": true, "y": "AQ=="})
    );
}

#[tokio::test]
async fn grpc_gateways_verbs_and_bodies() {
    let edge = gateway().await;
    let uuid = json!({"uuid": "u"});
    for (ask, expected) in [
        (Ask::get("/v1/e/u"), called("Lookup", uuid.clone())),
        (Ask::new("POST", "/v1/e/u:custom"), called("Custom", uuid.clone())),
        (Ask::new("POST", "/v1/e/u:custom:custom"), called("DoubleColon", uuid.clone())),
        (Ask::new("DELETE", "/v1/e/u"), called("Delete", uuid.clone())),
        (Ask::new("OPTIONS", "/v1/e/u"), called("Options", uuid.clone())),
        (Ask::new("TRACE", "/v1/e/u"), called("Trace", uuid.clone())),
        (
            send("PUT", "/v1/e/u", json!({"int64Value": 12})),
            called("Replace", json!({"uuid": "u", "int64Value": "12"})),
        ),
        (
            send("POST", "/v1/e", json!({"mapValue": {"a": "ONE"}})),
            called("CreateBody", json!({"mapValue": {"a": "ONE"}})),
        ),
        (
            send("PUT", "/v2/e/u", json!({"boolValue": true})),
            called("UpdateV2", json!({"abe": {"uuid": "u", "boolValue": true}})),
        ),
        (
            send(
                "PATCH",
                "/v2a/e/u",
                json!({"abe": {"singleNested": {"name": "n"}}, "updateMask": "singleNested.name"}),
            ),
            called(
                "UpdateV2",
                json!({"abe": {"uuid": "u", "singleNested": {"name": "n"}}, "updateMask": "singleNested.name"}),
            ),
        ),
        (
            send("PATCH", "/v2/e/u?updateMask=stringValue", json!({"stringValue": "s"})),
            called("UpdateV2", json!({"abe": {"uuid": "u", "stringValue": "s"}, "updateMask": "stringValue"})),
        ),
        (send("POST", "/v2/echo", json!("hello")), called("Echo", json!({"value": "hello"}))),
        (Ask::get("/v2/echo?value=hello"), called("Echo", json!({"value": "hello"}))),
        (
            send("POST", "/v1/deep_path/n", json!({"singleNested": {"amount": 2}})),
            called("DeepPathEcho", json!({"singleNested": {"name": "n", "amount": 2}})),
        ),
        (
            Ask::post("/v2/postwithemptybody/n", "application/json", ""),
            called("PostWithEmptyBody", json!({"name": "n"})),
        ),
        (
            send("POST", "/v1/e/params/post/s?bool_value=true", json!({"name": "n"})),
            called("PostQuery", json!({"stringValue": "s", "boolValue": true, "singleNested": {"name": "n"}})),
        ),
        (send("POST", "/v1/wrappers", json!({"s": "", "i": 1})), called("Wrap", json!({"s": "", "i": "1"}))),
        // FlowCombination
        (send("POST", "/rpc/body/rpc", json!({"a": "1"})), called("Flow", json!({"a": "1"}))),
        (Ask::new("POST", "/rpc/path/1/2/3/rpc"), called("Flow", json!({"a": "1", "b": "2", "c": "3"}))),
        (Ask::new("POST", "/rpc/query/rpc?a=1&c=3"), called("Flow", json!({"a": "1", "c": "3"}))),
        (send("POST", "/rpc/body/path/1/2/rpc", json!("3")), called("Flow", json!({"a": "1", "b": "2", "c": "3"}))),
        (
            send("POST", "/rpc/body/path/1/query/rpc?b=2", json!("3")),
            called("Flow", json!({"a": "1", "b": "2", "c": "3"})),
        ),
        (
            send("POST", "/rpc/path-nested/1/2/rpc", json!("3")),
            called("NestedFlow", json!({"a": {"value": "1"}, "b": "2", "c": "3"})),
        ),
        (Ask::new("POST", "/rpc/path-nested1/1/rpc?b=2"), called("NestedFlow", json!({"a": {"value": "1"}, "b": "2"}))),
        // of a method without a rule, as with `generate_unbound_methods`
        (send("POST", "/gw.Everythings/Unbound", json!({"value": "x"})), called("Unbound", json!({"value": "x"}))),
    ] {
        assert_eq!(edge.sent(ask.clone()).await, expected, "{ask:?}");
    }
    let head = edge.ask(&Ask::new("HEAD", "/v1/e/u")).await;
    assert_eq!((head.status, head.header(CALLED)), (200, "/gw.Everythings/Exists"));
}

#[tokio::test]
async fn grpc_gateways_query_parameters() {
    let edge = gateway().await;
    let query = "singleNested.name=n&single_nested.amount=2&singleNested.ok=TRUE&repeatedStringValue=a&repeated_string_value=b\
        &mapValue[first]=ONE&mapped_string_value[k]=v&mappedNestedValue[x].name=y&oneofString=o\
        &timestampValue=2017-06-22T19:28:20Z&repeatedEnumValue=ONE&repeatedEnumValue=0&bytesValue=AQI%3D\
        &nonConventionalNameValue=c&nested[0].name=z&floatValue=1.5";
    assert_eq!(
        edge.got(&format!("/v1/e/query/u?{query}")).await,
        json!({
            "uuid": "u", "nested": [{"name": "z"}], "floatValue": 1.5, "repeatedStringValue": ["a", "b"], "oneofString": "o",
            "mapValue": {"first": "ONE"}, "mappedStringValue": {"k": "v"}, "mappedNestedValue": {"x": {"name": "y"}},
            "singleNested": {"name": "n", "amount": 2, "ok": "TRUE"}, "nonConventionalNameValue": "c",
            "timestampValue": "2017-06-22T19:28:20Z", "repeatedEnumValue": ["ONE", "ZERO"], "bytesValue": "AQI=",
        })
    );
    for bad in ["singleNested.ok=MAYBE", "int64Value=x", "timestampValue=now", "oneofString=a&oneofString=b"] {
        assert_eq!(edge.refused(Ask::get(format!("/v1/e/query/u?{bad}"))).await.len(), 1, "{bad}");
    }
}

#[tokio::test]
async fn grpc_gateways_response_bodies() {
    let edge = gateway().await;
    assert_eq!(edge.got("/responsebody/foo").await, json!({"data": "foo"}));
    let bodies = json!({"responses": [{"data": "a"}, {}]});
    assert_eq!(edge.sent(send("POST", "/responsebodies", bodies)).await.1, json!([{"data": "a"}, {}]));
    assert_eq!(edge.got("/responsestrings?values=hello&values=foo").await, json!(["hello", "foo"]));
    assert_eq!(edge.got("/responsestrings").await, json!([]));
    let lines = edge.ask(&Ask::get("/responsebody/stream/foo").header("accept", "application/x-ndjson")).await;
    assert_eq!(lines.text(), "{\"data\":\"foo\"}\n");
}

/// Each has its reason in `src/README.md`.
#[tokio::test]
async fn where_the_edge_answers_otherwise_than_grpc_gateway() {
    let edge = gateway().await;
    // dropped there
    assert_eq!(edge.refused(Ask::get("/v1/e/query/u?nope=1")).await, ["nope: unknown query parameter"]);
    assert_eq!(edge.refused(Ask::get("/v1/e/query/u?uuid=v")).await, ["uuid: is set by the path already"]);
    assert_eq!(edge.refused(send("POST", "/v1/e", json!({"nope": 1}))).await, ["nope: no such field"]);
    // the path wins there
    assert_eq!(edge.refused(send("PUT", "/v1/e/u", json!({"uuid": "v"}))).await, ["uuid: is set by the path already"]);
    // read and dropped there
    assert_eq!(
        edge.refused(send("POST", "/rpc/excess-body", json!({"a": "x"}))).await,
        [": this method takes no request body"]
    );
    // 501 there
    let wrong = edge.ask(&Ask::new("PATCH", "/v1/e/u")).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "DELETE, GET, HEAD, OPTIONS, PUT, TRACE"));
    // code 5 there, with the same 404
    assert_eq!(edge.ask(&Ask::get("/nowhere")).await.json()["code"], 12);
    // Go's forms of durations and booleans, and JSON in a parameter, are taken there
    assert_eq!(edge.refused(Ask::get("/v1/e/query/u?boolValue=1")).await, ["boolValue: expected true or false"]);
    // on by default there
    let overridden = Ask::post("/v1/e/query/u", "application/json", "").header("x-http-method-override", "GET");
    assert_eq!(edge.ask(&overridden).await.status, 405);
    // `{"result": ...}` around each message there, and NDJSON unasked
    assert_eq!(edge.got("/responsebody/stream/foo").await, json!([{"data": "foo"}]));
    // unset fields are printed there
    assert_eq!(edge.got("/v2/echo").await, json!({}));
}

/// After Envoy's `bookstore.proto` and `helloworld.proto`.
const ENVOY: &str = r#"
syntax = "proto3";
package bookstore;
import "google/api/annotations.proto";
message Shelf { int64 id = 1; string theme = 2; }
message Book { int64 id = 1; string author = 2; string title = 3; repeated string quotes = 4; }
message ShelfRequest { Shelf shelf = 1; }
message BookRequest { int64 shelf = 1; Book book = 2; }
message Ids { int64 shelf = 1; int64 book = 2; int64 author = 3; }
message Author { int64 id = 1; Gender gender = 2; string first_name = 3; string last_name = 4 [json_name = "lname"]; enum Gender { UNKNOWN = 0; MALE = 1; FEMALE = 2; } }
message Hello { string name = 1; }
service Bookstore {
  rpc ListShelves(Ids) returns (Ids) { option (google.api.http) = { get: "/shelves" }; }
  rpc CreateShelf(ShelfRequest) returns (ShelfRequest) { option (google.api.http) = { post: "/shelf" body: "shelf" }; }
  rpc CreateAtItsPath(ShelfRequest) returns (ShelfRequest) { option (google.api.http) = { post: "/bookstore.Bookstore/CreateAtItsPath" body: "shelf" }; }
  rpc BulkCreateShelf(stream ShelfRequest) returns (stream ShelfRequest) { option (google.api.http) = { post: "/bulk/shelves" body: "shelf" }; }
  rpc GetShelf(Ids) returns (Ids) { option (google.api.http) = { get: "/shelves/{shelf}" }; }
  rpc DeleteShelf(Ids) returns (Ids);
  rpc ListBooks(Ids) returns (stream Ids) { option (google.api.http) = { get: "/shelves/{shelf}/books" }; }
  rpc CreateBook(BookRequest) returns (BookRequest) { option (google.api.http) = { put: "/shelves/{shelf}/books" body: "book" }; }
  rpc DeleteBook(Ids) returns (Ids) { option (google.api.http) = { delete: "/shelves/{shelf}/books/{book}" }; }
  rpc UpdateBook(BookRequest) returns (BookRequest) { option (google.api.http) = { patch: "/shelves/{shelf}/books/{book.id}" body: "book" }; }
  rpc BookstoreOptions(Ids) returns (Ids) { option (google.api.http) = { custom { kind: "OPTIONS" path: "/shelves/{shelf}" } }; }
  rpc EchoAuthor(Author) returns (Author) { option (google.api.http) = { get: "/authors/{id}" }; }
}
service Greeter { rpc SayHello(Hello) returns (Hello) { option (google.api.http) = { get: "/say" }; } }
"#;

#[tokio::test]
async fn envoys_bookstore_and_greeter() {
    let edge = Echoing::start(ENVOY, "", "").await;
    let shelf = json!({"theme": "Children"});
    for (ask, expected) in [
        (Ask::get("/shelves"), called("ListShelves", json!({}))),
        (send("POST", "/shelf", shelf.clone()), called("CreateShelf", json!({"shelf": shelf}))),
        (Ask::get("/shelves/100"), called("GetShelf", json!({"shelf": "100"}))),
        (Ask::new("OPTIONS", "/shelves/100"), called("BookstoreOptions", json!({"shelf": "100"}))),
        (
            send("POST", "/bookstore.Bookstore/DeleteShelf", json!({"shelf": 1})),
            called("DeleteShelf", json!({"shelf": "1"})),
        ),
        (
            send("PUT", "/shelves/1/books", json!({"title": "t", "quotes": ["q"]})),
            called("CreateBook", json!({"shelf": "1", "book": {"title": "t", "quotes": ["q"]}})),
        ),
        (Ask::new("DELETE", "/shelves/456/books/123"), called("DeleteBook", json!({"shelf": "456", "book": "123"}))),
        (
            send("PATCH", "/shelves/456/books/123", json!({"author": "Leo", "title": "War"})),
            called("UpdateBook", json!({"shelf": "456", "book": {"id": "123", "author": "Leo", "title": "War"}})),
        ),
        (
            Ask::get("/authors/1?gender=FEMALE&first_name=a&lname=b"),
            called(
                "EchoAuthor",
                json!({
                    "id": "1", "gender": "FEMALE", "firstName": "a", "lname": "b"
                }),
            ),
        ),
        (Ask::get("/say?name=foo"), called("SayHello", json!({"name": "foo"}))),
    ] {
        for transport in [Transport::Http1, Transport::Http2] {
            let answer = edge.edge.ask(transport, &ask).await;
            let method = answer.header(CALLED).rsplit('/').next().unwrap_or_default().to_owned();
            assert_eq!(
                (answer.status, method, answer.json()),
                (200, expected.0.clone(), expected.1.clone()),
                "{ask:?}"
            );
        }
    }
    assert_eq!(edge.got("/shelves/1/books").await, json!([{"shelf": "1"}]), "a stream is an array");
    let bulk = send("POST", "/bulk/shelves", json!([{"theme": "a"}, {"theme": "b"}]));
    assert_eq!(edge.sent(bulk).await.1, json!([{"shelf": {"theme": "a"}}, {"shelf": {"theme": "b"}}]));
    let bad = edge.ask(&Ask::get("/shelves/dummy")).await;
    assert_eq!((bad.status, bad.json()["code"].clone()), (400, json!(3)));
    let bad = edge.ask(&Ask::post("/shelf", "application/json", "{\"theme\": ")).await;
    assert_eq!(bad.status, 400);
}

/// Each has its reason in `src/README.md`.
#[tokio::test]
async fn where_the_edge_answers_otherwise_than_envoy() {
    let edge = Echoing::start(ENVOY, "", "").await;
    // passed on untouched there, and so a bare 404 or 415
    assert_eq!(edge.refused(Ask::get("/shelves/1?unknown=2")).await, ["unknown: unknown query parameter"]);
    assert_eq!(edge.ask(&Ask::get("/nowhere")).await.json()["code"], 12);
    // dropped there
    assert_eq!(edge.refused(send("POST", "/shelf", json!({"nope": 1}))).await, ["shelf.nope: no such field"]);
    // collapsed there; `paths: {trailing_slash: lenient}` overlooks one
    assert_eq!(edge.ask(&Ask::get("/shelves/")).await.status, 404);
    let lenient = Echoing::start(ENVOY, "paths: {trailing_slash: lenient}", "").await;
    assert_eq!(lenient.got("/shelves/").await, json!({}));
    // at a method's own path a JSON body is the message, as Connect says; there the rule's field
    let own = send("POST", "/bookstore.Bookstore/CreateAtItsPath", json!({"shelf": {"theme": "x"}}));
    assert_eq!(edge.sent(own).await.1, json!({"shelf": {"theme": "x"}}));
    // enums are read in any case there, if told so
    assert_eq!(edge.refused(Ask::get("/authors/1?gender=female")).await.len(), 1);
}

#[tokio::test]
async fn what_the_examples_have_and_http_proto_has_not_is_a_mistake_of_the_catalog() {
    use std::path::PathBuf;
    use transom::catalog::{Source, load};
    let folder = tempfile::TempDir::new().expect("a folder");
    for (template, body, needle) in [
        ("/v1/{tags}", "", "repeated"),
        ("/v1/x", "part.text", "not a field at the top level"),
        ("/v1/{part}", "", "no text can fill"),
    ] {
        let body = if body.is_empty() { String::new() } else { format!("body: \"{body}\"") };
        let text = format!(
            "syntax = \"proto3\"; package o; import \"google/api/annotations.proto\";
message P {{ string text = 1; }} message M {{ repeated string tags = 1; P part = 2; }}
service S {{ rpc Get(M) returns (M) {{ option (google.api.http) = {{ post: \"{template}\" {body} }}; }} }}"
        );
        std::fs::write(folder.path().join("o.proto"), text).expect("a file");
        let source = Source { proto_paths: vec![PathBuf::from(folder.path())], ..Source::new("o", "c") };
        let mistakes = load(&source).map(|_| ()).expect_err(template);
        assert!(mistakes[0].to_string().contains(needle), "{mistakes:?}");
        assert!(mistakes[0].place.as_ref().is_some_and(|place| place.line == 3), "{mistakes:?}");
    }
}
