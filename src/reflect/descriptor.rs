//! `FileDescriptorProto`s as bytes: what has to be known of one, and what is amended. Decoding and encoding them anew would
//! lose options that are extensions, and whatever protobuf adds to descriptors.

use bytes::Bytes;

use crate::wire::{Cursor, Malformed, Piece, Record, put_bytes, put_uint, put_varint, records};

/// What questions follow from a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub name: String,
    pub imports: Vec<String>,
    /// Full names.
    pub services: Vec<String>,
}

/// What is put in place of an import, if anything.
pub(super) type Import<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Field numbers of `google.protobuf.FileDescriptorProto`.
pub(super) mod number {
    pub const NAME: u32 = 1;
    pub const PACKAGE: u32 = 2;
    pub const DEPENDENCY: u32 = 3;
    pub const MESSAGE: u32 = 4;
    pub const ENUM: u32 = 5;
    pub const SERVICE: u32 = 6;
    pub const EXTENSION: u32 = 7;
    pub const OPTIONS: u32 = 8;
    pub const SOURCE_INFO: u32 = 9;
    pub const PUBLIC_DEPENDENCY: u32 = 10;
    pub const WEAK_DEPENDENCY: u32 = 11;
    pub const SYNTAX: u32 = 12;
    pub const EDITION: u32 = 14;
}

/// Imports, or services, of one file that are believed.
const MAX_NAMES: usize = 20_000;

/// A name within a message.
pub(super) fn text<'a>(piece: &Piece<'a>) -> Result<&'a str, Malformed> {
    std::str::from_utf8(piece.bytes).map_err(|_| Malformed("a name is no UTF-8"))
}

/// The last field of this number as a name; nothing if there is none.
pub(super) fn name_of(message: &[u8], wanted: u32) -> Result<&str, Malformed> {
    let mut found = "";
    for record in records(message) {
        let record = record?;
        if record.number() == wanted {
            found = text(&record.piece)?;
        }
    }
    Ok(found)
}

/// A name below another.
pub(super) fn below(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}

// === impl Head ===

impl Head {
    pub(super) fn read(file: &[u8]) -> Result<Head, Malformed> {
        let package = name_of(file, number::PACKAGE)?;
        let mut head = Head::default();
        for record in records(file) {
            let record = record?;
            let piece = &record.piece;
            match record.number() {
                number::NAME => head.name = text(piece)?.to_owned(),
                number::DEPENDENCY => head.imports.push(text(piece)?.to_owned()),
                number::SERVICE => head.services.push(below(package, name_of(piece.bytes, 1)?)),
                _ => {}
            }
            if head.imports.len().max(head.services.len()) > MAX_NAMES {
                return Err(Malformed("a file has more imports or services than anybody writes"));
            }
        }
        if head.name.is_empty() { Err(Malformed("a file has no name")) } else { Ok(head) }
    }
}

/// A file that imports what `import` says in place of each of its imports, and has the services that `takes` wants alone.
pub(super) fn amended(file: &Bytes, import: Import<'_>, takes: &dyn Fn(&str) -> bool) -> Result<Bytes, Malformed> {
    let head = Head::read(file)?;
    let imports: Vec<Option<String>> = head.imports.iter().map(|name| import(name)).collect();
    let taken: Vec<bool> = head.services.iter().map(|service| takes(service)).collect();
    let same = head.imports.iter().zip(&imports).all(|(name, now)| now.as_ref() == Some(name));
    if same && taken.iter().all(|taken| *taken) {
        return Ok(file.clone());
    }
    let (names, places) = in_place(imports);
    let mut out = Vec::with_capacity(file.len());
    let mut service = 0;
    for record in records(file) {
        let record = record?;
        let Record { piece, whole, .. } = record;
        match record.number() {
            number::DEPENDENCY => {}
            number @ (number::PUBLIC_DEPENDENCY | number::WEAK_DEPENDENCY) => {
                for index in indices(&piece)? {
                    if let Some(Some(now)) = usize::try_from(index).ok().and_then(|index| places.get(index)) {
                        put_uint(&mut out, number, *now as u64);
                    }
                }
            }
            number::SERVICE => {
                if taken.get(service).copied().unwrap_or(true) {
                    out.extend_from_slice(whole);
                }
                service += 1;
            }
            number::SOURCE_INFO => put_bytes(&mut out, number::SOURCE_INFO, &source_info(piece.bytes, &taken)?),
            _ => out.extend_from_slice(whole),
        }
    }
    names.iter().for_each(|name| put_bytes(&mut out, number::DEPENDENCY, name.as_bytes()));
    Ok(out.into())
}

/// The imports that are left, each once, and where each of the old ones is now.
fn in_place(imports: Vec<Option<String>>) -> (Vec<String>, Vec<Option<usize>>) {
    let mut names: Vec<String> = Vec::with_capacity(imports.len());
    let mut known = std::collections::HashMap::new();
    let mut places = Vec::with_capacity(imports.len());
    for import in imports {
        places.push(import.map(|name| {
            *known.entry(name.clone()).or_insert_with(|| {
                names.push(name);
                names.len() - 1
            })
        }));
    }
    (names, places)
}

/// The indices of a `repeated int32` field, packed or not.
fn indices(piece: &Piece<'_>) -> Result<Vec<u64>, Malformed> {
    if piece.bytes.is_empty() {
        return Ok(vec![piece.bits]);
    }
    let mut found = Vec::new();
    let mut cursor = Cursor::new(piece.bytes);
    while !cursor.is_empty() && found.len() <= MAX_NAMES {
        found.push(cursor.varint()?);
    }
    Ok(found)
}

/// Source info whose places of services are those of the services that are left. What it says of imports goes.
fn source_info(info: &[u8], taken: &[bool]) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(info.len());
    for record in records(info) {
        let record = record?;
        if record.number() != 1 {
            out.extend_from_slice(record.whole);
        } else if let Some(location) = location(record.piece.bytes, taken)? {
            put_bytes(&mut out, 1, &location);
        }
    }
    Ok(out)
}

/// A location (`path` = 1) with the path that it has now; `None` if what it is about is no longer there.
fn location(location: &[u8], taken: &[bool]) -> Result<Option<Vec<u8>>, Malformed> {
    let mut out = Vec::with_capacity(location.len());
    for record in records(location) {
        let record = record?;
        if record.number() != 1 {
            out.extend_from_slice(record.whole);
        } else if let Some(path) = path(record.piece.bytes, taken)? {
            put_bytes(&mut out, 1, &path);
        } else {
            return Ok(None);
        }
    }
    Ok(Some(out))
}

fn path(path: &[u8], taken: &[bool]) -> Result<Option<Vec<u8>>, Malformed> {
    let mut cursor = Cursor::new(path);
    if path.is_empty() {
        return Ok(Some(Vec::new()));
    }
    match cursor.varint()?.try_into() {
        Ok(number::DEPENDENCY | number::PUBLIC_DEPENDENCY | number::WEAK_DEPENDENCY) => return Ok(None),
        Ok(number::SERVICE) if !cursor.is_empty() => {}
        _ => return Ok(Some(path.to_vec())),
    }
    let index = usize::try_from(cursor.varint()?).unwrap_or(usize::MAX);
    if !taken.get(index).copied().unwrap_or(true) {
        return Ok(None);
    }
    let gone = taken.iter().take(index).filter(|taken| !**taken).count();
    let mut out = Vec::with_capacity(path.len());
    put_varint(&mut out, number::SERVICE.into());
    put_varint(&mut out, (index - gone) as u64);
    out.extend_from_slice(path.get(path.len() - cursor.remaining()..).unwrap_or_default());
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::source_code_info::Location;
    use prost_types::{FileDescriptorProto, ServiceDescriptorProto, SourceCodeInfo};

    use super::*;

    fn file() -> FileDescriptorProto {
        let service = |name: &str| ServiceDescriptorProto { name: Some(name.into()), ..Default::default() };
        let location = |path: &[i32], comment: &str| Location {
            path: path.into(),
            span: vec![1, 2, 3],
            leading_comments: Some(comment.into()),
            ..Default::default()
        };
        FileDescriptorProto {
            name: Some("a.proto".into()),
            package: Some("p".into()),
            dependency: ["gone.proto", "b.proto", "c.proto", "d/b.proto"].map(str::to_owned).into(),
            public_dependency: vec![0, 3],
            weak_dependency: vec![2],
            service: ["A", "B", "C"].map(service).into(),
            source_code_info: Some(SourceCodeInfo {
                location: vec![
                    location(&[], "file"),
                    location(&[3, 1], "import"),
                    location(&[6, 0], "A"),
                    location(&[6, 1], "B"),
                    location(&[6, 2, 2, 300], "method of C"),
                    location(&[4, 0], "message"),
                ],
            }),
            syntax: Some("proto3".into()),
            ..Default::default()
        }
    }

    fn bytes(file: &FileDescriptorProto) -> Bytes {
        file.encode_to_vec().into()
    }

    #[test]
    fn imports_are_replaced_or_dropped_and_services_left_out_with_all_that_speaks_of_them() {
        let import = |name: &str| match name {
            "gone.proto" => None,
            "d/b.proto" => Some("b.proto".into()),
            other => Some(other.to_owned()),
        };
        let amended = amended(&bytes(&file()), &import, &|service| service != "p.A").expect("a file");
        let amended = FileDescriptorProto::decode(amended).expect("a descriptor");
        assert_eq!(amended.dependency, ["b.proto", "c.proto"]);
        assert_eq!((&amended.public_dependency[..], &amended.weak_dependency[..]), (&[0][..], &[1][..]));
        let services: Vec<&str> = amended.service.iter().map(|service| service.name()).collect();
        assert_eq!(services, ["B", "C"]);
        let info = amended.source_code_info.expect("source info");
        let places: Vec<(&[i32], &str)> = info.location.iter().map(|l| (&l.path[..], l.leading_comments())).collect();
        let expected: [(&[i32], &str); 4] =
            [(&[], "file"), (&[6, 0], "B"), (&[6, 1, 2, 300], "method of C"), (&[4, 0], "message")];
        assert_eq!(places, expected);
    }

    #[test]
    fn a_file_of_which_nothing_changes_stays_byte_for_byte() {
        let file = bytes(&file());
        let same = amended(&file, &|name| Some(name.to_owned()), &|_| true).expect("a file");
        assert_eq!(same, file);
        let head = Head::read(&file).expect("a head");
        assert_eq!((head.name.as_str(), head.imports.len()), ("a.proto", 4));
        assert_eq!(head.services, ["p.A", "p.B", "p.C"]);
    }

    #[test]
    fn damaged_files_are_refused_or_read_as_what_is_left_and_never_panic() {
        let whole = bytes(&file());
        for end in 0..whole.len() {
            let _ = amended(&whole.slice(..end), &|_| None, &|_| false);
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.to_vec();
                damaged[at] ^= 1 << bit;
                let _ = amended(&damaged.into(), &|name| Some(name.to_owned()), &|service| service != "p.B");
            }
        }
        assert!(Head::read(b"").is_err() && Head::read(b"\x0a\x02\xff\xff").is_err());
        let many = b"\x1a\x00".repeat(MAX_NAMES + 1);
        assert!(Head::read(&many).is_err());
    }
}
