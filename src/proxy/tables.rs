//! What a generation is made of: the immutable tables that calls are carried by.

use std::sync::Arc;
use std::time::Instant;

use http::uri::PathAndQuery;

use super::affinity::FieldKeys;
use super::target::Routing;
use crate::call::Head;
use crate::catalog::{
    Catalog, FieldReader, GuardMode, Idempotency, MessageId, Method, MethodSettings, Mistake, Place, StreamKind,
};
use crate::observe::{Direction, Meters};
use crate::policy::cors::Cors;
use crate::route::{MethodRef, Plan, Table, TargetRule, Targets};
use crate::upstream::{Cluster, ClusterSettings, Clusters};

/// A file that the edge itself answers, as the demo's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub content_type: &'static str,
    pub bytes: &'static [u8],
    /// For `cache-control`.
    pub cache: &'static str,
}

/// The tables of one generation. Built whole, swapped whole; a call keeps the one it began with.
#[derive(Debug)]
pub struct Tables {
    pub catalogs: Box<[Arc<Catalog>]>,
    /// The cluster of each catalog, in the same order.
    pub clusters: Box<[Arc<Cluster>]>,
    pub routes: Table,
    pub cors: Option<Cors>,
    /// For gRPC and gRPC-Web calls of methods that no catalog has: passed on to the cluster of the first catalog that
    /// says so, by the settings of this stand-in.
    unknown: Option<(u32, Method)>,
    /// Which clusters calls go to other than their catalog's; `None`: there are no routes.
    pub(super) routing: Option<Box<Routing>>,
    keys: FieldKeys,
    /// Looked at when no method and no template has the path.
    pub pages: Option<fn(&str) -> Option<Page>>,
}

/// A method of a generation, kept alive with it.
#[derive(Clone, Debug)]
pub(super) struct Called {
    tables: Arc<Tables>,
    catalog: u32,
    /// `None`: the stand-in for methods that no catalog has.
    method: Option<u32>,
    /// Where the schema guard and the rules count; `None` for methods that have neither.
    meters: Option<Arc<Meters>>,
}

// === impl Tables ===

impl Tables {
    /// Connects catalogs with the clusters that they name; clusters in use whose settings did not change are kept, and
    /// their connections with them. `routes` were built from these catalogs.
    pub fn new(
        catalogs: Vec<Arc<Catalog>>,
        routes: Table,
        clusters: &[ClusterSettings],
        known: &Clusters,
        cors: Option<Cors>,
        pages: Option<fn(&str) -> Option<Page>>,
    ) -> Result<Tables, Vec<Mistake>> {
        let (mut found, mut mistakes) = (Vec::with_capacity(catalogs.len()), Vec::new());
        for catalog in &catalogs {
            let named = clusters.iter().find(|cluster| cluster.name == catalog.cluster);
            let cluster = match named {
                Some(named) => known.obtain(named.clone()).map_err(|error| error.to_string()),
                None => Err(format!("there is no cluster {:?}", catalog.cluster)),
            };
            match cluster {
                Ok(cluster) => found.push(cluster),
                Err(text) => mistakes.push(Mistake::new(format!("catalog {:?}: {text}", catalog.name))),
            }
        }
        let keys = FieldKeys::resolve(clusters, &catalogs).unwrap_or_else(|more| {
            mistakes.extend(more);
            FieldKeys::default()
        });
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        // so that the first calls of this generation find endpoints, as far as that can be had
        let began = Instant::now();
        found.iter().for_each(|cluster: &Arc<Cluster>| cluster.wait_for_endpoints(began));
        let passing = catalogs.iter().position(|catalog| catalog.pass_unknown_methods);
        let unknown = passing.and_then(|at| u32::try_from(at).ok()).map(|at| (at, stand_in()));
        let (catalogs, clusters) = (catalogs.into(), found.into());
        Ok(Tables { catalogs, clusters, routes, cors, unknown, routing: None, keys, pages })
    }

    /// The same with routes for its calls.
    ///
    /// Errors: rules that name what is not there.
    pub fn with_routes(
        mut self,
        rules: &[TargetRule],
        clusters: &[ClusterSettings],
        known: &Clusters,
        meters: &Meters,
    ) -> Result<Tables, Vec<Mistake>> {
        if !rules.is_empty() {
            let targets = Targets::resolve(rules, &self.catalogs)?;
            self.routing = Some(Box::new(Routing::new(targets, clusters, known, meters)?));
        }
        Ok(self)
    }

    /// The rules of the routes, method by method, if there are any.
    pub fn targets(&self) -> Option<&Targets> {
        self.routing.as_ref().map(|routing| &routing.targets)
    }
}

/// What stands for a method that no catalog has: messages may come in any number, and no one looks into them.
fn stand_in() -> Method {
    Method {
        path: "".into(),
        service: 0,
        name: "".into(),
        input: MessageId(0),
        output: MessageId(0),
        kind: StreamKind::Bidi,
        idempotency: Idempotency::Unknown,
        bindings: Box::default(),
        settings: MethodSettings::default(),
        answers: None,
        place: Place::default(),
    }
}

// === impl Called ===

impl Called {
    /// Whether the method is of a catalog.
    pub(super) fn is_known(&self) -> bool {
        self.method.is_some()
    }

    /// `None` if the reference is not of these tables.
    pub(super) fn new(tables: &Arc<Tables>, at: MethodRef) -> Option<Called> {
        let catalog = tables.catalogs.get(at.catalog as usize)?;
        catalog.methods.get(at.method as usize)?;
        tables.clusters.get(at.catalog as usize)?;
        Some(Called { tables: Arc::clone(tables), catalog: at.catalog, method: Some(at.method), meters: None })
    }

    /// For a method that no catalog has; `None` if no catalog lets such calls pass.
    pub(super) fn unknown(tables: &Arc<Tables>) -> Option<Called> {
        let (catalog, _) = tables.unknown.as_ref()?;
        Some(Called { tables: Arc::clone(tables), catalog: *catalog, method: None, meters: None })
    }

    /// What the schema guard does with messages this way.
    #[inline]
    pub(super) fn guard_mode(&self, direction: Direction) -> GuardMode {
        let settings = &self.method().settings;
        match direction {
            Direction::Request => settings.guard_requests,
            Direction::Response => settings.guard_responses,
        }
    }

    /// What breaking rules of `buf.validate` means for messages this way; off if their type has none.
    #[inline]
    pub(super) fn rules_mode(&self, direction: Direction) -> GuardMode {
        let settings = &self.method().settings;
        let mode = match direction {
            Direction::Request => settings.validate_requests,
            Direction::Response => settings.validate_responses,
        };
        match mode {
            // asked first: the stand-in has no type
            GuardMode::Off => GuardMode::Off,
            mode if self.catalog().schema.has_rules(self.message_type(direction)) => mode,
            _ => GuardMode::Off,
        }
    }

    /// The type of messages this way.
    #[inline]
    pub(super) fn message_type(&self, direction: Direction) -> MessageId {
        match direction {
            Direction::Request => self.method().input,
            Direction::Response => self.method().output,
        }
    }

    /// Whether messages this way are looked into, by the guard or for their rules.
    pub(super) fn is_guarded(&self, direction: Direction) -> bool {
        self.guard_mode(direction) != GuardMode::Off || self.rules_mode(direction) != GuardMode::Off
    }

    /// Has the guard of this call and its rules count here, if the method has any.
    pub(super) fn count_in(&mut self, meters: &Arc<Meters>) {
        if self.is_guarded(Direction::Request) || self.is_guarded(Direction::Response) {
            self.meters = Some(Arc::clone(meters));
        }
    }

    /// The routes of the generation.
    pub(super) fn routing(&self) -> Option<&Routing> {
        self.tables.routing.as_deref()
    }

    /// The routes of the method; mostly none.
    #[inline]
    pub(super) fn plan(&self) -> Option<&Plan> {
        let targets = &self.tables.routing.as_ref()?.targets;
        match self.method {
            Some(method) => targets.plan(MethodRef { catalog: self.catalog, method }),
            None => targets.unknown(),
        }
    }

    /// Where requests have the key that this cluster hashes.
    pub(super) fn field_key(&self, cluster: &str) -> Option<&FieldReader> {
        self.method?;
        self.tables.keys.reader(cluster, self.catalog, self.method().input)
    }

    pub(super) fn meters(&self) -> Option<&Meters> {
        self.meters.as_deref()
    }

    // the look-ups below were proven in bounds by `new` and `Tables::new`, and the tables never change

    pub(super) fn catalog(&self) -> &Catalog {
        &self.tables.catalogs[self.catalog as usize]
    }

    pub(super) fn method(&self) -> &Method {
        match (self.method, &self.tables.unknown) {
            (None, Some((_, stand_in))) => stand_in,
            (method, _) => &self.catalog().methods[method.unwrap_or(0) as usize],
        }
    }

    /// `:path` of a call: the caller's own, if it is the method's and no more.
    pub(super) fn path(&self, head: &Head) -> PathAndQuery {
        let method = &*self.method().path;
        match head.parts.uri.path_and_query() {
            Some(asked) if asked.as_str() == method || !self.is_known() => asked.clone(),
            _ => PathAndQuery::try_from(method).unwrap_or(PathAndQuery::from_static("/")),
        }
    }

    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        &self.tables.clusters[self.catalog as usize]
    }
}
