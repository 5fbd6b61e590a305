//! What a configuration says of finding and checking endpoints: `clusters.<name>.discovery`, `.health` and `.tls`, and the
//! files of endpoints that others write.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::load;
use super::super::node::Value;
use super::super::upstream_value as form;
use super::super::value;
use super::{At, Environment, Identity, Reader, Spot, Table};
use crate::catalog::Mistake;
use crate::upstream::{EndpointSettings, Families, ProbeMode, SanPattern, ServicePort, TlsVersion};

/// Where endpoints come from; settling wants one source.
#[derive(Debug)]
pub(in crate::config) struct Discovery {
    pub spot: Spot,
    pub dns: Option<At<String>>,
    pub srv: Option<At<String>>,
    pub file: Option<At<PathBuf>>,
    pub kubernetes: Option<At<String>>,
    pub port: Option<At<ServicePort>>,
    pub tls: Option<At<bool>>,
    pub families: Option<At<Families>>,
    pub resolvers: Vec<At<SocketAddr>>,
    pub min_refresh: Option<At<Duration>>,
    pub max_refresh: Option<At<Duration>>,
    pub namespace: Option<At<String>>,
    pub server: Option<At<String>>,
    pub token: Option<At<PathBuf>>,
    pub ca: Option<At<PathBuf>>,
}

/// How endpoints are checked.
#[derive(Debug)]
pub(in crate::config) struct Health {
    pub interval: Option<At<Duration>>,
    pub no_traffic_interval: Option<At<Duration>>,
    pub timeout: Option<At<Duration>>,
    pub healthy_threshold: Option<At<u32>>,
    pub unhealthy_threshold: Option<At<u32>>,
    pub service: Option<At<String>>,
    pub mode: Option<At<ProbeMode>>,
    pub jitter: Option<At<u32>>,
}

#[derive(Debug)]
pub(in crate::config) struct ClusterTls {
    pub ca: Option<At<PathBuf>>,
    pub identity: Identity,
    pub server_name: Option<At<String>>,
    pub san: Vec<At<SanPattern>>,
    pub oldest: Option<At<TlsVersion>>,
    pub insecure: Option<At<bool>>,
}

const DISCOVERY: &str = "clusters.<name>.discovery";
const FILE: &str = "clusters.<name>.discovery.file";

// === impl Discovery ===

impl Discovery {
    /// A table, or `dns:///name:port` as gRPC writes it.
    pub(super) fn read(r: &mut Reader<'_>, cluster: &Table<'_>) -> Option<Discovery> {
        const FAMILIES: &[(&str, Families)] =
            &[("any", Families::Both), ("ipv4", Families::V4), ("ipv6", Families::V6)];
        let (node, spot) = cluster.value(r, "discovery")?;
        if let Value::Text(_) = node.value {
            return Discovery::of_url(r.parse(node, spot, form::dns_url)?);
        }
        let t = cluster.table(r, "discovery", DISCOVERY)?;
        Some(Discovery {
            dns: t.one(r, "dns", form::dns_name),
            srv: t.one(r, "srv", form::dns_name),
            file: t.path(r, "file"),
            kubernetes: t.one(r, "kubernetes", form::label),
            port: t.one(r, "port", form::service_port),
            tls: t.one(r, "tls", value::boolean),
            families: t.one(r, "family", value::choice(FAMILIES)),
            resolvers: t.many(r, "resolvers", form::resolver),
            min_refresh: t.one(r, "min_refresh", value::duration),
            max_refresh: t.one(r, "max_refresh", value::duration),
            namespace: t.one(r, "namespace", form::label),
            server: t.one(r, "server", form::api_server),
            token: t.path(r, "token"),
            ca: t.path(r, "ca"),
            spot: t.spot,
        })
    }

    fn of_url(url: At<form::DnsUrl>) -> Option<Discovery> {
        let At { value, spot } = url;
        let at = |spot: &Spot| spot.clone();
        Some(Discovery {
            dns: Some(At { value: value.name, spot: at(&spot) }),
            srv: None,
            file: None,
            kubernetes: None,
            port: value.port.map(|port| At { value: ServicePort::Number(port), spot: at(&spot) }),
            tls: None,
            families: None,
            resolvers: value.resolver.map(|value| At { value, spot: at(&spot) }).into_iter().collect(),
            min_refresh: None,
            max_refresh: None,
            namespace: None,
            server: None,
            token: None,
            ca: None,
            spot,
        })
    }
}

// === impl Health ===

impl Health {
    pub(super) fn read(r: &mut Reader<'_>, cluster: &Table<'_>) -> Option<Health> {
        const MODES: &[(&str, ProbeMode)] = &[
            ("auto", ProbeMode::Auto),
            ("watch", ProbeMode::Watch),
            ("check", ProbeMode::Check),
            ("tcp", ProbeMode::Tcp),
        ];
        let t = cluster.table(r, "health", "clusters.<name>.health")?;
        Some(Health {
            interval: t.one(r, "interval", value::duration),
            no_traffic_interval: t.one(r, "no_traffic_interval", value::duration),
            timeout: t.one(r, "timeout", value::duration),
            healthy_threshold: t.one(r, "healthy_threshold", value::count(1, 100)),
            unhealthy_threshold: t.one(r, "unhealthy_threshold", value::count(1, 100)),
            service: t.one(r, "service", form::health_service),
            mode: t.one(r, "mode", value::choice(MODES)),
            jitter: t.one(r, "jitter", value::count(0, 100)),
        })
    }
}

// === impl ClusterTls ===

impl ClusterTls {
    pub(super) fn read(r: &mut Reader<'_>, t: &Table<'_>) -> ClusterTls {
        const VERSIONS: &[(&str, TlsVersion)] = &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
        let verify = t.table(r, "verify", "clusters.<name>.tls.verify");
        ClusterTls {
            ca: t.path(r, "ca"),
            identity: Identity::read(r, t),
            server_name: t.one(r, "server_name", value::server_name),
            san: verify.map_or_else(Vec::new, |t| t.many(r, "san", form::san)),
            oldest: t.one(r, "min_version", value::choice(VERSIONS)),
            insecure: t.one(r, "insecure_skip_verify", value::boolean),
        }
    }
}

// === files of endpoints ===

/// Reads a file of endpoints, written as `endpoints` of a cluster is.
pub(in crate::config) fn endpoints_file(
    path: &Path,
    environment: Environment<'_>,
) -> Result<Vec<EndpointSettings>, Vec<Mistake>> {
    let file: Arc<str> = path.display().to_string().into();
    let root = load::text_of(path).and_then(|text| load::tree_of(&text, &file)).map_err(|mistake| vec![mistake])?;
    let base = path.parent().unwrap_or(Path::new(""));
    let mut r = Reader { file: &file, base, environment, mistakes: Vec::new(), misspelt: Vec::new() };
    let mut endpoints = Vec::new();
    if let Some(t) = Table::open(&mut r, &root, Spot { place: None, key: String::new() }, FILE) {
        endpoints = super::spread::endpoints(&mut r, &t);
        if !t.has("endpoints") {
            r.missing(&t, "endpoints", "endpoints: [h2c://10.0.0.1:50051]");
        }
    }
    match r.mistakes.is_empty() {
        true => Ok(endpoints.into_iter().map(|endpoint| endpoint.value).collect()),
        false => Err(r.mistakes),
    }
}
