//! Files that every catalog has without being given them, as descriptors: for those who write descriptor sets.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::bundled;
use super::compile;
use super::gather::Gathered;
use super::mistake::Mistake;
use super::unit::{Origin, Unit};

/// Options are read by it, so nothing links without it.
const DESCRIPTOR: &str = "google/protobuf/descriptor.proto";

/// Whether catalogs read a file of this name from the copy in this program, wherever else it may be: one of protobuf's own.
pub fn is_protobufs_own(name: &str) -> bool {
    Unit::is_protobufs_own(name)
}

/// Whether an import of this name is found by a catalog that was not given it.
pub fn is_at_hand(name: &str) -> bool {
    bundled::text(name).is_some() || Unit::is_protobufs_own(name)
}

/// The encoded `FileDescriptorProto` of each file of `wanted` and of all that they import, each behind what it imports.
/// A name is looked up among `texts` (import name and text), then among the files at hand; names that are nowhere are left
/// out.
///
/// Errors: the mistakes of a text. The files at hand have none, as tests prove.
pub fn descriptors_at_hand(
    wanted: &[&str],
    texts: &[(&'static str, &'static str)],
) -> Result<Vec<(Box<str>, Bytes)>, Vec<Mistake>> {
    let mut gathered = Gathered::default();
    let mut reached: BTreeSet<Box<str>> = wanted.iter().map(|name| Box::from(*name)).collect();
    let mut queue: VecDeque<Box<str>> = reached.iter().cloned().collect();
    while let Some(name) = queue.pop_front() {
        let Some(unit) = unit(&name, texts)? else { continue };
        for import in &unit.imports {
            if reached.insert(import.name.clone()) {
                queue.push_back(import.name.clone());
            }
        }
        gathered.units.insert(name, unit);
    }
    if !gathered.units.contains_key(DESCRIPTOR)
        && let Some(unit) = unit(DESCRIPTOR, &[])?
    {
        gathered.units.insert(DESCRIPTOR.into(), unit);
    }
    let linked = compile::link(gathered)?;
    let encoded =
        |unit: &Unit| Some((unit.name.clone(), linked.pool.get_file_by_name(&unit.name)?.encode_to_vec().into()));
    Ok(linked.units.iter().filter(|unit| reached.contains(&unit.name)).filter_map(encoded).collect())
}

fn unit(name: &str, texts: &[(&'static str, &'static str)]) -> Result<Option<Unit>, Vec<Mistake>> {
    let given = texts.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    match given {
        Some(text) => Unit::parse(name, name.into(), text, Origin::Bundled(text)).map(Some),
        None => match (Unit::protobuf(name), bundled::text(name)) {
            (Some(unit), _) => Ok(Some(unit)),
            (None, Some(text)) => Unit::parse(name, name.into(), text, Origin::Bundled(text)).map(Some),
            (None, None) => Ok(None),
        },
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorProto;

    use super::*;

    #[test]
    fn files_at_hand_come_with_what_they_import_and_with_their_options() {
        let text = "syntax = \"proto3\";\npackage t;\nimport \"google/api/annotations.proto\";\nmessage M {}\n\
                    service S { rpc Do(M) returns (M) { option (google.api.http) = {get: \"/m\"}; } }\n";
        let files = descriptors_at_hand(&["t.proto", "nobody.proto"], &[("t.proto", text)]).expect("no mistakes");
        let names: Vec<&str> = files.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names.last(), Some(&"t.proto"));
        for name in ["google/api/annotations.proto", "google/api/http.proto", "google/protobuf/descriptor.proto"] {
            assert!(names.contains(&name) && is_at_hand(name), "{name}");
        }
        assert!(!is_at_hand("t.proto") && !is_protobufs_own("google/api/http.proto"));
        let file = FileDescriptorProto::decode(&files.last().expect("a file").1[..]).expect("a descriptor");
        assert_eq!(file.service.first().map(|service| service.method.len()), Some(1));
        assert!(files.last().expect("a file").1.windows(2).any(|pair| pair == b"/m"), "the rule is encoded");
        assert!(descriptors_at_hand(&["t.proto"], &[("t.proto", "service {")]).is_err());
    }
}
