//! What a configuration says of a catalog that comes from reflection: `catalogs[].reflect`.

use std::path::PathBuf;
use std::time::Duration;

use super::super::node::Value;
use super::super::value;
use super::{At, Reader, Spot, Table};
use crate::reflect::{OnDrift, Services};
use crate::upstream::EndpointSettings;

/// `reflect: true`, or a table.
#[derive(Debug)]
pub(in super::super) struct Reflect {
    pub spot: Spot,
    pub cluster: Option<At<String>>,
    pub upstream: Vec<At<EndpointSettings>>,
    /// Each is a pattern.
    pub services: Vec<At<String>>,
    pub refresh: Option<At<Duration>>,
    pub pin: Option<At<PathBuf>>,
    pub drift: Option<At<OnDrift>>,
    pub timeout: Option<At<Duration>>,
    pub wait: Option<At<Duration>>,
}

// === impl Reflect ===

impl Reflect {
    /// With all defaults.
    pub fn unsaid(spot: Spot) -> Reflect {
        Reflect {
            spot,
            cluster: None,
            upstream: Vec::new(),
            services: Vec::new(),
            refresh: None,
            pin: None,
            drift: None,
            timeout: None,
            wait: None,
        }
    }

    /// Of the catalog that is being read; `None`: it does not come from reflection.
    pub(super) fn read(r: &mut Reader<'_>, catalog: &Table<'_>) -> Option<Reflect> {
        const DRIFT: &[(&str, OnDrift)] = &[("report", OnDrift::Report), ("refuse", OnDrift::Refuse)];
        let (node, spot) = catalog.value(r, "reflect")?;
        if matches!(node.value, Value::Text(_)) {
            let wanted = catalog.one(r, "reflect", value::boolean)?;
            return wanted.value.then(|| Reflect::unsaid(spot));
        }
        let t = catalog.table(r, "reflect", "catalogs[].reflect")?;
        let pattern = |text: &str| {
            let pattern = value::text(text)?;
            Services::parse([pattern.as_str()]).map_err(value::wrong)?;
            Ok(pattern)
        };
        Some(Reflect {
            spot: t.spot.clone(),
            cluster: t.one(r, "cluster", value::name),
            upstream: t.many(r, "upstream", value::endpoint),
            services: t.many(r, "services", pattern),
            refresh: t.one(r, "refresh", value::duration_or_zero),
            pin: t.path(r, "pin"),
            drift: t.one(r, "drift", value::choice(DRIFT)),
            timeout: t.one(r, "timeout", value::duration),
            wait: t.one(r, "wait", value::duration_or_zero),
        })
    }
}
