//! The counters as the text that Prometheus scrapes (OpenMetrics 1.0).
//!
//! `prometheus-client` only encodes: its metric types would put a lock and a label hash on the hot path, so the
//! numbers stay plain atomics and are read when somebody asks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::labelled::Labelled;
use super::meters::{BUCKETS, DIALECTS, Direction, Gauge, GuardWord, Meters, Tally, Verdict};
use crate::status::Code;

/// The media type of [`exposition`]'s text.
pub const EXPOSITION_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Reads the counters when the page is asked for.
#[derive(Debug)]
struct Reader(Arc<Meters>);

/// The page that `/metrics` serves.
pub fn exposition(meters: &Arc<Meters>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Reader(Arc::clone(meters))));
    let mut text = String::with_capacity(8 * 1024);
    // writing to a string does not fail
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

// === impl Reader ===

impl Collector for Reader {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let meters = &self.0;
        let gauges: [(&str, &str, &Gauge); 7] = [
            ("transom_connections_active", "Open connections of callers", &meters.connections_active),
            ("transom_websockets_active", "Open WebSockets of callers", &meters.websockets_active),
            ("transom_calls_active", "Calls between head and end", &meters.calls_active),
            ("transom_upstream_streams_active", "Streams open towards upstreams", &meters.upstream_streams_active),
            (
                "transom_upstream_connections_active",
                "Open connections to upstreams",
                &meters.upstream_connections_active,
            ),
            ("transom_pumps_active", "Tasks that carry a request body", &meters.pumps_active),
            ("transom_generation", "Number of the generation in force", &meters.generation),
        ];
        for (name, help, gauge) in gauges {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&gauge.get())?;
        }
        // the encoder adds `_total`
        let tallies: [(&str, &str, &Tally); 9] = [
            ("transom_connections", "Connections accepted", &meters.connections_total),
            (
                "transom_connections_refused",
                "Connections closed before their first call: no slot, no TLS, no first bytes in time",
                &meters.connections_refused,
            ),
            (
                "transom_upstream_connect_failures",
                "Connections to upstreams that failed",
                &meters.upstream_connect_failures,
            ),
            ("transom_upstream_hedges", "Requests sent while an earlier one had no answer", &meters.repeats.hedges),
            ("transom_upstream_hedges_won", "Hedges whose answer was the first good one", &meters.repeats.hedges_won),
            (
                "transom_upstream_retries_over_budget",
                "Attempts that the retry budget of a cluster did not allow",
                &meters.repeats.over_budget,
            ),
            (
                "transom_upstream_pushbacks",
                "Failures with which an upstream said when to come again, or never",
                &meters.repeats.pushbacks,
            ),
            ("transom_reloads", "Generations swapped in", &meters.reloads),
            ("transom_reload_failures", "Reloads that were refused", &meters.reload_failures),
        ];
        for (name, help, tally) in tallies {
            let mut encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            encoder.encode_counter::<NoLabelSet, _, u64>(&tally.get(), None)?;
        }
        encode_retries(meters, &mut encoder)?;
        encode_calls(meters, &mut encoder)?;
        meters.reflection.encode(&mut encoder)?;
        for family in [&meters.route_calls, &meters.mirrored, &meters.faults] {
            encode_labelled(family, &mut encoder)?;
        }
        encode_guard(meters, &mut encoder)?;
        encode_rules(meters, &mut encoder)?;
        super::upstream_exposition::encode(&meters.upstreams(), &mut encoder)?;
        encode_durations(meters, &mut encoder)
    }
}

/// A line for each reason, from the beginning.
fn encode_retries(meters: &Meters, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Requests sent again, by what became of the attempt before";
    let mut family = encoder.encode_descriptor("transom_upstream_retries", help, None, MetricType::Counter)?;
    for (reason, count) in meters.repeats.retries() {
        let labels = [("reason", reason.name())];
        family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
    }
    Ok(())
}

/// One line per dialect and code that has occurred.
fn encode_calls(meters: &Meters, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Calls that ended, by the caller's dialect and gRPC code";
    let mut family = encoder.encode_descriptor("transom_calls", help, None, MetricType::Counter)?;
    for (dialect, codes) in DIALECTS.iter().zip(&meters.calls) {
        for (number, count) in codes.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            let code = u32::try_from(number).ok().map(Code::from_number);
            let Some(code) = code.filter(|_| count > 0) else { continue };
            let labels = [("dialect", *dialect), ("code", code.name())];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    Ok(())
}

/// A line for each counter that the generations so far have made.
fn encode_labelled(family: &Labelled, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut lines = encoder.encode_descriptor(family.name, family.help, None, MetricType::Counter)?;
    for (values, count) in family.read() {
        let labels: Vec<(&str, &str)> =
            family.labels.iter().copied().zip(values.iter().map(|value| &**value)).collect();
        lines.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
    }
    Ok(())
}

/// A line for each direction and word, from the beginning: alerts are set on what has not happened yet.
fn encode_guard(meters: &Meters, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Messages that break the schema, by direction and by what the guard did";
    let mut family = encoder.encode_descriptor("transom_guard_violations", help, None, MetricType::Counter)?;
    for (direction, words) in Direction::ALL.iter().zip(&meters.guard_violations) {
        for (word, count) in GuardWord::ALL.iter().zip(words) {
            let labels = [("direction", direction.name()), ("mode", word.name())];
            let count = count.load(Ordering::Relaxed);
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    Ok(())
}

/// The same for the rules of `buf.validate`.
fn encode_rules(meters: &Meters, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Messages that break rules of buf.validate or cannot be judged by them, by direction and mode";
    let mut family = encoder.encode_descriptor("transom_rule_violations", help, None, MetricType::Counter)?;
    for (direction, modes) in Direction::ALL.iter().zip(&meters.rule_violations) {
        for (mode, verdicts) in [GuardWord::Shadow, GuardWord::Enforce].iter().zip(modes) {
            for (verdict, count) in Verdict::ALL.iter().zip(verdicts) {
                let labels = [("direction", direction.name()), ("mode", mode.name()), ("verdict", verdict.name())];
                let count = count.load(Ordering::Relaxed);
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
    }
    Ok(())
}

fn encode_durations(meters: &Meters, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let bounds = BUCKETS.iter().copied().chain([f64::INFINITY]);
    // the encoder sums the buckets up
    let buckets: Vec<(f64, u64)> =
        bounds.zip(&meters.durations).map(|(bound, count)| (bound, count.load(Ordering::Relaxed))).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    let sum = meters.duration_micros.load(Ordering::Relaxed) as f64 / 1e6;
    encoder
        .encode_descriptor("transom_call_duration_seconds", "From head to end of a call", None, MetricType::Histogram)?
        .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::observe::RepeatReason;

    #[test]
    fn the_page_holds_every_counter_and_ends_as_openmetrics_does() {
        let meters = Meters::new(false);
        meters.connections_active.add(3);
        meters.connections_total.add(7);
        meters.call_ended("grpc", 0, Duration::from_millis(3));
        meters.call_ended("grpc", 0, Duration::from_secs(60));
        meters.call_ended("rest", 14, Duration::from_micros(100));
        meters.guard_violated(Direction::Response, GuardWord::Shadow);
        meters.rules_violated(Direction::Request, true, Verdict::Broken);
        meters.rules_violated(Direction::Response, false, Verdict::Unjudged);
        meters.mirrored.cell(&["b", "same"]).add(2);
        meters.repeats.retried(RepeatReason::Lost);
        let page = exposition(&meters);
        for line in [
            "transom_mirror_total{cluster=\"b\",outcome=\"same\"} 2",
            "transom_connections_active 3",
            "transom_connections_total 7",
            "transom_calls_total{dialect=\"grpc\",code=\"OK\"} 2",
            "transom_calls_total{dialect=\"rest\",code=\"UNAVAILABLE\"} 1",
            "transom_call_duration_seconds_bucket{le=\"0.0005\"} 1",
            "transom_call_duration_seconds_bucket{le=\"0.005\"} 2",
            "transom_call_duration_seconds_bucket{le=\"30.0\"} 2",
            "transom_call_duration_seconds_bucket{le=\"+Inf\"} 3",
            "transom_call_duration_seconds_count 3",
            "transom_upstream_retries_total{reason=\"lost\"} 1",
            "transom_upstream_retries_total{reason=\"status\"} 0",
            "transom_upstream_hedges_won_total 0",
            "transom_guard_violations_total{direction=\"response\",mode=\"shadow\"} 1",
            "transom_guard_violations_total{direction=\"request\",mode=\"enforce\"} 0",
            "transom_rule_violations_total{direction=\"request\",mode=\"enforce\",verdict=\"broken\"} 1",
            "transom_rule_violations_total{direction=\"response\",mode=\"shadow\",verdict=\"unjudged\"} 1",
            "transom_rule_violations_total{direction=\"response\",mode=\"enforce\",verdict=\"broken\"} 0",
            "# EOF",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
        assert!(!page.contains("CANCELLED"), "{page}");
    }
}
