//! What a catalog is made of, and the making of it.

use std::path::PathBuf;

use bytes::Bytes;

use super::answer_plan::AnswerPlan;
use super::binding::Ends;
use super::cel::CelRules;
use super::compile::{self, Linked, MAX_MISTAKES};
use super::editions;
use super::gather;
use super::http_rule::{HttpRule, RuleBinding};
use super::method_settings::MethodSettings;
use super::mistake::{Mistake, Place};
use super::records::{Records, Value};
use super::repeat;
use super::rules::{self, BrokenRules, Written};
use super::schema::{MessageId, Schema};
use super::service::{Idempotency, Method, Service, StreamKind};
use super::settings::{self, HostRule, SettingRule};
use super::unit::{HTTP_EXTENSION, MethodSpots, ServiceSpots, Unit, file_tag};
use super::{Catalog, Conflicts, PathReading};
use crate::wire::{closest, put_bytes};

/// Where a catalog comes from and what is laid over it: one `catalogs` entry of the configuration, settled.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: String,
    /// Import roots.
    pub proto_paths: Vec<PathBuf>,
    /// `.proto` files whose services are offered, by path or import name. Empty: every one below the import roots.
    pub protos: Vec<PathBuf>,
    /// Descriptor sets; all their services are offered.
    pub descriptor_sets: Vec<PathBuf>,
    /// Descriptor sets that are no files, as what an upstream told of itself; all their services are offered.
    pub held_sets: Vec<HeldSet>,
    /// HTTP rules besides the annotations.
    pub rules: Vec<HttpRule>,
    /// Name of the cluster that answers the catalog's calls.
    pub cluster: String,
    pub hosts: Vec<HostRule>,
    /// Services that `hosts` says nothing of answer under their `google.api.default_host`, if they have one. Default: no.
    pub default_hosts: bool,
    pub conflicts: Conflicts,
    /// See [`Catalog::paths`].
    pub paths: PathReading,
    /// See [`Catalog::auto_mapping`].
    pub auto_mapping: bool,
    /// See [`Catalog::pass_unknown_methods`].
    pub pass_unknown_methods: bool,
    /// What to do with rules of `buf.validate` that do not fit.
    pub broken_rules: BrokenRules,
    /// Patterns that name nothing here are fine: other catalogs may have it ([`super::check_settings`]).
    pub settings: Vec<SettingRule>,
}

/// A descriptor set in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSet {
    /// What mistakes call it.
    pub name: Box<str>,
    /// An encoded `google.protobuf.FileDescriptorSet`.
    pub bytes: Bytes,
}

/// A catalog that was loaded without mistakes.
#[derive(Debug)]
pub struct Loaded {
    pub catalog: Catalog,
    /// What deserves a word but stops nothing.
    pub warnings: Vec<Mistake>,
    /// What to watch for changes: files, and directories with all below them.
    pub watched: Vec<PathBuf>,
}

/// Loads a catalog. Blocks on the disk and computes; a large one takes seconds, so keep it off serving threads.
///
/// Fails with all mistakes of all files that can be told at once, at most about a hundred, each with its place.
pub fn load(source: &Source) -> Result<Loaded, Vec<Mistake>> {
    let roots = gather::roots(source);
    // who passes unknown methods on can do without any description
    let has_sets = !source.descriptor_sets.is_empty() || !source.held_sets.is_empty();
    if roots.is_empty() && !has_sets && !source.pass_unknown_methods {
        let text = format!("catalog {:?} has neither .proto files nor a descriptor set", source.name);
        return Err(vec![Mistake::new(text)]);
    }
    let linked = compile::link(gather::gather(source))?;
    let mut schema = Schema::build_with(&linked.pool, &linked.overrides).map_err(|mistake| vec![mistake])?;
    let mut mistakes = Vec::new();
    match CelRules::build(&linked, &schema, source.broken_rules) {
        Ok(rules) => schema.cel = rules,
        Err(broken) => mistakes = broken,
    }
    let mut builder = Builder {
        source,
        schema,
        services: Vec::new(),
        methods: Vec::new(),
        mistakes,
        warnings: Vec::new(),
        descriptor_set: Vec::new(),
        rules: Written::default(),
    };
    builder.add_files(&linked);
    builder.compile_rules(&linked);
    drop(linked);
    builder.check_patterns();
    builder.finish(roots)
}

/// `google.api.default_host` of `google.protobuf.ServiceOptions` (google/api/client.proto).
const DEFAULT_HOST_EXTENSION: u32 = 1049;

struct Builder<'a> {
    source: &'a Source,
    schema: Schema,
    services: Vec<Service>,
    methods: Vec<Method>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
    descriptor_set: Vec<u8>,
    rules: Written,
}

/// What the options of a service and of its methods say, read from their bytes.
#[derive(Default)]
struct ServiceOptions {
    /// `google.api.default_host`, as written.
    default_host: Option<String>,
    /// In the order of the methods.
    methods: Vec<MethodOptions>,
}

/// What the options of a method say.
#[derive(Default)]
struct MethodOptions {
    /// The `google.api.http` option: the parts in which it may come are one message when put together.
    http: Option<Vec<u8>>,
    idempotency: u64,
}

// === impl Source ===

impl Source {
    /// A source without files: fields are set from there.
    pub fn new(name: impl Into<String>, cluster: impl Into<String>) -> Source {
        Source {
            name: name.into(),
            proto_paths: Vec::new(),
            protos: Vec::new(),
            descriptor_sets: Vec::new(),
            held_sets: Vec::new(),
            rules: Vec::new(),
            cluster: cluster.into(),
            hosts: Vec::new(),
            default_hosts: false,
            conflicts: Conflicts::Refuse,
            paths: PathReading::default(),
            auto_mapping: true,
            pass_unknown_methods: false,
            broken_rules: BrokenRules::Refuse,
            settings: Vec::new(),
        }
    }
}

// === impl Builder ===

impl Builder<'_> {
    fn add_files(&mut self, linked: &Linked) {
        for (at, unit) in linked.units.iter().enumerate() {
            let Some(file) = linked.pool.get_file_by_name(&unit.name) else { continue };
            // with names resolved and options encoded
            let mut encoded = file.encode_to_vec();
            if unit.unsettled {
                encoded = editions::settle(&encoded, &|name| self.schema.find_enum(name).is_some());
            }
            put_bytes(&mut self.descriptor_set, 1, &encoded);
            self.rules.read(at, &encoded);
            if !unit.offered {
                continue;
            }
            let options = service_options(&encoded);
            for (i, service) in file.services().enumerate() {
                let none = (ServiceSpots::default(), ServiceOptions::default());
                let spots = unit.services.get(i).unwrap_or(&none.0);
                self.add_service(unit, &service, spots, options.get(i).unwrap_or(&none.1));
            }
        }
    }

    fn compile_rules(&mut self, linked: &Linked) {
        let unfit = rules::compile(&mut self.schema, &std::mem::take(&mut self.rules));
        if self.source.broken_rules == BrokenRules::Refuse {
            let mistakes = unfit.iter().take(MAX_MISTAKES + 1);
            self.mistakes.extend(mistakes.map(|unfit| rules::mistake(&linked.units, &unfit.spot, &unfit.text)));
        }
    }

    fn add_service(
        &mut self,
        unit: &Unit,
        service: &prost_reflect::ServiceDescriptor,
        spots: &ServiceSpots,
        options: &ServiceOptions,
    ) {
        let start = self.methods.len();
        let none = MethodOptions::default();
        for (i, method) in service.methods().enumerate() {
            let spots = spots.methods.get(i).copied().unwrap_or_default();
            self.add_method(unit, &method, spots, options.methods.get(i).unwrap_or(&none));
        }
        let mut hosts = settings::hosts(&self.source.hosts, service.full_name());
        if let Some(host) = options.default_host.as_deref().filter(|_| self.source.default_hosts && hosts.is_empty()) {
            hosts = settings::default_host(host).into_iter().collect();
        }
        self.services.push(Service {
            name: service.full_name().into(),
            methods: start..self.methods.len(),
            hosts,
            place: unit.place(spots.spot),
        });
    }

    fn add_method(
        &mut self,
        unit: &Unit,
        method: &prost_reflect::MethodDescriptor,
        spots: MethodSpots,
        options: &MethodOptions,
    ) {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let (input, output) = (method.input(), method.output());
        let place = unit.place(spots.spot);
        let ends = (self.schema.find(input.full_name()), self.schema.find(output.full_name()));
        let (Some(input), Some(output)) = ends else {
            // cannot be: the schema was built from the same pool
            self.mistakes.push(Mistake::new(format!("{path}: its messages are not in the catalog")).at(place));
            return;
        };
        let rule_place = if spots.rule == (0, 0) { place.clone() } else { unit.place(spots.rule) };
        let bindings = self.bindings(method.full_name(), (input, output), options, &rule_place);
        let mut method = Method {
            service: self.services.len(),
            name: method.name().into(),
            input,
            output,
            kind: StreamKind::new(method.is_client_streaming(), method.is_server_streaming()),
            idempotency: match options.idempotency {
                1 => Idempotency::NoSideEffects,
                2 => Idempotency::Idempotent,
                _ => Idempotency::Unknown,
            },
            bindings,
            settings: if self.source.settings.is_empty() {
                MethodSettings::default()
            } else {
                settings::settle(&self.source.settings, path.trim_start_matches('/'))
            },
            path: path.into(),
            answers: None,
            place,
        };
        match AnswerPlan::settle(&method, &self.schema, &self.source.settings) {
            Ok(plan) => method.answers = plan,
            Err(mistakes) => self.mistakes.extend(mistakes),
        }
        self.mistakes.extend(repeat::check(&method, &self.source.settings));
        self.methods.push(method);
    }

    fn bindings(
        &mut self,
        method: &str,
        (input, output): (MessageId, MessageId),
        options: &MethodOptions,
        place: &Place,
    ) -> Box<[super::Binding]> {
        let annotation = match options.http.as_deref().map(RuleBinding::decode) {
            None => Vec::new(),
            Some(Ok(bindings)) => bindings,
            Some(Err(error)) => {
                let mut mistake = error.mistake().at(place.clone());
                mistake.text = format!("rpc {method}: {}", mistake.text);
                self.mistakes.push(mistake);
                Vec::new()
            }
        };
        let ends = Ends { schema: &self.schema, input, output };
        let rules = self.source.rules.iter().filter(|rule| rule.selects(method));
        let mut bound = Vec::new();
        for (rule, place) in HttpRule::unite(annotation, place, rules) {
            match ends.bind(&rule, place) {
                Ok(binding) => bound.push(binding),
                Err(mistakes) => self.mistakes.extend(mistakes.into_iter().map(|mut mistake| {
                    mistake.text = format!("rpc {method}: {} {:?}: {}", rule.verb, rule.template, mistake.text);
                    mistake.at(place.clone())
                })),
            }
        }
        bound.into()
    }

    /// Patterns and selectors of the configuration that name nothing.
    fn check_patterns(&mut self) {
        let paths: Vec<&str> = self.methods.iter().map(|method| method.path.trim_start_matches('/')).collect();
        let services: Vec<&str> = self.services.iter().map(|service| &*service.name).collect();
        self.mistakes.extend(settings::check_hosts(&self.source.hosts, &services));
        if self.source.rules.is_empty() {
            return;
        }
        let dotted: Vec<String> = paths.iter().map(|path| path.replace('/', ".")).collect();
        for rule in &self.source.rules {
            if !dotted.iter().any(|method| rule.selects(method)) {
                let meant = closest(&rule.selector, dotted.iter().map(String::as_str)).map(str::to_owned);
                let text = format!("selector {:?} matches no method of the catalog", rule.selector);
                self.mistakes.push(settings::complain(text, meant, rule.place.as_ref()));
            }
            if rule.bindings.is_empty() {
                let text = format!("the rule for {:?} has no path", rule.selector);
                self.mistakes.push(settings::complain(text, None, rule.place.as_ref()));
            }
        }
    }

    fn finish(mut self, mut watched: Vec<PathBuf>) -> Result<Loaded, Vec<Mistake>> {
        let source = self.source;
        if !self.mistakes.is_empty() {
            let more = self.mistakes.len().saturating_sub(MAX_MISTAKES);
            self.mistakes.truncate(MAX_MISTAKES);
            if more > 0 {
                self.mistakes.push(Mistake::new(format!("and {more} more mistakes")));
            }
            return Err(self.mistakes);
        }
        if self.methods.is_empty() && !source.pass_unknown_methods {
            self.warnings.push(Mistake::new(format!("catalog {:?} has no method", source.name)));
        }
        watched.extend(source.descriptor_sets.iter().cloned());
        let catalog = Catalog {
            name: source.name.as_str().into(),
            schema: self.schema,
            services: self.services.into(),
            methods: self.methods.into(),
            cluster: source.cluster.as_str().into(),
            conflicts: source.conflicts,
            paths: source.paths,
            auto_mapping: source.auto_mapping,
            pass_unknown_methods: source.pass_unknown_methods,
            descriptor_set: Bytes::from(self.descriptor_set),
        };
        Ok(Loaded { catalog, warnings: self.warnings, watched })
    }
}

/// The options of all services of an encoded file, in order (`service` = 6, below it `method` = 2 and `options` = 3).
fn service_options(file: &[u8]) -> Vec<ServiceOptions> {
    let services = Records::new(file).flatten().filter_map(|record| record.bytes(file_tag::SERVICE));
    services
        .map(|service| {
            let mut options = ServiceOptions::default();
            for record in Records::new(service).flatten() {
                match (record.number, record.value) {
                    (2, Value::Bytes(method)) => options.methods.push(MethodOptions::of(method)),
                    (3, Value::Bytes(own)) => options.read(own),
                    _ => (),
                }
            }
            options
        })
        .collect()
}

// === impl ServiceOptions ===

impl ServiceOptions {
    /// `google.protobuf.ServiceOptions`: the extension `google.api.default_host`, of which the last one counts.
    fn read(&mut self, bytes: &[u8]) {
        for record in Records::new(bytes).flatten() {
            if let (DEFAULT_HOST_EXTENSION, Value::Bytes(host)) = (record.number, record.value) {
                self.default_host = String::from_utf8(host.to_vec()).ok();
            }
        }
    }
}

// === impl MethodOptions ===

impl MethodOptions {
    /// Of an encoded method (`options` = 4).
    fn of(method: &[u8]) -> MethodOptions {
        let mut options = MethodOptions::default();
        for part in Records::new(method).flatten().filter_map(|record| record.bytes(4)) {
            options.read(part);
        }
        options
    }

    /// `google.protobuf.MethodOptions`: `idempotency_level` = 34, and the extension.
    fn read(&mut self, bytes: &[u8]) {
        for record in Records::new(bytes).flatten() {
            match (record.number, record.value) {
                (34, Value::Varint(level)) => self.idempotency = level,
                (HTTP_EXTENSION, Value::Bytes(rule)) => self.http.get_or_insert_default().extend_from_slice(rule),
                _ => (),
            }
        }
    }
}
