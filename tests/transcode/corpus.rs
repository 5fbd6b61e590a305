//! The fuzz targets' corpora as plain tests, each file also with every single byte damaged.

#[path = "../fuzz/corpora.rs"]
mod corpora;
#[path = "../fuzz/transcode.rs"]
mod targets;

const DAMAGE: &[u8] = &[0, b'"', b'{', b']', 0xff];

#[test]
fn json_read() {
    corpora::run("json_read", DAMAGE, targets::json_read);
}

#[test]
fn wire_print() {
    corpora::run("wire_print", DAMAGE, targets::wire_print);
}

#[test]
fn guard() {
    corpora::run("guard", DAMAGE, targets::guard);
}

#[test]
fn json_scan() {
    corpora::run("json_scan", DAMAGE, targets::json_scan);
}

#[test]
fn weave() {
    corpora::run("weave", DAMAGE, targets::weave);
}
