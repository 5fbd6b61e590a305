//! Requests made backwards: a random message, and the URL, query and body that a rule makes it of. Messages are held and
//! printed by prost-reflect, which shares no code with the transcoder.

use prost::Message;
use prost_reflect::{
    Cardinality, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value,
};
use serde_json::Value as Json;
use transom::catalog::{Binding, Body, Catalog, Method, Segment, Template, TemplateVariable, Verb};

/// Numbers that are the same for the same seed.
pub struct Dice(u64);

/// A request, and the message that it has to become.
pub struct Request {
    pub verb: http::Method,
    pub path: String,
    pub query: Option<String>,
    pub body: Option<Vec<u8>>,
    pub message: DynamicMessage,
}

/// What a message is written as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Body,
    /// With brackets, or without.
    Query(bool),
}

/// How deep made messages nest.
const DEEPEST: usize = 3;

// === impl Dice ===

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number from 0 on, below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides.max(1)
    }

    fn flip(&mut self) -> bool {
        self.roll(2) == 0
    }

    /// A text that is not empty, with all that has a meaning somewhere on the way. `slash`: whether it may have slashes.
    fn text(&mut self, slash: bool) -> String {
        const PIECES: [&str; 20] =
            ["a", "Z", "9", "-", "_", ".", "~", " ", "+", "%", "&", "=", "é", "日", "?", "#", ":", "\"", "%2F", "[x]"];
        let mut text = String::from(["x", "q", "7"][self.roll(3)]);
        for _ in 0..self.roll(6) {
            text.push_str(PIECES[self.roll(PIECES.len())]);
        }
        if slash && self.roll(4) == 0 {
            text.push('/');
        }
        text
    }
}

// === impl Request ===

impl Request {
    /// A request that reaches the binding, if no other rule is closer. `input` is the type of the method's requests;
    /// `brackets`: whether the query has them.
    pub fn made(
        dice: &mut Dice,
        (catalog, method, binding): (&Catalog, &Method, &Binding),
        input: &MessageDescriptor,
        brackets: bool,
    ) -> Request {
        let form = if binding.body == Body::All { Form::Body } else { Form::Query(brackets) };
        let mut message = message(dice, input, form, 0).unwrap_or_else(|| DynamicMessage::new(input.clone()));
        let body_field = match binding.body {
            Body::Field(index) => {
                let name = catalog.schema.message(method.input).field(index).map(|field| field.name().to_owned());
                name.and_then(|name| input.get_field_by_name(&name))
            }
            Body::All | Body::None => None,
        };
        if let Some(field) = &body_field {
            fill(dice, &mut message, field);
        }
        let variables = Variables::chosen(dice, catalog, method, binding, input);
        // setting a member of a oneof clears the others, which then are not in the rest either
        variables.iter().for_each(|one| set(&mut message, &one.names, one.value.clone()));
        let mut rest = message.clone();
        variables.iter().for_each(|one| clear(&mut rest, &one.names));
        let json = serde_json::to_value(&rest).expect("a message prints");
        let mut json = json.as_object().cloned().unwrap_or_default();
        let body = match (binding.body, &body_field) {
            (Body::All, _) => Some(Json::Object(std::mem::take(&mut json)).to_string().into_bytes()),
            (_, Some(field)) => json.remove(field.json_name()).map(|value| value.to_string().into_bytes()),
            _ => None,
        };
        let mut parameters = Vec::new();
        flatten(dice, "", input, &json, brackets, &mut parameters);
        Request {
            verb: match &binding.verb {
                Verb::Exact(verb) => verb.clone(),
                Verb::Any => http::Method::PATCH,
            },
            path: path(dice, &binding.template, &variables),
            query: query(dice, &parameters),
            body,
            message: normal(&message),
        }
    }
}

/// The message as it comes off the wire: a zero that was set and means nothing is not there.
fn normal(message: &DynamicMessage) -> DynamicMessage {
    DynamicMessage::decode(message.descriptor(), &message.encode_to_vec()[..]).expect("its own encoding")
}

/// What stands for a variable of the template.
struct Variable {
    /// The way to its field, in proto names.
    names: Vec<String>,
    value: Value,
    /// Its segments, percent-encoded; more than it has in the template if it has `**`.
    segments: Vec<String>,
}

struct Variables;

// === impl Variables ===

impl Variables {
    fn chosen(
        dice: &mut Dice,
        catalog: &Catalog,
        method: &Method,
        binding: &Binding,
        input: &MessageDescriptor,
    ) -> Vec<Variable> {
        let pairs = binding.template.variables.iter().zip(&binding.variables);
        pairs
            .map(|(variable, path)| {
                let mut names = Vec::new();
                let mut at = Some(catalog.schema.message(method.input));
                for index in &path.0 {
                    let field = at.and_then(|message| message.field(*index)).expect("the catalog's own field");
                    names.push(field.name().to_owned());
                    at = field.kind.message().map(|id| catalog.schema.message(id));
                }
                let field = descend(input, &names);
                let (value, segments) = chosen(dice, &binding.template, variable, &field);
                Variable { names, value, segments }
            })
            .collect()
    }
}

fn chosen(
    dice: &mut Dice,
    template: &Template,
    variable: &TemplateVariable,
    field: &FieldDescriptor,
) -> (Value, Vec<String>) {
    if field.kind() != Kind::String {
        let value = value(dice, &field.kind(), Form::Query(false), DEEPEST).expect("a value for a variable");
        let mut message = DynamicMessage::new(field.parent_message().clone());
        message.set_field(field, value.clone());
        let json = serde_json::to_value(&message).expect("a message prints");
        // an unset zero is written all the same
        let text = match json.get(field.json_name()) {
            Some(json) => text_of(json),
            None => match &value {
                Value::EnumNumber(_) | Value::Bool(_) if field.kind() == Kind::Bool => "false".to_owned(),
                _ => "0".to_owned(),
            },
        };
        return (value, vec![encoded(&text)]);
    }
    let spanned = &template.segments[variable.start..variable.end];
    let mut plain: Vec<String> = Vec::new();
    for segment in spanned {
        match segment {
            Segment::Literal(text) => plain.push(text.to_string()),
            Segment::Star => plain.push(dice.text(!variable.multi)),
            Segment::DoubleStar => {
                let least = usize::from(spanned.len() == 1);
                (0..least + dice.roll(3)).for_each(|_| plain.push(dice.text(false)));
            }
        }
    }
    let segments = plain.iter().map(|text| encoded(text)).collect();
    (Value::String(plain.join("/")), segments)
}

fn descend(input: &MessageDescriptor, names: &[String]) -> FieldDescriptor {
    let (first, more) = names.split_first().expect("a path");
    let field = input.get_field_by_name(first).expect("a field of the descriptor");
    match (more.is_empty(), field.kind()) {
        (false, Kind::Message(message)) => descend(&message, more),
        _ => field,
    }
}

fn set(message: &mut DynamicMessage, names: &[String], value: Value) {
    match names {
        [last] => message.set_field_by_name(last, value),
        [first, more @ ..] => {
            let nested = message.get_field_by_name_mut(first).and_then(Value::as_message_mut).expect("a message");
            set(nested, more, value);
        }
        [] => {}
    }
}

fn clear(message: &mut DynamicMessage, names: &[String]) {
    match names {
        [last] => message.clear_field_by_name(last),
        [first, more @ ..] if message.has_field_by_name(first) => {
            if let Some(nested) = message.get_field_by_name_mut(first).and_then(Value::as_message_mut) {
                clear(nested, more);
            }
        }
        _ => {}
    }
}

/// Gives the field that the body fills a value, which may be an empty message or list.
fn fill(dice: &mut Dice, message: &mut DynamicMessage, field: &FieldDescriptor) {
    message.clear_field(field);
    let made = field_value(dice, field, Form::Body, 1);
    match made {
        Some(value) => message.set_field(field, value),
        None if field.is_list() || field.is_map() => {}
        None => {
            if let Kind::Message(nested) = field.kind() {
                message.set_field(field, Value::Message(DynamicMessage::new(nested)));
            }
        }
    }
}

/// A random message; `None` if nothing of it can be said in this form.
fn message(dice: &mut Dice, of: &MessageDescriptor, form: Form, depth: usize) -> Option<DynamicMessage> {
    let mut message = DynamicMessage::new(of.clone());
    let count = of.fields().len();
    for field in of.fields() {
        let wanted = field.cardinality() == Cardinality::Required || dice.roll(count) < 4;
        if wanted && let Some(value) = field_value(dice, &field, form, depth) {
            message.set_field(&field, value);
        }
    }
    (form == Form::Body || message.fields().next().is_some()).then_some(message)
}

fn field_value(dice: &mut Dice, field: &FieldDescriptor, form: Form, depth: usize) -> Option<Value> {
    if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
        if form == Form::Query(false) {
            return None;
        }
        let value_field = entry.map_entry_value_field();
        let entries = (0..1 + dice.roll(2)).map(|_| {
            let key = map_key(dice, &entry.map_entry_key_field().kind())?;
            Some((key, value(dice, &value_field.kind(), form, depth)?))
        });
        return entries.collect::<Option<_>>().map(Value::Map);
    }
    if field.is_list() {
        let is_text = !matches!(field.kind(), Kind::Message(of) if !is_text(&of));
        if form == Form::Query(false) && !is_text {
            return None;
        }
        let elements = (0..1 + dice.roll(3)).map(|_| value(dice, &field.kind(), form, depth));
        return elements.collect::<Option<_>>().map(Value::List);
    }
    value(dice, &field.kind(), form, depth)
}

fn map_key(dice: &mut Dice, kind: &Kind) -> Option<MapKey> {
    Some(match value(dice, kind, Form::Body, DEEPEST)? {
        Value::Bool(key) => MapKey::Bool(key),
        Value::I32(key) => MapKey::I32(key),
        Value::I64(key) => MapKey::I64(key),
        Value::U32(key) => MapKey::U32(key),
        Value::U64(key) => MapKey::U64(key),
        // in a parameter's name a bracket would end where another step follows
        Value::String(key) => MapKey::String(key.replace(['[', ']'], "")),
        _ => return None,
    })
}

fn value(dice: &mut Dice, kind: &Kind, form: Form, depth: usize) -> Option<Value> {
    let extreme = dice.roll(4) == 0;
    let small = dice.roll(2000);
    Some(match kind {
        Kind::Double => Value::F64(small as f64 / 8.0 - 100.0),
        Kind::Float => Value::F32(small as f32 / 8.0 - 100.0),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(if extreme { i32::MIN } else { small as i32 }),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(if extreme { i64::MIN } else { small as i64 }),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(if extreme { u32::MAX } else { small as u32 }),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(if extreme { u64::MAX } else { small as u64 }),
        Kind::Bool => Value::Bool(dice.flip()),
        Kind::String => Value::String(dice.text(true)),
        Kind::Bytes => Value::Bytes((0..dice.roll(9)).map(|_| dice.roll(256) as u8).collect::<Vec<u8>>().into()),
        Kind::Enum(of) if of.full_name() == "google.protobuf.NullValue" => return None,
        Kind::Enum(of) => Value::EnumNumber(of.values().nth(dice.roll(of.values().len()))?.number()),
        Kind::Message(of) => Value::Message(known(dice, of, form, depth)?),
    })
}

/// Whether JSON shows the type as a text or a number.
fn is_text(of: &MessageDescriptor) -> bool {
    let Some(name) = of.full_name().strip_prefix("google.protobuf.") else { return false };
    matches!(name, "Timestamp" | "Duration" | "FieldMask")
        || name.ends_with("Value") && !matches!(name, "Value" | "ListValue")
}

fn known(dice: &mut Dice, of: &MessageDescriptor, form: Form, depth: usize) -> Option<DynamicMessage> {
    let mut made = DynamicMessage::new(of.clone());
    let nanos = [0, 500_000_000, 123_456_789][dice.roll(3)];
    match of.full_name().strip_prefix("google.protobuf.").unwrap_or_default() {
        "Timestamp" => {
            made.set_field_by_name("seconds", Value::I64(dice.roll(4_000_000_000) as i64));
            made.set_field_by_name("nanos", Value::I32(nanos));
        }
        "Duration" => {
            let sign = if dice.flip() { 1 } else { -1 };
            made.set_field_by_name("seconds", Value::I64(sign * dice.roll(100_000) as i64));
            made.set_field_by_name("nanos", Value::I32(sign as i32 * nanos));
        }
        "FieldMask" => {
            let paths = ["name", "display_name", "labels.some_thing"].into_iter().take(1 + dice.roll(3));
            made.set_field_by_name("paths", Value::List(paths.map(|path| Value::String(path.into())).collect()));
        }
        "Struct" | "Value" | "ListValue" | "Any" | "Empty" if matches!(form, Form::Query(_)) => return None,
        "Any" => return None,
        "Value" => made.set_field_by_name("string_value", Value::String(dice.text(true))),
        _ if is_text(of) => {
            let value = value(dice, &of.get_field_by_name("value")?.kind(), form, depth)?;
            made.set_field_by_name("value", value);
        }
        _ if depth >= DEEPEST => return required(of).then(|| message(dice, of, form, depth + 1)).flatten(),
        _ => return message(dice, of, form, depth + 1),
    }
    Some(made)
}

fn required(of: &MessageDescriptor) -> bool {
    of.fields().any(|field| field.cardinality() == Cardinality::Required)
}

/// The parameters that a JSON object amounts to, by either spelling of the names.
fn flatten(
    dice: &mut Dice,
    prefix: &str,
    of: &MessageDescriptor,
    object: &serde_json::Map<String, Json>,
    brackets: bool,
    out: &mut Vec<(String, String)>,
) {
    for (key, json) in object {
        let field = of.get_field_by_json_name(key).expect("a field by its JSON name");
        let name = format!("{prefix}{}", if dice.flip() { field.json_name() } else { field.name() });
        let nested = |kind: Kind| match kind {
            Kind::Message(of) if !is_text(&of) => Some(of),
            _ => None,
        };
        match (json, field.kind()) {
            (Json::Object(entries), Kind::Message(entry)) if field.is_map() => {
                for (key, json) in entries {
                    let below = nested(entry.map_entry_value_field().kind());
                    leaf(dice, &format!("{name}[{key}]"), below, json, brackets, out);
                }
            }
            (Json::Array(elements), kind) => {
                let by_place = brackets && (nested(kind.clone()).is_some() || dice.flip());
                for (at, json) in elements.iter().enumerate() {
                    let name = if by_place { format!("{name}[{at}]") } else { name.clone() };
                    leaf(dice, &name, nested(kind.clone()), json, brackets, out);
                }
            }
            (json, kind) => leaf(dice, &name, nested(kind), json, brackets, out),
        }
    }
}

fn leaf(
    dice: &mut Dice,
    name: &str,
    of: Option<MessageDescriptor>,
    json: &Json,
    brackets: bool,
    out: &mut Vec<(String, String)>,
) {
    match (of, json) {
        (Some(of), Json::Object(object)) => flatten(dice, &format!("{name}."), &of, object, brackets, out),
        (_, json) => out.push((name.to_owned(), text_of(json))),
    }
}

fn text_of(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn query(dice: &mut Dice, parameters: &[(String, String)]) -> Option<String> {
    if parameters.is_empty() {
        return None;
    }
    let form = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pairs = parameters.iter().map(|(name, value)| {
        let name = form(name);
        let name = if dice.flip() { name.replace("%5B", "[").replace("%5D", "]") } else { name };
        format!("{name}={}", form(value))
    });
    Some(pairs.collect::<Vec<_>>().join("&"))
}

fn path(dice: &mut Dice, template: &Template, variables: &[Variable]) -> String {
    let mut segments: Vec<String> = Vec::new();
    let mut at = 0;
    while at < template.segments.len() {
        let spanning = template.variables.iter().position(|variable| variable.start == at);
        if let Some((variable, chosen)) = spanning.and_then(|i| Some((template.variables.get(i)?, variables.get(i)?))) {
            segments.extend(chosen.segments.iter().cloned());
            at = variable.end;
            continue;
        }
        match &template.segments[at] {
            Segment::Literal(text) => segments.push(encoded(text)),
            Segment::Star => segments.push(encoded(&dice.text(true))),
            Segment::DoubleStar => (0..dice.roll(3)).for_each(|_| segments.push(encoded(&dice.text(true)))),
        }
        at += 1;
    }
    let verb = template.verb.as_ref().map(|verb| format!(":{}", encoded(verb))).unwrap_or_default();
    format!("/{}{verb}", segments.join("/"))
}

/// As http.proto has clients encode a segment: all but `[-_.~0-9a-zA-Z]`.
fn encoded(text: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    percent_encoding::utf8_percent_encode(text, KEPT).to_string()
}
