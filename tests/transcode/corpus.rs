//! The fuzz targets' corpora as plain tests: those written by hand also with every single byte damaged, and what libFuzzer
//! has found as it is.

#[path = "../fuzz/corpora.rs"]
mod corpora;
#[path = "../fuzz/socket.rs"]
mod socket;
#[path = "../fuzz/transcode.rs"]
mod targets;

const DAMAGE: &[u8] = &[0, b'"', b'{', b']', 0xff];

#[test]
fn json_to_wire() {
    corpora::run("json_to_wire", DAMAGE, targets::json_to_wire);
    corpora::run_found("json", targets::json_to_wire);
}

#[test]
fn wire_to_json() {
    corpora::run("wire_to_json", DAMAGE, targets::wire_to_json);
    corpora::run_found("wire", targets::wire_to_json);
}

#[test]
fn guard() {
    corpora::run("guard", DAMAGE, targets::guard);
    corpora::run("wire_to_json", DAMAGE, targets::guard);
    corpora::run_found("wire", targets::guard);
}

#[test]
fn field() {
    corpora::run("field", DAMAGE, targets::field);
    corpora::run("wire_to_json", DAMAGE, targets::field);
    corpora::run_found("wire", targets::field);
}

#[test]
fn rules() {
    corpora::run("rules", DAMAGE, crate::judges::rules);
}

#[test]
fn json_against_dynamic() {
    corpora::run("json_to_wire", DAMAGE, targets::json_against_dynamic);
    corpora::run_found("json", targets::json_against_dynamic);
}

#[test]
fn wire_against_dynamic() {
    corpora::run("wire_to_json", DAMAGE, targets::wire_against_dynamic);
    corpora::run_found("wire", targets::wire_against_dynamic);
}

#[test]
fn json_scan() {
    corpora::run("json_scan", DAMAGE, targets::json_scan);
}

#[test]
fn weave() {
    corpora::run("weave", DAMAGE, targets::weave);
}

#[test]
fn socket() {
    corpora::run("socket", DAMAGE, socket::socket);
}
