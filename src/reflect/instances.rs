//! All endpoints of a cluster, asked each for itself: which of them a call would reach is chance, and they may differ.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::collect::{Failure, collect};
use super::set::Set;
use super::settings::Settings;
use crate::catalog::Mistake;
use crate::observe::Meters;
use crate::upstream::{Cluster, ClusterSettings, Clusters, EndpointSettings, Pool};

/// What one endpoint said.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its host and port.
    pub endpoint: Box<str>,
    outcome: Result<Said, Failure>,
}

/// What an endpoint said that could be used.
#[derive(Clone, Debug)]
struct Said {
    version: &'static str,
    set: Arc<Set>,
    remarks: Vec<String>,
}

/// Endpoints that are asked in one round; of more, others with each round.
const MAX_ASKED: usize = 64;
/// Endpoints that are asked at a time: each may hold 64 MiB of answers.
const AT_A_TIME: usize = 4;

/// Asks the endpoints, on a thread and connections of its own: it may be called from anywhere, takes no part of the
/// workers' connections, and blocks until the last one has answered or run out of time. Endpoints that are not in the
/// settings, but have to be discovered, are so first. `round` chooses which ones are asked, if there are many.
///
/// In the order of the settings; at least one.
pub fn ask(settings: &Settings, round: usize) -> Vec<Told> {
    let all = std::thread::scope(|scope| {
        let asking = std::thread::Builder::new().name("reflect".to_owned()).spawn_scoped(scope, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let told = runtime.block_on(ask_all(settings, round));
            // a name look-up that hangs does not keep anybody
            runtime.shutdown_background();
            Ok::<_, std::io::Error>(told)
        });
        asking
            .and_then(|thread| thread.join().unwrap_or_else(|_| Err(std::io::Error::other("the asking thread ended"))))
    });
    all.unwrap_or_else(|error| vec![Told::nobody(settings, Failure::new(error.to_string()))])
}

/// The mistakes that those are who told nothing.
pub fn failures(settings: &Settings, told: &[Told]) -> Vec<Mistake> {
    told.iter().filter_map(|told| told.mistake(settings)).collect()
}

async fn ask_all(settings: &Settings, round: usize) -> Vec<Told> {
    let endpoints = match discovered(settings).await {
        Ok(endpoints) => endpoints,
        Err(failure) => return vec![Told::nobody(settings, failure)],
    };
    let endpoints = chosen(&endpoints, round);
    let mut told: Vec<Told> = Vec::with_capacity(endpoints.len());
    let mut asking = stream::iter(endpoints).map(|endpoint| ask_one(settings, endpoint)).buffered(AT_A_TIME);
    while let Some(mut one) = asking.next().await {
        // most say the same, and that is kept once
        let same = one.set().and_then(|set| told.iter().filter_map(Told::set).find(|known| *known == set).cloned());
        if let (Some(same), Ok(said)) = (same, &mut one.outcome) {
            said.set = same;
        }
        told.push(one);
    }
    told
}

/// The endpoints of the settings; of a cluster that lists none, those that it finds in time.
async fn discovered(settings: &Settings) -> Result<Vec<EndpointSettings>, Failure> {
    if !settings.cluster.endpoints.is_empty() {
        return Ok(settings.cluster.endpoints.clone());
    }
    let cluster = Clusters::new(Handle::current()).obtain(settings.cluster.clone());
    let cluster = cluster.map_err(|error| Failure::new(error.to_string()))?;
    let found = async {
        let mut changes = cluster.changes();
        loop {
            let found: Vec<EndpointSettings> = cluster.endpoints().iter().map(|one| one.settings().clone()).collect();
            if !found.is_empty() || changes.changed().await.is_err() {
                return found;
            }
        }
    };
    match timeout(settings.timeout, found).await {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Failure {
            may_pass: true,
            ..Failure::new(format!("no endpoint is known within {:?}", settings.timeout))
        }),
    }
}

fn chosen(endpoints: &[EndpointSettings], round: usize) -> Vec<&EndpointSettings> {
    if endpoints.len() <= MAX_ASKED {
        return endpoints.iter().collect();
    }
    let from = round.wrapping_mul(MAX_ASKED) % endpoints.len();
    endpoints.iter().cycle().skip(from).take(MAX_ASKED).collect()
}

async fn ask_one(settings: &Settings, endpoint: &EndpointSettings) -> Told {
    let deadline = Instant::now() + settings.timeout;
    let cluster = match Cluster::new(alone(&settings.cluster, endpoint)) {
        Ok(cluster) => cluster,
        Err(error) => return Told::failed(endpoint, Failure::new(error.to_string())),
    };
    // not the process's counters: nobody's call goes this way
    let pool = Pool::new(Meters::new(false));
    let collected = collect(&pool, &cluster, &settings.services, deadline, settings.timeout).await;
    pool.retire();
    let outcome = collected.map(|collected| Said {
        version: collected.version.name(),
        set: Arc::new(collected.set),
        remarks: collected.remarks,
    });
    Told { endpoint: endpoint.label().into(), outcome }
}

/// A cluster of this endpoint alone: nobody looks for others, and nobody probes it.
fn alone(cluster: &ClusterSettings, endpoint: &EndpointSettings) -> ClusterSettings {
    ClusterSettings {
        connect_timeout: cluster.connect_timeout,
        keep_alive_interval: cluster.keep_alive_interval,
        keep_alive_timeout: cluster.keep_alive_timeout,
        authority: cluster.authority.clone(),
        tls: cluster.tls.clone(),
        ..ClusterSettings::new(cluster.name.clone(), vec![endpoint.clone()])
    }
}

// === impl Told ===

impl Told {
    fn failed(endpoint: &EndpointSettings, failure: Failure) -> Told {
        Told { endpoint: endpoint.label().into(), outcome: Err(failure) }
    }

    /// Nobody was asked: stands under the cluster's name.
    fn nobody(settings: &Settings, failure: Failure) -> Told {
        Told { endpoint: settings.cluster.name.clone(), outcome: Err(failure) }
    }

    /// What it has, if it said so.
    pub fn set(&self) -> Option<&Arc<Set>> {
        self.outcome.as_ref().ok().map(|said| &said.set)
    }

    /// The version of reflection that it serves: `v1` or `v1alpha`.
    pub fn version(&self) -> Option<&'static str> {
        self.outcome.as_ref().ok().map(|said| said.version)
    }

    /// What deserves a word but stops nothing.
    pub fn remarks(&self) -> &[String] {
        self.outcome.as_ref().map_or(&[], |said| &said.remarks)
    }

    /// Why it said nothing that could be used.
    pub fn failure(&self) -> Option<String> {
        self.outcome.as_ref().err().map(ToString::to_string)
    }

    /// Whether it failed for a reason that may be over soon.
    pub(super) fn may_pass(&self) -> bool {
        self.outcome.as_ref().err().is_some_and(|failure| failure.may_pass)
    }

    /// The mistake that a failure is.
    pub(super) fn mistake(&self, settings: &Settings) -> Option<Mistake> {
        let failure = self.outcome.as_ref().err()?;
        let text = format!("reflection of {}: {}", self.endpoint, failure.text);
        let mistake = settings.mistake(text);
        Some(match &failure.hint {
            Some(hint) => mistake.hint(hint.as_str()),
            None => mistake,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_endpoints_each_round_asks_others() {
        let endpoint = |port| EndpointSettings::parse(&format!("h2c://127.0.0.1:{port}")).expect("an endpoint");
        let few: Vec<EndpointSettings> = (1..=MAX_ASKED).map(endpoint).collect();
        assert_eq!(chosen(&few, 7).len(), MAX_ASKED);
        assert_eq!(chosen(&few, 7)[0].port, 1);
        let many: Vec<EndpointSettings> = (1..=150).map(endpoint).collect();
        let mut asked: Vec<u16> = (0..3).flat_map(|round| chosen(&many, round)).map(|endpoint| endpoint.port).collect();
        asked.sort_unstable();
        asked.dedup();
        assert_eq!(asked.len(), 150);
    }
}
