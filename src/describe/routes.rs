//! The list of all routes: for `transom routes`.

use std::sync::Arc;

use serde::Serialize;

use crate::catalog::{Binding, Body, Catalog, Idempotency, Method};
use crate::route::{MethodRef, RouteTold, Table, Targets};

/// One way to a method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteLine {
    /// HTTP method, or `*` for any.
    pub verb: String,
    /// Method path, or template as written.
    pub path: String,
    pub via: Via,
    /// What the request body fills: `*`, the name of a field, or nothing. Only of templates.
    pub body: Option<String>,
    /// The only field of the answer that is printed, if it is not the whole.
    pub response_body: Option<String>,
    /// `pkg.Service.Method`.
    pub method: String,
    /// `unary`, `client stream`, `server stream` or `bidi stream`.
    pub kind: &'static str,
    /// Host names under which a template is reached; empty: any.
    pub hosts: Vec<String>,
    pub catalog: String,
    pub cluster: String,
    /// Where it is written: `file:line:column`.
    pub place: String,
    /// Another rule claims the same: nobody gets here.
    pub disputed: bool,
    /// The routes that may send its calls to other clusters, in order; see [`with_targets`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteTold>,
}

/// Which callers take this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// gRPC, gRPC-Web and Connect.
    Rpc,
    /// The same, and plain JSON besides.
    RpcAndJson,
    /// REST by a template.
    Rest,
}

/// All routes of a table, in the order of the catalogs. `catalogs` are those that it was built from.
pub fn routes(catalogs: &[Arc<Catalog>], table: &Table) -> Vec<RouteLine> {
    let mut lines = Vec::new();
    for (c, catalog) in (0..).zip(catalogs) {
        for (m, method) in (0..).zip(&catalog.methods) {
            let at = MethodRef { catalog: c, method: m };
            lines.extend(method_lines(catalog, method, table.method(&method.path) != Some(at)));
            for (i, binding) in method.bindings.iter().enumerate() {
                lines.push(binding_line(catalog, method, binding, table.is_disputed(at, i)));
            }
        }
    }
    lines
}

/// Says of each route which rules of `targets` may send its calls to other clusters than its catalog's. `targets` were
/// resolved for the catalogs that the table was built from.
pub fn with_targets(mut lines: Vec<RouteLine>, table: &Table, targets: &Targets) -> Vec<RouteLine> {
    for line in &mut lines {
        line.routes = rules_of(&line.method, table, targets);
    }
    lines
}

/// The rules for a method (`pkg.Service.Method`), in order.
pub fn rules_of(method: &str, table: &Table, targets: &Targets) -> Vec<RouteTold> {
    let path = method.rsplit_once('.').map(|(service, name)| format!("/{service}/{name}"));
    let plan = path.and_then(|path| targets.plan(table.method(&path)?));
    plan.map_or_else(Vec::new, |plan| plan.rules().iter().map(|planned| RouteTold::new(&planned.resolved)).collect())
}

/// The rules by which calls go to clusters, a line each; nothing if there are none.
pub fn targets_text(targets: &Targets) -> String {
    let mut text = String::new();
    for (at, resolved) in targets.rules.iter().enumerate() {
        let told = RouteTold::new(resolved);
        if at == 0 {
            text.push_str("\nCalls go to their catalog's cluster, unless one of these has them first:\n");
        }
        text.push_str(&format!("  {}: {}{} -> {}\n", told.name, told.matches.join(", "), told.asks(), told.target()));
    }
    text
}

/// The routes as a table with aligned columns, a line each, under a heading.
pub fn routes_text(lines: &[RouteLine]) -> String {
    let heading = ["VERB", "PATH", "BODY", "METHOD", "KIND", "HOST", "CATALOG", "PLACE"].map(str::to_owned);
    let rows: Vec<[String; 8]> = std::iter::once(heading).chain(lines.iter().map(row)).collect();
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The routes as a JSON array.
pub fn routes_json(lines: &[RouteLine]) -> String {
    // the lines hold nothing that JSON has not
    serde_json::to_string_pretty(lines).unwrap_or_default()
}

fn method_lines(catalog: &Catalog, method: &Method, disputed: bool) -> Vec<RouteLine> {
    let via = if catalog.auto_mapping { Via::RpcAndJson } else { Via::Rpc };
    let post = RouteLine {
        verb: "POST".into(),
        path: method.path.to_string(),
        via,
        body: None,
        response_body: None,
        method: dotted(method),
        kind: method.kind.as_str(),
        hosts: Vec::new(),
        catalog: catalog.name.to_string(),
        cluster: catalog.cluster.to_string(),
        place: method.place.to_string(),
        disputed,
        routes: Vec::new(),
    };
    // Connect sends calls without side effects by GET as well (Connect protocol, "Unary-Get-Request")
    let by_get = method.idempotency == Idempotency::NoSideEffects && method.kind == crate::catalog::StreamKind::Unary;
    let get = by_get.then(|| RouteLine { verb: "GET".into(), via: Via::Rpc, ..post.clone() });
    [Some(post), get].into_iter().flatten().collect()
}

fn binding_line(catalog: &Catalog, method: &Method, binding: &Binding, disputed: bool) -> RouteLine {
    let field = |message, index| catalog.schema.message(message).field(index).map(|field| field.name().to_owned());
    RouteLine {
        verb: binding.verb.to_string(),
        path: binding.template.text.to_string(),
        via: Via::Rest,
        body: match binding.body {
            Body::None => None,
            Body::All => Some("*".into()),
            Body::Field(index) => field(method.input, index),
        },
        response_body: binding.response_body.and_then(|index| field(method.output, index)),
        method: dotted(method),
        kind: method.kind.as_str(),
        hosts: catalog.services.get(method.service).into_iter().flat_map(|s| &s.hosts).map(|h| h.to_string()).collect(),
        catalog: catalog.name.to_string(),
        cluster: catalog.cluster.to_string(),
        place: binding.place.to_string(),
        disputed,
        routes: Vec::new(),
    }
}

fn dotted(method: &Method) -> String {
    method.path.trim_start_matches('/').replace('/', ".")
}

fn row(line: &RouteLine) -> [String; 8] {
    let body = match (&line.body, &line.response_body, line.via) {
        (_, _, Via::Rpc) => "rpc".to_owned(),
        (_, _, Via::RpcAndJson) => "rpc, json".to_owned(),
        (body, None, _) => body.clone().unwrap_or_else(|| "-".into()),
        (body, Some(answer), _) => format!("{} -> {answer}", body.as_deref().unwrap_or("-")),
    };
    let mut place = line.place.clone();
    if line.disputed {
        place.push_str("  (unrouted: another rule claims the same)");
    }
    let hosts = if line.hosts.is_empty() { "*".into() } else { line.hosts.join(",") };
    [
        line.verb.clone(),
        line.path.clone(),
        body,
        line.method.clone(),
        line.kind.into(),
        hosts,
        line.catalog.clone(),
        place,
    ]
}
