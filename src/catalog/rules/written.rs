//! The options of `buf.validate` as they stand in encoded files, not yet understood.

use crate::catalog::records::{Records, Value};

/// Number of the extensions `buf.validate.field`, `.message` and `.oneof` of the options that they extend.
pub(in crate::catalog) const EXTENSION: u32 = 1159;

/// The tag of such an extension: files without these bytes have none of them.
const TAG: [u8; 2] = [0xba, 0x48];

/// All of a catalog's.
#[derive(Debug, Default)]
pub(in crate::catalog) struct Written {
    pub(super) messages: Vec<WrittenMessage>,
}

/// The options of one message, of which it has at least one.
#[derive(Debug, Default)]
pub(super) struct WrittenMessage {
    /// Full name.
    pub name: String,
    pub spot: Spot,
    /// `MessageRules`; parts in which an option comes are put together.
    pub rules: Option<Vec<u8>>,
    pub fields: Vec<WrittenField>,
    pub oneofs: Vec<WrittenOneof>,
}

#[derive(Debug)]
pub(super) struct WrittenField {
    pub name: String,
    pub number: u32,
    pub spot: Spot,
    /// `FieldRules`.
    pub rules: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct WrittenOneof {
    pub name: String,
    /// Among the real oneofs.
    pub index: u16,
    pub spot: Spot,
    /// `OneofRules`.
    pub rules: Vec<u8>,
}

/// Where something is written: in which file, and there as `SourceCodeInfo.Location.path` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::catalog) struct Spot {
    /// As the files were read.
    pub unit: usize,
    pub path: Vec<i32>,
}

/// What a field says of itself.
#[derive(Default)]
struct Field {
    name: String,
    number: u32,
    oneof: Option<u64>,
    is_optional: bool,
    rules: Option<Vec<u8>>,
}

// === impl Written ===

impl Written {
    /// Reads one encoded `FileDescriptorProto` (`package` = 2, `message_type` = 4), the `unit`th of the catalog.
    pub(in crate::catalog) fn read(&mut self, unit: usize, file: &[u8]) {
        if memchr::memmem::find(file, &TAG).is_none() {
            return;
        }
        let package = Records::new(file).flatten().filter_map(|record| record.bytes(2)).last().unwrap_or_default();
        let messages = Records::new(file).flatten().filter_map(|record| record.bytes(4));
        for (at, message) in (0..).zip(messages) {
            let spot = Spot { unit, path: vec![4, at] };
            self.message(message, &String::from_utf8_lossy(package), spot, 0);
        }
    }

    /// A `DescriptorProto`: `name` = 1, `field` = 2, `nested_type` = 3, `options` = 7, `oneof_decl` = 8.
    fn message(&mut self, bytes: &[u8], scope: &str, spot: Spot, depth: u32) {
        // as deep as descriptors may nest
        if depth > 100 {
            return;
        }
        let text = |number| Records::new(bytes).flatten().filter_map(move |record| record.bytes(number));
        let name = String::from_utf8_lossy(text(1).last().unwrap_or_default());
        let name = if scope.is_empty() { name.into_owned() } else { format!("{scope}.{name}") };
        for (at, nested) in (0..).zip(text(3)) {
            self.message(nested, &name, spot.below([3, at]), depth + 1);
        }
        let fields: Vec<Field> = text(2).map(Field::read).collect();
        let mut written = WrittenMessage { rules: option(text(7)), ..WrittenMessage::default() };
        // oneofs that stand for proto3's `optional` are none
        let is_real = |at: u64| !fields.iter().any(|field| field.is_optional && field.oneof == Some(at));
        let declared = (0u64..).zip((0i32..).zip(text(8)));
        for (index, (_, (at, oneof))) in (0..).zip(declared.filter(|(at, _)| is_real(*at))) {
            written.oneofs.extend(WrittenOneof::read(oneof, index, spot.below([8, at])));
        }
        for (at, field) in (0..).zip(fields) {
            let Field { name, number, rules: Some(rules), .. } = field else { continue };
            written.fields.push(WrittenField { name, number, spot: spot.below([2, at]), rules });
        }
        if written.rules.is_some() || !written.fields.is_empty() || !written.oneofs.is_empty() {
            self.messages.push(WrittenMessage { name, spot, ..written });
        }
    }
}

/// The extension in options that come in any number of parts.
fn option<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut found: Option<Vec<u8>> = None;
    for part in parts {
        for rules in Records::new(part).flatten().filter_map(|record| record.bytes(EXTENSION)) {
            found.get_or_insert_default().extend_from_slice(rules);
        }
    }
    found
}

// === impl Field ===

impl Field {
    /// A `FieldDescriptorProto`: `name` = 1, `number` = 3, `options` = 8, `oneof_index` = 9, `proto3_optional` = 17.
    fn read(bytes: &[u8]) -> Field {
        let mut field = Field::default();
        for record in Records::new(bytes).flatten() {
            match (record.number, record.value) {
                (1, Value::Bytes(name)) => field.name = String::from_utf8_lossy(name).into_owned(),
                (3, Value::Varint(number)) => field.number = u32::try_from(number).unwrap_or(0),
                (9, Value::Varint(index)) => field.oneof = Some(index),
                (17, Value::Varint(optional)) => field.is_optional = optional != 0,
                _ => {}
            }
        }
        field.rules = option(Records::new(bytes).flatten().filter_map(|record| record.bytes(8)));
        field
    }
}

// === impl WrittenOneof ===

impl WrittenOneof {
    /// A `OneofDescriptorProto`: `name` = 1, `options` = 2. `None` if it has no rules.
    fn read(bytes: &[u8], index: u16, spot: Spot) -> Option<WrittenOneof> {
        let parts = |number| Records::new(bytes).flatten().filter_map(move |record| record.bytes(number));
        let name = String::from_utf8_lossy(parts(1).last().unwrap_or_default()).into_owned();
        option(parts(2)).map(|rules| WrittenOneof { name, index, spot, rules })
    }
}

// === impl Spot ===

impl Spot {
    fn below(&self, step: [i32; 2]) -> Spot {
        Spot { unit: self.unit, path: [&self.path[..], &step].concat() }
    }
}
