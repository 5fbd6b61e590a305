//! OpenAPI 3.1 of the very tables that route: one operation for each binding, schemas by the ProtoJSON mapping and by the
//! JSON settings of each route, rules of `buf.validate` and comments where OpenAPI has a place for them.
//!
//! What OpenAPI cannot say is listed under `x-transom-omitted`, with the reason: rules that other rules dispute, HTTP
//! methods of other names, and rules that differ from another in their host or in `**` alone.

mod constraint;
mod operation;
mod parameters;
mod path;
mod schema;
mod security;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use self::operation::{Operation, call, operation};
pub(super) use self::path::ENCODED;
use self::path::PathForm;
use self::schema::Components;
pub use self::security::{KeyPlace, SecurityKind, SecurityScheme};
use crate::catalog::{Binding, Catalog, Method, Notes, Verb};
use crate::route::{MethodRef, Table};

/// What the document is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenapiOptions {
    /// `None`: the services that there are.
    pub title: Option<String>,
    /// Of the API; `None`: that of the packages.
    pub version: Option<String>,
    /// URLs for `servers`; none: where the document itself comes from.
    pub servers: Vec<String>,
    /// What callers have to show, any one of them; none: nothing.
    pub security: Vec<SecurityScheme>,
    /// List method paths (`POST /pkg.Service/Method`) as well.
    pub methods: bool,
}

/// A binding and where it belongs.
#[derive(Clone, Copy)]
struct Item<'a> {
    at: MethodRef,
    catalog: &'a Catalog,
    method: &'a Method,
    index: usize,
    binding: &'a Binding,
}

/// One path in the making.
struct PathItem {
    form: PathForm,
    /// Names of its parameters: those of the first rule that has the path.
    names: Vec<String>,
    operations: Vec<(&'static str, Value)>,
}

struct Writer<'a> {
    catalogs: &'a [Arc<Catalog>],
    notes: &'a [Arc<Notes>],
    components: Components<'a>,
    items: Vec<PathItem>,
    by_shape: HashMap<String, usize>,
    ids: HashSet<String>,
    /// Names of services without their package that more than one service has.
    shared: HashSet<&'a str>,
    omitted: Vec<Value>,
}

/// The HTTP methods that OpenAPI 3.1 knows; for a rule of any method, those that are offered.
const VERBS: [(&str, bool); 8] = [
    ("get", true),
    ("put", true),
    ("post", true),
    ("delete", true),
    ("options", false),
    ("head", false),
    ("patch", true),
    ("trace", false),
];

/// The OpenAPI document of these catalogs, of which `table` was built. `notes` are theirs, in the same order.
pub fn openapi(catalogs: &[Arc<Catalog>], table: &Table, notes: &[Arc<Notes>], options: &OpenapiOptions) -> Value {
    let mut writer = Writer {
        catalogs,
        notes,
        components: Components::new(catalogs, notes),
        items: Vec::new(),
        by_shape: HashMap::new(),
        ids: HashSet::new(),
        shared: shared_names(catalogs),
        omitted: Vec::new(),
    };
    let items = items(catalogs);
    // a rule for any HTTP method is for those that no other rule of its shape has
    let (any, exact): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| item.binding.verb == Verb::Any);
    for item in exact.into_iter().chain(any) {
        writer.add(item, table);
    }
    if options.methods {
        writer.add_methods(table);
    }
    writer.finish(options)
}

fn items(catalogs: &[Arc<Catalog>]) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    for (c, catalog) in (0..).zip(catalogs) {
        for (m, method) in (0..).zip(&catalog.methods) {
            let at = MethodRef { catalog: c, method: m };
            let bindings = method.bindings.iter().enumerate();
            items.extend(bindings.map(|(index, binding)| Item { at, catalog, method, index, binding }));
        }
    }
    items
}

fn shared_names(catalogs: &[Arc<Catalog>]) -> HashSet<&str> {
    let (mut seen, mut shared) = (HashSet::new(), HashSet::new());
    for service in catalogs.iter().flat_map(|catalog| &catalog.services) {
        let short = service.name.rsplit('.').next().unwrap_or_default();
        if !seen.insert(short) {
            shared.insert(short);
        }
    }
    shared
}

// === impl Writer ===

impl<'a> Writer<'a> {
    fn add(&mut self, item: Item<'a>, table: &Table) {
        if table.is_disputed(item.at, item.index) {
            return self.omit(item, "another rule claims the same: nobody gets here");
        }
        let verbs: Vec<&'static str> = match &item.binding.verb {
            Verb::Any => VERBS.iter().filter(|(_, offered)| *offered).map(|(verb, _)| *verb).collect(),
            Verb::Exact(method) => {
                VERBS.iter().map(|(verb, _)| *verb).filter(|verb| verb.eq_ignore_ascii_case(method.as_str())).collect()
            }
        };
        if verbs.is_empty() {
            return self.omit(item, "OpenAPI 3.1 does not know this HTTP method");
        }
        let form = PathForm::of(&item.binding.template);
        let at = self.item(form);
        let is_any = item.binding.verb == Verb::Any;
        let mut added = false;
        for verb in verbs {
            let free = self.items.get(at).is_some_and(|path| path.operations.iter().all(|(known, _)| *known != verb));
            if !free {
                continue;
            }
            added = true;
            let suffix = if is_any { format!("_{verb}") } else { String::new() };
            let id = self.id(item.method, &suffix);
            self.put(at, verb, item, id);
        }
        if !added {
            let why = "another rule has this path and HTTP method; they are told apart by their host, or by `**`";
            self.omit(item, why);
        }
    }

    fn put(&mut self, at: usize, verb: &'static str, item: Item<'a>, id: String) {
        let Some(notes) = self.notes.get(item.at.catalog as usize) else { return };
        let Some(path) = self.items.get_mut(at) else { return };
        let of = Operation { catalog: item.catalog, index: item.at.catalog as usize, notes, method: item.method, id };
        // the shape is the same, the parameters are this rule's own
        let form = PathForm::of(&item.binding.template);
        let made = operation(&of, item.binding, &form, &path.names, &mut self.components);
        path.operations.push((verb, made));
    }

    /// The path of this shape, made if there is none.
    fn item(&mut self, form: PathForm) -> usize {
        if let Some(at) = self.by_shape.get(&form.shape) {
            return *at;
        }
        let names = form.parameters.iter().map(|parameter| parameter.name.clone()).collect();
        self.by_shape.insert(form.shape.clone(), self.items.len());
        self.items.push(PathItem { form, names, operations: Vec::new() });
        self.items.len() - 1
    }

    fn add_methods(&mut self, table: &Table) {
        let catalogs = self.catalogs;
        for (c, catalog) in (0..).zip(catalogs) {
            for (m, method) in (0..).zip(&catalog.methods) {
                let is_reached = table.method(&method.path) == Some(MethodRef { catalog: c, method: m });
                let is_plain = catalog.auto_mapping || method.kind == crate::catalog::StreamKind::Unary;
                let Some(notes) = self.notes.get(c as usize).filter(|_| is_reached && is_plain) else { continue };
                let id = self.id(method, "_call");
                let of = Operation { catalog, index: c as usize, notes, method, id };
                let made = call(&of, &mut self.components);
                let form = PathForm { shape: method.path.to_string(), parameters: Vec::new() };
                let at = self.item(form);
                if let Some(path) = self.items.get_mut(at)
                    && path.operations.iter().all(|(verb, _)| *verb != "post")
                {
                    path.operations.push(("post", made));
                }
            }
        }
    }

    /// A name for an operation that no other has.
    fn id(&mut self, method: &Method, suffix: &str) -> String {
        let (service, name) = method.path.trim_start_matches('/').split_once('/').unwrap_or(("", &method.path));
        let short = service.rsplit('.').next().unwrap_or(service);
        let service = if self.shared.contains(short) { service.replace('.', "_") } else { short.to_owned() };
        let base = format!("{service}_{name}{suffix}");
        let mut id = base.clone();
        for number in 2.. {
            if self.ids.insert(id.clone()) {
                break;
            }
            id = format!("{base}_{number}");
        }
        id
    }

    fn omit(&mut self, item: Item<'_>, why: &str) {
        self.omitted.push(json!({
            "rule": format!("{} {}", item.binding.verb, item.binding.template.text),
            "method": item.method.path.trim_start_matches('/').replace('/', "."),
            "place": item.binding.place.to_string(),
            "why": why,
        }));
    }

    fn finish(self, options: &OpenapiOptions) -> Value {
        let mut paths = Map::new();
        let mut tags = Vec::new();
        for PathItem { form, names, operations } in self.items {
            let mut operations = operations;
            let order = |verb: &str| VERBS.iter().position(|(known, _)| *known == verb);
            operations.sort_by_key(|(verb, _)| order(verb));
            if operations.is_empty() {
                continue;
            }
            for tag in operations.iter().filter_map(|(_, made)| made.get("tags")?.get(0)?.as_str()) {
                if !tags.iter().any(|known| known == tag) {
                    tags.push(tag.to_owned());
                }
            }
            let members = operations.into_iter().map(|(verb, made)| (verb.to_owned(), made)).collect();
            paths.insert(form.named(names.iter().map(String::as_str)), Value::Object(members));
        }
        let mut document = Map::new();
        document.insert("openapi".into(), json!("3.1.0"));
        document.insert("info".into(), info(self.catalogs, options));
        if !options.servers.is_empty() {
            let servers: Vec<Value> = options.servers.iter().map(|url| json!({ "url": url })).collect();
            document.insert("servers".into(), json!(servers));
        }
        if !options.security.is_empty() {
            document.insert("security".into(), security::alternatives(&options.security));
        }
        document.insert("tags".into(), tag_list(&tags, self.notes));
        document.insert("paths".into(), Value::Object(paths));
        let mut document = Value::Object(document);
        let mut components = Map::new();
        components.insert("schemas".into(), Value::Object(self.components.finish(&mut document)));
        components.insert("responses".into(), operation::shared_responses(options.methods));
        if !options.security.is_empty() {
            components.insert("securitySchemes".into(), security::schemes(&options.security));
        }
        document["components"] = Value::Object(components);
        if !self.omitted.is_empty() {
            document["x-transom-omitted"] = Value::Array(self.omitted);
        }
        document
    }
}

/// Unless the options say otherwise, the title is what the catalogs offer, the version that of their package.
fn info(catalogs: &[Arc<Catalog>], options: &OpenapiOptions) -> Value {
    let services: Vec<&str> =
        catalogs.iter().flat_map(|catalog| &catalog.services).map(|service| &*service.name).collect();
    let title = match &services[..] {
        [] => "Transom".to_owned(),
        few @ ([_] | [_, _] | [_, _, _]) => few.join(", "),
        _ => catalogs.iter().map(|catalog| &*catalog.name).collect::<Vec<_>>().join(", "),
    };
    let is_version =
        |part: &&str| part.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let mut versions: Vec<&str> =
        services.iter().map(|name| name.split('.').rev().find(is_version).unwrap_or("v1")).collect();
    versions.dedup();
    let version = if let [only] = &versions[..] { *only } else { "v1" };
    json!({
        "title": options.title.as_deref().unwrap_or(&title),
        "version": options.version.as_deref().unwrap_or(version),
    })
}

fn tag_list(tags: &[String], notes: &[Arc<Notes>]) -> Value {
    let described = tags.iter().map(|tag| {
        let comment = notes.iter().map(|notes| &notes.of(tag).comment).find(|comment| !comment.is_empty());
        match comment {
            Some(comment) => json!({"name": tag, "description": comment}),
            None => json!({"name": tag}),
        }
    });
    described.collect()
}
