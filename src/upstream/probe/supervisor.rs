//! Who is checked: one task per endpoint of a cluster, as they come and go.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};

use super::ProbeSettings;
use super::rounds::{Patient, Rounds};
use super::session::{Io, Target};
use crate::upstream::connect::dial;
use crate::upstream::{Cluster, Endpoint, Probed};

/// An endpoint of a cluster. Keeps neither: checks end with what they check.
struct Ward {
    cluster: Weak<Cluster>,
    endpoint: Arc<Endpoint>,
}

/// Checks the endpoints of a cluster for as long as it lives.
pub(in crate::upstream) async fn supervise(cluster: Weak<Cluster>, settings: ProbeSettings) {
    let Some(mut changes) = cluster.upgrade().map(|cluster| cluster.changes()) else { return };
    let mut checks = JoinSet::new();
    let mut known: HashMap<u64, AbortHandle> = HashMap::new();
    loop {
        let Some(endpoints) = cluster.upgrade().map(|cluster| cluster.endpoints()) else { return };
        let ids: HashSet<u64> = endpoints.iter().map(|endpoint| endpoint.id()).collect();
        known.retain(|id, check| {
            let stays = ids.contains(id);
            if !stays {
                check.abort();
            }
            stays
        });
        for endpoint in endpoints {
            let (cluster, settings) = (Weak::clone(&cluster), settings.clone());
            known
                .entry(endpoint.id())
                .or_insert_with(|| checks.spawn(Rounds::new(Ward { cluster, endpoint }, settings).run()));
        }
        // those that were aborted leave nothing behind
        while checks.try_join_next().is_some() {}
        if changes.changed().await.is_err() {
            return;
        }
    }
}

// === impl Ward ===

impl Patient for Ward {
    async fn dial(&self, within: Duration) -> Result<Box<dyn Io>, String> {
        // the cluster is let go of before anything is waited for, so that its end waits for no check
        let tls = match self.cluster.upgrade() {
            Some(cluster) => cluster.tls(),
            None => return Err("the cluster is gone".into()),
        };
        dial(&self.endpoint, tls, within).await
    }

    fn target(&self) -> Target {
        Target { scheme: self.endpoint.scheme.clone(), authority: self.endpoint.authority.clone() }
    }

    fn probed(&self, found: Probed) {
        let Some(cluster) = self.cluster.upgrade() else { return };
        let (name, endpoint) = (cluster.name(), self.endpoint.label());
        match &found {
            Probed::Unhealthy(why) => tracing::warn!(cluster = name, %endpoint, %why, "unhealthy"),
            Probed::Healthy | Probed::Unknown => tracing::info!(cluster = name, %endpoint, "healthy"),
        }
        self.endpoint.probed(found);
    }

    fn calls(&self) -> u64 {
        self.cluster.upgrade().map_or(0, |cluster| cluster.calls())
    }
}
