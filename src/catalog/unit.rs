//! One file of a catalog, from wherever it came: its descriptor as bytes, and the few places that mistakes name later.
//!
//! Source info is most of a parsed file. It is reduced to the places of imports, services, methods and rules at once,
//! so that a catalog of thousands of files needs no more memory than its descriptors.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorProto, SourceCodeInfo, UninterpretedOption};

use super::diagnose;
use super::editions::{self, Overrides, Parsed};
use super::mistake::{Mistake, Place};
use super::modern_descriptor;
use super::records::Records;

/// Number of the extension `google.api.http` of `google.protobuf.MethodOptions`.
pub(super) const HTTP_EXTENSION: u32 = 72_295_728;

/// Field numbers of `google.protobuf.FileDescriptorProto`.
pub(super) mod file_tag {
    pub const NAME: u32 = 1;
    pub const DEPENDENCY: u32 = 3;
    pub const SERVICE: u32 = 6;
    pub const SOURCE_INFO: u32 = 9;
    pub const PUBLIC_DEPENDENCY: u32 = 10;
    pub const SYNTAX: u32 = 12;
    pub const EDITION: u32 = 14;
}

const UNINTERPRETED_OPTION: i32 = 999;

/// Line and column from 1; zeros where no source info tells.
pub(super) type Spot = (u32, u32);

/// A file that may take part in a catalog: parsed, its imports not yet resolved.
#[derive(Debug)]
pub(super) struct Unit {
    /// The name under which others import it.
    pub name: Box<str>,
    /// The name that mistakes show.
    pub shown: Arc<str>,
    pub origin: Origin,
    /// An encoded `FileDescriptorProto` without source info.
    pub bytes: Vec<u8>,
    pub imports: Box<[Import]>,
    pub services: Box<[ServiceSpots]>,
    /// Whether it declares extensions.
    pub extends: bool,
    /// Whether its services are offered to callers; otherwise it is there for its types.
    pub offered: bool,
    /// What a file of an edition means beyond the syntax that it was lowered to.
    pub overrides: Overrides,
    /// Whether [`editions::settle`] has to see it once its types are known.
    pub unsettled: bool,
}

/// Where to read a file again, with all its places, when something is wrong with it.
#[derive(Debug)]
pub(super) enum Origin {
    Disk(PathBuf),
    /// The file's part of a descriptor set, as it came.
    Set(Bytes),
    Bundled(&'static str),
    /// One of protobuf's own, built into protox.
    Protobuf,
}

#[derive(Debug)]
pub(super) struct Import {
    pub name: Box<str>,
    pub public: bool,
    pub spot: Spot,
}

#[derive(Debug, Default)]
pub(super) struct ServiceSpots {
    pub spot: Spot,
    pub methods: Box<[MethodSpots]>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MethodSpots {
    pub spot: Spot,
    /// Of its `google.api.http` option.
    pub rule: Spot,
}

// === impl Unit ===

impl Unit {
    /// Parses the text of a `.proto` file.
    pub fn parse(name: &str, shown: Arc<str>, text: &str, origin: Origin) -> Result<Unit, Vec<Mistake>> {
        let Parsed { file, overrides, unsettled } = parse_text(name, &shown, text)?;
        Ok(Unit { overrides, unsettled, ..Unit::new(shown, origin, file, None) })
    }

    /// One of protobuf's own files; `None` if there is none of that name.
    pub fn protobuf(name: &str) -> Option<Unit> {
        use protox::file::{FileResolver as _, GoogleFileResolver};
        let mut file: FileDescriptorProto = GoogleFileResolver::new().open_file(name).ok()?.into();
        modern_descriptor::amend(&mut file);
        Some(Unit::new(format!("{name} (built in)").into(), Origin::Protobuf, file, None))
    }

    /// Whether protox carries a file of this name.
    pub fn is_protobufs_own(name: &str) -> bool {
        use protox::file::{FileResolver as _, GoogleFileResolver};
        name.starts_with("google/protobuf/") && GoogleFileResolver::new().open_file(name).is_ok()
    }

    /// Takes over a descriptor. `bytes`: its encoded form, if there is one that knows more than prost-types does.
    pub fn new(shown: Arc<str>, origin: Origin, mut file: FileDescriptorProto, bytes: Option<Vec<u8>>) -> Unit {
        let info = file.source_code_info.take();
        let mut imports: Box<[Import]> = file
            .dependency
            .iter()
            .map(|name| Import { name: name.as_str().into(), public: false, spot: (0, 0) })
            .collect();
        for &public in &file.public_dependency {
            if let Some(import) = usize::try_from(public).ok().and_then(|at| imports.get_mut(at)) {
                import.public = true;
            }
        }
        let mut services: Box<[ServiceSpots]> = file
            .service
            .iter()
            .map(|service| ServiceSpots {
                spot: (0, 0),
                methods: vec![MethodSpots::default(); service.method.len()].into(),
            })
            .collect();
        if let Some(info) = &info {
            note_spots(info, &file, &mut imports, &mut services);
        }
        let extends = !file.extension.is_empty() || file.message_type.iter().any(declares_extensions);
        let bytes = bytes.unwrap_or_else(|| file.encode_to_vec());
        Unit {
            name: file.name().into(),
            shown,
            origin,
            bytes,
            imports,
            services,
            extends,
            offered: false,
            overrides: Overrides::default(),
            unsettled: false,
        }
    }

    /// The place of something in this file.
    pub fn place(&self, (line, column): Spot) -> Place {
        Place::new(Arc::clone(&self.shown), line, column)
    }
}

/// Parses a text with all its source info. One of an edition comes back lowered.
pub(super) fn parse_text(name: &str, shown: &Arc<str>, text: &str) -> Result<Parsed, Vec<Mistake>> {
    if editions::statement(text).is_some() {
        return editions::parse(name, shown, text);
    }
    match protox::file::File::from_source(name, text) {
        Ok(file) => Ok(Parsed { file: file.into(), overrides: Overrides::default(), unsettled: false }),
        Err(error) => Err(diagnose::mistakes(&error, shown, text)),
    }
}

/// An encoded `FileDescriptorProto` without the fields of these numbers. Bytes that are no message stay as they are.
pub(super) fn without(bytes: &[u8], numbers: &[u32]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    for record in Records::new(bytes) {
        match record {
            Ok(record) if numbers.contains(&record.number) => (),
            Ok(record) => kept.extend_from_slice(record.whole),
            Err(_) => return bytes.to_vec(),
        }
    }
    kept
}

/// Where the source info says that `path` stands.
pub(super) fn spot_of(info: Option<&SourceCodeInfo>, path: &[i32]) -> Spot {
    let found = info.and_then(|info| info.location.iter().find(|location| location.path == path));
    found.map_or((0, 0), |location| spot(&location.span))
}

fn note_spots(
    info: &SourceCodeInfo,
    file: &FileDescriptorProto,
    imports: &mut [Import],
    services: &mut [ServiceSpots],
) {
    let at = |index: i32| usize::try_from(index).unwrap_or(usize::MAX);
    for location in &info.location {
        let here = match location.path[..] {
            [3, i] => imports.get_mut(at(i)).map(|import| &mut import.spot),
            [6, s] => services.get_mut(at(s)).map(|service| &mut service.spot),
            [6, s, 2, m] => method_mut(services, at(s), at(m)).map(|method| &mut method.spot),
            [6, s, 2, m, 4, number, ref rest @ ..] => {
                let written = || file.service.get(at(s)).and_then(|service| service.method.get(at(m)));
                let options = || written().and_then(|method| method.options.as_ref());
                let is_rule = match (number, rest) {
                    (UNINTERPRETED_OPTION, &[k, ..]) => {
                        options().and_then(|options| options.uninterpreted_option.get(at(k))).is_some_and(is_http)
                    }
                    _ => i64::from(number) == i64::from(HTTP_EXTENSION),
                };
                method_mut(services, at(s), at(m)).filter(|_| is_rule).map(|method| &mut method.rule)
            }
            _ => None,
        };
        if let Some(here) = here.filter(|here| **here == (0, 0)) {
            *here = spot(&location.span);
        }
    }
}

fn method_mut(services: &mut [ServiceSpots], service: usize, method: usize) -> Option<&mut MethodSpots> {
    services.get_mut(service)?.methods.get_mut(method)
}

fn is_http(option: &UninterpretedOption) -> bool {
    match &option.name[..] {
        [name, ..] if name.is_extension => {
            let name = name.name_part.trim_start_matches('.');
            matches!(name, "google.api.http" | "api.http" | "http")
        }
        _ => false,
    }
}

fn declares_extensions(message: &DescriptorProto) -> bool {
    !message.extension.is_empty() || message.nested_type.iter().any(declares_extensions)
}

/// The start of a span of source info, which counts from 0.
fn spot(span: &[i32]) -> Spot {
    let from_one = |value: i32| u32::try_from(value).map_or(0, |value| value.saturating_add(1));
    match *span {
        [line, column, ..] => (from_one(line), from_one(column)),
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"// a comment
syntax = "proto3";
package shop;
import "google/api/annotations.proto";
import public "shop/item.proto";
service Shop {
  rpc Get(Item) returns (Item) {
    option deprecated = true;
    option (google.api.http) = { get: "/v1/items" };
  }
  rpc Put(Item) returns (Item);
}
"#;

    #[test]
    fn places_of_imports_services_methods_and_rules_are_kept() {
        let unit = Unit::parse("shop/shop.proto", "shop.proto".into(), TEXT, Origin::Bundled(TEXT)).unwrap();
        let imports: Vec<_> = unit.imports.iter().map(|i| (&*i.name, i.public, i.spot)).collect();
        assert_eq!(imports, [("google/api/annotations.proto", false, (4, 1)), ("shop/item.proto", true, (5, 1))]);
        let service = &unit.services[0];
        assert_eq!(service.spot, (6, 1));
        assert_eq!((service.methods[0].spot, service.methods[0].rule), ((7, 3), (9, 5)));
        assert_eq!((service.methods[1].spot, service.methods[1].rule), ((11, 3), (0, 0)));
        assert!(!unit.extends);
        let file = FileDescriptorProto::decode(&unit.bytes[..]).unwrap();
        assert!(file.source_code_info.is_none());
    }

    #[test]
    fn every_syntax_error_of_a_file_is_reported_with_its_place() {
        let text = "syntax = \"proto3\";\nmessage A {\n  strin = 1;\n  string ok = 2;\n}\nservice {\n}\n";
        let mistakes = Unit::parse("a.proto", "a.proto".into(), text, Origin::Bundled("")).unwrap_err();
        let lines: Vec<_> = mistakes.iter().map(|m| m.place.as_ref().unwrap().line).collect();
        assert_eq!(lines, [3, 6], "{mistakes:?}");
    }
}
