//! What the user wrote: every key that was there, read to its type, each with its place. Nothing is required yet and
//! nothing has a default; that is settling.
//!
//! The readers below take what they can from the tree and note a mistake for what they can't, so that one run tells
//! of all of them.

mod openapi;
mod reflect;
mod repeat;
mod rest;
mod routes;
mod spread;
mod upstream;

pub(super) use reflect::Reflect;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(super) use self::upstream::{ClusterTls, Discovery, Health, endpoints_file};
use super::node::{Entry, Node, Position, Value};
use super::reference_table::{hint, keys_of, meant};
use super::value::{self, Parsed, Wrong};
use crate::catalog::{
    BytesForm, Conflicts, EnumForm, GuardMode, Mistake, PartialHedge, PartialRest, PartialRetry, PartialSse, Place,
    UnknownFields, UnknownNumbers, Verb, Weave,
};
use crate::describe::OpenapiOptions;
use crate::upstream::{EndpointSettings, RetryBudgetSettings};

pub(super) use self::routes::{Mirror, Route};

/// Where something was said: a place of the file and its key, or a flag.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spot {
    pub place: Option<Place>,
    /// `listeners[0].address`, or `--listen`.
    pub key: String,
}

/// A value and where it was said.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct At<T> {
    pub value: T,
    pub spot: Spot,
}

/// The whole document.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub listeners: Vec<Listener>,
    pub admin: Option<At<SocketAddr>>,
    pub workers: Option<At<usize>>,
    pub drain_timeout: Option<At<Duration>>,
    /// Where the edge stands.
    pub zone: Option<At<String>>,
    pub clusters: Vec<Cluster>,
    pub catalogs: Vec<Catalog>,
    pub cors: Option<Cors>,
    pub settings: Vec<Settings>,
    pub routes: Vec<Route>,
    pub openapi: OpenapiOptions,
}

#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub address: Option<At<SocketAddr>>,
    pub tls: Option<ListenerTls>,
    pub max_connections: Option<At<usize>>,
    pub header_timeout: Option<At<Duration>>,
    pub idle_timeout: Option<At<Duration>>,
    pub max_age: Option<At<Duration>>,
    pub max_concurrent_streams: Option<At<u32>>,
    pub max_header_bytes: Option<At<u32>>,
    pub websockets: Option<At<bool>>,
    pub websocket_ping_interval: Option<At<Duration>>,
}

#[derive(Clone, Debug)]
pub(super) struct ListenerTls {
    pub identity: Identity,
    pub client_ca: Option<At<PathBuf>>,
    pub sni: Vec<Sni>,
    pub plaintext: Option<At<bool>>,
}

/// A certificate and its key; settling wants both or none.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub spot: Spot,
    pub certificate: Option<At<PathBuf>>,
    pub key: Option<At<PathBuf>>,
}

#[derive(Clone, Debug)]
pub(super) struct Sni {
    pub names: Vec<At<String>>,
    pub identity: Identity,
}

#[derive(Debug)]
pub(super) struct Cluster {
    pub name: At<String>,
    pub endpoints: Vec<At<EndpointSettings>>,
    pub connect_timeout: Option<At<Duration>>,
    pub max_connections: Option<At<usize>>,
    pub ping_interval: Option<At<Duration>>,
    pub ping_timeout: Option<At<Duration>>,
    pub tls: Option<ClusterTls>,
    pub authority: Option<At<String>>,
    pub spread: spread::Spread,
    pub discovery: Option<Discovery>,
    pub health: Option<Health>,
    pub retry_budget: RetryBudgetSettings,
}

#[derive(Debug)]
pub(super) struct Catalog {
    pub spot: Spot,
    pub name: Option<At<String>>,
    pub proto_paths: Vec<At<PathBuf>>,
    /// As written: settling looks for them under the roots and beside the configuration.
    pub protos: Vec<At<PathBuf>>,
    pub descriptor_sets: Vec<At<PathBuf>>,
    pub reflect: Option<Reflect>,
    pub cluster: Option<At<String>>,
    pub upstream: Vec<At<EndpointSettings>>,
    pub hosts: Vec<(At<String>, Vec<At<String>>)>,
    pub default_hosts: Option<At<bool>>,
    pub rules: Vec<Rule>,
    pub conflicts: Option<At<Conflicts>>,
    pub lenient_slash: Option<At<bool>>,
    pub decode_slash: Option<At<bool>>,
    pub auto_mapping: Option<At<bool>>,
    pub pass_unknown_methods: Option<At<bool>>,
    pub settings: Option<Settings>,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub spot: Spot,
    pub selector: Option<At<String>>,
    pub binding: Option<Binding>,
    pub additional_bindings: Vec<Binding>,
    pub add: Option<At<bool>>,
}

#[derive(Debug)]
pub(super) struct Binding {
    pub verb: Verb,
    pub path: String,
    pub body: Option<At<String>>,
    pub response_body: Option<At<String>>,
}

#[derive(Debug)]
pub(super) struct Cors {
    pub spot: Spot,
    pub origins: Vec<At<String>>,
    pub methods: Vec<At<http::Method>>,
    pub allow_headers: Vec<At<http::HeaderName>>,
    pub expose_headers: Vec<At<http::HeaderName>>,
    pub credentials: Option<At<bool>>,
    pub max_age: Option<At<Duration>>,
}

#[derive(Debug)]
pub(super) struct Settings {
    pub spot: Spot,
    pub matches: Option<At<String>>,
    pub max_request_message: Option<At<usize>>,
    pub max_response_message: Option<At<usize>>,
    pub default_deadline: Option<At<Duration>>,
    pub max_deadline: Option<At<Duration>>,
    pub idle_timeout: Option<At<Duration>>,
    pub unknown_json_fields: Option<At<UnknownFields>>,
    pub weave: Option<At<Weave>>,
    pub print_unset: Option<At<bool>>,
    pub proto_names: Option<At<bool>>,
    pub enums: Option<At<EnumForm>>,
    pub int64_numbers: Option<At<bool>>,
    pub bytes: Option<At<BytesForm>>,
    pub indent: Option<At<u8>>,
    pub ignored_query: Option<Vec<At<String>>>,
    pub upstream_encodings: Option<Vec<At<String>>>,
    pub compress_from: Option<At<usize>>,
    pub require_connect_version: Option<At<bool>>,
    pub guard: Guard,
    pub validate: Validate,
    pub idempotent: Option<At<bool>>,
    pub retry: PartialRetry,
    pub hedge: PartialHedge,
    pub rest: PartialRest,
    pub sse: PartialSse,
}

/// The schema guard of some methods.
#[derive(Debug, Default)]
pub(super) struct Guard {
    pub requests: Option<At<GuardMode>>,
    pub responses: Option<At<GuardMode>>,
    pub unknown: Option<At<UnknownNumbers>>,
    pub max_repeated: Option<At<usize>>,
    pub max_string: Option<At<usize>>,
    pub max_bytes: Option<At<usize>>,
    pub max_depth: Option<At<u32>>,
}

/// What rules of `buf.validate` mean for some methods.
#[derive(Debug, Default)]
pub(super) struct Validate {
    pub requests: Option<At<GuardMode>>,
    pub responses: Option<At<GuardMode>>,
}

/// Looks up environment variables; tests have their own.
pub(super) type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Reads the tree of a file. Comes with the mistakes, and with the keys that are only misspelt and thus not missing.
pub(super) fn read(
    root: &Node,
    file: &Arc<str>,
    base: &Path,
    environment: Environment<'_>,
) -> (Written, Vec<Mistake>, Vec<String>) {
    let mut reader = Reader { file, base, environment, mistakes: Vec::new(), misspelt: Vec::new() };
    let written = match Table::open(&mut reader, root, Spot { place: None, key: String::new() }, "") {
        Some(table) => Written::read(&mut reader, &table),
        None => Written::default(),
    };
    (written, reader.mistakes, reader.misspelt)
}

/// What is the same for the whole document, and the mistakes so far.
struct Reader<'r> {
    file: &'r Arc<str>,
    /// The folder that paths are relative to.
    base: &'r Path,
    environment: Environment<'r>,
    mistakes: Vec<Mistake>,
    /// Right spellings of unknown keys: to call these missing as well would be telling the same twice.
    misspelt: Vec<String>,
}

/// A table that is being read: its entries, and which keys it may have.
struct Table<'n> {
    spot: Spot,
    entries: &'n [Entry],
    /// Its path in the reference table.
    known: &'static str,
}

// === impl Written ===

impl Written {
    fn read(r: &mut Reader<'_>, t: &Table<'_>) -> Written {
        Written {
            listeners: t.tables(r, "listeners", "listeners[]").iter().map(|t| Listener::read(r, t)).collect(),
            admin: t.table(r, "admin", "admin").and_then(|t| t.required(r, "address", value::address)),
            workers: t.one(r, "workers", value::count(1, 1024)),
            drain_timeout: t.one(r, "drain_timeout", value::duration_or_zero),
            zone: t.one(r, "zone", value::text),
            clusters: t.named(r, "clusters", "clusters.<name>").iter().map(|t| Cluster::read(r, t)).collect(),
            catalogs: t.tables(r, "catalogs", "catalogs[]").iter().map(|t| Catalog::read(r, t)).collect(),
            cors: t.table(r, "cors", "cors").map(|t| Cors::read(r, &t)),
            settings: t.tables(r, "settings", "settings[]").iter().map(|t| Settings::read(r, t)).collect(),
            routes: t.tables(r, "routes", "routes[]").iter().map(|t| Route::read(r, t)).collect(),
            openapi: t.table(r, "openapi", "openapi").map(|t| openapi::read(r, &t)).unwrap_or_default(),
        }
    }
}

// === impl Listener ===

impl Listener {
    /// A listener of which nothing is said.
    pub fn unsaid() -> Listener {
        Listener {
            address: None,
            tls: None,
            max_connections: None,
            header_timeout: None,
            idle_timeout: None,
            max_age: None,
            max_concurrent_streams: None,
            max_header_bytes: None,
            websockets: None,
            websocket_ping_interval: None,
        }
    }

    fn read(r: &mut Reader<'_>, t: &Table<'_>) -> Listener {
        let websocket = t.table(r, "websocket", "listeners[].websocket");
        Listener {
            address: t.required(r, "address", value::address),
            tls: t.table(r, "tls", "listeners[].tls").map(|t| ListenerTls::read(r, &t)),
            max_connections: t.one(r, "max_connections", value::count(0, 10_000_000)),
            header_timeout: t.one(r, "header_timeout", value::duration),
            idle_timeout: t.one(r, "idle_timeout", value::duration),
            max_age: t.one(r, "max_age", value::duration),
            max_concurrent_streams: t.one(r, "max_concurrent_streams", value::count(1, 1_000_000)),
            // hyper's smallest buffer for a head is 8 KiB; above 1 MiB, each connection could hold that much
            max_header_bytes: t.one(r, "max_header_bytes", value::size_within(8 << 10, 1 << 20)),
            websockets: websocket.as_ref().and_then(|t| t.one(r, "enabled", value::boolean)),
            websocket_ping_interval: websocket.as_ref().and_then(|t| t.one(r, "ping_interval", value::duration)),
        }
    }
}

impl ListenerTls {
    fn read(r: &mut Reader<'_>, t: &Table<'_>) -> ListenerTls {
        const PLAINTEXT: &[(&str, bool)] = &[("also", true), ("refuse", false)];
        ListenerTls {
            identity: Identity::read(r, t),
            client_ca: t.path(r, "client_ca"),
            sni: t.tables(r, "sni", "listeners[].tls.sni[]").iter().map(|t| Sni::read(r, t)).collect(),
            plaintext: t.one(r, "plaintext", value::choice(PLAINTEXT)),
        }
    }
}

impl Identity {
    fn read(r: &mut Reader<'_>, t: &Table<'_>) -> Identity {
        Identity { spot: t.spot.clone(), certificate: t.path(r, "certificate"), key: t.path(r, "key") }
    }
}

impl Sni {
    fn read(r: &mut Reader<'_>, t: &Table<'_>) -> Sni {
        let names = t.many(r, "names", value::server_name);
        if !t.has("names") {
            r.missing(t, "names", "names");
        }
        Sni { names, identity: Identity::read(r, t) }
    }
}

// === impl Cluster ===

impl Cluster {
    fn read(r: &mut Reader<'_>, t: &Table<'_>) -> Cluster {
        let pings = t.table(r, "keep_alive", "clusters.<name>.keep_alive");
        Cluster {
            name: t.own_name(r),
            endpoints: spread::endpoints(r, t),
            connect_timeout: t.one(r, "connect_timeout", value::duration),
            max_connections: t.one(r, "max_connections", value::count(1, 1024)),
            ping_interval: pings.as_ref().and_then(|t| t.one(r, "interval", value::duration)),
            ping_timeout: pings.as_ref().and_then(|t| t.one(r, "timeout", value::duration)),
            tls: t.table(r, "tls", "clusters.<name>.tls").map(|t| ClusterTls::read(r, &t)),
            authority: t.one(r, "authority", value::authority),
            spread: spread::Spread::read(r, t),
            discovery: Discovery::read(r, t),
            health: Health::read(r, t),
            retry_budget: t
                .table(r, "retry_budget", "clusters.<name>.retry_budget")
                .map_or_else(RetryBudgetSettings::default, |t| repeat::budget(r, &t)),
        }
    }
}

// === impl Catalog ===

impl Catalog {
    /// A catalog of which nothing is said.
    pub fn unsaid(spot: Spot) -> Catalog {
        Catalog {
            spot,
            name: None,
            proto_paths: Vec::new(),
            protos: Vec::new(),
            descriptor_sets: Vec::new(),
            reflect: None,
            cluster: None,
            upstream: Vec::new(),
            hosts: Vec::new(),
            default_hosts: None,
            rules: Vec::new(),
            conflicts: None,
            lenient_slash: None,
            decode_slash: None,
            auto_mapping: None,
            pass_unknown_methods: None,
            settings: None,
        }
    }

    fn read(r: &mut Reader<'_>, t: &Table<'_>) -> Catalog {
        const CONFLICTS: &[(&str, Conflicts)] = &[("refuse", Conflicts::Refuse), ("report", Conflicts::Report)];
        const UNKNOWN: &[(&str, bool)] = &[("refuse", false), ("pass", true)];
        const TRAILING: &[(&str, bool)] = &[("strict", false), ("lenient", true)];
        const ENCODED: &[(&str, bool)] = &[("keep", false), ("decode", true)];
        let paths = t.table(r, "paths", "catalogs[].paths");
        let mut catalog = Catalog {
            name: t.required(r, "name", value::name),
            proto_paths: t.paths(r, "proto_paths"),
            protos: t.many(r, "protos", |text| value::text(text).map(PathBuf::from)),
            descriptor_sets: t.paths(r, "descriptor_sets"),
            reflect: Reflect::read(r, t),
            cluster: t.one(r, "cluster", value::name),
            upstream: t.many(r, "upstream", value::endpoint),
            ..Catalog::unsaid(t.spot.clone())
        };
        catalog.hosts = t.hosts(r);
        catalog.default_hosts = t.one(r, "default_hosts", value::boolean);
        catalog.lenient_slash = paths.as_ref().and_then(|t| t.one(r, "trailing_slash", value::choice(TRAILING)));
        catalog.decode_slash = paths.as_ref().and_then(|t| t.one(r, "encoded_slash", value::choice(ENCODED)));
        catalog.rules = t.tables(r, "rules", "catalogs[].rules[]").iter().map(|t| Rule::read(r, t)).collect();
        catalog.conflicts = t.one(r, "conflicts", value::choice(CONFLICTS));
        catalog.auto_mapping = t.one(r, "auto_mapping", value::boolean);
        catalog.pass_unknown_methods = t.one(r, "unknown_methods", value::choice(UNKNOWN));
        catalog.settings = t.table(r, "settings", "settings[]").map(|t| Settings::read_unmatched(r, &t));
        if let Some(of) = catalog.settings.as_ref().and_then(|settings| settings.matches.as_ref()) {
            r.mistakes.push(
                of.spot
                    .mistake("a catalog's settings are for all its methods")
                    .hint("remove `match`, or move this to the top's `settings`"),
            );
        }
        catalog
    }
}

impl Rule {
    fn read(r: &mut Reader<'_>, t: &Table<'_>) -> Rule {
        let more = t.tables(r, "additional_bindings", "catalogs[].rules[].additional_bindings[]");
        Rule {
            spot: t.spot.clone(),
            selector: t.required(r, "selector", value::selector),
            binding: Binding::read(r, t, "catalogs[].rules[].custom"),
            additional_bindings: more
                .iter()
                .filter_map(|t| Binding::read(r, t, "catalogs[].rules[].additional_bindings[].custom"))
                .collect(),
            add: t.one(r, "add", value::boolean),
        }
    }
}

impl Binding {
    /// `None` where no path could be read; then there is a mistake.
    fn read(r: &mut Reader<'_>, t: &Table<'_>, custom: &'static str) -> Option<Binding> {
        use http::Method;
        const VERBS: [(&str, Method); 5] = [
            ("get", Method::GET),
            ("put", Method::PUT),
            ("post", Method::POST),
            ("delete", Method::DELETE),
            ("patch", Method::PATCH),
        ];
        let mut paths = Vec::new();
        for (key, verb) in VERBS {
            paths.extend(t.one(r, key, value::template).map(|path| (Verb::Exact(verb), path)));
        }
        if let Some(t) = t.table(r, "custom", custom) {
            let kind = t.required(r, "kind", value::verb);
            let path = t.required(r, "path", value::template);
            paths.extend(kind.zip(path).map(|(kind, path)| (kind.value, path)));
        }
        let said = VERBS.iter().filter(|(key, _)| t.has(key)).count() + usize::from(t.has("custom"));
        match said {
            0 if VERBS.iter().any(|(key, _)| r.misspelt.contains(&t.spot.below(key).key)) => {}
            0 => r.mistakes.push(t.spot.mistake("has no path").hint("one of get, put, post, delete, patch, custom")),
            1 => {}
            _ => r.mistakes.push(t.spot.mistake("has several paths").hint("put the others in `additional_bindings`")),
        }
        let body = t.one(r, "body", value::text);
        let response_body = t.one(r, "response_body", value::text);
        let (verb, path) = paths.into_iter().next()?;
        Some(Binding { verb, path: path.value, body, response_body })
    }
}

// === impl Cors ===

impl Cors {
    /// Of which nothing is said but that it is there.
    pub fn unsaid(spot: Spot) -> Cors {
        Cors {
            spot,
            origins: Vec::new(),
            methods: Vec::new(),
            allow_headers: Vec::new(),
            expose_headers: Vec::new(),
            credentials: None,
            max_age: None,
        }
    }

    fn read(r: &mut Reader<'_>, t: &Table<'_>) -> Cors {
        Cors {
            spot: t.spot.clone(),
            origins: t.many(r, "origins", value::origin),
            methods: t.many(r, "methods", value::http_method),
            allow_headers: t.many(r, "allow_headers", value::header_name),
            expose_headers: t.many(r, "expose_headers", value::header_name),
            credentials: t.one(r, "credentials", value::boolean),
            max_age: t.one(r, "max_age", value::duration_or_zero),
        }
    }
}

// === impl Settings ===

impl Settings {
    /// Of which nothing is said.
    pub fn unsaid(spot: Spot) -> Settings {
        Settings {
            spot,
            matches: None,
            max_request_message: None,
            max_response_message: None,
            default_deadline: None,
            max_deadline: None,
            idle_timeout: None,
            unknown_json_fields: None,
            weave: None,
            print_unset: None,
            proto_names: None,
            enums: None,
            int64_numbers: None,
            bytes: None,
            indent: None,
            ignored_query: None,
            upstream_encodings: None,
            compress_from: None,
            require_connect_version: None,
            guard: Guard::default(),
            validate: Validate::default(),
            idempotent: None,
            retry: PartialRetry::default(),
            hedge: PartialHedge::default(),
            rest: PartialRest::default(),
            sse: PartialSse::default(),
        }
    }

    fn read(r: &mut Reader<'_>, t: &Table<'_>) -> Settings {
        if !t.has("match") {
            r.missing(t, "match", "match: \"*\"");
        }
        Settings::read_unmatched(r, t)
    }

    fn read_unmatched(r: &mut Reader<'_>, t: &Table<'_>) -> Settings {
        const UNKNOWN: &[(&str, UnknownFields)] =
            &[("refuse", UnknownFields::Refuse), ("ignore", UnknownFields::Ignore)];
        const UNSET: &[(&str, bool)] = &[("omit", false), ("print", true)];
        const NAMES: &[(&str, bool)] = &[("json", false), ("proto", true)];
        const ENUMS: &[(&str, EnumForm)] =
            &[("name", EnumForm::Name), ("short", EnumForm::ShortName), ("number", EnumForm::Number)];
        const INT64: &[(&str, bool)] = &[("string", false), ("number", true)];
        const BYTES: &[(&str, BytesForm)] =
            &[("base64", BytesForm::Base64), ("base64url", BytesForm::Base64Url), ("hex", BytesForm::Hex)];
        const WEAVE: &[(&str, Weave)] = &[("first", Weave::First), ("every", Weave::Every)];
        const VERSION: &[(&str, bool)] = &[("optional", false), ("required", true)];
        let deadline = t.table(r, "deadline", "settings[].deadline");
        let json = t.table(r, "json", "settings[].json");
        let query = t.table(r, "query", "settings[].query");
        let compression = t.table(r, "compression", "settings[].compression");
        let connect = t.table(r, "connect", "settings[].connect");
        let http = t.table(r, "rest", "settings[].rest");
        Settings {
            spot: t.spot.clone(),
            matches: t.one(r, "match", value::methods),
            max_request_message: t.one(r, "max_request_message", value::size),
            max_response_message: t.one(r, "max_response_message", value::size),
            default_deadline: deadline.as_ref().and_then(|t| t.one(r, "default", value::duration)),
            max_deadline: deadline.as_ref().and_then(|t| t.one(r, "max", value::duration)),
            idle_timeout: t.one(r, "idle_timeout", value::duration),
            unknown_json_fields: json.as_ref().and_then(|t| t.one(r, "unknown_fields", value::choice(UNKNOWN))),
            weave: t.one(r, "weave", value::choice(WEAVE)),
            print_unset: json.as_ref().and_then(|t| t.one(r, "unset_fields", value::choice(UNSET))),
            proto_names: json.as_ref().and_then(|t| t.one(r, "names", value::choice(NAMES))),
            enums: json.as_ref().and_then(|t| t.one(r, "enums", value::choice(ENUMS))),
            int64_numbers: json.as_ref().and_then(|t| t.one(r, "int64", value::choice(INT64))),
            bytes: json.as_ref().and_then(|t| t.one(r, "bytes", value::choice(BYTES))),
            indent: json.as_ref().and_then(|t| t.one(r, "indent", value::indent)),
            ignored_query: query.as_ref().filter(|t| t.has("ignored")).map(|t| t.many(r, "ignored", value::text)),
            upstream_encodings: compression
                .as_ref()
                .filter(|t| t.has("upstream"))
                .map(|t| t.many(r, "upstream", value::encoding)),
            compress_from: compression.as_ref().and_then(|t| t.one(r, "answers_from", value::size)),
            require_connect_version: connect
                .as_ref()
                .and_then(|t| t.one(r, "protocol_version", value::choice(VERSION))),
            guard: t.table(r, "guard", "settings[].guard").map_or_else(Guard::default, |t| Guard::read(r, &t)),
            validate: t
                .table(r, "validate", "settings[].validate")
                .map_or_else(Validate::default, |t| Validate::read(r, &t)),
            idempotent: t.one(r, "idempotent", value::boolean),
            retry: t.table(r, "retry", "settings[].retry").map_or_else(PartialRetry::default, |t| repeat::retry(r, &t)),
            hedge: t.table(r, "hedge", "settings[].hedge").map_or_else(PartialHedge::default, |t| repeat::hedge(r, &t)),
            rest: rest::rest(r, http.as_ref(), query.as_ref()),
            sse: t.table(r, "sse", "settings[].sse").map_or_else(PartialSse::default, |t| rest::sse(r, &t)),
        }
    }
}

/// What may be done with messages that break something.
pub(super) const MODES: &[(&str, GuardMode)] =
    &[("off", GuardMode::Off), ("shadow", GuardMode::Shadow), ("enforce", GuardMode::Enforce)];

// === impl Guard ===

impl Guard {
    fn read(r: &mut Reader<'_>, t: &Table<'_>) -> Guard {
        const UNKNOWN: &[(&str, UnknownNumbers)] =
            &[("pass", UnknownNumbers::Pass), ("report", UnknownNumbers::Report), ("refuse", UnknownNumbers::Refuse)];
        Guard {
            requests: t.one(r, "requests", value::choice(MODES)),
            responses: t.one(r, "responses", value::choice(MODES)),
            unknown: t.one(r, "unknown_fields", value::choice(UNKNOWN)),
            max_repeated: t.one(r, "max_repeated", value::number),
            max_string: t.one(r, "max_string", value::size),
            max_bytes: t.one(r, "max_bytes", value::size),
            max_depth: t.one(r, "max_depth", value::depth),
        }
    }
}

// === impl Validate ===

impl Validate {
    fn read(r: &mut Reader<'_>, t: &Table<'_>) -> Validate {
        Validate {
            requests: t.one(r, "requests", value::choice(MODES)),
            responses: t.one(r, "responses", value::choice(MODES)),
        }
    }
}

// === impl Table ===

impl<'n> Table<'n> {
    /// Checks that a part is a table and that it has known keys only, each once.
    fn open(r: &mut Reader<'_>, node: &'n Node, spot: Spot, known: &'static str) -> Option<Table<'n>> {
        let Value::Table(entries) = &node.value else {
            r.shape(node, spot, "a table of keys");
            return None;
        };
        let table = Table { spot, entries, known };
        for (index, entry) in entries.iter().enumerate() {
            let spot = table.spot_of(r, entry.at, &entry.key);
            if keys_of(known).all(|(name, _)| name != &*entry.key) {
                r.mistakes.push(spot.mistake("unknown key").hint(hint(known, &entry.key)));
                r.misspelt.extend(meant(known, &entry.key).map(|key| table.spot.below(key).key));
            } else {
                r.repeated(entries, index, spot);
            }
        }
        Some(table)
    }

    fn entry(&self, key: &str) -> Option<&'n Entry> {
        debug_assert!(keys_of(self.known).any(|(name, _)| name == key), "{}.{key} has no reference", self.known);
        self.entries.iter().find(|entry| &*entry.key == key)
    }

    fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    fn spot_of(&self, r: &Reader<'_>, at: Position, key: &str) -> Spot {
        r.spot(at, self.spot.below(key).key)
    }

    /// The key's value and where it stands; of a value that is not there, where the key stands.
    fn value(&self, r: &Reader<'_>, key: &str) -> Option<(&'n Node, Spot)> {
        let entry = self.entry(key)?;
        let at = match entry.value.value {
            Value::Text(_) => entry.value.at,
            _ => entry.at,
        };
        Some((&entry.value, self.spot_of(r, at, key)))
    }

    /// The name that the user gave this table in a table of tables.
    fn own_name(&self, r: &mut Reader<'_>) -> At<String> {
        let name = self.spot.key.split_once('.').map_or("", |(_, name)| name).to_owned();
        if let Err(wrong) = value::name(&name) {
            r.mistakes.push(self.spot.wrong(wrong));
        }
        At { value: name, spot: self.spot.clone() }
    }

    /// A single value.
    fn one<T>(&self, r: &mut Reader<'_>, key: &str, parse: impl Fn(&str) -> Parsed<T>) -> Option<At<T>> {
        let (node, spot) = self.value(r, key)?;
        r.parse(node, spot, parse)
    }

    /// A single value, when nobody will ask where it was said.
    fn said<T>(&self, r: &mut Reader<'_>, key: &str, parse: impl Fn(&str) -> Parsed<T>) -> Option<T> {
        self.one(r, key, parse).map(|at| at.value)
    }

    /// A single value that has to be there.
    fn required<T>(&self, r: &mut Reader<'_>, key: &str, parse: impl Fn(&str) -> Parsed<T>) -> Option<At<T>> {
        if !self.has(key) {
            r.missing(self, key, key);
        }
        self.one(r, key, parse)
    }

    /// One value or a list of them.
    fn many<T>(&self, r: &mut Reader<'_>, key: &str, parse: impl Fn(&str) -> Parsed<T>) -> Vec<At<T>> {
        self.value(r, key).map_or_else(Vec::new, |(node, spot)| r.parse_many(node, spot, parse))
    }

    /// A path, relative to the file's folder.
    fn path(&self, r: &mut Reader<'_>, key: &str) -> Option<At<PathBuf>> {
        let base = r.base;
        self.one(r, key, |text| value::text(text).map(|path| base.join(path)))
    }

    fn paths(&self, r: &mut Reader<'_>, key: &str) -> Vec<At<PathBuf>> {
        let base = r.base;
        self.many(r, key, |text| value::text(text).map(|path| base.join(path)))
    }

    fn table(&self, r: &mut Reader<'_>, key: &str, known: &'static str) -> Option<Table<'n>> {
        let (node, spot) = self.value(r, key)?;
        Table::open(r, node, spot, known)
    }

    /// A list of tables.
    fn tables(&self, r: &mut Reader<'_>, key: &str, known: &'static str) -> Vec<Table<'n>> {
        let Some((node, spot)) = self.value(r, key) else { return Vec::new() };
        let Value::List(items) = &node.value else {
            r.shape(node, spot, "a list");
            return Vec::new();
        };
        let item = |(index, node): (usize, &'n Node)| {
            let spot = r.spot(node.at, format!("{}[{index}]", spot.key));
            Table::open(r, node, spot, known)
        };
        items.iter().enumerate().filter_map(item).collect()
    }

    /// A table of tables, named by the user.
    fn named(&self, r: &mut Reader<'_>, key: &str, known: &'static str) -> Vec<Table<'n>> {
        self.entries_of(r, key)
            .into_iter()
            .filter_map(|(entry, spot)| Table::open(r, &entry.value, spot, known))
            .collect()
    }

    /// The entries of a table whose keys are the user's own.
    fn entries_of(&self, r: &mut Reader<'_>, key: &str) -> Vec<(&'n Entry, Spot)> {
        let Some((node, spot)) = self.value(r, key) else { return Vec::new() };
        let Value::Table(entries) = &node.value else {
            r.shape(node, spot, "a table of names");
            return Vec::new();
        };
        let mut found: Vec<(&'n Entry, Spot)> = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let spot = r.spot(entry.at, format!("{}.{}", spot.key, entry.key));
            if r.repeated(entries, index, spot.clone()) {
                continue;
            }
            found.push((entry, spot));
        }
        found
    }

    fn hosts(&self, r: &mut Reader<'_>) -> Vec<(At<String>, Vec<At<String>>)> {
        let mut found = Vec::new();
        for (entry, spot) in self.entries_of(r, "hosts") {
            let hosts = r.parse_many(&entry.value, spot.clone(), value::host);
            match value::services(&entry.key) {
                Ok(services) => found.push((At { value: services, spot }, hosts)),
                Err(wrong) => r.mistakes.push(spot.wrong(wrong)),
            }
        }
        found
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn spot(&self, at: Position, key: String) -> Spot {
        Spot { place: Some(Place::new(Arc::clone(self.file), at.line, at.column)), key }
    }

    fn parse<T>(&mut self, node: &Node, spot: Spot, parse: impl Fn(&str) -> Parsed<T>) -> Option<At<T>> {
        let Value::Text(text) = &node.value else {
            self.shape(node, spot, "a single value");
            return None;
        };
        match substituted(text, self.environment).and_then(|text| parse(&text)) {
            Ok(value) => Some(At { value, spot }),
            Err(wrong) => {
                self.mistakes.push(spot.wrong(wrong));
                None
            }
        }
    }

    fn parse_many<T>(&mut self, node: &Node, spot: Spot, parse: impl Fn(&str) -> Parsed<T>) -> Vec<At<T>> {
        let Value::List(items) = &node.value else { return self.parse(node, spot, parse).into_iter().collect() };
        let mut found = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let spot = self.spot(item.at, format!("{}[{index}]", spot.key));
            found.extend(self.parse(item, spot, &parse));
        }
        found
    }

    fn shape(&mut self, node: &Node, spot: Spot, wanted: &str) {
        let found = match &node.value {
            Value::Empty => "nothing",
            Value::Text(_) => "a single value",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        };
        let spot = if spot.place.is_some() { spot } else { self.spot(node.at, spot.key) };
        let mistake = spot.mistake(format!("needs {wanted}, and has {found}"));
        self.mistakes.push(match (&node.value, wanted) {
            (Value::Empty, _) => mistake.hint("give a value, or remove the key"),
            (Value::Table(_), "a list") => mistake.hint("begin each item with `- `"),
            _ => mistake,
        });
    }

    fn missing(&mut self, table: &Table<'_>, key: &str, example: &str) {
        if self.misspelt.contains(&table.spot.below(key).key) {
            return;
        }
        let takes = keys_of(table.known).find(|(name, _)| *name == key).map(|(_, key)| key);
        let mistake = table.spot.mistake(format!("`{key}` is missing"));
        self.mistakes.push(match takes {
            Some(known) if example == key => mistake.hint(format!("{key}: {}", known.takes)),
            _ => mistake.hint(format!("as in `{example}`")),
        });
    }

    /// Complains about a key that stood before in its table.
    fn repeated(&mut self, entries: &[Entry], index: usize, spot: Spot) -> bool {
        let Some(entry) = entries.get(index) else { return false };
        let first = entries.iter().take(index).find(|earlier| earlier.key == entry.key);
        if let Some(first) = first {
            self.mistakes.push(spot.mistake("is there twice").hint(format!("first in line {}", first.at.line)));
        }
        first.is_some()
    }
}

/// Puts environment variables in: `${NAME}`, `${NAME:-default}`; `$${` stands for `${`. What a variable holds is not
/// looked at again, and cannot change the document's structure.
fn substituted(text: &str, environment: Environment<'_>) -> Parsed<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = (rest.get(..start).unwrap_or_default(), rest.get(start + 2..).unwrap_or_default());
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((inner, tail)) = after.split_once('}') else {
            return Err(value::wrong("`${` is not closed").hint("write $${ for the two characters themselves"));
        };
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(fits) {
            return Err(value::wrong(format!("{} is not the name of a variable", value::quoted(name)))
                .hint("as in ${NAME} or ${NAME:-default}; write $${ for the two characters themselves"));
        }
        // as in a shell, `:-` takes its default for a variable that is empty, too
        let found = environment(name).filter(|found| default.is_none() || !found.is_empty());
        match found.as_deref().or(default) {
            Some(value) => out.push_str(value),
            None => {
                return Err(value::wrong(format!("the environment variable {name} is not set"))
                    .hint(format!("set it, or give a default: ${{{name}:-default}}")));
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

// === impl Spot ===

impl Spot {
    /// A flag of the command line.
    pub fn flag(name: &str) -> Spot {
        Spot { place: None, key: name.to_owned() }
    }

    /// A key below this one that the user did not write.
    pub fn below(&self, key: &str) -> Spot {
        let key = match self.key.as_str() {
            flag if flag.starts_with("--") => flag.to_owned(),
            "" => key.to_owned(),
            above => format!("{above}.{key}"),
        };
        Spot { place: self.place.clone(), key }
    }

    pub fn mistake(&self, text: impl Into<String>) -> Mistake {
        let mistake = match self.key.as_str() {
            "" => Mistake::new(text),
            key => Mistake::new(text).key(key),
        };
        match &self.place {
            Some(place) => mistake.at(place.clone()),
            None => mistake,
        }
    }

    pub fn wrong(&self, wrong: Wrong) -> Mistake {
        let mistake = self.mistake(wrong.text);
        match wrong.hint {
            Some(hint) => mistake.hint(hint),
            None => mistake,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in_once_and_stay_text() {
        let environment = |name: &str| match name {
            "PORT" => Some("8080".to_owned()),
            "TRICK" => Some("${PORT}".to_owned()),
            "NONE" => Some(String::new()),
            _ => None,
        };
        let put = |text: &str| substituted(text, &environment);
        assert_eq!(put("127.0.0.1:${PORT}"), Ok("127.0.0.1:8080".into()));
        assert_eq!(put("${HOST:-localhost}:${PORT}"), Ok("localhost:8080".into()));
        assert_eq!(put("${NONE:-x}${NONE}"), Ok("x".into()));
        assert_eq!(put("${TRICK}"), Ok("${PORT}".into()), "what a variable holds is not looked at again");
        assert_eq!(put("$${PORT} costs $5"), Ok("${PORT} costs $5".into()));
        for bad in ["${NOBODY}", "${PORT", "${}", "${a b}", "${:-x}"] {
            assert!(put(bad).is_err(), "{bad}");
        }
    }
}
