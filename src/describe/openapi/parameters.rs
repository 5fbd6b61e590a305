//! What comes by path and query: one parameter for each field that text can fill.

use serde_json::{Map, Value, json};

use super::path::{PathForm, PathParameter};
use super::schema::{Components, Spot};
use crate::catalog::{Binding, Body, Field, FieldPath, Kind, Known, Label, Message, MessageId, Notes, Schema};
use crate::transcode::takes_text;

/// Parameters of one operation that are listed: requests of a few APIs hold whole trees of messages.
const MOST_PARAMETERS: usize = 200;

/// Messages within messages that are followed. One that holds itself is not followed into itself again.
const MOST_LEVELS: usize = 6;

/// What parameters are made of.
pub(super) struct Source<'a> {
    pub schema: &'a Schema,
    pub notes: &'a Notes,
    pub input: MessageId,
    pub binding: &'a Binding,
    pub spot: Spot,
    /// Whether maps are given as `m[k]=v`.
    pub brackets: bool,
}

/// A walk through the fields that the query may set.
struct Walk<'w, 'a> {
    source: &'w Source<'a>,
    components: &'w mut Components<'a>,
    parameters: Vec<Value>,
    /// The messages that the walk is in.
    within: Vec<MessageId>,
    /// Indices of the fields on the way, and their names with a dot behind each.
    path: Vec<u16>,
    prefix: String,
    /// Every field on the way is required.
    is_due: bool,
}

/// The parameters of a path, under these names.
pub(super) fn path_parameters<'a>(
    source: &Source<'a>,
    form: &PathForm,
    names: &[String],
    components: &mut Components<'a>,
) -> Vec<Value> {
    let parameters = form.parameters.iter().zip(names);
    parameters.map(|(parameter, name)| path_parameter(source, parameter, name, components)).collect()
}

fn path_parameter<'a>(
    source: &Source<'a>,
    parameter: &PathParameter,
    name: &str,
    components: &mut Components<'a>,
) -> Value {
    let variable = parameter.variable.and_then(|at| Some((at, source.binding.template.variables.get(at)?)));
    let path = variable.and_then(|(at, _)| source.binding.variables.get(at));
    let found = path.and_then(|path| source.field_at(path));
    let mut schema = json!({"type": "string"});
    if let Some((message, index, _)) = found.filter(|_| parameter.is_whole) {
        schema = components.field(source.spot, message, index, &[]);
    }
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    if schema.get("type") == Some(&json!("string")) && !parameter.is_rest && schema.get("enum").is_none() {
        let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
        schema["minLength"] = json!(least.max(1));
    }
    let comment = found.map(|(message, _, field)| source.comment(message, field)).unwrap_or_default();
    let words = description.as_ref().and_then(Value::as_str).unwrap_or_default();
    let part = variable.filter(|_| !parameter.is_whole).map(|(_, variable)| {
        let segments = source.binding.template.text.split_once(&format!("{{{}=", variable.path));
        let pattern = segments.and_then(|(_, rest)| rest.split_once('}')).map_or("", |(pattern, _)| pattern);
        format!("Part of `{}`, which is `{pattern}`.", variable.path)
    });
    let rest = parameter.is_rest.then(|| "May hold any number of segments: slashes are sent as they are.".to_owned());
    let texts: Vec<String> = [Some(comment), Some(words.to_owned()), part, rest].into_iter().flatten().collect();
    let mut made = json!({"name": name, "in": "path", "required": true, "schema": schema});
    put_description(&mut made, &texts);
    made
}

/// The parameters of the query: all that path and body leave over.
pub(super) fn query_parameters<'a>(source: &Source<'a>, components: &mut Components<'a>) -> Vec<Value> {
    if source.binding.body == Body::All {
        return Vec::new();
    }
    let mut walk = Walk {
        source,
        components,
        parameters: Vec::new(),
        within: Vec::new(),
        path: Vec::new(),
        prefix: String::new(),
        is_due: true,
    };
    walk.message(source.input);
    walk.parameters
}

// === impl Source ===

impl<'a> Source<'a> {
    fn field_at(&self, path: &FieldPath) -> Option<(&'a Message, u16, &'a Field)> {
        let (last, before) = path.0.split_last()?;
        let mut message = self.schema.message(self.input);
        for index in before {
            message = self.schema.message(message.field(*index)?.kind.message()?);
        }
        Some((message, *last, message.field(*last)?))
    }

    fn comment(&self, message: &Message, field: &Field) -> String {
        self.notes.of(&format!("{}.{}", message.name, field.name())).comment.to_string()
    }
}

// === impl Walk ===

impl Walk<'_, '_> {
    fn message(&mut self, id: MessageId) {
        self.within.push(id);
        let message = self.source.schema.message(id);
        for (index, field) in (0u16..).zip(&message.fields) {
            if self.path.is_empty() && self.is_taken_by_body(index) {
                continue;
            }
            self.path.push(index);
            if !self.source.binding.variables.iter().any(|variable| *variable.0 == *self.path) {
                self.field(message, index, field);
            }
            self.path.pop();
        }
        self.within.pop();
    }

    /// The body's own field, and the other members of its oneof.
    fn is_taken_by_body(&self, index: u16) -> bool {
        let Body::Field(body) = self.source.binding.body else { return false };
        let message = self.source.schema.message(self.source.input);
        let oneof = |index: u16| message.field(index).and_then(|field| field.oneof);
        index == body || (oneof(index).is_some() && oneof(index) == oneof(body))
    }

    fn field(&mut self, message: &Message, index: u16, field: &Field) {
        if takes_text(self.source.schema, field) || (field.label == Label::Map && self.source.brackets) {
            return self.leaf(message, index, field);
        }
        let Some(nested) = field.kind.message().filter(|_| field.label == Label::Singular) else { return };
        let known = self.source.schema.message(nested).known;
        if known != Known::None || matches!(field.kind, Kind::Group(_)) {
            return;
        }
        if self.within.contains(&nested) || self.within.len() >= MOST_LEVELS {
            return;
        }
        let (length, was_due) = (self.prefix.len(), self.is_due);
        self.is_due &= self.components.is_required(self.source.spot, message, index);
        self.prefix.push_str(self.source.spot.profile.name_of(field));
        self.prefix.push('.');
        self.message(nested);
        self.prefix.truncate(length);
        self.is_due = was_due;
    }

    fn leaf(&mut self, message: &Message, index: u16, field: &Field) {
        let note = self.source.notes.of(&format!("{}.{}", message.name, field.name()));
        if self.parameters.len() >= MOST_PARAMETERS || note.behavior.output_only {
            return;
        }
        let mut schema = self.components.field(self.source.spot, message, index, &[]);
        let words = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let name = format!("{}{}", self.prefix, self.source.spot.profile.name_of(field));
        let mut parameter = json!({"name": name, "in": "query"});
        if self.is_due && self.components.is_required(self.source.spot, message, index) {
            parameter["required"] = json!(true);
        }
        if note.deprecated {
            parameter["deprecated"] = json!(true);
        }
        if field.label == Label::Map {
            parameter["style"] = json!("deepObject");
            parameter["explode"] = json!(true);
        }
        parameter["schema"] = schema;
        let words = words.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        put_description(&mut parameter, &[note.comment.to_string(), words]);
        self.parameters.push(parameter);
    }
}

/// Paragraphs before the schema, where people look for them.
fn put_description(parameter: &mut Value, texts: &[String]) {
    let texts: Vec<&str> = texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    let Some(members) = parameter.as_object_mut().filter(|_| !texts.is_empty()) else { return };
    let mut ordered = Map::new();
    for (key, value) in std::mem::take(members) {
        if key == "schema" {
            ordered.insert("description".into(), json!(texts.join("\n\n")));
        }
        ordered.insert(key, value);
    }
    *members = ordered;
}
