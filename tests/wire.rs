//! The corpora of the fuzz targets of the wire codings and of joined frames as plain tests, each file also cut and with every byte damaged.

#[path = "fuzz/corpora.rs"]
mod corpora;
#[path = "fuzz/merged.rs"]
mod merged;
#[path = "fuzz/wire.rs"]
mod targets;

const DAMAGE: &[u8] = &[0, b'=', b'%', 0xff];

#[test]
fn frames() {
    corpora::run("frames", DAMAGE, targets::frames);
}

#[test]
fn text() {
    corpora::run("text", DAMAGE, targets::text);
}

#[test]
fn fields() {
    corpora::run("fields", DAMAGE, targets::fields);
}

#[test]
fn packed() {
    corpora::run("packed", DAMAGE, targets::packed);
}

#[test]
fn multipart() {
    corpora::run("multipart", b"\r\n-;\"%", targets::multipart);
}

#[test]
fn merged_frames() {
    corpora::run("merged", &[0, 1, 3, 0xff], merged::merged);
}
