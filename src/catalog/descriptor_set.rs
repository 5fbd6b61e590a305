//! Descriptor sets: taken apart by hand, so that each file's damage is named, nothing of its options is lost, and no
//! later stage sees a descriptor that it cannot bear.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use prost_types::{FileDescriptorProto, SourceCodeInfo};

use super::editions::{self, Edition, Lowered};
use super::gather::Gathered;
use super::mistake::{Mistake, Place};
use super::records::{Damaged, Records, Value};
use super::sound;
use super::source::HeldSet;
use super::unit::{Origin, Unit, file_tag, spot_of, without};

/// Field number of `FileDescriptorSet.file`.
const FILE: u32 = 1;

/// What has to be known of a file before it is decoded.
#[derive(Default)]
struct Head {
    name: String,
    editions: bool,
    edition: Option<u64>,
}

/// Reads a set from disk; mistakes of single files go to `gathered`.
pub(super) fn read(path: &Path, gathered: &mut Gathered) -> Result<Vec<Unit>, Mistake> {
    let shown = path.display().to_string();
    let complain = |text: String| Mistake::new(text).at(Place::new(shown.as_str(), 0, 0));
    let bytes = std::fs::read(path).map_err(|error| complain(format!("cannot read the descriptor set: {error}")))?;
    parse(&Bytes::from(bytes), &shown, gathered).map_err(|Damaged(at)| {
        complain(format!("not a descriptor set, or a damaged one: no protobuf at byte {at}"))
            .hint("make one with `protoc --include_imports --include_source_info -o FILE` or `buf build -o FILE`")
    })
}

/// The same of a set in memory.
pub(super) fn hold(set: &HeldSet, gathered: &mut Gathered) -> Result<Vec<Unit>, Mistake> {
    parse(&set.bytes, &set.name, gathered).map_err(|Damaged(at)| {
        let text = format!("not a descriptor set, or a damaged one: no protobuf at byte {at}");
        Mistake::new(text).at(Place::new(&*set.name, 0, 0))
    })
}

/// Takes the bytes of a set apart.
pub(super) fn parse(set: &Bytes, shown: &str, gathered: &mut Gathered) -> Result<Vec<Unit>, Damaged> {
    let mut units: BTreeMap<Box<str>, Unit> = BTreeMap::new();
    let mut files = 0usize;
    for record in Records::new(set) {
        let Some(bytes) = record?.bytes(FILE) else { continue };
        files += 1;
        if Head::read(bytes).is_ok_and(|head| Unit::is_protobufs_own(&head.name)) {
            continue; // the compiler's own copy stands in for it
        }
        match file(&set.slice_ref(bytes), shown, files) {
            Ok(unit) => match units.get(&unit.name) {
                Some(known) if known.bytes != unit.bytes => {
                    let text = format!("the set holds two different files named {:?}", unit.name);
                    gathered.mistakes.push(Mistake::new(text).at(unit.place((0, 0))));
                }
                Some(_) => (),
                None => drop(units.insert(unit.name.clone(), unit)),
            },
            Err((name, mistakes)) => {
                gathered.mistakes.extend(mistakes);
                gathered.broken.insert(name);
            }
        }
    }
    if files == 0 {
        gathered.mistakes.push(Mistake::new("the descriptor set holds no file").at(Place::new(shown, 0, 0)));
    }
    Ok(units.into_values().collect())
}

fn file(bytes: &Bytes, set: &str, number: usize) -> Result<Unit, (Box<str>, Vec<Mistake>)> {
    let head = Head::read(bytes);
    let name: Box<str> = head.as_ref().map_or_else(|_| "".into(), |head| head.name.as_str().into());
    let shown: Arc<str> =
        if name.is_empty() { format!("{set}(file {number})").into() } else { format!("{set}({name})").into() };
    let at_file = || Place::new(Arc::clone(&shown), 0, 0);
    let head = match head {
        Ok(head) => head,
        Err(Damaged(at)) => {
            let text = format!("the descriptor is damaged: no protobuf at its byte {at}");
            return Err((name, vec![Mistake::new(text).at(at_file())]));
        }
    };
    let file = match FileDescriptorProto::decode(&bytes[..]) {
        Ok(file) => file,
        Err(error) => {
            let text = format!("the descriptor is damaged: {error}");
            return Err((name, vec![Mistake::new(text).at(at_file())]));
        }
    };
    let info = file.source_code_info.as_ref();
    let is_edition = head.editions || (head.edition.is_some() && file.syntax.is_none());
    let lowered = match is_edition.then(|| edition(&head, info, &shown)).transpose() {
        Ok(None) => None,
        Ok(Some(edition)) => match editions::lower(edition, &file, bytes) {
            Ok(lowered) => Some(lowered),
            Err(faults) => return Err((name, sound::complaints(faults, info, &shown))),
        },
        Err(mistake) => return Err((name, vec![*mistake])),
    };
    let whole = lowered.as_ref().map_or_else(|| bytes.clone(), |lowered| Bytes::from(lowered.bytes.clone()));
    let file = match lowered.as_ref().map(|lowered| FileDescriptorProto::decode(&lowered.bytes[..])) {
        None => file,
        Some(Ok(lowered)) => lowered,
        Some(Err(error)) => {
            let text = format!("the descriptor is damaged: {error}");
            return Err((name, vec![Mistake::new(text).at(at_file())]));
        }
    };
    let faults = sound::inspect(&file);
    if !faults.is_empty() {
        return Err((name, sound::complaints(faults, file.source_code_info.as_ref(), &shown)));
    }
    let slim = without(&whole, &[file_tag::SOURCE_INFO]);
    let unit = Unit::new(shown, Origin::Set(whole), file, Some(slim));
    let Lowered { overrides, unsettled, .. } = lowered.unwrap_or_default();
    Ok(Unit { offered: true, overrides, unsettled, ..unit })
}

/// The edition of a file that is in one.
fn edition(head: &Head, info: Option<&SourceCodeInfo>, shown: &Arc<str>) -> Result<Edition, Box<Mistake>> {
    if let Some(edition) = head.edition.and_then(Edition::from_number) {
        return Ok(edition);
    }
    let (line, column) = match spot_of(info, &[file_tag::EDITION as i32]) {
        (0, _) => spot_of(info, &[file_tag::SYNTAX as i32]),
        spot => spot,
    };
    let name = head.edition.map_or("?".to_owned(), edition_name);
    Err(Box::new(editions::unknown_edition(&name).at(Place::new(Arc::clone(shown), line, column))))
}

// === impl Head ===

impl Head {
    fn read(bytes: &[u8]) -> Result<Head, Damaged> {
        let mut head = Head::default();
        for record in Records::new(bytes) {
            let record = record?;
            match (record.number, record.value) {
                (file_tag::NAME, Value::Bytes(name)) => head.name = String::from_utf8_lossy(name).into_owned(),
                (file_tag::SYNTAX, Value::Bytes(syntax)) => head.editions = syntax == b"editions",
                (file_tag::EDITION, Value::Varint(edition)) => head.edition = Some(edition),
                _ => (),
            }
        }
        Ok(head)
    }
}

/// The word for an edition, by its number in descriptor.proto's `Edition`.
fn edition_name(number: u64) -> String {
    match number {
        998 => "proto2".to_owned(),
        999 => "proto3".to_owned(),
        1000 | 1001 => (number + 1023).to_string(),
        1002 => "2026".to_owned(),
        9999 => "UNSTABLE".to_owned(),
        _ => format!("number {number}"),
    }
}
