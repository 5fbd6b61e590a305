//! Written to settled: what has to be there is there, names refer to something, files exist and fit together, and
//! what was not said gets its default. Collects every mistake; a part with one is left out, so that one slip is told
//! once.

mod reflect;
mod upstream;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Purpose;
use super::certificate;
use super::settle_routes;
use super::settled::Settled;
use super::value::{Parsed, wrong};
use super::written::{self, At, Spot, Written};
use crate::catalog::{
    BrokenRules, Conflicts, HostRule, HttpRule, Mistake, PartialSettings, PathReading, RuleBinding, SettingRule, Source,
};
use crate::listen;
use crate::net::tls;
use crate::policy::cors;
use crate::upstream::{ClusterSettings, Discovery, EndpointSettings};
use crate::wire::closest;

/// Where `serve` listens when nothing says otherwise: this machine alone.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Checks and completes. `base` is the configuration's folder; `told` are the keys with a mistake so far: what follows from
/// one is not told again. With mistakes, the result is what could be made of the rest.
pub(super) fn settle(written: &Written, base: &Path, purpose: Purpose, told: &[String]) -> (Settled, Vec<Mistake>) {
    let mut settling = Settling { base, purpose, told, mistakes: Vec::new(), files: Vec::new() };
    let mut clusters = settling.clusters(&written.clusters);
    let settings = settling.settings(&written.settings);
    let mut catalogs = settling.catalogs(written, &settings, &mut clusters);
    let reflections = settling.reflections(written, &mut catalogs, &clusters);
    if let Some(zone) = &written.zone {
        clusters.iter_mut().for_each(|cluster| cluster.zone = Some(zone.value.as_str().into()));
    }
    let routes = settle_routes::routes(&written.routes, &clusters, &mut settling.mistakes);
    let settled = Settled {
        listeners: settling.listeners(&written.listeners, written.admin.as_ref()),
        admin: value_of(&written.admin),
        workers: value_of(&written.workers),
        drain_timeout: value_of(&written.drain_timeout).unwrap_or(DRAIN_TIMEOUT),
        clusters,
        catalogs,
        reflections,
        routes,
        cors: written.cors.as_ref().and_then(|cors| settling.cors(cors)),
        openapi: written.openapi.clone(),
        files: settling.files,
    };
    (settled, settling.mistakes)
}

struct Settling<'w> {
    base: &'w Path,
    purpose: Purpose,
    told: &'w [String],
    mistakes: Vec<Mistake>,
    /// Files that TLS needs, and pins.
    files: Vec<PathBuf>,
}

// === impl Settling ===

impl Settling<'_> {
    /// Whether there is a mistake at this key already: a value that could not be read is not missing.
    fn is_told(&self, spot: &Spot, key: &str) -> bool {
        let key = spot.below(key).key;
        self.told
            .iter()
            .any(|told| told.strip_prefix(&key).is_some_and(|rest| rest.is_empty() || rest.starts_with('[')))
    }
}

// === impl Settling: listeners ===

impl Settling<'_> {
    fn listeners(&mut self, written: &[written::Listener], admin: Option<&At<SocketAddr>>) -> Vec<listen::Settings> {
        let unsaid = [written::Listener::unsaid()];
        let written = if written.is_empty() { &unsaid } else { written };
        let mut taken: Vec<&At<SocketAddr>> = admin.into_iter().collect();
        for address in written.iter().filter_map(|listener| listener.address.as_ref()) {
            // port 0 is another free port each time
            let same = taken.iter().find(|other| other.value == address.value && address.value.port() != 0);
            if let Some(other) = same {
                let at = other.spot.place.as_ref().map(|place| format!(", line {}", place.line)).unwrap_or_default();
                let text = format!("{} is taken by `{}`{at}", address.value, other.spot.key);
                self.mistakes.push(address.spot.mistake(text));
            }
            taken.push(address);
        }
        written.iter().map(|listener| self.listener(listener)).collect()
    }

    fn listener(&mut self, w: &written::Listener) -> listen::Settings {
        let mut settings = listen::Settings::new(value_of(&w.address).unwrap_or(DEFAULT_ADDRESS));
        if let Some(tls) = &w.tls {
            settings.tls = self.listener_tls(tls);
            settings.plaintext_also = value_of(&tls.plaintext).unwrap_or(false);
        }
        // one limit for the two halves of the same wait: somebody connected, and says nothing
        set(&mut settings.greeting_timeout, &w.header_timeout);
        set(&mut settings.header_timeout, &w.header_timeout);
        set(&mut settings.idle_timeout, &w.idle_timeout);
        set(&mut settings.max_age, &w.max_age);
        set(&mut settings.max_connections, &w.max_connections);
        set(&mut settings.max_concurrent_streams, &w.max_concurrent_streams);
        set(&mut settings.max_header_bytes, &w.max_header_bytes);
        set(&mut settings.websockets, &w.websockets);
        set(&mut settings.websocket_ping_interval, &w.websocket_ping_interval);
        settings
    }

    fn listener_tls(&mut self, w: &written::ListenerTls) -> Option<tls::ServerSettings> {
        if let (Some(plaintext), Some(ca)) = (&w.plaintext, &w.client_ca)
            && plaintext.value
        {
            self.mistakes.push(
                plaintext
                    .spot
                    .mistake(format!(
                        "`plaintext: also` would let callers in without the certificate that `{}` asks for",
                        ca.spot.key
                    ))
                    .hint("remove one of the two, or serve clear text on a listener of its own"),
            );
        }
        if let Some(ca) = &w.client_ca {
            self.file(ca, certificate::authorities);
        }
        let mut sni = Vec::new();
        for w in &w.sni {
            sni.extend(self.identity(&w.identity).map(|identity| (values_of(&w.names), identity)));
        }
        self.repeated_names(&w.sni);
        Some(tls::ServerSettings { identity: self.identity(&w.identity)?, sni, client_ca: value_of(&w.client_ca) })
    }

    fn repeated_names(&mut self, sni: &[written::Sni]) {
        let names: Vec<&At<String>> = sni.iter().flat_map(|sni| &sni.names).collect();
        for (index, name) in names.iter().enumerate() {
            if let Some(first) = names.iter().take(index).find(|other| other.value == name.value) {
                self.mistakes.push(
                    name.spot.mistake(format!("{} has two certificates, also by `{}`", name.value, first.spot.key)),
                );
            }
        }
    }

    /// Both files of a pair, checked; one alone, or none, is a mistake.
    fn identity(&mut self, w: &written::Identity) -> Option<tls::Identity> {
        let chain = w.certificate.as_ref().and_then(|path| self.file(path, certificate::chain));
        let private = w.key.as_ref().and_then(|path| self.file(path, certificate::key));
        let (Some(certificate), Some(key)) = (&w.certificate, &w.key) else {
            self.half_of_a_pair(w);
            return None;
        };
        if let Err(wrong) = certificate::belong_together(chain?, private?) {
            self.mistakes.push(key.spot.wrong(wrong));
        }
        Some(tls::Identity { certificate: certificate.value.clone(), key: key.value.clone() })
    }

    fn half_of_a_pair(&mut self, w: &written::Identity) {
        let (there, missing, flag) = match (&w.certificate, &w.key) {
            (Some(at), _) => (&at.spot, "key", "--tls-key"),
            (_, Some(at)) => (&at.spot, "certificate", "--tls-cert"),
            _ => (&w.spot, "certificate", "--tls-cert"),
        };
        // a value that is there but could not be read has been complained about
        if self.is_told(&w.spot, missing) {
            return;
        }
        let hint = match there.key.starts_with("--") {
            true => format!("give {flag} FILE too"),
            false => format!("give `{missing}` too"),
        };
        self.mistakes.push(there.mistake(format!("needs a {missing}")).hint(hint));
    }

    /// A file that is watched from now on, read for a check.
    fn file<T>(&mut self, path: &At<PathBuf>, check: impl Fn(&Path) -> Parsed<T>) -> Option<T> {
        if !self.files.contains(&path.value) {
            self.files.push(path.value.clone());
        }
        match check(&path.value) {
            Ok(checked) => Some(checked),
            Err(wrong) => {
                self.mistakes.push(path.spot.wrong(wrong));
                None
            }
        }
    }
}

// === impl Settling: clusters ===

impl Settling<'_> {
    fn clusters(&mut self, written: &[written::Cluster]) -> Vec<ClusterSettings> {
        written.iter().map(|cluster| self.cluster(cluster)).collect()
    }

    fn cluster(&mut self, w: &written::Cluster) -> ClusterSettings {
        let found = w.discovery.is_some() || self.is_told(&w.name.spot, "discovery");
        if w.endpoints.is_empty() && !found && !self.is_told(&w.name.spot, "endpoints") {
            let mistake = w.name.spot.mistake("`endpoints` is missing");
            self.mistakes.push(mistake.hint("endpoints: one or a list of URLs, as in h2c://127.0.0.1:50051"));
        }
        let mut settings = self.own_cluster(&w.name.value, &w.endpoints);
        set(&mut settings.connect_timeout, &w.connect_timeout);
        set(&mut settings.keep_alive_interval, &w.ping_interval);
        set(&mut settings.keep_alive_timeout, &w.ping_timeout);
        set(&mut settings.max_connections, &w.max_connections);
        settings.authority = value_of(&w.authority).map(Into::into);
        w.spread.settle(&mut settings);
        if let Some(discovery) = &w.discovery {
            settings.discovery = self.discovery(discovery, &w.endpoints);
        }
        settings.probe = w.health.as_ref().map(|health| self.health(health));
        settings.retry_budget = w.retry_budget;
        if let Some(tls) = &w.tls {
            let clear = match (w.endpoints.first(), &settings.discovery) {
                (Some(first), _) => w.endpoints.iter().all(|at| !at.value.tls).then(|| first.value.label()),
                (None, Discovery::Fixed) => None,
                (None, discovery) => (!discovery.may_use_tls()).then(|| "what is discovered".to_owned()),
            };
            settings.tls = self.cluster_tls(tls, clear);
        }
        self.name_of_what_is_found(w, &settings);
        settings
    }

    fn repeated_endpoints(&mut self, endpoints: &[At<EndpointSettings>]) {
        for (index, endpoint) in endpoints.iter().enumerate() {
            if endpoints.iter().take(index).any(|other| other.value.same_address(&endpoint.value)) {
                self.mistakes.push(endpoint.spot.mistake(format!("{} is there twice", endpoint.value.label())));
            }
        }
    }

    /// A cluster with all defaults, for a catalog that gives URLs of its own.
    fn own_cluster(&mut self, name: &str, endpoints: &[At<EndpointSettings>]) -> ClusterSettings {
        self.repeated_endpoints(endpoints);
        ClusterSettings::new(name, values_of(endpoints))
    }
}

// === impl Settling: catalogs ===

impl Settling<'_> {
    /// Those without a mistake: the others would only repeat theirs when they are loaded.
    fn catalogs(
        &mut self,
        written: &Written,
        settings: &[SettingRule],
        clusters: &mut Vec<ClusterSettings>,
    ) -> Vec<Source> {
        let mut names: Vec<&At<String>> = Vec::new();
        let mut catalogs = Vec::new();
        for w in &written.catalogs {
            let before = self.mistakes.len();
            let Some(name) = &w.name else { continue };
            if let Some(other) = names.iter().find(|other| other.value == name.value) {
                let mistake = name.spot.mistake(format!("a catalog {} is there already", name.value));
                self.mistakes.push(mistake.hint(format!("see `{}`", other.spot.key)));
            }
            names.push(name);
            let cluster = self.cluster_of(w, &name.value, &written.clusters, clusters);
            let mut catalog = self.catalog(w, &name.value, cluster);
            catalog.settings = settings.to_vec();
            if let Some(own) = &w.settings {
                // behind those of the top, as later ones win among equals
                catalog.settings.push(self.rule(own, "*"));
            }
            let told = self.told.iter().any(|key| key.starts_with(&w.spot.key));
            if self.mistakes.len() == before && !told {
                catalogs.push(catalog);
            }
        }
        catalogs
    }

    /// The name of the cluster that answers; makes it where the catalog has URLs of its own.
    fn cluster_of(
        &mut self,
        w: &written::Catalog,
        name: &str,
        named: &[written::Cluster],
        clusters: &mut Vec<ClusterSettings>,
    ) -> String {
        let known = || named.iter().map(|cluster| cluster.name.value.as_str());
        match (&w.cluster, w.upstream.first()) {
            (Some(cluster), Some(url)) => {
                let text = format!("`upstream` and `cluster: {}` exclude each other", cluster.value);
                self.mistakes.push(url.spot.mistake(text).hint("keep one of them"));
            }
            (Some(cluster), None) if known().all(|name| name != cluster.value) => {
                let mistake = cluster.spot.mistake(format!("there is no cluster \"{}\"", cluster.value));
                let hint = match closest(&cluster.value, known()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None if named.is_empty() => "name it under `clusters`, or give its URL as `upstream`".into(),
                    None => format!("there are: {}", known().collect::<Vec<_>>().join(", ")),
                };
                self.mistakes.push(mistake.hint(hint));
            }
            (None, Some(url)) if known().any(|other| other == name) => {
                let text = format!("the cluster of these URLs would have the name {name}, which is taken");
                self.mistakes.push(url.spot.mistake(text).hint(format!("write `cluster: {name}`, or rename one")));
            }
            (None, Some(_)) => clusters.push(self.own_cluster(name, &w.upstream)),
            (None, None) => {
                if self.purpose == Purpose::Serve
                    && !["cluster", "upstream"].iter().any(|key| self.is_told(&w.spot, key))
                {
                    self.mistakes.push(no_upstream(&w.spot));
                }
                clusters.push(self.own_cluster(name, &[]));
            }
            (Some(_), None) => {}
        }
        w.cluster.as_ref().map_or(name, |cluster| &cluster.value).to_owned()
    }

    fn catalog(&mut self, w: &written::Catalog, name: &str, cluster: String) -> Source {
        let pass_unknown_methods = value_of(&w.pass_unknown_methods).unwrap_or(false);
        let sources = w.proto_paths.len() + w.protos.len() + w.descriptor_sets.len();
        let told = ["proto_paths", "protos", "descriptor_sets", "reflect"].iter().any(|key| self.is_told(&w.spot, key));
        if sources == 0 && w.reflect.is_none() && !told && !pass_unknown_methods {
            self.mistakes.push(no_source(&w.spot));
        }
        for path in &w.proto_paths {
            self.there(path, |path| match std::fs::metadata(path) {
                Ok(found) if found.is_dir() => Ok(()),
                Ok(_) => {
                    Err(wrong(format!("{} is a file", path.display())).hint("name the folder; files go to `protos`"))
                }
                Err(error) => Err(certificate::unreadable(path, &error)),
            });
        }
        for path in &w.descriptor_sets {
            self.there(path, |path| match std::fs::metadata(path) {
                Ok(found) if found.is_file() => Ok(()),
                Ok(_) => Err(wrong(format!("{} is a folder", path.display()))),
                Err(error) => Err(certificate::unreadable(path, &error)),
            });
        }
        Source {
            name: name.to_owned(),
            proto_paths: values_of(&w.proto_paths),
            protos: self.protos(w),
            descriptor_sets: values_of(&w.descriptor_sets),
            held_sets: Vec::new(),
            cluster,
            hosts: w.hosts.iter().map(|(services, hosts)| host_rule(services, hosts)).collect(),
            default_hosts: value_of(&w.default_hosts).unwrap_or(false),
            rules: w.rules.iter().filter_map(http_rule).collect(),
            conflicts: value_of(&w.conflicts).unwrap_or(Conflicts::Refuse),
            paths: PathReading {
                lenient_slash: value_of(&w.lenient_slash).unwrap_or(false),
                decode_slash: value_of(&w.decode_slash).unwrap_or(false),
            },
            auto_mapping: value_of(&w.auto_mapping).unwrap_or(true),
            pass_unknown_methods,
            broken_rules: BrokenRules::Refuse,
            settings: Vec::new(),
        }
    }

    fn there(&mut self, path: &At<PathBuf>, check: impl Fn(&Path) -> Parsed<()>) {
        if let Err(wrong) = check(&path.value) {
            self.mistakes.push(path.spot.wrong(wrong));
        }
    }

    /// Files to compile: each under one of the roots, by its name there; or anywhere, by a path from where one is (flags)
    /// or from the configuration's folder.
    fn protos(&mut self, w: &written::Catalog) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for proto in &w.protos {
            let base = if proto.spot.place.is_some() { self.base } else { Path::new("") };
            let beside = base.join(&proto.value);
            let below_a_root = w.proto_paths.iter().any(|root| root.value.join(&proto.value).is_file());
            if below_a_root {
                found.push(proto.value.clone());
            } else if beside.is_file() {
                found.push(beside);
            } else {
                let roots: Vec<String> = w.proto_paths.iter().map(|root| root.value.display().to_string()).collect();
                let under = match roots.is_empty() {
                    true => String::new(),
                    false => format!(" under {}", roots.join(", ")),
                };
                let text = format!("there is no file {}{under}", proto.value.display());
                self.mistakes.push(proto.spot.mistake(text));
            }
        }
        found
    }
}

fn no_upstream(spot: &Spot) -> Mistake {
    match spot.key.starts_with("--") {
        true => spot.mistake("who answers the calls?").hint("give --upstream URL, as in h2c://127.0.0.1:50051"),
        false => spot.mistake("`cluster` is missing").hint("cluster: NAME of one under `clusters`, or upstream: URL"),
    }
}

fn no_source(spot: &Spot) -> Mistake {
    match spot.key.starts_with("--") {
        true => {
            spot.mistake("which services are these?").hint("give --proto-path DIR, --descriptor-set FILE or --reflect")
        }
        false => spot
            .mistake("has no services: neither `proto_paths`, `descriptor_sets` nor `reflect`")
            .hint("to pass calls on unseen, write `unknown_methods: pass`"),
    }
}

fn host_rule(services: &At<String>, hosts: &[At<String>]) -> HostRule {
    HostRule { pattern: services.value.clone(), hosts: values_of(hosts), place: services.spot.place.clone() }
}

fn http_rule(w: &written::Rule) -> Option<HttpRule> {
    let first = w.binding.as_ref()?;
    Some(HttpRule {
        selector: w.selector.as_ref()?.value.clone(),
        add: value_of(&w.add).unwrap_or(false),
        bindings: std::iter::once(first).chain(&w.additional_bindings).map(binding).collect(),
        place: w.spot.place.clone(),
    })
}

fn binding(w: &written::Binding) -> RuleBinding {
    RuleBinding {
        verb: w.verb.clone(),
        template: w.path.clone(),
        body: value_of(&w.body).unwrap_or_default(),
        response_body: value_of(&w.response_body).unwrap_or_default(),
    }
}

// === impl Settling: browsers and methods ===

impl Settling<'_> {
    fn cors(&mut self, w: &written::Cors) -> Option<cors::Settings> {
        if w.origins.is_empty() {
            if !self.is_told(&w.spot, "origins") {
                let mistake = w.spot.mistake("`origins` is missing");
                self.mistakes.push(mistake.hint("origins: [\"https://app.example\"], or \"*\" for every one"));
            }
            return None;
        }
        let credentials = value_of(&w.credentials).unwrap_or(false);
        let star = w.origins.iter().find(|origin| origin.value == "*");
        if let (Some(_), Some(at), true) = (star, &w.credentials, credentials) {
            // a browser refuses the answer to such a call (Fetch standard, CORS check)
            let mistake = at.spot.mistake("does not go with the origin \"*\"");
            self.mistakes.push(mistake.hint("list the origins that may send cookies"));
        }
        let mut settings = cors::Settings {
            origins: values_of(&w.origins),
            methods: if w.methods.is_empty() { None } else { Some(values_of(&w.methods)) },
            allow_headers: values_of(&w.allow_headers),
            expose_headers: values_of(&w.expose_headers),
            credentials,
            ..cors::Settings::default()
        };
        set(&mut settings.max_age, &w.max_age);
        Some(settings)
    }

    fn settings(&mut self, written: &[written::Settings]) -> Vec<SettingRule> {
        let mut rules = Vec::new();
        for w in written {
            rules.extend(w.matches.as_ref().map(|matches| self.rule(w, &matches.value)));
        }
        rules
    }

    fn rule(&mut self, w: &written::Settings, pattern: &str) -> SettingRule {
        if let (Some(default), Some(max)) = (&w.default_deadline, &w.max_deadline)
            && default.value > max.value
        {
            let text = format!("{:?} is longer than the longest, {:?}", default.value, max.value);
            self.mistakes.push(default.spot.mistake(text).hint("`deadline.default` is at most `deadline.max`"));
        }
        let ignored = w.ignored_query.as_ref();
        let encodings = w.upstream_encodings.as_ref();
        let settings = PartialSettings {
            max_request_message: value_of(&w.max_request_message),
            max_response_message: value_of(&w.max_response_message),
            default_deadline: value_of(&w.default_deadline).map(Some),
            max_deadline: value_of(&w.max_deadline).map(Some),
            idle_timeout: value_of(&w.idle_timeout).map(Some),
            unknown_json_fields: value_of(&w.unknown_json_fields),
            ignored_query: ignored.map(|names| names.iter().map(|name| name.value.as_str().into()).collect()),
            weave: value_of(&w.weave),
            print_unset: value_of(&w.print_unset),
            proto_names: value_of(&w.proto_names),
            enums: value_of(&w.enums),
            int64_numbers: value_of(&w.int64_numbers),
            bytes: value_of(&w.bytes),
            indent: value_of(&w.indent),
            upstream_encodings: encodings.map(|names| names.iter().map(|name| name.value.as_str().into()).collect()),
            compress_from: value_of(&w.compress_from),
            require_connect_version: value_of(&w.require_connect_version),
            guard_requests: value_of(&w.guard.requests),
            guard_responses: value_of(&w.guard.responses),
            guard_unknown: value_of(&w.guard.unknown),
            guard_max_repeated: value_of(&w.guard.max_repeated),
            guard_max_string: value_of(&w.guard.max_string),
            guard_max_bytes: value_of(&w.guard.max_bytes),
            guard_max_depth: value_of(&w.guard.max_depth),
            validate_requests: value_of(&w.validate.requests),
            validate_responses: value_of(&w.validate.responses),
            idempotent: value_of(&w.idempotent).map(Some),
            retry: w.retry.clone(),
            hedge: w.hedge.clone(),
            rest: w.rest.clone(),
            sse: w.sse.clone(),
        };
        let place = w.matches.as_ref().map_or(&w.spot, |matches| &matches.spot).place.clone();
        SettingRule { pattern: pattern.to_owned(), settings, place }
    }
}

fn value_of<T: Clone>(written: &Option<At<T>>) -> Option<T> {
    written.as_ref().map(|at| at.value.clone())
}

fn values_of<T: Clone>(written: &[At<T>]) -> Vec<T> {
    written.iter().map(|at| at.value.clone()).collect()
}

/// Puts what was said in place of a default.
fn set<T: Clone>(setting: &mut T, written: &Option<At<T>>) {
    if let Some(at) = written {
        setting.clone_from(&at.value);
    }
}
