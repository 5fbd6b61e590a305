//! What path and query bind, and what is told of what they cannot.

use serde_json::{Value, json};

use super::echoing::Echoing;
use super::support::{Ask, Transport};

const PROTO: &str = r#"
syntax = "proto3";
package q;
import "google/api/annotations.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum Size { SIZE_UNSPECIFIED = 0; SIZE_SMALL = 1; SIZE_LARGE = 2; }
message Part { string name = 1; int32 count = 2; map<string, string> labels = 3; repeated Part parts = 4; Size size = 5; }
message M {
  string id = 1;
  Part part = 2;
  repeated Part parts = 3;
  map<string, string> labels = 4;
  map<int32, Part> by_place = 5;
  repeated string tags = 6;
  Size size = 7;
  repeated Size sizes = 8;
  google.protobuf.Timestamp made_at = 9;
  google.protobuf.Duration within = 10;
  google.protobuf.FieldMask mask = 11;
  google.protobuf.Int64Value limit = 12;
  google.protobuf.StringValue note = 13;
  google.protobuf.BoolValue flag = 14;
  bytes key = 15;
  bool urgent = 16;
  double weight = 17;
  uint32 few = 18;
  sint64 many = 19;
  oneof pay { string card = 20; Part cash = 21; }
  optional int32 maybe = 22;
  map<bool, double> rates = 23;
  repeated google.protobuf.Timestamp times = 24;
  string order_by = 25 [json_name = "sort"];
}
service S {
  rpc Get(M) returns (M) {
    option (google.api.http) = {
      get: "/m/{id}"
      additional_bindings { get: "/size/{size}/{made_at}/{key}/{urgent}/{few}/{limit}" }
      additional_bindings { post: "/m/{id}" body: "*" }
      additional_bindings { put: "/m/{id}" body: "part" }
      additional_bindings { get: "/part/{part.name}" }
    };
  }
  rpc Short(M) returns (M) { option (google.api.http) = { get: "/short/{id}" }; }
}
"#;

async fn echoing(query: &str) -> Echoing {
    let settings = "settings:
  - {match: q.S/Get, query: {QUERY}}
  - {match: q.S/Short, json: {enums: short, bytes: hex}, query: {ignored: [key]}}";
    Echoing::start(PROTO, "", &settings.replace("QUERY", query)).await
}

fn json_post(method: &'static str, path: &str, body: Value) -> Ask {
    Ask { method, ..Ask::post(path, "application/json", body.to_string()) }
}

#[tokio::test]
async fn every_kind_of_field_is_filled_by_either_name() {
    let edge = echoing("ignored: [key_of_api]").await;
    for (query, expected) in [
        ("part.name=a+b&part.count=-1", json!({"part": {"name": "a b", "count": -1}})),
        ("part.size=SIZE_LARGE&size=2", json!({"part": {"size": "SIZE_LARGE"}, "size": "SIZE_LARGE"})),
        ("sizes=SIZE_SMALL&sizes=2&sizes=7", json!({"sizes": ["SIZE_SMALL", "SIZE_LARGE", 7]})),
        ("tags=x&tags=&tags=%C3%A9", json!({"tags": ["x", "", "é"]})),
        ("made_at=2024-05-06T07:08:09.5Z", json!({"madeAt": "2024-05-06T07:08:09.500Z"})),
        ("madeAt=2024-05-06T07:08:09%2B02:00", json!({"madeAt": "2024-05-06T05:08:09Z"})),
        ("within=-1.5s", json!({"within": "-1.500s"})),
        ("mask=a,b.c_d", json!({"mask": "a,b.cD"})),
        ("limit=0&note=&flag=false", json!({"limit": "0", "note": "", "flag": false})),
        ("key=AQID_w&urgent=true&weight=1e-3", json!({"key": "AQID/w==", "urgent": true, "weight": 0.001})),
        ("weight=-Infinity&few=4294967295", json!({"weight": "-Infinity", "few": 4_294_967_295u32})),
        ("many=-9223372036854775808&maybe=0", json!({"many": "-9223372036854775808", "maybe": 0})),
        ("card=4000", json!({"card": "4000"})),
        ("cash.name=c", json!({"cash": {"name": "c"}})),
        ("sort=a&key_of_api=x", json!({"sort": "a"})),
        ("order_by=a", json!({"sort": "a"})),
        (
            "times=2024-01-01T00:00:00Z&times=2025-01-01T00:00:00Z",
            json!({
                "times": ["2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"]
            }),
        ),
        ("&&tags=x&", json!({"tags": ["x"]})),
    ] {
        let mut expected = expected;
        expected["id"] = "i".into();
        for transport in [Transport::Http1, Transport::Http2] {
            let answer = edge.edge.ask(transport, &Ask::get(format!("/m/i?{query}"))).await;
            assert_eq!((answer.status, answer.text().is_empty()), (200, false), "{query}: {}", answer.text());
            assert_eq!(answer.json(), expected, "{query}");
        }
    }
    let path = "/size/SIZE_SMALL/2024-05-06T07:08:09Z/AQ%3D%3D/true/7/12";
    let bound = json!({
        "size": "SIZE_SMALL", "madeAt": "2024-05-06T07:08:09Z", "key": "AQ==", "urgent": true, "few": 7, "limit": "12"
    });
    assert_eq!(edge.got(path).await, bound);
    assert_eq!(
        edge.got("/short/i?size=LARGE&sizes=SIZE_SMALL&key=x").await,
        json!({"id": "i", "size": "LARGE", "sizes": ["SMALL"]})
    );
}

#[tokio::test]
async fn what_does_not_fit_is_told_by_parameter_all_at_once() {
    let edge = echoing("ignored: [key_of_api]").await;
    let told = edge
        .refused(Ask::get(
            "/m/i?sise=1&part.nmae=x&size=SIZE_HUGE&few=4294967296&many=1.5&urgent=yes&made_at=now&within=1h&key=%21\
             &weight=heavy&maybe=x&part=1&labels=x&parts=x&card=1&cash.name=c&few.x=1&tags=%ff",
        ))
        .await;
    let expected = [
        "sise: unknown query parameter (did you mean \"size\"?)",
        "part.nmae: unknown query parameter (did you mean \"part.name\"?)",
        "size: \"SIZE_HUGE\" is no value of q.Size (did you mean \"SIZE_LARGE\"? allowed: SIZE_UNSPECIFIED, \
         SIZE_SMALL, SIZE_LARGE)",
        "few: out of range for uint32 (0 to 4294967295)",
        "many: not a whole number for sint64",
        "urgent: expected true or false",
        "made_at: not a timestamp such as \"2024-01-31T13:00:00.5Z\" (RFC 3339, years 1 to 9999)",
        "within: not a duration such as \"1.5s\" (at most 315576000000s)",
        "key: not base64",
        "weight: not a number for double",
        "maybe: not a number for int32",
        "part: a message cannot be given in the query, only its fields (as in \"a.b=1\")",
        "labels: a map cannot be given in the query (only as in \"labels[key]=1\", if `query.brackets` is switched on for \
         the method)",
        "parts: a repeated message cannot be given in the query (only as in \"parts[0].a=1\", if `query.brackets` is \
         switched on for the method)",
        "few.x: \"few\" has no fields that a query parameter could set",
        "tags: the parameter's value is not UTF-8",
        "cash.name: another member of the same oneof is given as well",
    ];
    assert_eq!(told, expected);
    let told = edge.refused(Ask::get("/size/SIZE_TINY/now/%21/1/-1/x")).await;
    assert_eq!(told.len(), 6, "{told:?}");
    assert!(told[0].starts_with("size: ") && told[4].starts_with("few: out of range for uint32 (0 to"), "{told:?}");
    let told = edge.refused(Ask::get("/short/i?size=HUGE&tags=1&key=x&hex=1")).await;
    assert_eq!(told[0], "size: \"HUGE\" is no value of q.Size (allowed: UNSPECIFIED, SMALL, LARGE)");
    let hex = edge.refused(Ask::get("/m/i?key=x%2Fy!")).await;
    assert_eq!(hex, ["key: not base64"]);
}

#[tokio::test]
async fn nothing_is_bound_twice() {
    let edge = echoing("ignored: []").await;
    assert_eq!(edge.refused(Ask::get("/m/i?id=j")).await, ["id: is set by the path already"]);
    assert_eq!(edge.refused(Ask::get("/part/x?part.name=y")).await, ["part.name: is set by the path already"]);
    let twice = "maybe: is given more than once, and is not a repeated field";
    assert_eq!(edge.refused(Ask::get("/m/i?maybe=1&maybe=1")).await, [twice]);
    assert_eq!(edge.refused(Ask::get("/m/i?order_by=a&sort=b")).await.len(), 1);
    assert_eq!(edge.refused(json_post("POST", "/m/i", json!({"id": "i"}))).await, ["id: is set by the path already"]);
    assert_eq!(edge.refused(json_post("POST", "/m/i?id=j", json!({}))).await, ["id: is set by the path already"]);
    assert_eq!(
        edge.refused(json_post("POST", "/m/i?tags=j&nope=1", json!({}))).await,
        [
            "tags: is not read from the query: what the path leaves over comes from the body",
            "nope: unknown query parameter: all fields come from the path and the body"
        ]
    );
    assert_eq!(
        edge.refused(json_post("PUT", "/m/i?part.name=x", json!({}))).await,
        ["part.name: is filled by the request's body, not by the query"]
    );
    assert_eq!(
        edge.sent(json_post("PUT", "/m/i?tags=x", json!({"name": "n"}))).await.1,
        json!({
            "id": "i", "tags": ["x"], "part": {"name": "n"}
        })
    );
}

#[tokio::test]
async fn brackets_reach_into_maps_and_lists_where_that_is_switched_on() {
    let edge = echoing("brackets: true").await;
    for (query, expected) in [
        ("labels[env]=prod&labels%5Ba.b%5D=c", json!({"labels": {"env": "prod", "a.b": "c"}})),
        ("by_place[-3].name=x&byPlace[4][count]=1", json!({"byPlace": {"-3": {"name": "x"}, "4": {"count": 1}}})),
        ("rates[true]=0&rates[false]=1.5", json!({"rates": {"true": 0, "false": 1.5}})),
        ("parts[1].name=b&parts[0].name=a", json!({"parts": [{"name": "a"}, {"name": "b"}]})),
        (
            "part.parts[0].labels[k]=v&part.parts[0].parts[0].size=1",
            json!({"part": {"parts": [{"labels": {"k": "v"}, "parts": [{"size": "SIZE_SMALL"}]}]}}),
        ),
        ("part[labels][k]=v&part[name]=n", json!({"part": {"labels": {"k": "v"}, "name": "n"}})),
        ("tags[1]=b&tags[0]=a&sizes[]=1&sizes[]=2", json!({"tags": ["a", "b"], "sizes": ["SIZE_SMALL", "SIZE_LARGE"]})),
        ("times[0]=2024-01-01T00:00:00Z", json!({"times": ["2024-01-01T00:00:00Z"]})),
    ] {
        let mut expected = expected;
        expected["id"] = "i".into();
        assert_eq!(edge.got(&format!("/m/i?{query}")).await, expected, "{query}");
    }
    let told = edge
        .refused(Ask::get("/m/i?parts[0].nmae=x&parts[x].name=y&by_place[z].name=1&labels[a]=1&labels[a]=2&parts[0=1"))
        .await;
    let expected = [
        "parts[0].nmae: unknown query parameter (did you mean \"parts[0].name\"?)",
        "parts[x].name: an element needs its place, as in \"parts[0]\"",
        "by_place[z].name: the key is not a number for int32",
        "parts[0: a bracket in the parameter's name is not closed",
        "labels[a]: is given more than once, and is not a repeated field",
    ];
    assert_eq!(told, expected);
    let gap = edge.refused(Ask::get("/m/i?parts[1].name=x")).await;
    assert_eq!(gap, ["parts[1].name: places count from 0 without a gap: there is no parts[0]"]);
    let off = edge.refused(Ask::get("/short/i?labels[a]=1")).await;
    assert_eq!(off, ["labels[a]: brackets are read only if `query.brackets` is switched on for the method"]);
}
