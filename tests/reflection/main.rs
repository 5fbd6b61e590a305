//! Catalogs from reflection, by the real program: before the demo's upstream, before servers that say what a test wants,
//! and before tonic's.

mod answers;
mod drift;
mod foreign;
mod pin;
#[path = "../support/port.rs"]
mod port;
mod program;
mod refresh;
mod server;
mod verbs;

/// A service, as it is at first.
pub const SHOP: &str = "syntax = \"proto3\"; package shop.v1;
    import \"google/api/annotations.proto\"; import \"shop/money.proto\"; import \"google/protobuf/timestamp.proto\";
    message GetOrder { string name = 1; }
    message Order { string name = 1; Money price = 2; google.protobuf.Timestamp at = 3; }
    service Shop { rpc Get(GetOrder) returns (Order) { option (google.api.http) = {get: \"/v1/{name=orders/*}\"}; } }";

/// The same with a method and a field more, and another type of a field.
pub const NEWER: &str = "syntax = \"proto3\"; package shop.v1;
    import \"google/api/annotations.proto\"; import \"shop/money.proto\"; import \"google/protobuf/timestamp.proto\";
    message GetOrder { string name = 1; bool whole = 2; }
    message Order { bytes name = 1; Money price = 2; google.protobuf.Timestamp at = 3; }
    service Shop { rpc Get(GetOrder) returns (Order) { option (google.api.http) = {get: \"/v1/{name=orders/*}\"}; }
                   rpc Cancel(GetOrder) returns (Order) { option (google.api.http) = {post: \"/v1/{name=orders/*}:cancel\"}; } }";

pub const MONEY: &str = "syntax = \"proto3\"; package shop.v1; message Money { string currency = 1; int64 units = 2; }";

pub fn shop() -> server::Script {
    server::Script::of(&[("shop/shop.proto", SHOP), ("shop/money.proto", MONEY)])
}

pub fn newer() -> server::Script {
    server::Script::of(&[("shop/shop.proto", NEWER), ("shop/money.proto", MONEY)])
}
