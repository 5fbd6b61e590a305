//! One binding, or one method path, as an operation.

use serde_json::{Map, Value, json};

use super::parameters::{Source, path_parameters, query_parameters};
use super::path::PathForm;
use super::schema::{Components, Profile, STATUS, Spot, Way, refer};
use crate::catalog::{Binding, Body, Catalog, Idempotency, Method, Notes, StreamKind};
use crate::protocol::{Layout, STREAM_TYPES};

/// What an operation is of.
pub(super) struct Operation<'a> {
    pub catalog: &'a Catalog,
    /// Of the catalog.
    pub index: usize,
    pub notes: &'a Notes,
    pub method: &'a Method,
    pub id: String,
}

/// The operation of a binding.
pub(super) fn operation<'a>(
    of: &Operation<'a>,
    binding: &'a Binding,
    form: &PathForm,
    names: &[String],
    components: &mut Components<'a>,
) -> Value {
    let (spot, brackets) = (of.spot(Way::In), of.method.settings.rest.query_brackets);
    let source =
        Source { schema: &of.catalog.schema, notes: of.notes, input: of.method.input, binding, spot, brackets };
    let mut made = of.begun();
    let mut parameters = path_parameters(&source, form, names, components);
    parameters.extend(query_parameters(&source, components));
    parameters.extend(of.settings_parameters(&source));
    if !parameters.is_empty() {
        made.insert("parameters".into(), Value::Array(parameters));
    }
    if let Some(body) = request_body(of, binding, components) {
        made.insert("requestBody".into(), body);
    }
    let mut answer = answer(of, binding.response_body, binding.raw_answer.is_some(), components);
    let mut responses = Map::new();
    let success = of.method.settings.rest.success;
    if success == 204 {
        answer = json!({"description": "Done, and nothing to tell."});
    }
    of.add_headers(binding, &mut answer);
    responses.insert(success.to_string(), answer);
    if of.is_cached(binding) && of.method.settings.rest.etag {
        responses.insert("304".into(), json!({"description": "As `If-None-Match` has it."}));
    }
    responses.insert("default".into(), json!({"$ref": "#/components/responses/Error"}));
    made.insert("responses".into(), Value::Object(responses));
    if let Some(hosts) = of.hosts() {
        made.insert("servers".into(), hosts);
    }
    Value::Object(made)
}

/// The operation of a method path: `POST /pkg.Service/Method`.
pub(super) fn call<'a>(of: &Operation<'a>, components: &mut Components<'a>) -> Value {
    let mut made = of.begun();
    let message = components.message(of.spot(Way::In), of.method.input, &[]);
    made.insert("requestBody".into(), json!({"content": request_content(of.method.kind, message)}));
    // a method's own path knows no raw bodies
    let answer = answer(of, None, false, components);
    // unary methods are Connect's, the others REST's
    let errors = if of.method.kind == StreamKind::Unary { "ConnectError" } else { "Error" };
    let errors = format!("#/components/responses/{errors}");
    made.insert("responses".into(), json!({ "200": answer, "default": { "$ref": errors } }));
    Value::Object(made)
}

/// What operations have in common.
pub(super) fn shared_responses(methods: bool) -> Value {
    let mut responses = Map::new();
    let problem = json!({
        "type": "object",
        "description": "An error as RFC 9457 has it, for who asks for that.",
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer", "description": "The HTTP code."},
            "detail": {"type": "string"},
            "code": {"type": "string", "description": "The name of the gRPC status code."},
            "details": {"type": "array", "items": {"type": "object"}, "description": "As those of the status."},
        },
    });
    let content = json!({
        "application/json": { "schema": refer(STATUS) },
        "application/problem+json": { "schema": problem },
    });
    responses.insert("Error".into(), json!({"description": "What went wrong.", "content": content}));
    if methods {
        let detail = json!({
            "type": "object",
            "properties": {
                "type": {"type": "string", "description": "The full name of the detail's message type."},
                "value": {"type": "string", "description": "The message, in base64 without padding."},
                "debug": {"description": "The message as JSON."},
            },
        });
        let error = json!({
            "type": "object",
            "properties": {
                "code": {"type": "string", "description": "The name of the gRPC status code in lower case."},
                "message": {"type": "string"},
                "details": {"type": "array", "items": detail},
            },
        });
        let content = json!({"application/json": { "schema": error }});
        let description = "What went wrong, as Connect tells it.";
        responses.insert("ConnectError".into(), json!({"description": description, "content": content}));
    }
    Value::Object(responses)
}

// === impl Operation ===

impl Operation<'_> {
    fn spot(&self, way: Way) -> Spot {
        Spot { catalog: self.index, way, profile: Profile::from(&self.method.settings) }
    }

    /// The full name of the service, and that of the method.
    fn names(&self) -> (String, String) {
        let dotted = self.method.path.trim_start_matches('/').replace('/', ".");
        let service = self.catalog.services.get(self.method.service).map(|service| service.name.to_string());
        (service.unwrap_or_default(), dotted)
    }

    /// What people read first.
    fn begun(&self) -> Map<String, Value> {
        let (service, dotted) = self.names();
        let note = self.notes.of(&dotted);
        let mut made = Map::new();
        made.insert("tags".into(), json!([service]));
        let (summary, description) = summary(&note.comment);
        if !summary.is_empty() {
            made.insert("summary".into(), json!(summary));
        }
        if !description.is_empty() {
            made.insert("description".into(), json!(description));
        }
        made.insert("operationId".into(), json!(self.id));
        if note.deprecated || self.notes.of(&service).deprecated {
            made.insert("deprecated".into(), json!(true));
        }
        made
    }

    /// Parameters that the settings add to what the rule says.
    fn settings_parameters(&self, source: &Source<'_>) -> Vec<Value> {
        let (rest, sse) = (&self.method.settings.rest, &self.method.settings.sse);
        let mut parameters = Vec::new();
        if let Some(name) = &rest.fields_parameter {
            let description = "The fields of the answer that are wanted: paths with commas between them. Absent: all.";
            let schema = json!({"type": "string"});
            parameters.push(json!({"name": name, "in": "query", "description": description, "schema": schema}));
        }
        let resumes = sse.last_event_id_field.is_some() || sse.last_event_id_metadata.is_some();
        if resumes && self.method.kind.server_streams() {
            let description = "The id of the last event that was seen, to go on behind it.";
            let schema = json!({"type": "string"});
            parameters.push(json!({
                "name": "Last-Event-ID", "in": "header", "description": description, "schema": schema,
            }));
        }
        if self.is_cached(source.binding) && rest.etag {
            let description = "Entity tags that are known already.";
            let schema = json!({"type": "string"});
            parameters.push(json!({
                "name": "If-None-Match", "in": "header", "description": description, "schema": schema,
            }));
        }
        parameters
    }

    /// Whether its answers may be kept, if the settings say so.
    fn is_cached(&self, binding: &Binding) -> bool {
        let verb = binding.verb.as_str();
        let is_read = self.method.idempotency == Idempotency::NoSideEffects && !self.method.kind.server_streams();
        is_read && matches!(verb, "GET" | "HEAD")
    }

    /// Header fields that the settings give a good answer.
    fn add_headers(&self, binding: &Binding, answer: &mut Value) {
        let rest = &self.method.settings.rest;
        let mut headers = Map::new();
        let text = |description: &str| json!({"description": description, "schema": {"type": "string"}});
        let is_located = self.method.answers.as_ref().is_some_and(|plan| plan.location.is_some());
        if let Some(location) = rest.location.as_ref().filter(|_| is_located) {
            headers.insert("Location".into(), text(&format!("Where it is: `{location}`.")));
        }
        if self.is_cached(binding) && rest.etag {
            headers.insert("ETag".into(), text("Changes with the content."));
        }
        if self.is_cached(binding)
            && let Some(control) = rest.cache_control.as_ref().and_then(|value| value.to_str().ok())
        {
            headers.insert("Cache-Control".into(), text(&format!("`{control}`.")));
        }
        if let Some(answer) = answer.as_object_mut().filter(|_| !headers.is_empty()) {
            answer.insert("headers".into(), Value::Object(headers));
        }
    }

    /// Under which names the service is reached.
    fn hosts(&self) -> Option<Value> {
        let service = self.catalog.services.get(self.method.service).filter(|service| !service.hosts.is_empty())?;
        Some(service.hosts.iter().map(|host| json!({ "url": format!("//{host}") })).collect())
    }
}

fn request_body<'a>(of: &Operation<'a>, binding: &'a Binding, components: &mut Components<'a>) -> Option<Value> {
    let spot = of.spot(Way::In);
    let input = of.catalog.schema.message(of.method.input);
    let bound: Vec<&[u16]> = binding.variables.iter().map(|variable| &*variable.0).collect();
    let mut body = Map::new();
    let (schema, is_due) = match binding.body {
        Body::None => return None,
        Body::All => {
            let schema = components.message(spot, of.method.input, &bound);
            (schema, components.requires_some(spot, of.method.input, &bound))
        }
        Body::Field(index) => {
            let below: Vec<&[u16]> = bound.iter().filter_map(|path| path.strip_prefix(&[index])).collect();
            let field = input.field(index)?;
            let comment = &of.notes.of(&format!("{}.{}", input.name, field.name())).comment;
            if !comment.is_empty() {
                body.insert("description".into(), json!(comment));
            }
            let schema = components.field(spot, input, index, &below);
            (schema, components.is_required(spot, input, index))
        }
    };
    let content =
        if binding.raw_request.is_some() { json!({"*/*": {}}) } else { request_content(of.method.kind, schema) };
    body.insert("content".into(), content);
    if is_due {
        body.insert("required".into(), json!(true));
    }
    Some(Value::Object(body))
}

/// One message, or a stream of them: a JSON array, or a JSON text a line.
fn request_content(kind: StreamKind, message: Value) -> Value {
    if !kind.client_streams() {
        return json!({"application/json": { "schema": message }});
    }
    json!({
        "application/json": {"schema": {"type": "array", "items": message}},
        "application/x-ndjson": { "schema": message },
    })
}

/// The answer when all goes well.
fn answer<'a>(of: &Operation<'a>, only: Option<u16>, is_raw: bool, components: &mut Components<'a>) -> Value {
    let spot = of.spot(Way::Out);
    let output = of.catalog.schema.message(of.method.output);
    if is_raw {
        return json!({"description": "The content itself.", "content": {"*/*": {}}});
    }
    let schema = match only {
        Some(index) => components.field(spot, output, index, &[]),
        None => components.message(spot, of.method.output, &[]),
    };
    if !of.method.kind.server_streams() {
        return json!({"description": "OK", "content": {"application/json": { "schema": schema }}});
    }
    let mut content = Map::new();
    content.insert("application/json".into(), json!({"schema": {"type": "array", "items": schema.clone()}}));
    for media_type in sequences() {
        content.insert(media_type.into(), json!({ "schema": schema.clone() }));
    }
    let description = "A stream of messages, as they come: the elements of an array, or one behind the other.";
    json!({"description": description, "content": content})
}

/// What a stream of answers may come as besides an array, each by the first of its names.
fn sequences() -> impl Iterator<Item = &'static str> {
    let is_first = |at: usize, layout: Layout| STREAM_TYPES.iter().position(|(_, other)| *other == layout) == Some(at);
    let types = STREAM_TYPES.iter().enumerate().filter(|(_, (_, layout))| *layout != Layout::Array);
    types.filter(move |(at, (_, layout))| is_first(*at, *layout)).map(|(_, (name, _))| *name)
}

/// The first sentence of a comment, and the whole of it if there is more.
fn summary(comment: &str) -> (String, &str) {
    let paragraph = comment.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.find(". ").map_or(line.len(), |at| at + 1);
    let sentence = line.get(..end).unwrap_or_default().trim_end_matches('.').to_owned();
    let is_all = sentence.len() + 1 >= comment.len();
    (sentence, if is_all { "" } else { comment })
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn the_first_sentence_is_the_summary() {
        assert_eq!(summary(""), (String::new(), ""));
        assert_eq!(summary("Gets one."), ("Gets one".into(), ""));
        assert_eq!(summary("Gets one. Or none."), ("Gets one".into(), "Gets one. Or none."));
        assert_eq!(summary("Gets\none\n\nmore"), ("Gets one".into(), "Gets\none\n\nmore"));
    }
}
