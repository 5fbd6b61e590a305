//! Messages and enums as JSON Schema (2020-12, as OpenAPI 3.1 has it), by the ProtoJSON mapping and the settings of the
//! route.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::constraint::{add_size_rules, add_value_rules, also};
use crate::catalog::{
    BytesForm, Catalog, EnumForm, EnumId, Field, FieldRules, Kind, Known, Label, Message, MessageId, MethodSettings,
    Note, Notes, Presence, UnknownFields, ValueRules,
};

/// The name of the schema of errors. A catalog's own `google.rpc.Status` is the same.
pub(super) const STATUS: &str = "google.rpc.Status";

/// Whether a schema is of what callers send or of what they get. Of a request something may be required, and unknown
/// members are refused; an answer leaves out what is not set, and later versions may have more in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Way {
    In,
    Out,
}

/// How the JSON of a route differs from the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Profile {
    proto_names: bool,
    enums: EnumForm,
    int64_numbers: bool,
    bytes: BytesForm,
    unknown: UnknownFields,
}

/// Where a schema is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spot {
    /// Index of the catalog.
    pub catalog: usize,
    pub way: Way,
    pub profile: Profile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Type {
    Message(MessageId),
    Enum(EnumId),
}

/// A schema that others refer to.
struct Named {
    spot: Spot,
    of: Type,
    schema: Value,
}

/// The schemas that have a name, made as they are referred to. Until all are known they are numbered: a request's is told
/// from an answer's by name only where there are both.
pub(super) struct Components<'a> {
    catalogs: &'a [Arc<Catalog>],
    notes: &'a [Arc<Notes>],
    numbers: HashMap<(Spot, Type), usize>,
    named: Vec<Named>,
}

/// What references to a schema begin with, before its number and behind it its name.
const REFERENCE: &str = "#/components/schemas/";
const NUMBERED: &str = "#/components/schemas/@";

// === impl Profile ===

impl From<&MethodSettings> for Profile {
    fn from(settings: &MethodSettings) -> Profile {
        Profile {
            proto_names: settings.proto_names,
            enums: settings.enums,
            int64_numbers: settings.int64_numbers,
            bytes: settings.bytes,
            unknown: settings.unknown_json_fields,
        }
    }
}

impl Profile {
    /// What names of schemas end in.
    fn suffix(self) -> String {
        let enums = match self.enums {
            EnumForm::Name => "",
            EnumForm::ShortName => "-short-enums",
            EnumForm::Number => "-enum-numbers",
        };
        let bytes = match self.bytes {
            BytesForm::Base64 => "",
            BytesForm::Base64Url => "-base64url",
            BytesForm::Hex => "-hex",
        };
        let names = if self.proto_names { "-proto-names" } else { "" };
        let int64 = if self.int64_numbers { "-int64-numbers" } else { "" };
        let unknown = if self.unknown == UnknownFields::Ignore { "-lenient" } else { "" };
        format!("{names}{enums}{int64}{bytes}{unknown}")
    }

    /// The name of a field in JSON.
    pub fn name_of(self, field: &Field) -> &str {
        if self.proto_names { field.name() } else { field.json_name() }
    }
}

// === impl Named ===

impl Named {
    /// The same for what is sent and what is answered.
    fn key(&self) -> (Type, usize, Profile) {
        let profile = Profile { unknown: UnknownFields::Refuse, ..self.spot.profile };
        (self.of, self.spot.catalog, profile)
    }
}

// === impl Components ===

impl<'a> Components<'a> {
    pub fn new(catalogs: &'a [Arc<Catalog>], notes: &'a [Arc<Notes>]) -> Components<'a> {
        Components { catalogs, notes, numbers: HashMap::new(), named: Vec::new() }
    }

    /// All schemas that were referred to, and names for the references to them in the rest of the document.
    pub fn finish(mut self, rest: &mut Value) -> Map<String, Value> {
        let mut at = 0;
        while let Some(Named { spot, of, .. }) = self.named.get(at) {
            let schema = match *of {
                Type::Message(id) => self.object(*spot, id, &[]),
                Type::Enum(id) => self.enumeration(*spot, id),
            };
            if let Some(named) = self.named.get_mut(at) {
                named.schema = schema;
            }
            at += 1;
        }
        let names = self.names();
        rename(rest, &names);
        let mut schemas = BTreeMap::from([(STATUS.to_owned(), status())]);
        for (name, named) in names.iter().zip(self.named) {
            let mut schema = named.schema;
            rename(&mut schema, &names);
            schemas.insert(name.clone(), schema);
        }
        schemas.into_iter().collect()
    }

    /// A name for each: the full name of the type, with what sets it apart from others of that name.
    fn names(&self) -> Vec<String> {
        let answered: HashSet<(Type, usize, Profile)> =
            self.named.iter().filter(|one| one.spot.way == Way::Out).map(Named::key).collect();
        let mut taken = HashSet::from([STATUS.to_owned()]);
        let names = self.named.iter().map(|named| {
            let is_both = named.spot.way == Way::In && answered.contains(&named.key());
            let way = if is_both { "-input" } else { "" };
            let name = format!("{}{}{way}", self.full_name(named), named.spot.profile.suffix());
            // another catalog has a type of the same name
            let others = (2..).map(|number| format!("{name}-{number}"));
            std::iter::once(name.clone()).chain(others).find(|name| taken.insert(name.clone())).unwrap_or(name)
        });
        names.collect()
    }

    fn full_name(&self, named: &Named) -> &'a str {
        let Some(catalog) = self.catalog(named.spot) else { return "" };
        match named.of {
            Type::Message(id) => &catalog.schema.message(id).name,
            Type::Enum(id) => &catalog.schema.enumeration(id).name,
        }
    }

    fn catalog(&self, spot: Spot) -> Option<&'a Catalog> {
        self.catalogs.get(spot.catalog).map(|catalog| &**catalog)
    }

    fn note(&self, spot: Spot, name: &str) -> Note {
        self.notes.get(spot.catalog).map(|notes| notes.of(name).clone()).unwrap_or_default()
    }

    /// A message, by reference, or written out if it is a well-known type. `without`: paths of fields that come from
    /// elsewhere; then it is written out as well.
    pub fn message(&mut self, spot: Spot, id: MessageId, without: &[&[u16]]) -> Value {
        let Some(catalog) = self.catalog(spot) else { return json!({}) };
        let message = catalog.schema.message(id);
        match message.known {
            Known::None | Known::MessageSet if without.is_empty() => self.reference(spot, Type::Message(id)),
            Known::None | Known::MessageSet => self.object(spot, id, without),
            known => self.known(spot, known, message),
        }
    }

    /// One field of a message as a schema of its own, without its description.
    pub fn field(&mut self, spot: Spot, message: &Message, index: u16, without: &[&[u16]]) -> Value {
        let Some(field) = message.field(index) else { return json!({}) };
        let rules = message.rules.as_ref().and_then(|rules| rules.field(index));
        let (mut schema, words) = self.value(spot, field, rules, without);
        if spot.way == Way::In && self.is_required(spot, message, index) {
            must_say_something(field, &mut schema);
        }
        described(schema, "", &words)
    }

    /// Whether the field must be in a request.
    pub fn is_required(&self, spot: Spot, message: &Message, index: u16) -> bool {
        let Some(notes) = self.notes.get(spot.catalog) else { return false };
        is_required(message, index, notes)
    }

    /// Whether a request without a body lacks something.
    pub fn requires_some(&self, spot: Spot, id: MessageId, without: &[&[u16]]) -> bool {
        let Some(catalog) = self.catalog(spot) else { return false };
        let message = catalog.schema.message(id);
        (0..).zip(&message.fields).any(|(index, _)| {
            !without.iter().any(|path| path.first() == Some(&index)) && self.is_required(spot, message, index)
        })
    }

    fn reference(&mut self, spot: Spot, of: Type) -> Value {
        let spot = match of {
            Type::Message(id) => {
                let is_status = self.catalog(spot).is_some_and(|catalog| &*catalog.schema.message(id).name == STATUS);
                if is_status {
                    return refer(STATUS);
                }
                // what is answered has nothing unknown in it
                let unknown = if spot.way == Way::In { spot.profile.unknown } else { UnknownFields::Refuse };
                Spot { profile: Profile { unknown, ..spot.profile }, ..spot }
            }
            // the same both ways
            Type::Enum(_) => {
                let profile = Profile { unknown: UnknownFields::Refuse, ..spot.profile };
                Spot { way: Way::Out, profile, ..spot }
            }
        };
        let next = self.named.len();
        let number = *self.numbers.entry((spot, of)).or_insert(next);
        if number == next {
            self.named.push(Named { spot, of, schema: Value::Null });
        }
        json!({ "$ref": format!("{NUMBERED}{number}") })
    }

    fn object(&mut self, spot: Spot, id: MessageId, without: &[&[u16]]) -> Value {
        let Some(catalog) = self.catalog(spot) else { return json!({}) };
        let message = catalog.schema.message(id);
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for (index, field) in (0u16..).zip(&message.fields) {
            if without.contains(&&[index][..]) {
                continue;
            }
            let name = spot.profile.name_of(field);
            if self.is_due(spot, message, index) {
                required.push(json!(name));
            }
            properties.insert(name.to_owned(), self.property(spot, message, index, field, without));
        }
        let mut schema = Map::new();
        schema.insert("type".into(), json!("object"));
        if !properties.is_empty() {
            schema.insert("properties".into(), Value::Object(properties));
        }
        if !required.is_empty() {
            schema.insert("required".into(), Value::Array(required));
        }
        if spot.way == Way::In && spot.profile.unknown == UnknownFields::Refuse {
            schema.insert("additionalProperties".into(), json!(false));
        }
        let choices = choices(message, spot.profile, without);
        if !choices.is_empty() {
            also(&mut schema, choices);
        }
        let note = self.note(spot, &message.name);
        if note.deprecated {
            schema.insert("deprecated".into(), json!(true));
        }
        described(schema, &note.comment, &[])
    }

    /// Whether the property is always there.
    fn is_due(&self, spot: Spot, message: &Message, index: u16) -> bool {
        match spot.way {
            Way::In => self.is_required(spot, message, index),
            Way::Out => message.field(index).is_some_and(|field| field.presence == Presence::Required),
        }
    }

    /// One member of an object, with all that is said of it.
    fn property(&mut self, spot: Spot, message: &Message, index: u16, field: &Field, without: &[&[u16]]) -> Value {
        let below: Vec<&[u16]> = without.iter().filter_map(|path| path.strip_prefix(&[index])).collect();
        let note = self.note(spot, &format!("{}.{}", message.name, field.name()));
        let rules = message.rules.as_ref().and_then(|rules| rules.field(index));
        let (mut schema, mut words) = self.value(spot, field, rules, &below);
        if let (Some(oneof), Label::Singular) = (field.oneof, field.label) {
            words.extend(alternatives(message, oneof, index, spot.profile));
        }
        if note.behavior.output_only {
            schema.insert("readOnly".into(), json!(true));
        } else if note.behavior.input_only {
            schema.insert("writeOnly".into(), json!(true));
        }
        if note.deprecated {
            schema.insert("deprecated".into(), json!(true));
        }
        if spot.way == Way::In && self.is_due(spot, message, index) {
            must_say_something(field, &mut schema);
        }
        described(schema, &note.comment, &words)
    }

    /// The value of a field, and what is to be said of it in words.
    fn value(
        &mut self,
        spot: Spot,
        field: &Field,
        rules: Option<&FieldRules>,
        without: &[&[u16]],
    ) -> (Map<String, Value>, Vec<String>) {
        let size = rules.and_then(|rules| rules.size.as_deref());
        match field.label {
            Label::Singular => {
                let mut schema = self.single(spot, field.kind, without);
                let rules = rules.map(|rules| &rules.value);
                let words = rules.map(|rules| self.rules(spot, field.kind, rules, &mut schema)).unwrap_or_default();
                (schema, words)
            }
            Label::Repeated => {
                let mut items = self.single(spot, field.kind, without);
                let rules = rules.map(|rules| &rules.value);
                let words = rules.map(|rules| self.rules(spot, field.kind, rules, &mut items)).unwrap_or_default();
                let mut schema = object_of(json!({"type": "array", "items": described(items, "", &words)}));
                if let Some(size) = size {
                    add_size_rules(size, false, &mut schema);
                }
                (schema, Vec::new())
            }
            Label::Map => {
                let mut schema = self.map(spot, field);
                if let Some(size) = size {
                    add_size_rules(size, true, &mut schema);
                }
                (schema, Vec::new())
            }
        }
    }

    fn map(&mut self, spot: Spot, field: &Field) -> Map<String, Value> {
        let mut schema = object_of(json!({"type": "object"}));
        let entry = field.kind.message().zip(self.catalog(spot)).map(|(id, catalog)| catalog.schema.message(id));
        let Some((entry, (key, value))) = entry.and_then(|entry| Some((entry, entry.entry()?))) else { return schema };
        let rules = |index: u16| entry.rules.as_ref().and_then(|rules| rules.field(index)).map(|rules| &rules.value);
        let mut values = self.single(spot, value.kind, &[]);
        let words = rules(1).map(|rules| self.rules(spot, value.kind, rules, &mut values)).unwrap_or_default();
        schema.insert("additionalProperties".into(), described(values, "", &words));
        let mut keys = match key.kind {
            Kind::String => Map::new(),
            Kind::Bool => object_of(json!({"enum": ["true", "false"]})),
            kind => object_of(json!({ "pattern": whole_pattern(kind, spot.way) })),
        };
        if let Some(rules) = rules(0) {
            // names of properties are texts, whatever they stand for
            let words = add_value_rules(rules, false, &mut keys);
            keys = object_of(described(keys, "", &words));
        }
        if !keys.is_empty() {
            schema.insert("propertyNames".into(), Value::Object(keys));
        }
        schema
    }

    fn rules(&mut self, spot: Spot, kind: Kind, rules: &ValueRules, schema: &mut Map<String, Value>) -> Vec<String> {
        let scalar = self.scalar_kind(spot, kind);
        let is_number = matches!(
            scalar,
            Kind::Double | Kind::Float | Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Fixed32 | Kind::Sfixed32
        );
        // a choice between schemas takes no keywords beside it that are meant for one of them
        match schema.get_mut("anyOf").and_then(|any| any.get_mut(0)).and_then(Value::as_object_mut) {
            Some(first) => add_value_rules(rules, is_number, first),
            None if matches!(scalar, Kind::Enum(_)) => {
                rules.constraints().into_iter().map(|(_, said)| said.message.to_string()).collect()
            }
            None => add_value_rules(rules, is_number, schema),
        }
    }

    /// What is in a wrapper, or the kind itself.
    fn scalar_kind(&self, spot: Spot, kind: Kind) -> Kind {
        let message = kind.message().zip(self.catalog(spot)).map(|(id, catalog)| catalog.schema.message(id));
        match message.filter(|message| message.known == Known::Wrapper).and_then(|message| message.fields.first()) {
            Some(value) => value.kind,
            None => kind,
        }
    }

    fn single(&mut self, spot: Spot, kind: Kind, without: &[&[u16]]) -> Map<String, Value> {
        object_of(match kind {
            Kind::Message(id) | Kind::Group(id) => self.message(spot, id, without),
            Kind::Enum(id) => self.enum_use(spot, id),
            kind => scalar(kind, spot),
        })
    }

    fn enum_use(&mut self, spot: Spot, id: EnumId) -> Value {
        let is_null = self.catalog(spot).is_some_and(|catalog| catalog.schema.enumeration(id).is_null_value);
        if is_null { json!({"type": "null"}) } else { self.reference(spot, Type::Enum(id)) }
    }

    fn enumeration(&mut self, spot: Spot, id: EnumId) -> Value {
        let Some(catalog) = self.catalog(spot) else { return json!({}) };
        let enumeration = catalog.schema.enumeration(id);
        let note = self.note(spot, &enumeration.name);
        let (mut values, mut words) = (Vec::new(), Vec::new());
        for value in &enumeration.values {
            let shown = match spot.profile.enums {
                EnumForm::Name => json!(value.name),
                EnumForm::ShortName => json!(enumeration.short_name(&value.name)),
                EnumForm::Number => json!(value.number),
            };
            if values.contains(&shown) {
                continue;
            }
            let of = self.note(spot, &format!("{}.{}", enumeration.name, value.name));
            let name = if spot.profile.enums == EnumForm::Number { format!(" {}", value.name) } else { String::new() };
            let text = of.comment.split_whitespace().collect::<Vec<_>>().join(" ");
            if !text.is_empty() || !name.is_empty() || of.deprecated {
                let plain = shown.as_str().map_or_else(|| shown.to_string(), str::to_owned);
                let deprecated = if of.deprecated { " (deprecated)" } else { "" };
                let colon = if text.is_empty() { "" } else { ": " };
                words.push(format!("- `{plain}`{name}{deprecated}{colon}{text}"));
            }
            values.push(shown);
        }
        let kind = if spot.profile.enums == EnumForm::Number { "integer" } else { "string" };
        let mut schema = object_of(json!({"type": kind, "enum": values}));
        if note.deprecated {
            schema.insert("deprecated".into(), json!(true));
        }
        let list = words.join("\n");
        let gap = if note.comment.is_empty() || list.is_empty() { "" } else { "\n\n" };
        described(schema, &format!("{}{gap}{list}", note.comment), &[])
    }

    /// The well-known types, which have a JSON form of their own.
    fn known(&mut self, spot: Spot, known: Known, message: &Message) -> Value {
        match known {
            Known::Any => json!({
                "type": "object",
                "description": "A message of any type, which `@type` names.",
                "properties": {"@type": {"type": "string"}},
                "required": ["@type"],
                "additionalProperties": true,
            }),
            Known::Timestamp => json!({"type": "string", "format": "date-time"}),
            Known::Duration => json!({
                "type": "string",
                "pattern": "^-?[0-9]{1,11}(?:\\.[0-9]{1,9})?s$",
                "description": "Seconds, as in `1.5s`.",
            }),
            Known::FieldMask => json!({
                "type": "string",
                "pattern": MASK_PATTERN,
                "description": "Paths of fields in lowerCamelCase, with commas between them, as in `title,price.units`.",
            }),
            Known::Struct => json!({"type": "object", "additionalProperties": true}),
            Known::Value => json!({}),
            Known::ListValue => json!({"type": "array", "items": {}}),
            Known::Empty => json!({"type": "object"}),
            Known::Wrapper => match message.fields.first() {
                Some(value) => Value::Object(self.single(spot, value.kind, &[])),
                None => json!({}),
            },
            Known::None | Known::MessageSet => json!({}),
        }
    }
}

const MASK_PATTERN: &str =
    "^(?:[a-zA-Z][a-zA-Z0-9]*(?:\\.[a-zA-Z][a-zA-Z0-9]*)*(?:,[a-zA-Z][a-zA-Z0-9]*(?:\\.[a-zA-Z][a-zA-Z0-9]*)*)*)?$";

/// Scalars in the form in which they are printed. ProtoJSON reads more than that: numbers as texts, `null` for a field that
/// is not there.
fn scalar(kind: Kind, spot: Spot) -> Value {
    match kind {
        Kind::Double => real("double", None),
        // the largest of them, as a decimal that no float is beyond
        Kind::Float => real("float", Some(3.402_823_4e38)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            json!({"type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX})
        }
        Kind::Uint32 | Kind::Fixed32 => {
            json!({"type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX})
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => whole("int64", kind, spot),
        Kind::Uint64 | Kind::Fixed64 => whole("uint64", kind, spot),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::String | Kind::Message(_) | Kind::Group(_) | Kind::Enum(_) => json!({"type": "string"}),
        Kind::Bytes => bytes(spot.profile.bytes),
    }
}

fn real(format: &str, most: Option<f64>) -> Value {
    let mut number = object_of(json!({"type": "number", "format": format}));
    if let Some(most) = most {
        number.insert("minimum".into(), json!(-most));
        number.insert("maximum".into(), json!(most));
    }
    json!({"anyOf": [number, {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}]})
}

fn whole(format: &str, kind: Kind, spot: Spot) -> Value {
    let (profile, way) = (spot.profile, spot.way);
    let text = json!({"type": "string", "format": format, "pattern": whole_pattern(kind, way)});
    if !profile.int64_numbers {
        return text;
    }
    // integers that every reader holds exactly
    const SAFE: i64 = (1 << 53) - 1;
    let least = if format == "int64" { -SAFE } else { 0 };
    json!({"anyOf": [{"type": "integer", "format": format, "minimum": least, "maximum": SAFE}, text]})
}

/// Whole numbers as text. Those that 64 bits hold, but for some next to the largest, which would take a long pattern; an
/// answer may have any of as many digits.
fn whole_pattern(kind: Kind, way: Way) -> &'static str {
    let is_signed = !matches!(kind, Kind::Uint64 | Kind::Fixed64);
    match (kind, way) {
        (Kind::Int32 | Kind::Sint32 | Kind::Sfixed32, _) => {
            "^-?(?:0|[1-9][0-9]{0,8}|1[0-9]{9}|20[0-9]{8}|21[0-3][0-9]{7}|214748364[0-7])$"
        }
        (Kind::Uint32 | Kind::Fixed32, _) => {
            "^(?:0|[1-9][0-9]{0,8}|[1-3][0-9]{9}|4[01][0-9]{8}|42[0-8][0-9]{7}|429496729[0-5])$"
        }
        (_, Way::Out) if is_signed => "^-?[0-9]{1,19}$",
        (_, Way::Out) => "^[0-9]{1,20}$",
        (_, Way::In) if is_signed => {
            "^-?(?:0|[1-9][0-9]{0,17}|[1-8][0-9]{18}|9[01][0-9]{17}|92[01][0-9]{16}|922[0-2][0-9]{15}|922337203685477580[0-7])$"
        }
        (_, Way::In) => {
            "^(?:0|[1-9][0-9]{0,18}|1[0-7][0-9]{18}|18[0-3][0-9]{17}|184[0-3][0-9]{16}|1844674407370955161[0-5])$"
        }
    }
}

fn bytes(form: BytesForm) -> Value {
    match form {
        BytesForm::Base64 => json!({
            "type": "string",
            "format": "byte",
            "contentEncoding": "base64",
            "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        }),
        BytesForm::Base64Url => json!({
            "type": "string",
            "contentEncoding": "base64url",
            "pattern": "^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2,3})?$",
        }),
        BytesForm::Hex => {
            json!({"type": "string", "contentEncoding": "base16", "pattern": "^(?:[0-9a-fA-F]{2})*$"})
        }
    }
}

/// `google.rpc.Status`, as the edge itself prints it.
fn status() -> Value {
    json!({
        "type": "object",
        "description": "An error: a code of gRPC, a text for developers, and details by type.",
        "properties": {
            "code": {"type": "integer", "format": "int32", "description": "The gRPC status code."},
            "message": {"type": "string"},
            "details": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"@type": {"type": "string"}},
                    "required": ["@type"],
                    "additionalProperties": true,
                },
            },
        },
    })
}

/// A field without presence that is required has to be something else than empty, which is the same as absent.
fn must_say_something(field: &Field, schema: &mut Map<String, Value>) {
    let key = match (field.label, field.kind, field.presence) {
        (Label::Repeated, ..) => "minItems",
        (Label::Map, ..) => "minProperties",
        (Label::Singular, Kind::String | Kind::Bytes, Presence::Implicit) => "minLength",
        _ => return,
    };
    if !schema.contains_key("enum") && !schema.contains_key("const") {
        let least = schema.get(key).and_then(Value::as_u64).unwrap_or(0);
        schema.insert(key.into(), json!(least.max(1)));
    }
}

/// At most one member of each oneof may be given, or exactly one where a rule says so.
fn choices(message: &Message, profile: Profile, without: &[&[u16]]) -> Vec<Value> {
    let mut choices = Vec::new();
    for oneof in 0..message.oneofs {
        let members = (0u16..).zip(&message.fields).filter(|(_, field)| field.oneof == Some(oneof));
        // a member that comes from elsewhere says nothing here
        let given: Vec<Value> = members
            .filter(|(index, _)| !without.iter().any(|path| path.first() == Some(index)))
            .map(|(_, field)| json!({"required": [profile.name_of(field)]}))
            .collect();
        if given.len() < 2 {
            continue;
        }
        let is_required = message.rules.as_ref().is_some_and(|rules| rules.oneofs.iter().any(|one| one.oneof == oneof));
        let mut one_of = given.clone();
        if !is_required {
            one_of.push(json!({"not": {"anyOf": given}}));
        }
        choices.push(json!({ "oneOf": one_of }));
    }
    choices
}

fn alternatives(message: &Message, oneof: u16, index: u16, profile: Profile) -> Option<String> {
    let others = (0u16..).zip(&message.fields).filter(|(other, field)| *other != index && field.oneof == Some(oneof));
    let names: Vec<String> = others.map(|(_, field)| format!("`{}`", profile.name_of(field))).collect();
    (!names.is_empty()).then(|| format!("not together with {}", names.join(", ")))
}

fn is_required(message: &Message, index: u16, notes: &Notes) -> bool {
    let Some(field) = message.field(index) else { return false };
    if field.presence == Presence::Required {
        return true;
    }
    if message.rules.as_ref().is_some_and(|rules| rules.is_needed(index)) {
        return true;
    }
    let behavior = notes.of(&format!("{}.{}", message.name, field.name())).behavior;
    behavior.required && !behavior.output_only && field.oneof.is_none()
}

/// A schema with its description, to which what no keyword says is added.
fn described(mut schema: Map<String, Value>, comment: &str, words: &[String]) -> Value {
    let known = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let mut parts: Vec<String> =
        [comment, known].into_iter().filter(|text| !text.is_empty()).map(str::to_owned).collect();
    if !words.is_empty() {
        let mut text = words.join("; ");
        if let Some(first) = text.get(..1) {
            text = first.to_uppercase() + text.get(1..).unwrap_or_default();
        }
        parts.push(text + ".");
    }
    if !parts.is_empty() {
        schema.insert("description".into(), json!(parts.join("\n\n")));
    }
    Value::Object(schema)
}

pub(super) fn refer(name: &str) -> Value {
    json!({ "$ref": format!("{REFERENCE}{name}") })
}

/// Puts names in place of numbers.
fn rename(value: &mut Value, names: &[String]) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(reference) if key == "$ref" => {
                        let number = reference.strip_prefix(NUMBERED).and_then(|number| number.parse::<usize>().ok());
                        if let Some(name) = number.and_then(|number| names.get(number)) {
                            *reference = format!("{REFERENCE}{name}");
                        }
                    }
                    value => rename(value, names),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        _ => {}
    }
}

fn object_of(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
