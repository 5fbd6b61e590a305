//! Rules bound to messages: variables, body and response body become field indices, and what cannot be is refused.

use super::http_rule::RuleBinding;
use super::mistake::Mistake;
use super::schema::{Field, Kind, Known, Label, Message, MessageId, Schema};
use super::service::{Binding, Body, FieldPath, RawBody, Verb};
use super::template::Template;
use crate::catalog::Place;
use crate::wire::closest;

/// The messages that a rule is bound to.
#[derive(Clone, Copy)]
pub(super) struct Ends<'a> {
    pub schema: &'a Schema,
    pub input: MessageId,
    pub output: MessageId,
}

// === impl Ends ===

impl Ends<'_> {
    /// Binds one rule. The mistakes (without place) are all that it has.
    pub fn bind(self, rule: &RuleBinding, place: &Place) -> Result<Binding, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut note = |mistake: Mistake| mistakes.push(mistake);
        let template = Template::parse(&rule.template).map_err(|error| note(Mistake::new(error.to_string()))).ok();
        let mut variables = Vec::new();
        for variable in template.iter().flat_map(|template| &template.variables) {
            match self.variable(&variable.path) {
                Ok(path) => variables.push(path),
                Err(mistake) => note(mistake),
            }
        }
        let body = match rule.body.as_str() {
            "" => Body::None,
            "*" => Body::All,
            name => match self.top_level(self.input, name, "body") {
                Ok(index) => Body::Field(index),
                Err(mistake) => {
                    note(mistake);
                    Body::None
                }
            },
        };
        let response_body = match rule.response_body.as_str() {
            "" => None,
            name => self.top_level(self.output, name, "response_body").map_err(&mut note).ok(),
        };
        match template {
            Some(template) if mistakes.is_empty() => Ok(Binding {
                mask: self.mask(&rule.verb, body),
                takes_form: self.takes_form(body),
                raw_request: match body {
                    Body::None => None,
                    Body::All => self.raw(self.input, None),
                    Body::Field(index) => self.raw(self.input, Some(index)),
                },
                raw_answer: self.raw(self.output, response_body),
                verb: rule.verb.clone(),
                template,
                variables: variables.into(),
                body,
                response_body,
                place: place.clone(),
            }),
            _ => Err(mistakes),
        }
    }

    /// Where the message, or this field of it, is a `google.api.HttpBody`.
    fn raw(self, message: MessageId, field: Option<u16>) -> Option<RawBody> {
        let message = self.schema.message(message);
        let Some(index) = field else { return message.is_http_body().then_some(RawBody::Whole) };
        let field = message.field(index).filter(|field| field.label == Label::Singular)?;
        let Kind::Message(id) = field.kind else { return None };
        self.schema.message(id).is_http_body().then_some(RawBody::Field(index))
    }

    fn takes_form(self, body: Body) -> bool {
        let id = match body {
            Body::None => None,
            Body::All => Some(self.input),
            Body::Field(index) => self.schema.message(self.input).field(index).and_then(|field| match field.kind {
                Kind::Message(id) if field.label == Label::Singular => Some(id),
                _ => None,
            }),
        };
        id.is_some_and(|id| self.schema.message(id).known.is_object())
    }

    /// The field mask of a rule for PATCH that its body may fill.
    fn mask(self, verb: &Verb, body: Body) -> Option<u16> {
        if *verb != Verb::Exact(http::Method::PATCH) || body == Body::None {
            return None;
        }
        let message = self.schema.message(self.input);
        let is_mask = |field: &Field| {
            let kind = field.kind.message().map(|id| self.schema.message(id).known);
            field.label == Label::Singular && kind == Some(Known::FieldMask)
        };
        let masks: Vec<u16> =
            (0u16..).zip(&message.fields).filter(|(_, field)| is_mask(field)).map(|(at, _)| at).collect();
        let found = match &masks[..] {
            [only] => Some(*only),
            _ => plain_field(message, "update_mask").map(|(index, _)| index).filter(|index| masks.contains(index)),
        };
        found.filter(|index| body != Body::Field(*index))
    }

    fn top_level(self, message: MessageId, name: &str, what: &str) -> Result<u16, Mistake> {
        let message = self.schema.message(message);
        if name.contains('.') {
            return Err(Mistake::new(format!("{what} {name:?} is not a field at the top level of {}", message.name)));
        }
        match plain_field(message, name) {
            Some((index, _)) => Ok(index),
            None => Err(no_field(message, name, what)),
        }
    }

    fn variable(self, path: &str) -> Result<FieldPath, Mistake> {
        self.text_field(self.input, path, &format!("variable {path:?}"))
    }

    /// Follows a dotted path of a message to a field that text can fill, and show. `what` the path is for.
    pub fn text_field(self, message: MessageId, path: &str, what: &str) -> Result<FieldPath, Mistake> {
        let mut message = self.schema.message(message);
        let mut indices = Vec::new();
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let Some((index, field)) = plain_field(message, part) else {
                return Err(no_field(message, part, &format!("{what}:")));
            };
            indices.push(index);
            let unfit = |why: &str| Err(Mistake::new(format!("{what}: field {part:?} is {why}")));
            match (field.label, field.kind, parts.peek()) {
                (Label::Repeated, ..) => return unfit("repeated"),
                (Label::Map, ..) => return unfit("a map"),
                (_, Kind::Message(id) | Kind::Group(id), Some(_)) => message = self.schema.message(id),
                (_, _, Some(next)) => return unfit(&format!("not a message, it has no field {next:?}")),
                (_, Kind::Message(id), None) if !text_fills(self.schema.message(id)) => {
                    return unfit(&format!("a message ({}), which no text can fill", self.schema.message(id).name));
                }
                (_, Kind::Group(_), None) => return unfit("a group, which no text can fill"),
                _ => (),
            }
        }
        Ok(FieldPath(indices.into()))
    }
}

/// Well-known types whose JSON form is a text or a number.
fn text_fills(message: &Message) -> bool {
    matches!(message.known, Known::Timestamp | Known::Duration | Known::FieldMask | Known::Wrapper)
}

/// A field by its name; extensions are not reachable by rules.
fn plain_field<'a>(message: &'a Message, name: &str) -> Option<(u16, &'a Field)> {
    message.field_by_name(name).filter(|(_, field)| !field.is_extension())
}

fn no_field(message: &Message, name: &str, what: &str) -> Mistake {
    let mistake = Mistake::new(format!("{what} message {} has no field {name:?}", message.name));
    match closest(name, message.fields.iter().map(Field::name)) {
        Some(meant) => mistake.hint(format!("did you mean {meant:?}?")),
        None => mistake,
    }
}
