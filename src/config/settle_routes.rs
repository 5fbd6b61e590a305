//! Settling `routes`: clusters that they name must be there. Which methods and fields they name is known when the catalogs
//! are (`route::Targets`).

use super::written::{At, Mirror, Route};
use crate::catalog::Mistake;
use crate::route::{MirrorRule, TargetRule};
use crate::upstream::ClusterSettings;
use crate::wire::closest;

/// The routes without a mistake, and the mistakes of the others.
pub(super) fn routes(written: &[Route], clusters: &[ClusterSettings], mistakes: &mut Vec<Mistake>) -> Vec<TargetRule> {
    let mut names: Vec<&At<String>> = Vec::new();
    for name in written.iter().filter_map(|route| route.name.as_ref()) {
        if let Some(other) = names.iter().find(|other| other.value == name.value) {
            let mistake = name.spot.mistake(format!("a route {} is there already", name.value));
            mistakes.push(mistake.hint(format!("see `{}`", other.spot.key)));
        }
        names.push(name);
    }
    let mut rules = Vec::with_capacity(written.len());
    for route in written {
        let before = mistakes.len();
        let rule = rule(route, clusters, mistakes);
        if mistakes.len() == before {
            rules.push(rule);
        }
    }
    rules
}

fn rule(w: &Route, clusters: &[ClusterSettings], mistakes: &mut Vec<Mistake>) -> TargetRule {
    let mirrored = w.mirror.as_ref().map(|mirror| &mirror.cluster);
    for name in w.cluster.iter().chain(w.clusters.iter().map(|(name, _)| name)).chain(mirrored) {
        mistakes.extend(missing(name, clusters));
    }
    if let (Some(cluster), true) = (&w.cluster, w.has_clusters) {
        let mistake = cluster.spot.mistake("`cluster` and `clusters` exclude each other");
        mistakes.push(mistake.hint("keep one of them"));
    }
    if w.has_clusters && !w.clusters.is_empty() && w.clusters.iter().all(|(_, weight)| *weight == 0) {
        mistakes.push(w.spot.below("clusters").mistake("has no weight above 0"));
    }
    let split = w.clusters.iter().filter(|(_, weight)| *weight > 0).map(|(name, weight)| (name, *weight));
    let all = w.cluster.iter().map(|name| (name, 1)).chain(split);
    TargetRule {
        name: w.name.as_ref().map_or(&*w.spot.key, |name| &*name.value).into(),
        key: w.spot.key.as_str().into(),
        patterns: w.patterns.iter().map(|at| (at.value.clone(), at.spot.place.clone())).collect(),
        when: w.when.clone(),
        clusters: all.map(|(name, weight)| (name.value.as_str().into(), weight)).collect(),
        rename: w.rename.as_ref().map(|at| (at.value.clone(), at.spot.place.clone())),
        mirror: w.mirror.as_ref().map(mirror),
        fault: w.fault.clone(),
        place: w.spot.place.clone(),
    }
}

fn mirror(w: &Mirror) -> MirrorRule {
    MirrorRule { cluster: w.cluster.value.as_str().into(), share: w.share, compare: w.compare, buffer: w.buffer }
}

fn missing(name: &At<String>, clusters: &[ClusterSettings]) -> Option<Mistake> {
    let known = || clusters.iter().map(|cluster| &*cluster.name);
    if known().any(|known| known == name.value) {
        return None;
    }
    let mistake = name.spot.mistake(format!("there is no cluster \"{}\"", name.value));
    Some(match closest(&name.value, known()) {
        Some(near) => mistake.hint(format!("did you mean \"{near}\"?")),
        None => mistake.hint(format!("there are: {}", known().collect::<Vec<_>>().join(", "))),
    })
}
