//! All files of an instance, or of a pin, as one descriptor set: each after what it imports, so that equal files are equal
//! bytes in whatever order they came.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use bytes::Bytes;

use super::descriptor::{Head, Import, amended};
use super::message::shown;
use super::outline::Outline;
use super::services::Services;
use super::stream::MAX_KEPT;
use crate::catalog::{Mistake, Place, descriptors_at_hand, is_at_hand, is_protobufs_own};
use crate::wire::{Malformed, put_bytes, records};

/// The files of which a catalog is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    bytes: Bytes,
    services: Box<[String]>,
    imports: BTreeSet<String>,
    files: usize,
    outline: Outline,
}

/// `FileDescriptorSet.file`.
const FILE: u32 = 1;
/// Files in a pin.
const MAX_FILES: usize = 20_000;

// === impl Set ===

impl Set {
    /// Puts files together by their names. `import` says what is imported in place of a name, `takes` which services are
    /// offered. Errors: why they are no files, or too much.
    pub(super) fn build(
        files: &BTreeMap<String, Bytes>,
        import: Import<'_>,
        takes: &dyn Fn(&str) -> bool,
    ) -> Result<Set, String> {
        let mut heads: BTreeMap<String, (Head, Bytes)> = BTreeMap::new();
        let mut outline = Outline::default();
        for (name, file) in files {
            let said = |Malformed(why): Malformed| format!("the file \"{}\": {why}", shown(name));
            let file = amended(file, import, takes).map_err(said)?;
            let head = Head::read(&file).map_err(said)?;
            // how a file that everybody has is written differs between servers, and means nothing
            outline.add(&file, !is_at_hand(name)).map_err(said)?;
            heads.insert(name.clone(), (head, file));
        }
        let mut bytes = Vec::new();
        for name in in_order(&heads) {
            if let Some((_, file)) = heads.get(name) {
                put_bytes(&mut bytes, FILE, file);
            }
        }
        let services: BTreeSet<String> = heads.values().flat_map(|(head, _)| head.services.iter().cloned()).collect();
        let imports = heads.values().flat_map(|(head, _)| &head.imports).filter(|name| !heads.contains_key(*name));
        Ok(Set {
            bytes: bytes.into(),
            services: services.into_iter().collect(),
            imports: imports.cloned().collect(),
            files: heads.len(),
            outline,
        })
    }

    /// Reads a pin. Errors: it is not there, or no descriptor set, with its place.
    pub fn read(file: &Path, services: &Services) -> Result<Set, Mistake> {
        let complain = |text: String| Mistake::new(text).at(Place::new(file.display().to_string(), 0, 0));
        let size = std::fs::metadata(file).map(|found| found.len());
        let size = size.map_err(|error| complain(format!("cannot read the pin: {error}")))?;
        if usize::try_from(size).map_or(true, |size| size > MAX_KEPT) {
            return Err(complain(format!("the pin has {size} bytes, more than {MAX_KEPT}")));
        }
        let bytes = std::fs::read(file).map_err(|error| complain(format!("cannot read the pin: {error}")))?;
        Set::parse(&bytes.into(), services).map_err(|why| complain(format!("the pin is no descriptor set: {why}")))
    }

    fn parse(bytes: &Bytes, services: &Services) -> Result<Set, String> {
        let mut files = BTreeMap::new();
        let told = |Malformed(why): Malformed| why.to_owned();
        for record in records(bytes) {
            let (number, piece) = record.map_err(told)?.numbered();
            if number == FILE {
                let file = bytes.slice_ref(piece.bytes);
                files.insert(Head::read(&file).map_err(told)?.name, file);
            }
            if files.len() > MAX_FILES {
                return Err("it has more than 20,000 files".to_owned());
            }
        }
        if files.is_empty() {
            return Err("it holds no file".to_owned());
        }
        files.retain(|name, _| !is_protobufs_own(name));
        Set::build(&files, &|name| Some(name.to_owned()), &|service| services.takes(service))
    }

    /// An encoded `FileDescriptorSet`, without protobuf's own files.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The services that are offered, in order.
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.files
    }

    /// What it says.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// The same set with the files that it imports and every catalog has: whole for `protoc`, `buf` and `grpcurl`.
    pub fn whole(&self) -> Bytes {
        let wanted: Vec<&str> = self.imports.iter().map(String::as_str).collect();
        let mut out = Vec::with_capacity(self.bytes.len());
        for (_, file) in descriptors_at_hand(&wanted, &[]).unwrap_or_default() {
            put_bytes(&mut out, FILE, &file);
        }
        out.extend_from_slice(&self.bytes);
        out.into()
    }
}

/// Names, each after those that it imports; in a circle, which no catalog takes, in some order.
fn in_order(heads: &BTreeMap<String, (Head, Bytes)>) -> Vec<&str> {
    let mut order = Vec::with_capacity(heads.len());
    let mut begun: HashMap<&str, ()> = HashMap::with_capacity(heads.len());
    for start in heads.keys() {
        let mut stack: Vec<(&str, usize)> = Vec::new();
        if begun.insert(start, ()).is_none() {
            stack.push((start, 0));
        }
        while let Some((name, next)) = stack.last_mut() {
            let import = heads.get(*name).and_then(|(head, _)| head.imports.get(*next));
            let Some(import) = import else {
                order.push(*name);
                stack.pop();
                continue;
            };
            *next += 1;
            if let Some((import, _)) = heads.get_key_value(import)
                && begun.insert(import, ()).is_none()
            {
                stack.push((import, 0));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{HeldSet, Source, load};
    use crate::wire::Record;

    const A: &str = "syntax = \"proto3\"; package p; import \"b.proto\"; import \"google/api/annotations.proto\";
        service S { rpc Do(B) returns (B) { option (google.api.http) = {get: \"/b\"}; } } service T { rpc Do(B) returns (B); }";
    const B: &str = "syntax = \"proto3\"; package p; import \"google/protobuf/timestamp.proto\";
        message B { google.protobuf.Timestamp at = 1; }";

    fn files() -> BTreeMap<String, Bytes> {
        let files = descriptors_at_hand(&["a.proto"], &[("a.proto", A), ("b.proto", B)]).expect("no mistakes");
        files
            .into_iter()
            .map(|(name, bytes)| (String::from(name), bytes))
            .filter(|(name, _)| !is_at_hand(name))
            .collect()
    }

    fn same(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    fn load_set(bytes: Bytes) -> Vec<String> {
        let set = HeldSet { name: "set".into(), bytes };
        let loaded = load(&Source { held_sets: vec![set], ..Source::new("t", "none") }).expect("loads");
        loaded.catalog.services.iter().map(|service| service.name.to_string()).collect()
    }

    #[test]
    fn a_set_has_its_files_in_order_and_loads_as_a_catalog() {
        let set = Set::build(&files(), &same, &|service| service != "p.T").expect("a set");
        assert_eq!((set.services(), set.files()), (&["p.S".to_owned()][..], 2));
        assert_eq!((set.outline().count("service"), set.outline().count("field")), (1, 1));
        assert_eq!(load_set(set.bytes().clone()), ["p.S"]);
    }

    #[test]
    fn a_pin_is_whole_and_reads_as_the_set_that_it_was_made_of() {
        let set = Set::build(&files(), &same, &|_| true).expect("a set");
        let pin = Set::parse(&set.whole(), &Services::default()).expect("a pin");
        assert!(set.outline().differences(pin.outline()).is_empty());
        assert_eq!(pin.services(), set.services());
        let name = |record: Result<Record<'_>, Malformed>| Ok(Head::read(record?.piece.bytes)?.name);
        let names: Result<Vec<String>, Malformed> = records(&set.whole()).map(name).collect();
        let names = names.expect("a set");
        let at = |name: &str| names.iter().position(|known| known == name).expect(name);
        assert!(at("google/protobuf/descriptor.proto") < at("google/api/annotations.proto"));
        assert!(at("google/api/annotations.proto") < at("a.proto") && at("b.proto") < at("a.proto"));
        let some = Set::parse(&set.whole(), &Services::parse(["p.T"]).expect("patterns")).expect("a pin");
        assert_eq!(some.services(), ["p.T"]);
    }

    #[test]
    fn what_is_no_set_is_told() {
        assert!(Set::parse(&Bytes::new(), &Services::default()).is_err());
        assert!(Set::parse(&Bytes::from_static(b"\x0a\x7fx"), &Services::default()).is_err());
        let missing = Set::read(Path::new("nowhere/pin.binpb"), &Services::default()).expect_err("a mistake");
        assert!(missing.to_string().starts_with("nowhere/pin.binpb: cannot read the pin"), "{missing}");
        let whole = Set::build(&files(), &same, &|_| true).expect("a set").bytes().clone();
        for end in 0..whole.len() {
            let _ = Set::parse(&whole.slice(..end), &Services::default());
        }
    }
}
