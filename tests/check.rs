//! `transom check`, driven as a person drives it: by its arguments, exit code and output.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of its own for a test.
struct Folder(tempfile::TempDir);

// === impl Folder ===

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("a folder");
        std::fs::write(&path, text).expect("written");
        path
    }

    /// Files for TLS as `catalogs/tls.yaml` wants them.
    fn write_certificates(&self) {
        for name in ["server", "client", "ca"] {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
            self.write(&format!("{name}.pem"), &made.cert.pem());
            self.write(&format!("{name}.key"), &made.signing_key.serialize_pem());
        }
    }

    /// Runs the program in this folder.
    fn transom(&self, arguments: &[&str]) -> Output {
        Folder::command(self.0.path(), arguments).output().expect("runs")
    }

    fn command(folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_transom"));
        command.args(arguments).current_dir(folder).env("TLS_DIR", folder);
        command
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_file_with_six_mistakes_reports_all_six_with_their_places() {
    let folder = Folder::new();
    folder.write(
        "transom.yaml",
        "\
listeners:
  - address: 127.0.0.1:http
    tls: {certifcate: cert.pem}
drain_timeout: 10
clusters:
  books: {endpoints: [127.0.0.1:50051]}
catalogs:
  - name: books
    proto_paths: [protos]
    cluster: book
",
    );
    let output = folder.transom(&["check", "transom.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        told(&output),
        "\
transom.yaml:2:14: listeners[0].address: \"127.0.0.1:http\" is not an address to listen on (as in 127.0.0.1:8080 or [::]:8080)
transom.yaml:3:11: listeners[0].tls.certifcate: unknown key (did you mean \"certificate\"?)
transom.yaml:4:16: drain_timeout: 10 has no unit (10s are seconds, 10ms milliseconds)
transom.yaml:6:23: clusters.books.endpoints[0]: upstream \"127.0.0.1:50051\": no scheme: write h2c:// for clear text or h2s:// for TLS before the address (as in h2c://127.0.0.1:50051 or h2s://127.0.0.1:50051)
transom.yaml:9:19: catalogs[0].proto_paths[0]: there is no file protos
transom.yaml:10:14: catalogs[0].cluster: there is no cluster \"book\" (did you mean \"books\"?)
6 mistakes
"
    );
}

#[test]
fn a_mistake_of_syntax_has_its_place() {
    let folder = Folder::new();
    folder.write("transom.yaml", "workers: 2\nlisteners: [\n  - a: {\n");
    let output = folder.transom(&["check", "transom.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).starts_with("transom.yaml:3:"), "{}", told(&output));
    assert!(told(&output).ends_with("1 mistake\n"), "{}", told(&output));
}

#[test]
fn a_bomb_is_refused_at_once() {
    let folder = Folder::new();
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", ")));
    }
    for text in [text, "[".repeat(1_000_000), "{a: ".repeat(1_000_000), "x".repeat(8 << 20)] {
        folder.write("transom.yaml", &text);
        let output = folder.transom(&["check", "transom.yaml"]);
        assert_eq!(output.status.code(), Some(2), "{}", &text[..40]);
        assert!(told(&output).starts_with("transom.yaml"), "{}", told(&output));
    }
}

#[test]
fn bad_usage_is_exit_code_two_with_a_hint() {
    let folder = Folder::new();
    for (arguments, expected) in [
        (&["check"][..], "name a configuration file"),
        (&["serve"], "name a configuration file"),
        (&["check", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (&["check", "--lisen", "127.0.0.1:1"], "--listen"),
        (&["check", "--reflect"], "--reflect: whose reflection is to be asked? (give --upstream URL"),
        (
            &["check", "--upstream", "h2c://127.0.0.1:1", "--reflect"],
            "--reflect: reflection of 127.0.0.1:1: connect to",
        ),
        (&["serve", "--proto-path", "."], "give --upstream URL"),
        (&["serve", "--upstream", "h2c://a:1"], "give --proto-path DIR"),
        (&["explain"], "METHOD"),
        (&[], "Usage"),
    ] {
        let output = folder.transom(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", told(&output));
        assert!(told(&output).contains(expected), "{arguments:?}: {}", told(&output));
    }
}

#[test]
fn the_contract_of_flags_is_kept() {
    let folder = Folder::new();
    let output = folder.transom(&["serve", "--help"]);
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    for flag in [
        "--listen",
        "--upstream",
        "--proto-path",
        "--proto",
        "--descriptor-set",
        "--reflect",
        "--tls-cert",
        "--tls-key",
        "--tls-client-ca",
        "--cors-origin",
        "--workers",
        "--max-message-size",
        "--conflicts",
        "--no-auto-mapping",
        "--drain-timeout",
        "--admin",
    ] {
        assert!(help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")), "{flag} in {help}");
    }
}

#[test]
fn every_key_is_printed_with_its_default() {
    let output = Folder::new().transom(&["check", "--keys"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success());
    assert!(text.contains("listeners[].header_timeout: duration (default: 10s)"), "{text}");
}

#[test]
fn every_example_configuration_passes_check() {
    let folder = Folder::new();
    folder.write_certificates();
    let upstream = transom::demo::upstream::Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogs");
    let mut checked = 0;
    for entry in std::fs::read_dir(&examples).expect("catalogs/") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let check = || Folder::command(folder.0.path(), &["check", &path.display().to_string()]);
        // who asks an upstream what it is needs one
        let output = match path.ends_with("reflection.yaml") {
            true => check().env("UPSTREAM", format!("h2c://{}", upstream.address())).output().expect("runs"),
            false => check().output().expect("runs"),
        };
        assert!(output.status.success(), "{}: {}", path.display(), told(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains("no mistakes"));
        checked += 1;
    }
    assert!(checked >= 4, "{checked} examples");
}

#[test]
fn flags_alone_make_a_configuration() {
    let folder = Folder::new();
    folder.write("protos/a.proto", "syntax = \"proto3\"; package p; service S { rpc M(E) returns (E); } message E {}");
    let output =
        folder.transom(&["check", "--proto-path", "protos", "--upstream", "h2c://127.0.0.1:1", "--workers", "2"]);
    assert!(output.status.success(), "{}", told(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("command-line") && text.contains("h2c://127.0.0.1:1"), "{text}");
}

#[test]
fn mistakes_of_the_configuration_and_of_its_catalogs_come_in_one_run() {
    let folder = Folder::new();
    folder.write("protos/a.proto", "syntax = \"proto3\";\npackage p;\nmessage E {\n  strin name = 1;\n}\n");
    folder
        .write("good/b.proto", "syntax = \"proto3\";\npackage q;\nmessage E {}\nservice S { rpc M(E) returns (E); }\n");
    folder.write(
        "transom.yaml",
        "\
workers: none
catalogs:
  - {name: a, proto_paths: protos, upstream: h2c://a}
  - name: b
    proto_paths: good
    upstream: h2c://b
    rules:
      - {selector: q.S.Mm, get: /a}
      - {selector: q.S.M, get: '/{nobody}'}
",
    );
    let output = folder.transom(&["check", "transom.yaml"]);
    let told = told(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("transom.yaml:1:10: workers: \"none\" is not a whole number"), "{told}");
    assert!(told.contains("a.proto:4:"), "{told}");
    assert!(told.contains("transom.yaml:8:9: ") && told.contains("did you mean \"q.S.M\"?"), "{told}");
    assert!(told.contains("transom.yaml:9:9: ") && told.contains("nobody"), "{told}");
    assert!(told.ends_with("4 mistakes\n"), "{told}");
}

#[test]
fn two_rules_of_one_shape_are_refused_or_reported() {
    let folder = Folder::new();
    folder.write(
        "protos/a.proto",
        "syntax = \"proto3\"; package p; message E {} service S { rpc M(E) returns (E); rpc N(E) returns (E); }",
    );
    folder.write(
        "transom.yaml",
        "\
catalogs:
  - name: a
    proto_paths: protos
    upstream: h2c://a
    rules:
      - {selector: p.S.M, get: /a}
      - {selector: p.S.N, get: /a}
",
    );
    let refused = folder.transom(&["check", "transom.yaml"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        told(&refused).contains("transom.yaml:7:9") && told(&refused).contains("transom.yaml:6:9"),
        "{}",
        told(&refused)
    );
    let reported = folder.transom(&["check", "transom.yaml", "--conflicts", "report"]);
    assert!(reported.status.success());
    assert!(told(&reported).starts_with("warning: "), "{}", told(&reported));
}

#[test]
fn routes_are_printed_for_people_and_for_programs() {
    let folder = Folder::new();
    folder.write("protos/a.proto", "syntax = \"proto3\"; package p; message E {} service S { rpc M(E) returns (E); }");
    let text = folder.transom(&["routes", "--proto-path", "protos"]);
    assert!(text.status.success(), "{}", told(&text));
    assert!(String::from_utf8_lossy(&text.stdout).contains("/p.S/M"));
    let json = folder.transom(&["routes", "--proto-path", "protos", "--json"]);
    let routes: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(routes[0]["path"], "/p.S/M");
}

#[test]
fn it_is_told_which_messages_have_rules_and_whether_they_are_enforced() {
    let folder = Folder::new();
    folder.write(
        "protos/a.proto",
        "syntax = \"proto3\"; package p; import \"buf/validate/validate.proto\";
        message E { string name = 1 [(buf.validate.field).string.min_len = 2]; }
        message F { repeated E several = 1; }
        message G { string name = 1; }
        service S { rpc M(E) returns (G); rpc N(F) returns (G); rpc O(G) returns (E); }",
    );
    let check = |more: &str| {
        let text = format!("catalogs: [{{name: a, proto_paths: protos, upstream: h2c://a}}]\n{more}");
        folder.write("transom.yaml", &text);
        let output = folder.transom(&["check", "transom.yaml"]);
        assert!(output.status.success(), "{}", told(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = check("");
    assert!(
        text.ends_with("rules of buf.validate: requests of 2 methods (off); answers of 1 method (off)\n"),
        "{text}"
    );
    let text = check("settings: [{match: p.S/M, validate: {requests: enforce}}]");
    assert!(text.contains("requests of 2 methods (1 off, 1 enforce); answers of 1 method (off)"), "{text}");
    let text = check("settings: [{match: p.S/*, validate: {requests: shadow, responses: enforce}}]");
    assert!(text.contains("requests of 2 methods (shadow); answers of 1 method (enforce)"), "{text}");
    folder.write("protos/a.proto", "syntax = \"proto3\"; package p; message E {} service S { rpc M(E) returns (E); }");
    assert!(!check("").contains("rules"));
}

#[test]
fn a_field_to_hash_that_no_request_has_is_named_with_what_was_meant() {
    let folder = Folder::new();
    folder.write(
        "a.proto",
        "syntax = \"proto3\"; package a; message M { string name = 1; } service S { rpc Do(M) returns (M); }",
    );
    let file = |field: &str| {
        format!(
            "listeners: [{{address: 127.0.0.1:0}}]\n\
             clusters: {{a: {{endpoints: [\"h2c://127.0.0.1:1\"], balance: ring_hash, hash_by: {{field: {field}}}}}}}\n\
             catalogs: [{{name: a, proto_paths: [.], protos: [a.proto], cluster: a}}]\n"
        )
    };
    folder.write("edge.yaml", &file("nmae"));
    let output = folder.transom(&["check", "edge.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    let told = told(&output);
    assert!(
        told.contains("clusters.a.hash_by.field: no method's request has a field \"nmae\"")
            && told.contains("\"name\""),
        "{told}"
    );
    folder.write("edge.yaml", &file("name"));
    assert_eq!(folder.transom(&["check", "edge.yaml"]).status.code(), Some(0));
}
