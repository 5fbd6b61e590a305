//! `transom transcode`, driven as a shell drives it: by arguments, standard input and output, and exit code.

use std::io::Write;
use std::process::{Command, Output, Stdio};

const SHOP: &str = r#"syntax = "proto3";
package shop;
message Item { string name = 1; int64 price = 2; repeated string tags = 3; }
"#;

const OLD: &str = r#"syntax = "proto2";
package old;
message Box { optional group Part = 1 { optional int32 size = 1; } }
"#;

const NEW: &str = r#"edition = "2023";
package new;
message Part { int32 size = 1; }
message Box { Part inner = 1 [features.message_encoding = DELIMITED]; }
"#;

const HELD: &str = r#"syntax = "proto3";
package held;
import "buf/validate/validate.proto";
message Item {
  string name = 1 [(buf.validate.field).string = { min_len: 3, not_contains: "!" }];
  repeated int32 sizes = 2 [(buf.validate.field).repeated.items.int32.gt = 0];
}
message Note {
  map<string, string> text = 1 [(buf.validate.field).cel = {
    id: "note.text", expression: "this.all(k, this[k] == '') ? '' : 'no text such as ' + this['k']"
  }];
}
"#;

/// Runs the verb on this input, with a catalog of four files.
fn transcode(arguments: &[&str], input: &[u8]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [("shop.proto", SHOP), ("old.proto", OLD), ("new.proto", NEW), ("held.proto", HELD)] {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    let mut running = Command::new(env!("CARGO_BIN_EXE_transom"))
        .args(["transcode", "--proto-path", "."])
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    // a verb that refuses its arguments does not read its input
    let _ = running.stdin.take().expect("piped").write_all(input);
    running.wait_with_output().expect("ends")
}

const ITEM: [&str; 2] = ["--type", "shop.Item"];
const JSON: &str = r#"{"name":"cup","price":"9007199254740993","tags":["a","b"]}"#;
const BINARY: &[u8] = b"\x0a\x03cup\x10\x81\x80\x80\x80\x80\x80\x80\x10\x1a\x01a\x1a\x01b";
const TEXT: &str = "name: \"cup\"\nprice: 9007199254740993\ntags: [\"a\", \"b\"]\n";

#[test]
fn a_message_goes_from_every_form_to_every_form() {
    let line = format!("{JSON}\n");
    let forms = [("json", line.as_bytes()), ("binary", BINARY), ("text", TEXT.as_bytes())];
    for (from, input) in forms {
        for (to, expected) in forms {
            let output = transcode(&[&ITEM[..], &["--from", from, "--to", to]].concat(), input);
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{from} to {to}: {told}");
            let shown = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.stdout, expected, "{from} to {to}: {shown}");
        }
    }
    let output = transcode(&[&ITEM[..], &["--indent", "2"]].concat(), b"{\"name\":\"cup\"}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\n  \"name\": \"cup\"\n}\n");
}

#[test]
fn a_message_that_does_not_fit_ends_with_1_and_its_place() {
    for (from, to, input, told) in [
        ("json", "binary", &b"{\"name\": \"cup\",\n \"prize\": 1}"[..], "line 2, column 2: prize: no such field"),
        ("json", "json", b"", "line 1, column 1"),
        ("binary", "json", b"\x0a\x05cup", "cut short"),
        ("binary", "binary", b"\x0a\x05cup", "not an encoded shop.Item"),
        ("binary", "text", b"\x0a\x01\xff", "not an encoded shop.Item"),
        ("text", "json", b"name: \"cup\"\nprize: 1", "<stdin>:2:1"),
        ("text", "json", &b"a {".repeat(200), "nested deeper than 100 levels"),
        ("text", "json", b"\xff", "not UTF-8"),
    ] {
        let output = transcode(&[&ITEM[..], &["--from", from, "--to", to]].concat(), input);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{from} to {to}: {stderr}");
        assert!(stderr.contains(told), "{from} to {to}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn text_that_would_name_another_field_is_refused() {
    let group = transcode(&["--type", "old.Box", "--to", "text"], br#"{"part":{"size":1}}"#);
    assert_eq!(String::from_utf8_lossy(&group.stdout), "Part {\n  size: 1\n}\n");
    let json = br#"{"inner":{"size":1}}"#;
    let delimited = transcode(&["--type", "new.Box", "--to", "text"], json);
    assert_eq!(delimited.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&delimited.stderr).contains("\"new.Box.inner\", which is delimited"));
    let binary = transcode(&["--type", "new.Box", "--to", "binary"], json);
    assert_eq!(binary.stdout, b"\x0b\x08\x01\x0c");
}

#[test]
fn a_message_that_breaks_its_rules_ends_with_1_and_all_of_them() {
    let held = ["--type", "held.Item", "--validate"];
    for (from, input) in [
        ("json", &br#"{"name":"a!","sizes":[1,0]}"#[..]),
        ("binary", b"\x0a\x02a!\x12\x02\x01\x00"),
        ("text", b"name: 'a!' sizes: [1, 0]"),
    ] {
        let output = transcode(&[&held[..], &["--from", from]].concat(), input);
        assert_eq!(output.status.code(), Some(1), "{from}");
        assert!(output.stdout.is_empty(), "{from}");
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "name: must be at least 3 characters [string.min_len]\n\
             name: contains substring `!` [string.not_contains]\n\
             sizes[1]: must be greater than 0 [int32.gt]\n\
             transom: 3 rules of held.Item are broken\n",
            "{from}"
        );
    }
    let good = transcode(&held, br#"{"name":"cup","sizes":[1]}"#);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    assert_eq!(good.stdout, b"{\"name\":\"cup\",\"sizes\":[1]}\n");
    let no_message = transcode(&[&held[..], &["--from", "binary"]].concat(), b"\x0a\x05cup");
    assert_eq!(no_message.status.code(), Some(1));
    let told = String::from_utf8_lossy(&no_message.stderr);
    assert_eq!(told, "transom: not an encoded held.Item: name: the message is cut short\n");
    let unheld = transcode(&[&ITEM[..], &["--validate"]].concat(), JSON.as_bytes());
    assert!(unheld.status.success());
}

#[test]
fn words_of_a_message_do_not_reach_the_terminal_as_they_are() {
    let note = ["--type", "held.Note", "--validate"];
    for (input, told) in [
        // from a rule that says them again
        (&br#"{"text":{"k":"\u001b[2J\r\nfine\u202e"}}"#[..], r"no text such as \u{1b}[2J\r\nfine\u{202e} [note.text]"),
        // from the transcoder
        (br#"{"text":{"\u001b[2J\n":1}}"#, r"\u{1b}[2J\n"),
        (br#"{"\u001b[2J\n":1}"#, r"\u{1b}[2J\n"),
    ] {
        let output = transcode(&note, input);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(told), "{stderr:?}");
        assert!(!stderr.contains(['\x1b', '\r', '\u{202e}']), "{stderr:?}");
    }
}

#[test]
fn bad_usage_ends_with_2() {
    for (arguments, told) in [
        (&["--type", "shop.Itme"][..], "did you mean \"shop.Item\"?"),
        (&["--from", "json"], "--type"),
        (&["--type", "shop.Item", "--to", "yaml"], "yaml"),
        (&["--type", "shop.Item", "--indent", "9"], "9"),
        (&["--type", "shop.Item", "--proto", "nope.proto"], "nope.proto"),
    ] {
        let output = transcode(arguments, b"{}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(told), "{arguments:?}: {stderr}");
    }
}
