//! The fuzz targets' corpora as plain tests, each file also with every single byte damaged.

#[path = "../fuzz/transcode.rs"]
mod targets;

fn run(name: &str, target: impl Fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let data = std::fs::read(entry.expect("an entry").path()).expect("a file");
        target(&data);
        for at in 0..data.len() {
            let mut damaged = data.clone();
            for byte in [0, b'"', b'{', b']', 0xff, data[at] ^ 1, data[at] ^ 0x80] {
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
fn json_read() {
    run("json_read", targets::json_read);
}

#[test]
fn wire_print() {
    run("wire_print", targets::wire_print);
}

#[test]
fn json_scan() {
    run("json_scan", targets::json_scan);
}

#[test]
fn weave() {
    run("weave", targets::weave);
}
