//! Runs a committed corpus through its fuzz target as a plain test.
#![allow(dead_code)] // each user has its own needs

/// Every file of the corpus as it is, cut at every place, and with every byte in turn replaced: by each of `damage`, and
/// with its lowest and its highest bit turned.
pub fn run(name: &str, damage: &[u8], target: impl Fn(&[u8])) {
    each("corpus", name, |data| {
        target(data);
        for at in 0..data.len() {
            let mut damaged = data.to_vec();
            for byte in damage.iter().copied().chain([data[at] ^ 1, data[at] ^ 0x80]) {
                damaged[at] = byte;
                target(&damaged);
            }
            target(&data[..at]);
        }
    });
}

/// Every file of what libFuzzer has found, as it is.
pub fn run_found(name: &str, target: impl Fn(&[u8])) {
    each("found", name, target);
}

fn each(folder: &str, name: &str, run: impl Fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(folder).join(name);
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        run(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
        files += 1;
    }
    assert!(files > 0, "the corpus is empty");
}
