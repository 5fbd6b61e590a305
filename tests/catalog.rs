//! Catalogs as an operator meets them: trees of `.proto` files and descriptor sets, sound and broken.

#[path = "fuzz/descriptor_target.rs"]
mod descriptor_target;
#[path = "fuzz/template_target.rs"]
mod template_target;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tempfile::TempDir;
use transom::catalog::{
    Body, Conflicts, HostRule, HttpRule, Idempotency, Known, Loaded, Mistake, PartialSettings, Place, SettingRule,
    Source, StreamKind, Verb, check_settings, load,
};
use transom::describe::{routes, routes_json, routes_text};
use transom::route::{Match, Table};

const SHOP: &str = r#"syntax = "proto3";
package shop.v1;
import "google/api/annotations.proto";
import "google/protobuf/timestamp.proto";
import "shop/item.proto";
service Shop {
  rpc Get(GetRequest) returns (Item) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = {
      get: "/v1/{name=shelves/*/items/*}"
      additional_bindings { get: "/v1/items/{item.id}" response_body: "title" }
    };
  }
  rpc Put(PutRequest) returns (Item) {
    option (google.api.http) = { put: "/v1/{item.name=shelves/*/items/*}" body: "item" };
  }
  rpc Watch(GetRequest) returns (stream Item) {
    option (google.api.http) = { custom { kind: "*" path: "/v1/{name=**}:watch" } body: "*" };
  }
  rpc Talk(stream Item) returns (stream Item);
}
message GetRequest { string name = 1; Item item = 2; google.protobuf.Timestamp since = 3; }
message PutRequest { Item item = 1; }
"#;

const ITEM: &str = r#"syntax = "proto3";
package shop.v1;
message Item { string name = 1; int64 id = 2; string title = 3; repeated string tags = 4; map<string, Item> parts = 5; }
"#;

// === trees and what is said of them ===

struct Tree(TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Tree {
        let tree = Tree(TempDir::new().unwrap());
        for (name, text) in files {
            tree.write(name, text.as_bytes());
        }
        tree
    }

    fn shop() -> Tree {
        Tree::new(&[("shop/shop.proto", SHOP), ("shop/item.proto", ITEM)])
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn source(&self) -> Source {
        Source { proto_paths: vec![self.0.path().to_owned()], ..Source::new("shop", "backend") }
    }

    fn load(&self) -> Loaded {
        sound(&self.source())
    }

    /// All mistakes, as printed, with the tree's own path left out.
    fn mistakes(&self, source: &Source) -> Vec<String> {
        let root = format!("{}/", self.0.path().display());
        let Err(mistakes) = load(source) else { panic!("must not load") };
        mistakes.iter().map(|mistake| mistake.to_string().replace(&root, "")).collect()
    }
}

#[track_caller]
fn sound(source: &Source) -> Loaded {
    load(source).unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes)))
}

fn listed(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("{mistake}\n")).collect()
}

#[track_caller]
fn assert_says(mistakes: &[String], expected: &[&str]) {
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
    for (mistake, expected) in mistakes.iter().zip(expected) {
        assert!(mistake.contains(expected), "{mistake:?} lacks {expected:?}");
    }
}

/// What protoc would write, with imports and source info.
fn descriptor_set(tree: &Tree, files: &[&str]) -> FileDescriptorSet {
    let mut compiler = protox::Compiler::new([tree.0.path(), Path::new("protos")]).unwrap();
    compiler.include_imports(true).include_source_info(true).open_files(files).unwrap();
    FileDescriptorSet::decode(&compiler.encode_file_descriptor_set()[..]).unwrap()
}

/// The same as bytes: prost-types would lose the options' extensions.
fn descriptor_set_bytes(tree: &Tree, files: &[&str], source_info: bool) -> Vec<u8> {
    let mut compiler = protox::Compiler::new([tree.0.path(), Path::new("protos")]).unwrap();
    compiler.include_imports(true).include_source_info(source_info).open_files(files).unwrap();
    compiler.encode_file_descriptor_set()
}

// === what loads ===

#[test]
fn a_tree_becomes_services_methods_and_bindings() {
    let Loaded { catalog, warnings, watched } = Tree::shop().load();
    assert!(warnings.is_empty() && watched.len() == 1);
    assert_eq!((&*catalog.name, &*catalog.cluster), ("shop", "backend"));
    let paths: Vec<_> = catalog.methods.iter().map(|method| (&*method.path, method.kind)).collect();
    assert_eq!(
        paths,
        [
            ("/shop.v1.Shop/Get", StreamKind::Unary),
            ("/shop.v1.Shop/Put", StreamKind::Unary),
            ("/shop.v1.Shop/Watch", StreamKind::ServerStream),
            ("/shop.v1.Shop/Talk", StreamKind::Bidi),
        ]
    );
    let get = &catalog.methods[0];
    assert_eq!((get.idempotency, get.place.line, get.place.column), (Idempotency::NoSideEffects, 7, 3));
    assert_eq!(get.bindings.len(), 2);
    assert_eq!((get.bindings[0].place.line, get.bindings[0].place.column), (9, 5));
    assert_eq!(get.bindings[1].variables[0].0, [1, 1].into(), "item.id");
    assert_eq!(get.bindings[1].response_body, Some(2));
    let put = &catalog.methods[1].bindings[0];
    assert_eq!((&put.verb, put.body), (&Verb::Exact(http::Method::PUT), Body::Field(0)));
    let watch = &catalog.methods[2].bindings[0];
    assert_eq!((&watch.verb, watch.body), (&Verb::Any, Body::All));
    assert_eq!(watch.template.verb.as_deref(), Some("watch"));
    assert!(catalog.methods[3].bindings.is_empty());
}

#[test]
fn the_descriptor_set_of_a_catalog_loads_as_the_same_catalog() {
    let tree = Tree::shop();
    let first = tree.load().catalog;
    assert!(FileDescriptorSet::decode(&first.descriptor_set[..]).is_ok());
    let path = tree.write("set.binpb", &first.descriptor_set);
    let again = sound(&Source { descriptor_sets: vec![path], ..Source::new("shop", "backend") }).catalog;
    let seen = |catalog: &transom::catalog::Catalog| {
        let seen = catalog.methods.iter().map(|m| (m.path.clone(), m.bindings.len(), m.idempotency));
        seen.collect::<Vec<_>>()
    };
    assert_eq!(seen(&first), seen(&again));
    assert_eq!(first.schema.messages.len(), again.schema.messages.len());
}

#[test]
fn only_the_services_of_named_files_are_offered() {
    let tree = Tree::shop();
    tree.write("other.proto", b"syntax = \"proto3\"; import \"shop/item.proto\"; service Other { rpc A(shop.v1.Item) returns (shop.v1.Item); }");
    for name in [tree.path("other.proto"), PathBuf::from("other.proto")] {
        let source = Source { protos: vec![name], ..tree.source() };
        let catalog = sound(&source).catalog;
        assert_eq!(catalog.services.iter().map(|service| &*service.name).collect::<Vec<_>>(), ["Other"]);
    }
    assert_eq!(tree.load().catalog.services.len(), 2);
}

#[test]
fn a_file_alone_needs_no_import_root() {
    let tree =
        Tree::new(&[("a.proto", "syntax = \"proto3\"; import \"b.proto\"; service S { rpc A(B) returns (B); }")]);
    tree.write("b.proto", b"syntax = \"proto3\"; message B {}");
    let source = Source { protos: vec![tree.path("a.proto")], ..Source::new("a", "c") };
    assert_eq!(sound(&source).catalog.methods.len(), 1);
}

#[test]
fn bundled_files_resolve_without_being_on_disk() {
    let text = r#"syntax = "proto3";
import "google/api/annotations.proto"; import "google/api/httpbody.proto"; import "google/api/field_behavior.proto";
import "google/rpc/status.proto"; import "google/rpc/error_details.proto"; import "google/api/client.proto";
import "google/api/resource.proto"; import "google/api/field_info.proto"; import "google/api/routing.proto";
import "google/api/visibility.proto"; import "google/protobuf/any.proto"; import "google/protobuf/empty.proto";
import "buf/validate/validate.proto"; import "grpc/health/v1/health.proto"; import "grpc/reflection/v1/reflection.proto";
import "grpc/reflection/v1alpha/reflection.proto"; import "google/protobuf/compiler/plugin.proto";
message M { string s = 1 [(buf.validate.field).string.min_len = 1]; }
service S { rpc A(M) returns (google.api.HttpBody); }
"#;
    let catalog = Tree::new(&[("all.proto", text)]).load().catalog;
    assert_eq!(catalog.services.len(), 1, "imported services are not offered");
    assert!(catalog.schema.find("buf.validate.FieldRules").is_some());
}

#[test]
fn sources_say_what_is_packed() {
    let text = |syntax: &str| {
        let fields =
            "repeated int32 y = 1 [packed = true]; repeated int32 n = 2 [packed = false]; repeated int32 d = 3;";
        format!("syntax = \"{syntax}\"; message M {{ {fields} }} service S {{ rpc A(M) returns (M); }}")
    };
    for (syntax, by_default) in [("proto2", false), ("proto3", true)] {
        let schema = Tree::new(&[("a.proto", &text(syntax))]).load().catalog.schema;
        let message = schema.message(schema.find("M").unwrap());
        let packed: Vec<_> = message.fields.iter().map(|field| (field.packed, field.tag & 7)).collect();
        assert_eq!(packed, [(true, 2), (false, 0), (by_default, if by_default { 2 } else { 0 })]);
    }
}

#[test]
fn a_stale_descriptor_proto_in_the_tree_does_no_harm() {
    let tree = Tree::shop();
    tree.write("google/protobuf/descriptor.proto", b"syntax = \"proto2\"; package google.protobuf; message Stale [");
    tree.write("google/protobuf/cpp_features.proto", b"edition = \"2023\";");
    assert_eq!(tree.load().catalog.methods.len(), 4);
}

#[test]
fn a_root_inside_another_root_keeps_its_own_names() {
    let tree = Tree::new(&[
        ("a.proto", "syntax = \"proto3\"; import \"b.proto\"; service S { rpc A(B) returns (B); }"),
        ("vendor/b.proto", "syntax = \"proto3\"; message B {}"),
    ]);
    let source = Source { proto_paths: vec![tree.0.path().to_owned(), tree.path("vendor")], ..tree.source() };
    assert_eq!(sound(&source).catalog.methods.len(), 1);
}

#[test]
fn public_imports_are_followed_all_the_way() {
    let tree = Tree::new(&[
        ("a.proto", "syntax = \"proto3\"; import \"b.proto\"; service S { rpc A(D) returns (D); }"),
        ("b.proto", "syntax = \"proto3\"; import public \"c.proto\";"),
        ("c.proto", "syntax = \"proto3\"; import public \"d.proto\";"),
        ("d.proto", "syntax = \"proto3\"; message D {}"),
    ]);
    assert_eq!(tree.load().catalog.methods.len(), 1);
}

#[test]
fn options_of_fields_and_messages_hold_wherever_they_are_read_from() {
    let tree = Tree::new(&[
        (
            "old.proto",
            r#"syntax = "proto2"; package o;
            message Old { repeated int32 packed = 1 [packed = true]; repeated int32 loose = 2; extensions 10 to 20; }
            extend Old { repeated int32 more = 10 [packed = true]; }
            message Set { option message_set_wire_format = true; extensions 4 to max; }
            enum Alias { option allow_alias = true; A = 0; B = 0; }"#,
        ),
        (
            "new.proto",
            r#"syntax = "proto3"; package n;
            message New { repeated int32 packed = 1; repeated int32 loose = 2 [packed = false]; }"#,
        ),
    ]);
    tree.write("all.bin", &descriptor_set_bytes(&tree, &["old.proto", "new.proto"], false));
    let of_set = Source { descriptor_sets: vec![tree.path("all.bin")], ..Source::new("set", "backend") };
    for loaded in [tree.load(), sound(&of_set)] {
        let schema = &loaded.catalog.schema;
        let message = |name: &str| schema.message(schema.find(name).unwrap());
        let packed = |name: &str| message(name).fields.iter().map(|field| field.packed).collect::<Vec<_>>();
        assert_eq!((packed("o.Old"), packed("n.New")), (vec![true, false, true], vec![true, false]));
        assert_eq!(message("o.Set").known, Known::MessageSet);
    }
}

#[test]
fn many_public_imports_cost_no_more_than_their_number() {
    // layers that each import two of the layer below: followed path by path these were a million ways
    let mut files = vec![("l0a.proto".to_owned(), String::new()), ("l0b.proto".to_owned(), String::new())];
    for layer in 1..24 {
        for side in ["a", "b"] {
            let below = layer - 1;
            let text = format!("import public \"l{below}a.proto\";\nimport public \"l{below}b.proto\";\n");
            files.push((format!("l{layer}{side}.proto"), text));
        }
    }
    let files: Vec<_> = files.into_iter().map(|(name, text)| (name, format!("syntax = \"proto3\";\n{text}"))).collect();
    let tree = Tree::new(&files.iter().map(|(name, text)| (&**name, &**text)).collect::<Vec<_>>());
    tree.write(
        "s.proto",
        b"syntax = \"proto3\"; import \"l23a.proto\"; message M {} service S { rpc A(M) returns (M); }",
    );
    assert_eq!(tree.load().catalog.methods.len(), 1);
}

#[test]
fn protos_and_sets_may_be_mixed() {
    let tree = Tree::shop();
    let set = tree.write("sets/shop.binpb", &descriptor_set_bytes(&tree, &["shop/shop.proto"], false));
    let other = Tree::new(&[(
        "o.proto",
        "syntax = \"proto3\"; import \"shop/item.proto\"; service O { rpc A(shop.v1.Item) returns (shop.v1.Item); }",
    )]);
    let source = Source { descriptor_sets: vec![set.clone(), set], ..other.source() };
    assert_eq!(sound(&source).catalog.services.len(), 2);
}

// === what does not load ===

#[test]
fn the_mistakes_of_all_files_come_at_once_with_their_places() {
    let tree = Tree::shop();
    tree.write("a.proto", b"syntax = \"proto3\";\nmessage A {\n  strin = 1;\n  Nowhere n = 2;\n}\nmessage {\n");
    tree.write(
        "b.proto",
        b"syntax = \"proto3\";\nmessage B {\n  Nowhere n = 1;\n  string a = 2;\n  string b = 2;\n}\n",
    );
    tree.write("c.proto", b"edition = \"2022\";\n");
    tree.write("d.proto", b"syntax = \"proto3\";\nimport \"shop/itm.proto\";\nimport \"a.proto\";\n");
    tree.write("e.proto", b"syntax = \"proto3\";\nmessage X {}\nmessage X {}\n");
    tree.write("f.proto", b"syntax = \"proto3\";\n\npackage shop.v1;\n  message Item {}\n");
    tree.write("g.proto", b"\xff");
    let mut mistakes = tree.mistakes(&tree.source());
    mistakes.sort();
    assert_says(
        &mistakes,
        &[
            "a.proto:3:9: ",
            "a.proto:6:9: ",
            "b.proto:3:3: name 'Nowhere' is not defined",
            "b.proto:5:14: field number '2' is already used",
            "c.proto:1:1: edition \"2022\" is not known",
            "d.proto:2:1: import \"shop/itm.proto\" not found (did you mean \"shop/item.proto\"?)",
            "e.proto:3:9: name 'X' is defined twice",
            "g.proto:1: the file is not UTF-8",
            "shop/item.proto:3:9: name 'shop.v1.Item' is already defined in file 'f.proto'",
        ],
    );
}

#[test]
fn after_a_refused_file_with_extensions_the_others_are_still_checked() {
    let tree = Tree::new(&[
        (
            "a.proto",
            "syntax = \"proto2\";\nimport \"google/protobuf/descriptor.proto\";\nextend google.protobuf.MethodOptions { optional Nowhere x = 50000; }\n",
        ),
        (
            "b.proto",
            "syntax = \"proto3\";\nimport \"google/api/annotations.proto\";\nmessage B {}\nservice S { rpc A(B) returns (B) { option (google.api.http) = { get: \"/a\" }; } }\n",
        ),
        ("c.proto", "syntax = \"proto3\";\nmessage C { Nothing n = 1; }\n"),
    ]);
    let mistakes = tree.mistakes(&tree.source());
    assert_says(&mistakes, &["a.proto:3:49: name 'Nowhere'", "c.proto:2:13: name 'Nothing'"]);
}

#[test]
fn imports_that_go_round_in_a_circle_are_named() {
    let tree = Tree::new(&[
        ("a.proto", "syntax = \"proto3\";\nimport \"b.proto\";\n"),
        ("b.proto", "syntax = \"proto3\";\nimport public \"c.proto\";\n"),
        ("c.proto", "syntax = \"proto3\";\n\nimport public \"b.proto\";\n"),
        ("d.proto", "syntax = \"proto3\";\nimport public \"d.proto\";\n"),
    ]);
    let mistakes = tree.mistakes(&tree.source());
    assert_says(
        &mistakes,
        &["c.proto:3:1: the imports go round in a circle: b.proto -> c.proto -> b.proto", "d.proto:2:1: "],
    );
}

#[test]
fn paths_that_lead_nowhere_are_named() {
    let tree = Tree::shop();
    let nowhere = Source { proto_paths: vec![tree.path("nowhere")], ..tree.source() };
    assert_says(&tree.mistakes(&nowhere), &["nowhere: cannot read the directory"]);
    let missing = Source { protos: vec!["shop/shp.proto".into()], ..tree.source() };
    assert_says(&tree.mistakes(&missing), &["shop/shp.proto: file not found"]);
    let set = Source { descriptor_sets: vec![tree.path("no.binpb")], ..Source::new("x", "y") };
    assert_says(&tree.mistakes(&set), &["no.binpb: cannot read the descriptor set"]);
    std::fs::create_dir(tree.path("empty")).unwrap();
    let empty = Source { proto_paths: vec![tree.path("empty")], ..tree.source() };
    assert_says(&tree.mistakes(&empty), &["empty: no .proto file below this import root"]);
    assert_says(&tree.mistakes(&Source::new("x", "y")), &["neither .proto files nor a descriptor set"]);
}

#[test]
fn rules_that_do_not_fit_their_messages_are_named_with_method_and_place() {
    let rule = |http: &str| {
        let text = SHOP.replace(
            "  rpc Talk(stream Item) returns (stream Item);",
            &format!("  rpc Bad(GetRequest) returns (Item) {{\n    option (google.api.http) = {{ {http} }};\n  }}"),
        );
        let tree = Tree::new(&[("shop/shop.proto", &text), ("shop/item.proto", ITEM)]);
        tree.mistakes(&tree.source())
    };
    let cases = [
        (
            "get: '/v1/{nam}'",
            "GET \"/v1/{nam}\": variable \"nam\": message shop.v1.GetRequest has no field \"nam\" (did you mean \"name\"?)",
        ),
        ("get: '/v1/{item}'", "field \"item\" is a message (shop.v1.Item), which no text can fill"),
        ("get: '/v1/{item.tags}'", "field \"tags\" is repeated"),
        ("get: '/v1/{item.parts}'", "field \"parts\" is a map"),
        ("get: '/v1/{name.x}'", "field \"name\" is not a message, it has no field \"x\""),
        ("get: '/v1/{name}/{name}'", "at character 13: variable \"name\" occurs twice"),
        ("get: '/v1/{name'", "at character 5: the variable is not closed"),
        ("get: 'v1'", "at character 1: a template starts with \"/\""),
        ("post: '/v1' body: 'itm'", "body message shop.v1.GetRequest has no field \"itm\" (did you mean \"item\"?)"),
        ("post: '/v1' body: 'item.name'", "body \"item.name\" is not a field at the top level"),
        ("get: '/v1' response_body: 'x'", "response_body message shop.v1.Item has no field \"x\""),
        ("body: '*'", "the google.api.http option has no path"),
        ("custom { kind: 'A B' path: '/v1' }", "is no HTTP method"),
        ("get: '/1' additional_bindings { get: '/2' additional_bindings { get: '/3' } }", "must not have additional"),
    ];
    for (http, expected) in cases {
        let mistakes = rule(http);
        assert_says(&mistakes, &[expected]);
        assert!(mistakes[0].starts_with("shop/shop.proto:21:5: rpc shop.v1.Shop.Bad: "), "{mistakes:?}");
    }
    assert_eq!(rule("get: '/v1/{nam}/{itm}' body: 'x' response_body: 'y'").len(), 4, "all at once");
}

#[test]
fn well_known_types_that_text_can_fill_may_be_variables() {
    let tree = Tree::new(&[
        ("shop/shop.proto", &SHOP.replace("/v1/items/{item.id}", "/v1/items/{since}")),
        ("shop/item.proto", ITEM),
    ]);
    tree.load();
}

// === what the configuration lays over it ===

#[test]
fn configured_rules_replace_annotations_or_add_to_them() {
    let tree = Tree::shop();
    let rule = |selector: &str, add: bool, path: &str| HttpRule {
        add,
        place: Some(Place::new("c.yaml", 4, 2)),
        ..HttpRule::new(selector, http::Method::POST.into(), path)
    };
    let rules = vec![rule("shop.v1.Shop.Get", false, "/get/{name}"), rule("shop.v1.Shop.Talk", true, "/talk")];
    let catalog = sound(&Source { rules, ..tree.source() }).catalog;
    let templates = |method: usize| {
        let bindings = catalog.methods[method].bindings.iter();
        bindings.map(|b| (b.template.text.to_string(), b.place.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(templates(0), [("/get/{name}".to_owned(), "c.yaml:4:2".to_owned())]);
    assert_eq!(templates(3), [("/talk".to_owned(), "c.yaml:4:2".to_owned())]);
    let rules = vec![rule("shop.v1.Shop.Gte", false, "/x"), rule("shop.v1.Shop.Get", false, "/{x}")];
    assert_says(
        &tree.mistakes(&Source { rules, ..tree.source() }),
        &[
            "c.yaml:4:2: rpc shop.v1.Shop.Get: POST \"/{x}\": variable \"x\"",
            "c.yaml:4:2: selector \"shop.v1.Shop.Gte\" matches no method of the catalog (did you mean \"shop.v1.Shop.Get\"?)",
        ],
    );
}

#[test]
fn settings_and_hosts_reach_their_methods_and_services() {
    let tree = Tree::shop();
    let setting = |pattern: &str, bytes| SettingRule {
        pattern: pattern.into(),
        settings: PartialSettings { max_request_message: Some(bytes), ..Default::default() },
        place: Some(Place::new("c.yaml", 9, 1)),
    };
    let source = Source {
        settings: vec![setting("shop.v1.Shop/Put", 3), setting("*", 1), setting("shop.v1.Shop/*", 2)],
        hosts: vec![HostRule { pattern: "shop.v1.Shop".into(), hosts: vec!["Shop.Example".into()], place: None }],
        ..tree.source()
    };
    let catalog = sound(&source).catalog;
    let limits: Vec<_> = catalog.methods.iter().map(|method| method.settings.max_request_message).collect();
    assert_eq!(limits, [2, 3, 2, 2]);
    assert_eq!(*catalog.services[0].hosts, ["shop.example".into()]);
    // one entry may be for another catalog: only a check over all of them can tell
    let paths: Vec<&str> = catalog.methods.iter().map(|method| method.path.trim_start_matches('/')).collect();
    let mistakes = check_settings(&[setting("shop.v1.Shop/Pt", 1)], &paths);
    assert_says(
        &mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>(),
        &["c.yaml:9:1: \"shop.v1.Shop/Pt\" matches no method (did you mean"],
    );
}

#[test]
fn the_list_of_routes_shows_every_way_to_every_method() {
    let catalogs = [Arc::new(Tree::shop().load().catalog)];
    let (table, _) = Table::build(&catalogs).unwrap();
    let lines = routes(&catalogs, &table);
    let text = routes_text(&lines);
    assert_eq!(text.lines().count(), 1 + 4 + 1 + 4, "{text}");
    let line = text.lines().find(|line| line.contains("/v1/items/{item.id}")).unwrap();
    let cells: Vec<_> = line.split_whitespace().collect();
    assert_eq!(cells[..6], ["GET", "/v1/items/{item.id}", "-", "->", "title", "shop.v1.Shop.Get"], "{text}");
    assert!(line.contains("shop/shop.proto:9:5"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&routes_json(&lines)).unwrap();
    assert_eq!(json.as_array().unwrap().len(), lines.len());
    assert_eq!(json[0]["path"], "/shop.v1.Shop/Get");
    assert_eq!(json[0]["via"], "rpc-and-json");
    let found = table.template(&http::Method::GET, None, "/v1/shelves/1/items/a%2Fb");
    let Match::Found { method, variables, .. } = found else { panic!("{found:?}") };
    assert_eq!((method.method, &*variables[0]), (0, "shelves/1/items/a%2Fb"));
}

#[test]
fn the_protos_that_come_with_the_house_load_and_route() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("protos");
    let source = Source { proto_paths: vec![root], ..Source::new("demo", "demo") };
    let loaded = sound(&source);
    let (_, warnings) =
        Table::build(&[Arc::new(loaded.catalog)]).unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes)));
    assert!(warnings.is_empty(), "{}", listed(&warnings));
}

// === descriptor sets ===

#[test]
fn mistakes_in_a_descriptor_set_name_the_set_the_file_and_the_line() {
    let tree = Tree::shop();
    let mut set = descriptor_set(&tree, &["shop/item.proto"]);
    let file = set.file.iter_mut().find(|file| file.name() == "shop/item.proto").unwrap();
    file.message_type[0].field[2].number = Some(1);
    let path = tree.write("shop.binpb", &set.encode_to_vec());
    let source = Source { descriptor_sets: vec![path], ..Source::new("shop", "backend") };
    assert_says(&tree.mistakes(&source), &["shop.binpb(shop/item.proto):3:62: field number '1' is already used"]);
}

#[test]
fn rules_in_a_descriptor_set_have_places_when_it_has_source_info() {
    let text = SHOP.replace("/v1/items/{item.id}", "/v1/items/{item.idd}");
    let tree = Tree::new(&[("shop/shop.proto", &text), ("shop/item.proto", ITEM)]);
    for (source_info, place) in [(true, "shop.binpb(shop/shop.proto):9:5: "), (false, "shop.binpb(shop/shop.proto): ")]
    {
        let path = tree.write("shop.binpb", &descriptor_set_bytes(&tree, &["shop/shop.proto"], source_info));
        let source = Source { descriptor_sets: vec![path], ..Source::new("shop", "backend") };
        let mistakes = tree.mistakes(&source);
        assert_says(&mistakes, &["rpc shop.v1.Shop.Get: GET \"/v1/items/{item.idd}\""]);
        assert!(mistakes[0].starts_with(place), "{mistakes:?}");
    }
}

#[test]
fn a_set_without_its_imports_says_which() {
    let tree = Tree::shop();
    let mut set = descriptor_set(&tree, &["shop/shop.proto"]);
    set.file.retain(|file| file.name() == "shop/shop.proto");
    let path = tree.write("shop.binpb", &set.encode_to_vec());
    let source = Source { descriptor_sets: vec![path], ..Source::new("shop", "backend") };
    assert_says(
        &tree.mistakes(&source),
        &["shop.binpb(shop/shop.proto):5:1: import \"shop/item.proto\" not found (it is not in the descriptor set"],
    );
}

#[test]
fn unknown_editions_in_a_descriptor_set_are_refused_by_file_and_line() {
    let tree = Tree::shop();
    let mut set = descriptor_set(&tree, &["shop/item.proto"]);
    for (edition, expected) in [(1000, None), (1001, None), (1002, Some("2026")), (7, Some("number 7"))] {
        let file = set.file.iter_mut().find(|file| file.name() == "shop/item.proto").unwrap();
        file.syntax = Some("editions".into());
        let mut bytes = FileDescriptorProto::encode_to_vec(file);
        // `edition` = 14, which prost-types does not know
        transom::wire::put_uint(&mut bytes, 14, edition);
        let mut whole = Vec::new();
        transom::wire::put_bytes(&mut whole, 1, &bytes);
        let path = tree.write("shop.binpb", &whole);
        let source = Source { descriptor_sets: vec![path], ..Source::new("shop", "backend") };
        let Some(expected) = expected else {
            sound(&source);
            continue;
        };
        let mistakes = tree.mistakes(&source);
        assert_says(
            &mistakes,
            &[&format!("edition {expected:?} is not known (known editions are \"2023\" and \"2024\")")],
        );
        assert!(mistakes[0].starts_with("shop.binpb(shop/item.proto):1:1: "), "{mistakes:?}");
    }
}

#[test]
fn what_is_no_descriptor_set_is_refused_with_a_hint() {
    let tree = Tree::shop();
    for (bytes, expected) in [
        (SHOP.as_bytes(), "not a descriptor set, or a damaged one: no protobuf at byte 0"),
        (b"", "the descriptor set holds no file"),
        (b"\x0a\x00", "the file has no name"),
        (b"\x0a\x02\x0a\x7f", "the descriptor is damaged"),
    ] {
        let path = tree.write("x.binpb", bytes);
        let source = Source { descriptor_sets: vec![path], ..Source::new("shop", "backend") };
        assert_says(&tree.mistakes(&source), &[expected]);
    }
}

/// Bits flipped, bytes lost, parts swapped: refused or loaded, never a panic. `TRANSOM_MUTATIONS` asks for more.
#[test]
fn no_damaged_descriptor_set_panics() {
    let tree = Tree::shop();
    let seeds = [
        descriptor_set_bytes(&tree, &["shop/shop.proto"], true),
        descriptor_set_bytes(&tree, &["shop/shop.proto"], false),
        tree.load().catalog.descriptor_set.to_vec(),
        include_bytes!("editions/set.binpb").to_vec(),
    ];
    let rounds = std::env::var("TRANSOM_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(600);
    let (mut loaded, mut refused) = (0, 0);
    for round in 0..rounds {
        let damaged = descriptor_target::damage(&seeds[round % seeds.len()], round as u64);
        match descriptor_target::run(&damaged, tree.0.path()) {
            true => loaded += 1,
            false => refused += 1,
        }
    }
    assert!(loaded + refused == rounds && refused > rounds / 4, "{loaded} loaded, {refused} refused");
}

#[test]
fn the_corpus_of_descriptor_sets_is_survived() {
    let scratch = TempDir::new().unwrap();
    for bytes in corpus("descriptor_corpus") {
        descriptor_target::run(&bytes, scratch.path());
    }
}

#[test]
fn the_corpus_of_templates_keeps_what_a_template_promises() {
    let corpus = corpus("template_corpus");
    assert!(corpus.len() > 10);
    for seed in &corpus {
        template_target::run(seed);
        for round in 0..200 {
            template_target::run(&descriptor_target::damage(seed, round));
        }
    }
}

fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| std::fs::read(file).unwrap()).collect()
}

// === a catalog of the largest kind ===

/// All of googleapis: `TRANSOM_GOOGLEAPIS` names the folder (npm google-proto-files 5.0.3). Prints time and memory.
#[test]
fn all_of_googleapis_loads() {
    let Some(root) = std::env::var_os("TRANSOM_GOOGLEAPIS") else { return };
    let from_set = std::env::var_os("TRANSOM_GOOGLEAPIS_SET").map(PathBuf::from);
    let source = match &from_set {
        Some(set) if set.exists() => Source { descriptor_sets: vec![set.clone()], ..Source::new("googleapis", "g") },
        _ => Source { proto_paths: vec![root.into()], ..Source::new("googleapis", "g") },
    };
    let source = Source { conflicts: Conflicts::Report, ..source };
    let start = std::time::Instant::now();
    let loaded = sound(&source);
    println!("load {:?}; {}", start.elapsed(), memory());
    if let Some(set) = from_set.filter(|set| !set.exists()) {
        std::fs::write(set, &loaded.catalog.descriptor_set).unwrap();
    }
    let catalog = Arc::new(loaded.catalog);
    let bindings: usize = catalog.methods.iter().map(|method| method.bindings.len()).sum();
    println!(
        "{} services, {} methods, {bindings} bindings, {} messages, set of {} bytes",
        catalog.services.len(),
        catalog.methods.len(),
        catalog.schema.messages.len(),
        catalog.descriptor_set.len()
    );
    assert_eq!((catalog.methods.len(), bindings), (13_458, 15_381));
    let start = std::time::Instant::now();
    let catalogs = [Arc::clone(&catalog)];
    let (table, warnings) = Table::build(&catalogs).unwrap();
    println!("table {:?}, {} warnings; {}", start.elapsed(), warnings.len(), memory());
    every_binding_is_found(&catalogs, &table);
    let refusing = Arc::new(sound(&Source { conflicts: Conflicts::Refuse, ..source }).catalog);
    let conflicts = Table::build(&[refusing]).unwrap_err();
    println!("{} conflicts; the first: {}", conflicts.len(), conflicts[0]);
}

/// Makes a path of each template, and expects it to lead to a method whose template fits it at least as exactly.
fn every_binding_is_found(catalogs: &[Arc<transom::catalog::Catalog>], table: &Table) {
    let mut asked = Vec::new();
    for (m, method) in catalogs[0].methods.iter().enumerate() {
        for (b, binding) in method.bindings.iter().enumerate() {
            let segments = binding.template.segments.iter().map(|segment| match segment {
                transom::catalog::Segment::Literal(text) => text.to_string(),
                transom::catalog::Segment::Star => "x1".into(),
                transom::catalog::Segment::DoubleStar => "y1/y2".into(),
            });
            let mut path = format!("/{}", segments.collect::<Vec<_>>().join("/"));
            if let Some(verb) = &binding.template.verb {
                path = format!("{path}:{verb}");
            }
            asked.push((m, b, binding.verb.as_str().parse::<http::Method>().unwrap(), path));
        }
    }
    let (mut own, mut other, mut disputed) = (0, 0, 0);
    let start = std::time::Instant::now();
    for (m, b, verb, path) in &asked {
        match table.template(verb, Some("example.com"), path) {
            Match::Found { method, binding, .. } if (method.method as usize, binding) == (*m, *b) => own += 1,
            Match::Found { .. } => other += 1,
            Match::None => disputed += 1,
            odd => panic!("{verb} {path}: {odd:?}"),
        }
    }
    let each = start.elapsed() / u32::try_from(asked.len()).unwrap();
    println!("{own} own, {other} others, {disputed} disputed; {each:?} per template look-up");
    assert!(own > 14_000, "{own} own, {other} others, {disputed} disputed");
    let start = std::time::Instant::now();
    for method in &catalogs[0].methods {
        assert!(table.method(&method.path).is_some());
    }
    println!("{:?} per method look-up", start.elapsed() / u32::try_from(catalogs[0].methods.len()).unwrap());
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}
