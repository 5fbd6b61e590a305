//! What a set of files says, part by part: to tell two instances apart in words that people use, and to find two equal that
//! were only written differently (by another language's runtime, in another order, with or without comments).

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::descriptor::{below, number, text};
use super::message::shown;
use crate::wire::{Malformed, Piece, records};

/// All parts of some files by kind and name, as `method pkg.Service/Do`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    parts: BTreeMap<Box<str>, Part>,
    /// Parts that were looked at, those that are not kept among them.
    seen: usize,
}

/// One part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Part {
    /// As one would write it, without its name: `string = 1`.
    text: Box<str>,
    /// Of the encoded options, whatever their order.
    options: u64,
}

/// What one set has that another has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// The first ones, in the order of kinds and names.
    pub first: Vec<Change>,
    /// How many there are.
    pub count: usize,
}

/// A part that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Added { part: Box<str>, now: Box<str> },
    Removed { part: Box<str>, was: Box<str> },
    Changed { part: Box<str>, was: Box<str>, now: Box<str> },
}

/// Parts in one set. Decoded, each takes some 300 bytes, however short it is on the wire.
const MAX_PARTS: usize = 1_000_000;
/// Messages within messages.
const MAX_DEPTH: usize = 64;
/// Differences that are listed.
const MAX_LISTED: usize = 100;

const TOO_MANY: Malformed = Malformed("the files have more parts than are taken (1,000,000)");

/// How the outline of one file is made.
struct Outliner<'o> {
    outline: &'o mut Outline,
    /// Whether parts are kept, or only counted.
    keep: bool,
}

/// What is needed of a message around its fields.
#[derive(Default)]
struct Field<'a> {
    name: &'a str,
    extendee: &'a str,
    number: u64,
    label: u64,
    kind: u64,
    type_name: &'a str,
    default: Option<&'a [u8]>,
    oneof: Option<u64>,
    json_name: &'a str,
    proto3_optional: bool,
    options: u64,
}

// === impl Outline ===

impl Outline {
    /// Adds an encoded file. `keep`: whether it is part of the outline; otherwise it only counts towards the limit.
    pub(super) fn add(&mut self, file: &[u8], keep: bool) -> Result<(), Malformed> {
        Outliner { outline: self, keep }.file(file)
    }

    /// What `now` says that differs from this. Of a message, enum or service that only one of them has, the parts are not
    /// told as well.
    pub fn differences(&self, now: &Outline) -> Differences {
        let (gone, new) = (self.without(now), now.without(self));
        let removed = gone.map(|(part, was)| Change::Removed { part: part.clone(), was: was.text.clone() });
        let added = new.map(|(part, now)| Change::Added { part: part.clone(), now: now.text.clone() });
        let both = self.parts.iter().filter_map(|(part, was)| Some((part, was, now.parts.get(part)?)));
        let changed = both.filter(|(_, was, now)| was != now).map(|(part, was, now)| was.changed(part, now));
        let mut all: Vec<Change> = removed.chain(added).chain(changed).collect();
        all.sort_by(|a, b| a.part().cmp(b.part()));
        let count = all.len();
        all.truncate(MAX_LISTED);
        Differences { first: all, count }
    }

    /// The parts that another has not, the outermost ones.
    fn without<'o>(&'o self, other: &'o Outline) -> impl Iterator<Item = (&'o Box<str>, &'o Part)> {
        let alone = || self.parts.iter().filter(|(part, _)| !other.parts.contains_key(*part));
        let names: HashSet<&str> = alone().filter_map(|(part, _)| name_of(part)).collect();
        alone().filter(move |(part, _)| above(part).is_none_or(|above| !names.contains(above)))
    }

    /// How many parts of this kind there are, as `method`.
    pub fn count(&self, kind: &str) -> usize {
        self.parts.keys().filter(|part| part.split(' ').next() == Some(kind)).count()
    }
}

/// The name in a part's key.
fn name_of(part: &str) -> Option<&str> {
    part.split_once(' ').map(|(_, name)| name)
}

/// The name of what a part belongs to.
fn above(part: &str) -> Option<&str> {
    name_of(part)?.rsplit_once(['.', '/']).map(|(above, _)| above)
}

// === impl Part ===

impl Part {
    fn changed(&self, part: &str, new: &Part) -> Change {
        let (mut was, mut now) = (self.text.clone(), new.text.clone());
        if was == now {
            let options = |part: &Part| match (part.options, part.text.is_empty()) {
                (0, true) => "without options".into(),
                (0, false) => part.text.clone(),
                (_, true) => "with other options".into(),
                (_, false) => format!("{} with other options", part.text).into(),
            };
            (was, now) = (options(self), options(new));
        }
        Change::Changed { part: part.into(), was, now }
    }
}

// === impl Outliner ===

impl Outliner<'_> {
    fn file(&mut self, file: &[u8]) -> Result<(), Malformed> {
        let (mut name, mut package, mut syntax, mut options) = ("", "", "proto2".to_owned(), 0);
        for record in records(file) {
            let (number, piece) = record?.numbered();
            match number {
                number::NAME => name = text(&piece)?,
                number::PACKAGE => package = text(&piece)?,
                number::SYNTAX => syntax = shown(text(&piece)?),
                number::EDITION => syntax = format!("edition {}", piece.bits),
                number::OPTIONS => options = options_of(options, piece.bytes)?,
                _ => {}
            }
        }
        self.put("file", &shown(name), syntax, options)?;
        for record in records(file) {
            let (number, piece) = record?.numbered();
            match number {
                number::MESSAGE => self.message(package, piece.bytes, 0)?,
                number::ENUM => self.enumeration(package, piece.bytes)?,
                number::SERVICE => self.service(package, piece.bytes)?,
                number::EXTENSION => self.field(package, piece.bytes, &[])?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes a part. Errors: there are too many.
    fn put(&mut self, kind: &str, name: &str, text: String, options: u64) -> Result<(), Malformed> {
        self.outline.seen += 1;
        if self.outline.seen > MAX_PARTS {
            return Err(TOO_MANY);
        }
        if self.keep {
            self.outline.parts.insert(format!("{kind} {name}").into(), Part { text: text.into(), options });
        }
        Ok(())
    }

    /// `DescriptorProto`: `name` = 1, `field` = 2, `nested_type` = 3, `enum_type` = 4, `extension` = 6, `options` = 7,
    /// `oneof_decl` = 8.
    fn message(&mut self, above: &str, message: &[u8], depth: usize) -> Result<(), Malformed> {
        if depth >= MAX_DEPTH {
            return Err(Malformed("messages are nested deeper than 64 levels"));
        }
        let (mut name, mut options, mut oneofs) = ("", 0, Vec::new());
        for record in records(message) {
            let (number, piece) = record?.numbered();
            match number {
                1 => name = text(&piece)?,
                7 => options = options_of(options, piece.bytes)?,
                8 if oneofs.len() < MAX_PARTS => oneofs.push(super::descriptor::name_of(piece.bytes, 1)?),
                _ => {}
            }
        }
        let name = below(above, &shown(name));
        self.put("message", &name, String::new(), options)?;
        for record in records(message) {
            let (number, piece) = record?.numbered();
            match number {
                2 | 6 => self.field(&name, piece.bytes, &oneofs)?,
                3 => self.message(&name, piece.bytes, depth + 1)?,
                4 => self.enumeration(&name, piece.bytes)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn field(&mut self, above: &str, field: &[u8], oneofs: &[&str]) -> Result<(), Malformed> {
        let field = Field::read(field)?;
        let kind = if field.extendee.is_empty() { "field" } else { "extension" };
        self.put(kind, &below(above, &shown(field.name)), field.written(oneofs), field.options)
    }

    /// `EnumDescriptorProto`: `name` = 1, `value` = 2 (`name` = 1, `number` = 2, `options` = 3), `options` = 3.
    fn enumeration(&mut self, above: &str, declared: &[u8]) -> Result<(), Malformed> {
        let name = below(above, &shown(super::descriptor::name_of(declared, 1)?));
        let mut options = 0;
        for record in records(declared) {
            let (number, piece) = record?.numbered();
            if number == 2 {
                let (mut value, mut at, mut options) = ("", 0, 0);
                for record in records(piece.bytes) {
                    let (number, piece) = record?.numbered();
                    match number {
                        1 => value = text(&piece)?,
                        2 => at = signed(piece.bits),
                        3 => options = options_of(options, piece.bytes)?,
                        _ => {}
                    }
                }
                self.put("value", &below(&name, &shown(value)), format!("= {at}"), options)?;
            } else if number == 3 {
                options = options_of(options, piece.bytes)?;
            }
        }
        self.put("enum", &name, String::new(), options)
    }

    /// `ServiceDescriptorProto`: `name` = 1, `method` = 2, `options` = 3.
    fn service(&mut self, package: &str, service: &[u8]) -> Result<(), Malformed> {
        let name = below(package, &shown(super::descriptor::name_of(service, 1)?));
        let mut options = 0;
        for record in records(service) {
            let (number, piece) = record?.numbered();
            match number {
                2 => self.method(&name, piece.bytes)?,
                3 => options = options_of(options, piece.bytes)?,
                _ => {}
            }
        }
        self.put("service", &name, String::new(), options)
    }

    /// `MethodDescriptorProto`: `name` = 1, `input_type` = 2, `output_type` = 3, `options` = 4, `client_streaming` = 5,
    /// `server_streaming` = 6.
    fn method(&mut self, service: &str, method: &[u8]) -> Result<(), Malformed> {
        let (mut name, mut ends, mut streams, mut options) = ("", ["", ""], [false, false], 0);
        for record in records(method) {
            let (number, piece) = record?.numbered();
            let [input, output] = &mut ends;
            let [up, down] = &mut streams;
            match number {
                1 => name = text(&piece)?,
                2 => *input = text(&piece)?,
                3 => *output = text(&piece)?,
                4 => options = options_of(options, piece.bytes)?,
                5 => *up = piece.bits != 0,
                6 => *down = piece.bits != 0,
                _ => {}
            }
        }
        let [input, output] = ends.map(type_name);
        let [up, down] = streams.map(|streams| if streams { "stream " } else { "" });
        let written = format!("({up}{input}) returns ({down}{output})");
        self.put("method", &format!("{service}/{}", shown(name)), written, options)
    }
}

// === impl Field ===

impl<'a> Field<'a> {
    fn read(bytes: &'a [u8]) -> Result<Field<'a>, Malformed> {
        let mut field = Field::default();
        for record in records(bytes) {
            let (number, piece) = record?.numbered();
            field.take(number, &piece)?;
        }
        Ok(field)
    }

    /// By the numbers of `FieldDescriptorProto`.
    fn take(&mut self, number: u32, piece: &Piece<'a>) -> Result<(), Malformed> {
        match number {
            1 => self.name = text(piece)?,
            2 => self.extendee = text(piece)?,
            3 => self.number = piece.bits,
            4 => self.label = piece.bits,
            5 => self.kind = piece.bits,
            6 => self.type_name = text(piece)?,
            7 => self.default = Some(piece.bytes),
            8 => self.options = options_of(self.options, piece.bytes)?,
            9 => self.oneof = Some(piece.bits),
            10 => self.json_name = text(piece)?,
            17 => self.proto3_optional = piece.bits != 0,
            _ => {}
        }
        Ok(())
    }

    /// `repeated pkg.Type = 3 [default = 1]`; the JSON name only if it is another than the usual one, which not every
    /// runtime keeps.
    fn written(&self, oneofs: &[&str]) -> String {
        let mut out = String::new();
        out.push_str(match (self.label, self.proto3_optional) {
            (2, _) => "required ",
            (3, _) => "repeated ",
            (_, true) => "optional ",
            _ => "",
        });
        match TYPES.get(usize::try_from(self.kind).unwrap_or(usize::MAX)) {
            Some(name) if !name.is_empty() && self.type_name.is_empty() => out.push_str(name),
            _ => out.push_str(&type_name(self.type_name)),
        }
        out.push_str(&format!(" = {}", signed(self.number)));
        if let Some(default) = self.default {
            out.push_str(&format!(" [default = {}]", shown(&String::from_utf8_lossy(default))));
        }
        if !self.json_name.is_empty() && self.json_name != usual_json_name(self.name) {
            out.push_str(&format!(" [json_name = {}]", shown(self.json_name)));
        }
        let oneof = self.oneof.filter(|_| !self.proto3_optional).and_then(|at| oneofs.get(usize::try_from(at).ok()?));
        if let Some(oneof) = oneof {
            out.push_str(&format!(" in oneof {}", shown(oneof)));
        }
        if !self.extendee.is_empty() {
            out.push_str(&format!(" of {}", type_name(self.extendee)));
        }
        out
    }
}

/// `google.protobuf.FieldDescriptorProto.Type`, by number.
const TYPES: [&str; 19] = [
    "", "double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string", "group", "", "bytes",
    "uint32", "", "sfixed32", "sfixed64", "sint32", "sint64",
];

/// As `protoc` makes it.
fn usual_json_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for char in name.chars() {
        match char {
            '_' => upper = true,
            _ if std::mem::take(&mut upper) => out.push(char.to_ascii_uppercase()),
            _ => out.push(char),
        }
    }
    out
}

/// A full name of a type without its leading dot.
fn type_name(name: &str) -> String {
    shown(name.strip_prefix('.').unwrap_or(name))
}

/// A varint as the signed number that it stands for.
fn signed(bits: u64) -> i64 {
    i64::from_ne_bytes(bits.to_ne_bytes())
}

/// Adds the records of options to a sum that does not depend on their order.
fn options_of(sum: u64, options: &[u8]) -> Result<u64, Malformed> {
    let mut sum = sum;
    for record in records(options) {
        let whole = record?.whole;
        let mut hasher = DefaultHasher::new();
        whole.hash(&mut hasher);
        sum = sum.wrapping_add(hasher.finish());
    }
    Ok(sum)
}

// === impl Differences ===

impl Differences {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The first few, on one line.
    pub fn summary(&self) -> String {
        const FEW: usize = 3;
        let first: Vec<String> = self.first.iter().take(FEW).map(Change::to_string).collect();
        let more = self.count.saturating_sub(first.len());
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        format!("{}{more}", first.join(", "))
    }
}

// === impl Change ===

impl Change {
    /// Kind and name of the part.
    pub fn part(&self) -> &str {
        match self {
            Change::Added { part, .. } | Change::Removed { part, .. } | Change::Changed { part, .. } => part,
        }
    }
}

/// `+ method a.B/C (a.In) returns (a.Out)`, `- ...`, `~ field a.M.f string = 1 -> bytes = 1`.
impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let spaced = |text: &str| if text.is_empty() { String::new() } else { format!(" {text}") };
        match self {
            Change::Added { part, now } => write!(f, "+ {part}{}", spaced(now)),
            Change::Removed { part, was } => write!(f, "- {part}{}", spaced(was)),
            Change::Changed { part, was, now } => write!(f, "~ {part}{} ->{}", spaced(was), spaced(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::descriptors_at_hand;

    fn outline(text: &'static str) -> Outline {
        let files = descriptors_at_hand(&["t.proto"], &[("t.proto", text)]).expect("no mistakes");
        let mut outline = Outline::default();
        for (name, bytes) in files {
            outline.add(&bytes, &*name == "t.proto").expect("a file");
        }
        outline
    }

    const OLD: &str = "syntax = \"proto3\"; package p;
        message M { string name = 1; repeated M more = 2; oneof kind { int32 a = 3; bytes b = 4; } optional bool c = 5; }
        message Gone { int32 x = 1; message Within { int32 y = 1; } }
        enum E { ZERO = 0; MINUS = -1; }
        service S { rpc Do(M) returns (stream M); rpc Old(M) returns (M); }";

    #[test]
    fn differences_name_every_part_once_and_say_what_it_was_and_is() {
        let old = outline(OLD);
        let new = outline(
            "syntax = \"proto3\"; package p;
            message M { bytes name = 1; repeated M more = 2; oneof kind { int32 a = 3; bytes b = 4; } bool c = 5;
                        string d = 6 [json_name = \"D\"]; }
            enum E { ZERO = 0; MINUS = -1; ONE = 1; }
            message Added { int32 z = 1; }
            service S { rpc Do(M) returns (stream M) { option idempotency_level = IDEMPOTENT; } rpc New(stream M) returns (M); }",
        );
        let lines: Vec<String> = old.differences(&new).first.iter().map(Change::to_string).collect();
        assert_eq!(
            lines,
            [
                "~ field p.M.c optional bool = 5 -> bool = 5",
                "+ field p.M.d string = 6 [json_name = D]",
                "~ field p.M.name string = 1 -> bytes = 1",
                "+ message p.Added",
                "- message p.Gone",
                "~ method p.S/Do (p.M) returns (stream p.M) -> (p.M) returns (stream p.M) with other options",
                "+ method p.S/New (stream p.M) returns (p.M)",
                "- method p.S/Old (p.M) returns (p.M)",
                "+ value p.E.ONE = 1",
            ]
        );
        assert_eq!(old.differences(&new).summary().matches(", and 6 more").count(), 1);
        assert!(old.differences(&old.clone()).is_empty());
        assert_eq!((old.count("method"), old.count("service")), (2, 1));
    }

    #[test]
    fn order_and_usual_json_names_make_no_difference() {
        let other = outline(
            "syntax = \"proto3\"; package p;
            enum E { ZERO = 0; MINUS = -1; }
            service S { rpc Old(M) returns (M); rpc Do(M) returns (stream M); }
            message Gone { message Within { int32 y = 1; } int32 x = 1; }
            message M { repeated M more = 2; string name = 1 [json_name = \"name\"]; oneof kind { int32 a = 3; bytes b = 4; }
                        optional bool c = 5; }",
        );
        assert!(outline(OLD).differences(&other).is_empty(), "{:?}", outline(OLD).differences(&other));
    }

    #[test]
    fn hostile_files_are_bounded_and_damaged_ones_refused() {
        let deep = (0..70).fold(Vec::new(), |inner, _| {
            let mut message = Vec::new();
            crate::wire::put_bytes(&mut message, 3, &inner);
            message
        });
        let mut file = Vec::new();
        crate::wire::put_bytes(&mut file, 4, &deep);
        assert!(Outline::default().add(&file, true).is_err());
        let many = b"\x22\x00".repeat(MAX_PARTS + 1);
        assert_eq!(Outline::default().add(&many, false), Err(TOO_MANY));
        let files = descriptors_at_hand(&["t.proto"], &[("t.proto", OLD)]).expect("no mistakes");
        let whole = &files.last().expect("a file").1;
        for end in 0..whole.len() {
            let _ = Outline::default().add(&whole[..end], true);
        }
    }
}
