//! Runs a committed corpus through its fuzz target as a plain test.

/// Every file of the corpus as it is, cut at every place, and with every byte in turn replaced: by each of `damage`, and
/// with its lowest and its highest bit turned.
pub fn run(name: &str, damage: &[u8], target: impl Fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let data = std::fs::read(entry.expect("an entry").path()).expect("a file");
        target(&data);
        for at in 0..data.len() {
            let mut damaged = data.clone();
            for byte in damage.iter().copied().chain([data[at] ^ 1, data[at] ^ 0x80]) {
                damaged[at] = byte;
                target(&damaged);
            }
            target(&data[..at]);
        }
        files += 1;
    }
    assert!(files > 0, "the corpus is empty");
}
