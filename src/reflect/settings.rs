//! What the operator says of a catalog that comes from reflection.

use std::path::PathBuf;
use std::time::Duration;

use super::services::Services;
use crate::catalog::{Mistake, Place};
use crate::upstream::ClusterSettings;

/// How one catalog is taken from reflection.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The catalog's name.
    pub catalog: Box<str>,
    /// Whom to ask: each endpoint for itself, with the cluster's TLS and authority.
    pub cluster: ClusterSettings,
    /// Which of the services are taken.
    pub services: Services,
    /// How often the upstream is asked again; `None`: at start and at reloads only. Default 60 s.
    pub refresh: Option<Duration>,
    /// For all that is asked of one endpoint, connect included. Default 10 s.
    pub timeout: Duration,
    /// How long a start waits for an upstream that cannot be reached. Default 15 s.
    pub wait: Duration,
    /// A descriptor set that is the truth, in place of what the upstream says.
    pub pin: Option<PathBuf>,
    /// What to do when instances disagree with one another, or with the pin.
    pub drift: OnDrift,
    /// Where it is written, for mistakes.
    pub place: Option<Place>,
    /// The key, or the flag.
    pub key: Box<str>,
}

/// What becomes of answers that differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDrift {
    /// The answer of most instances counts, or the pin; the others are logged, counted and shown.
    #[default]
    Report,
    /// No start, and no reload: the generation in force stays.
    Refuse,
}

// === impl Settings ===

impl Settings {
    /// With the defaults.
    pub fn new(catalog: impl Into<Box<str>>, cluster: ClusterSettings) -> Settings {
        Settings {
            catalog: catalog.into(),
            cluster,
            services: Services::default(),
            refresh: Some(Duration::from_secs(60)),
            timeout: Duration::from_secs(10),
            wait: Duration::from_secs(15),
            pin: None,
            drift: OnDrift::Report,
            place: None,
            key: "reflect".into(),
        }
    }

    /// A mistake about this catalog's reflection.
    pub(super) fn mistake(&self, text: impl Into<String>) -> Mistake {
        let mistake = Mistake::new(text).key(&*self.key);
        match &self.place {
            Some(place) => mistake.at(place.clone()),
            None => mistake,
        }
    }

    /// Whether what was learnt by the other settings still holds: the same is asked of the same.
    pub(super) fn asks_the_same(&self, other: &Settings) -> bool {
        self.cluster.name == other.cluster.name
            && self.cluster.endpoints == other.cluster.endpoints
            && self.services == other.services
            && self.pin == other.pin
    }
}
