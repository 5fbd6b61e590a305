//! Endpoints by DNS: A and AAAA of a name, or SRV and then the addresses of its targets.
//!
//! Looked up again when the shortest TTL of the answer has passed, within the bounds of the settings; at once when no
//! endpoint answers. The name of the cluster is what endpoints are called by (`:authority`, certificates), addresses are
//! only where they are.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};

use super::{DnsSettings, Families, Outlet};
use crate::upstream::EndpointSettings;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Addresses,
    Services,
}

/// What a look-up came to.
struct Answer {
    endpoints: Vec<EndpointSettings>,
    /// When the first record of it expires.
    until: Instant,
}

/// The addresses of a name. A family that could not be asked is told apart from one that has none.
struct Addresses {
    found: Vec<IpAddr>,
    until: Option<Instant>,
}

/// For one query of one server, and how often it is sent.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;
/// For all of a look-up, SRV and addresses of targets.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(15);
/// Targets of SRV that are looked up, and how many at a time.
const TARGETS: usize = 256;
const AT_ONCE: usize = 8;
/// From one look-up to the next that is asked for because nobody answers.
const ASKED: Duration = Duration::from_secs(1);
/// A failed look-up is repeated in double the time each, up to this or to the upper bound of the settings.
const RETRY_CAP: Duration = Duration::from_secs(30);

/// A source's life.
pub(super) async fn run(settings: DnsSettings, kind: Kind, mut outlet: Outlet) {
    let mut failures: u32 = 0;
    loop {
        let looked = tokio::time::Instant::now();
        let answer = tokio::time::timeout(LOOKUP_TIMEOUT, look_up(&settings, kind)).await;
        let pause = match answer.unwrap_or_else(|_| Err(format!("no answer within {LOOKUP_TIMEOUT:?}"))) {
            Ok(answer) => {
                failures = 0;
                outlet.found(answer.endpoints);
                let left = answer.until.saturating_duration_since(Instant::now());
                left.max(settings.min_refresh).min(settings.max_refresh.max(settings.min_refresh))
            }
            Err(why) => {
                outlet.failed(&format!("look-up of {}: {why}", settings.name));
                failures = failures.saturating_add(1);
                retry_after(&settings, failures)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = async {
                outlet.wake.notified().await;
                tokio::time::sleep_until(looked + ASKED).await;
            } => {}
        }
    }
}

fn retry_after(settings: &DnsSettings, failures: u32) -> Duration {
    let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let cap = RETRY_CAP.min(settings.max_refresh).max(settings.min_refresh);
    settings.min_refresh.saturating_mul(doubled).min(cap)
}

async fn look_up(settings: &DnsSettings, kind: Kind) -> Result<Answer, String> {
    // anew each time, so that changes of the system's configuration count; it opens nothing before it asks
    let resolver = resolver(settings).map_err(|error| format!("the system's resolver: {error}"))?;
    match kind {
        Kind::Addresses => {
            let addresses = addresses(&resolver, &settings.name, settings.families).await?;
            let until = addresses.until.unwrap_or_else(Instant::now);
            let endpoints = addresses.found.iter().map(|address| endpoint(*address, settings.port, settings.tls, None));
            Ok(Answer { endpoints: endpoints.collect(), until })
        }
        Kind::Services => services(&resolver, settings).await,
    }
}

fn resolver(settings: &DnsSettings) -> Result<TokioResolver, NetError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = if settings.resolvers.is_empty() {
        Resolver::builder(provider)?
    } else {
        let servers = settings.resolvers.iter().map(server).collect();
        Resolver::builder_with_config(ResolverConfig::from_parts(None, Vec::new(), servers), provider)
    };
    let options = builder.options_mut();
    options.cache_size = 0;
    options.timeout = options.timeout.min(QUERY_TIMEOUT);
    options.attempts = ATTEMPTS;
    options.try_tcp_on_error = true;
    if !settings.resolvers.is_empty() {
        options.use_hosts_file = ResolveHosts::Never;
    }
    builder.build()
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].into_iter().map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.collect())
}

/// A and AAAA at once. One family's records are enough when the other cannot be had: resolvers that do not answer AAAA
/// are about, and a name's addresses of one family serve as well as all of them.
async fn addresses(resolver: &TokioResolver, name: &str, families: Families) -> Result<Addresses, String> {
    let ask = |kind, wanted: bool| async move {
        match wanted {
            true => Some(resolver.lookup(name, kind).await),
            false => None,
        }
    };
    let (v4, v6) = futures_util::future::join(
        ask(RecordType::A, families != Families::V6),
        ask(RecordType::AAAA, families != Families::V4),
    )
    .await;
    let mut addresses = Addresses { found: Vec::new(), until: None };
    let mut failure = None;
    for lookup in [v4, v6].into_iter().flatten() {
        match lookup {
            Ok(lookup) => {
                let found = lookup.answers().iter().filter_map(|record| match &record.data {
                    RData::A(address) => Some(IpAddr::V4(address.0)),
                    RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                    _ => None,
                });
                addresses.found.extend(found);
                let until = lookup.valid_until();
                addresses.until = Some(addresses.until.map_or(until, |known| known.min(until)));
            }
            // why one was not to be had matters more than that the other has none
            Err(error) if error.is_no_records_found() => failure = failure.or_else(|| Some(told(&error))),
            Err(error) => failure = Some(told(&error)),
        }
    }
    match failure {
        Some(why) if addresses.found.is_empty() => Err(why),
        _ => Ok(addresses),
    }
}

async fn services(resolver: &TokioResolver, settings: &DnsSettings) -> Result<Answer, String> {
    let lookup = resolver.lookup(&*settings.name, RecordType::SRV).await.map_err(|error| told(&error))?;
    let records = lookup.answers().iter().filter_map(|record| match &record.data {
        // a single "." says that there is decidedly no such service (RFC 2782)
        RData::SRV(record) if !record.target.is_root() && record.port > 0 => Some(record.clone()),
        _ => None,
    });
    let records: Vec<SRV> = records.take(TARGETS).collect();
    if records.is_empty() {
        return Err("the service has no targets".into());
    }
    let found = stream::iter(records)
        .map(|record| async move {
            let target = record.target.to_utf8();
            let found = addresses(resolver, &target, settings.families).await;
            (record, found.map_err(|why| format!("{target}: {why}")))
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let mut answer = Answer { endpoints: Vec::new(), until: lookup.valid_until() };
    let mut failure = None;
    for (record, addresses) in found {
        match addresses {
            Ok(addresses) => {
                answer.until = addresses.until.map_or(answer.until, |until| until.min(answer.until));
                let own = addresses.found.into_iter();
                answer.endpoints.extend(own.map(|ip| endpoint(ip, record.port, settings.tls, Some(&record))));
            }
            Err(why) => failure = Some(why),
        }
    }
    match failure {
        Some(why) if answer.endpoints.is_empty() => Err(why),
        _ => Ok(answer),
    }
}

/// Of SRV, a weight of 0 means "hardly ever beside others"; here 1 is the least.
fn endpoint(address: IpAddr, port: u16, tls: bool, record: Option<&SRV>) -> EndpointSettings {
    let mut endpoint = EndpointSettings::new(address.to_string(), port, tls);
    if let Some(record) = record {
        endpoint.weight = u32::from(record.weight).max(1);
        endpoint.priority = u32::from(record.priority);
    }
    endpoint
}

fn told(error: &NetError) -> String {
    if error.is_nx_domain() {
        "there is no such name".into()
    } else if error.is_no_records_found() {
        "the name has no address".into()
    } else {
        error.to_string()
    }
}
