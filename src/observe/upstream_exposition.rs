//! The figures of upstreams as Prometheus reads them, and as people do.

use std::fmt::{self, Write};
use std::sync::Arc;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::upstreams::{ClusterFigures, Count, DiscoveryFigures, EndpointFigures, Health};

/// Endpoints of a cluster that have samples of their own; the others are summed up under the label `other`.
const MOST_ENDPOINTS: usize = 100;

/// One sample: labels and value.
type Sample<'a> = (Vec<(&'a str, &'a str)>, u64);

/// Everything that is known of clusters and endpoints.
pub(super) fn encode(clusters: &[ClusterFigures], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let of_clusters = |value: fn(&ClusterFigures) -> u64| {
        clusters.iter().map(move |cluster| (vec![("cluster", &*cluster.name)], value(cluster)))
    };
    let pending = of_clusters(|cluster| cluster.pending);
    family(encoder, MetricType::Gauge, "transom_cluster_pending", "Calls that wait for a connection", pending)?;
    let panic = of_clusters(|cluster| cluster.panic.into());
    family(
        encoder,
        MetricType::Gauge,
        "transom_cluster_panic",
        "1: so few endpoints are healthy that all are called",
        panic,
    )?;
    let overloaded = clusters.iter().flat_map(|cluster| {
        let counts = cluster.overloaded.iter();
        counts.map(|Count { name, count }| (vec![("cluster", &*cluster.name), ("limit", *name)], *count))
    });
    family(encoder, MetricType::Counter, "transom_cluster_overloaded", "Calls refused because of a limit", overloaded)?;
    let of_sources = |value: fn(&DiscoveryFigures) -> u64| {
        clusters
            .iter()
            .filter_map(move |cluster| Some((vec![("cluster", &*cluster.name)], value(cluster.discovery.as_ref()?))))
    };
    let updates = of_sources(|source| source.updates);
    family(
        encoder,
        MetricType::Counter,
        "transom_discovery_updates",
        "Sets of endpoints that differed from the one before",
        updates,
    )?;
    let failures = of_sources(|source| source.failures);
    family(
        encoder,
        MetricType::Counter,
        "transom_discovery_failures",
        "Looks for endpoints that failed or found nobody",
        failures,
    )?;
    let failing = of_sources(|source| source.reason.is_some().into());
    family(
        encoder,
        MetricType::Gauge,
        "transom_discovery_failing",
        "1: the last look failed, an older set of endpoints is kept",
        failing,
    )?;
    let standing = clusters.iter().flat_map(|cluster| {
        Health::ALL.into_iter().map(|health| {
            let count = cluster.endpoints.iter().filter(|endpoint| endpoint.health == health).count();
            (vec![("cluster", &*cluster.name), ("health", health.name())], count as u64)
        })
    });
    family(encoder, MetricType::Gauge, "transom_cluster_endpoints", "Endpoints, by how they stand", standing)?;
    let bounded: Vec<(&ClusterFigures, Vec<EndpointFigures>)> =
        clusters.iter().map(|cluster| (cluster, bounded(&cluster.endpoints))).collect();
    encode_endpoints(&bounded, encoder)
}

fn encode_endpoints(
    clusters: &[(&ClusterFigures, Vec<EndpointFigures>)],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let each = |value: fn(&EndpointFigures) -> u64| {
        clusters.iter().flat_map(move |(cluster, endpoints)| {
            let labels = |endpoint| vec![("cluster", &*cluster.name), ("endpoint", endpoint)];
            endpoints.iter().map(move |endpoint| (labels(&endpoint.endpoint), value(endpoint)))
        })
    };
    family(encoder, MetricType::Gauge, "transom_endpoint_calls_active", "Calls open", each(|at| at.active))?;
    family(
        encoder,
        MetricType::Gauge,
        "transom_endpoint_connections_active",
        "Connections open",
        each(|at| at.connections),
    )?;
    let healthy = each(|at| matches!(at.health, Health::Healthy | Health::Warming).into());
    family(encoder, MetricType::Gauge, "transom_endpoint_healthy", "1: it takes calls", healthy)?;
    let ejected = each(|at| matches!(at.health, Health::Ejected | Health::Trial).into());
    family(encoder, MetricType::Gauge, "transom_endpoint_ejected", "1: it is out because its calls failed", ejected)?;
    family(encoder, MetricType::Counter, "transom_endpoint_calls", "Calls sent", each(|at| at.calls))?;
    family(
        encoder,
        MetricType::Counter,
        "transom_endpoint_ejections",
        "Times that it was ejected",
        each(|at| at.ejections),
    )?;
    // seven kinds of a hundred endpoints: those that have occurred
    let failures = clusters.iter().flat_map(|(cluster, endpoints)| {
        endpoints.iter().flat_map(move |endpoint| {
            endpoint.failures.iter().filter(|failure| failure.count > 0).map(move |failure| {
                let labels = [("cluster", &*cluster.name), ("endpoint", &*endpoint.endpoint), ("kind", failure.name)];
                (labels.to_vec(), failure.count)
            })
        })
    });
    family(
        encoder,
        MetricType::Counter,
        "transom_endpoint_failures",
        "Failed calls and connects, by what went wrong",
        failures,
    )
}

/// Samples of one name; nothing if there is none.
fn family<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    kind: MetricType,
    name: &str,
    help: &str,
    samples: impl Iterator<Item = Sample<'a>>,
) -> fmt::Result {
    let mut samples = samples.peekable();
    if samples.peek().is_none() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in samples {
        let mut sample = family.encode_family(&labels)?;
        match kind {
            // the encoder adds `_total`
            MetricType::Counter => sample.encode_counter::<NoLabelSet, _, u64>(&value, None)?,
            _ => sample.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))?,
        }
    }
    Ok(())
}

/// The first hundred, and all others as one.
fn bounded(endpoints: &[EndpointFigures]) -> Vec<EndpointFigures> {
    let mut shown: Vec<EndpointFigures> = endpoints.iter().take(MOST_ENDPOINTS).cloned().collect();
    let mut others = endpoints.iter().skip(MOST_ENDPOINTS);
    if let Some(first) = others.next() {
        let mut other = EndpointFigures { endpoint: Arc::from("other"), ..first.clone() };
        others.for_each(|endpoint| other.add(endpoint));
        shown.push(other);
    }
    shown
}

/// A table of clusters and endpoints, for people.
pub fn upstreams_as_text(clusters: &[ClusterFigures]) -> String {
    let mut text = String::new();
    for cluster in clusters {
        // writing to a string does not fail
        let _ = cluster_as_text(cluster, &mut text);
    }
    text
}

fn cluster_as_text(cluster: &ClusterFigures, text: &mut String) -> fmt::Result {
    let panic = if cluster.panic { ", PANIC: all endpoints are called" } else { "" };
    write!(text, "{} ({}): {} pending{panic}", cluster.name, cluster.balance, cluster.pending)?;
    for Count { name, count } in cluster.overloaded.iter().filter(|refused| refused.count > 0) {
        write!(text, ", {count} refused by limits.{name}")?;
    }
    if let Some(reason) = cluster.discovery.as_ref().and_then(|source| source.reason.as_ref()) {
        write!(text, ", {reason}")?;
    }
    text.push('\n');
    let width = cluster.endpoints.iter().map(|at| at.endpoint.len()).max().unwrap_or(0);
    for at in &cluster.endpoints {
        write!(
            text,
            "  {:width$}  {:9}  {:6} active  {:10} calls",
            at.endpoint,
            at.health.name(),
            at.active,
            at.calls
        )?;
        write!(text, "  weight {} priority {}", at.weight, at.priority)?;
        if let Some(zone) = &at.zone {
            write!(text, " zone {zone}")?;
        }
        if let Some(latency) = at.latency_ms {
            write!(text, "  {latency:.1} ms")?;
        }
        for Count { name, count } in at.failures.iter().filter(|failure| failure.count > 0) {
            write!(text, "  {name} {count}")?;
        }
        if at.ejections > 0 {
            write!(text, "  ejected {}x", at.ejections)?;
        }
        if let Some(reason) = &at.reason {
            write!(text, "  ({reason})")?;
        }
        text.push('\n');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Meters, Upstreams, exposition};

    #[derive(Debug)]
    struct Told(Vec<ClusterFigures>);

    impl Upstreams for Told {
        fn figures(&self) -> Vec<ClusterFigures> {
            self.0.clone()
        }
    }

    fn endpoint(number: usize, health: Health) -> EndpointFigures {
        EndpointFigures {
            endpoint: format!("10.0.0.{number}:1").into(),
            weight: 1,
            health,
            calls: 3,
            failures: vec![Count { name: "reset", count: 2 }, Count { name: "lost", count: 0 }],
            reason: (health == Health::Down).then(|| "connection refused".into()),
            ..EndpointFigures::default()
        }
    }

    fn cluster(count: usize) -> ClusterFigures {
        ClusterFigures {
            name: "books".into(),
            balance: "p2c",
            overloaded: vec![Count { name: "calls", count: 4 }],
            discovery: Some(DiscoveryFigures { updates: 7, failures: 1, reason: Some("no such name".into()) }),
            endpoints: (0..count)
                .map(|number| endpoint(number, if number == 1 { Health::Down } else { Health::Healthy }))
                .collect(),
            ..ClusterFigures::default()
        }
    }

    #[test]
    fn the_page_has_samples_of_each_cluster_and_endpoint() {
        let meters = Meters::new(false);
        assert!(!exposition(&meters).contains("transom_cluster"));
        meters.ask_of_upstreams(Arc::new(Told(vec![cluster(2)])));
        let page = exposition(&meters);
        for line in [
            "transom_cluster_overloaded_total{cluster=\"books\",limit=\"calls\"} 4",
            "transom_cluster_endpoints{cluster=\"books\",health=\"down\"} 1",
            "transom_discovery_updates_total{cluster=\"books\"} 7",
            "transom_discovery_failures_total{cluster=\"books\"} 1",
            "transom_discovery_failing{cluster=\"books\"} 1",
            "transom_endpoint_calls_total{cluster=\"books\",endpoint=\"10.0.0.1:1\"} 3",
            "transom_endpoint_healthy{cluster=\"books\",endpoint=\"10.0.0.1:1\"} 0",
            "transom_endpoint_failures_total{cluster=\"books\",endpoint=\"10.0.0.0:1\",kind=\"reset\"} 2",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
        assert!(!page.contains("kind=\"lost\"") && page.ends_with("# EOF\n"));
    }

    #[test]
    fn endpoints_beyond_a_hundred_share_a_label() {
        let shown = bounded(&cluster(250).endpoints);
        let other = shown.last().expect("others");
        assert_eq!((shown.len(), &*other.endpoint, other.calls, other.failures[0].count), (101, "other", 450, 300));
    }

    #[test]
    fn people_read_a_line_for_each_endpoint_with_what_is_wrong() {
        let text = upstreams_as_text(&[cluster(2)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "books (p2c): 0 pending, 4 refused by limits.calls, no such name");
        assert!(lines[2].contains("down") && lines[2].ends_with("(connection refused)"), "{text}");
    }
}
