//! What goes on for a cluster beside its calls, once per process: its endpoints are found, and asked after.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::cluster::Cluster;
use super::discovery::{self, Discovery, Outlet, Standing};
use super::probe::supervise;
use crate::observe::DiscoveryFigures;

/// What a cluster has of its attendants.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    standing: Arc<Standing>,
    wake: Arc<Notify>,
}

/// Starts what the settings of a new cluster ask for. It ends with the cluster, which it does not keep alive.
pub(super) fn attend(cluster: &Arc<Cluster>, runtime: Option<&Handle>) {
    let settings = cluster.settings();
    let Attendance { standing, wake } = &cluster.attendance;
    let weak = Arc::downgrade(cluster);
    let give = Box::new(move |endpoints| {
        if let Some(cluster) = weak.upgrade() {
            cluster.replace_endpoints(endpoints);
        }
    });
    let mut outlet = Outlet::new(cluster.name(), give, Arc::clone(standing), Arc::clone(wake), cluster.changes());
    let Some(runtime) = runtime else {
        if settings.discovery != Discovery::Fixed || settings.probe.is_some() {
            outlet.failed("there is no runtime to find and check endpoints on");
        }
        return;
    };
    discovery::start(runtime, &settings.discovery, outlet);
    if let Some(probe) = &settings.probe {
        runtime.spawn(supervise(Arc::downgrade(cluster), probe.clone()));
    }
}

// === impl Cluster ===

impl Cluster {
    /// Waits until the source of its endpoints, if it has one, has looked for the first time; no longer than a connect
    /// may take from `began`. Blocks the thread: for loads, so that no calls come before there is where they can go.
    pub fn wait_for_endpoints(&self, began: Instant) {
        if self.settings().discovery != Discovery::Fixed {
            self.attendance.standing.wait_for_a_look(began + self.settings().connect_timeout);
        }
    }

    /// How the source of its endpoints does; `None` where they are fixed.
    pub fn discovery(&self) -> Option<DiscoveryFigures> {
        let standing = &self.attendance.standing;
        (self.settings().discovery != Discovery::Fixed).then(|| DiscoveryFigures {
            updates: standing.updates(),
            failures: standing.failures(),
            reason: standing.reason(),
        })
    }

    /// Calls that its endpoints got so far.
    pub(super) fn calls(&self) -> u64 {
        self.endpoints().iter().map(|endpoint| endpoint.calls()).fold(0, u64::wrapping_add)
    }

    /// For a call that finds nobody.
    pub(super) fn why_without_endpoints(&self) -> String {
        match self.attendance.standing.reason() {
            Some(why) => format!("cluster {} has no endpoints: {why}", self.name()),
            None if self.settings().discovery != Discovery::Fixed => {
                format!("cluster {} has no endpoints yet: their source has not answered", self.name())
            }
            None => format!("cluster {} has no endpoints", self.name()),
        }
    }

    /// No endpoint can take a call: others are looked for at once, if there is where to look.
    pub(super) fn nobody_answers(&self) {
        self.attendance.wake.notify_one();
    }
}
