//! The corpora of the wire codings' fuzz targets as plain tests, each file also cut and with every byte damaged.

#[path = "fuzz/wire.rs"]
mod targets;

fn run(name: &str, target: impl Fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let data = std::fs::read(entry.expect("an entry").path()).expect("a file");
        target(&data);
        for at in 0..data.len() {
            let mut damaged = data.clone();
            for byte in [0, b'=', b'%', 0xff, data[at] ^ 1, data[at] ^ 0x80] {
                damaged[at] = byte;
                target(&damaged);
            }
            target(&data[..at]);
        }
        files += 1;
    }
    assert!(files > 0, "the corpus is empty");
}

#[test]
fn frames() {
    run("frames", targets::frames);
}

#[test]
fn text() {
    run("text", targets::text);
}

#[test]
fn fields() {
    run("fields", targets::fields);
}
