//! The counters of catalogs that come from reflection.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::meters::Tally;

/// What was asked of upstreams about themselves, and what came of it. Nothing here is on the path of a call.
#[derive(Debug, Default)]
pub struct ReflectionMeters {
    /// Endpoints asked.
    pub asked: Tally,
    /// Of those, the ones that said nothing that could be used.
    pub failures: Tally,
    /// Sets that differed from the one in force, and loaded.
    pub changes: Tally,
    /// Sets that did not load, or disagreements that are not allowed.
    pub refused: Tally,
    drift: Mutex<Vec<DriftGauge>>,
}

/// How far one endpoint is from the catalog in force. All names are the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftGauge {
    pub catalog: Box<str>,
    pub cluster: Box<str>,
    pub endpoint: Box<str>,
    /// Parts (services, methods, messages, fields) that differ.
    pub differences: i64,
}

// === impl ReflectionMeters ===

impl ReflectionMeters {
    /// Replaces what was known of a catalog's endpoints.
    pub fn drifted(&self, catalog: &str, now: Vec<DriftGauge>) {
        let mut drift = self.drift();
        drift.retain(|gauge| *gauge.catalog != *catalog);
        drift.extend(now);
    }

    fn drift(&self) -> MutexGuard<'_, Vec<DriftGauge>> {
        self.drift.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let tallies: [(&str, &str, &Tally); 4] = [
            ("transom_reflection_asked", "Endpoints asked for their descriptors", &self.asked),
            ("transom_reflection_failures", "Endpoints that did not tell their descriptors", &self.failures),
            ("transom_reflection_changes", "Descriptors of an upstream that changed, and load", &self.changes),
            ("transom_reflection_refused", "Descriptors of an upstream that were not taken", &self.refused),
        ];
        for (name, help, tally) in tallies {
            let mut encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            encoder.encode_counter::<NoLabelSet, _, u64>(&tally.get(), None)?;
        }
        let drift = self.drift();
        if drift.is_empty() {
            return Ok(());
        }
        let help = "Parts of an endpoint's descriptors that differ from the catalog in force";
        let mut family = encoder.encode_descriptor("transom_reflection_drift", help, None, MetricType::Gauge)?;
        for gauge in drift.iter() {
            let labels = [("catalog", &*gauge.catalog), ("cluster", &*gauge.cluster), ("endpoint", &*gauge.endpoint)];
            family.encode_family(&labels)?.encode_gauge(&gauge.differences)?;
        }
        Ok(())
    }
}
