//! Settling: which catalogs come from reflection, and of whom.

use super::{Settling, set, value_of, values_of};
use crate::catalog::{Mistake, Source};
use crate::config::Purpose;
use crate::config::written::{self, Reflect, Written};
use crate::reflect::{Services, Settings};
use crate::upstream::ClusterSettings;
use crate::wire::closest;

// === impl Settling: reflection ===

impl Settling<'_> {
    /// Of the catalogs that have no mistake of their own. One whose reflection has a mistake is taken out of them.
    pub(super) fn reflections(
        &mut self,
        written: &Written,
        catalogs: &mut Vec<Source>,
        clusters: &[ClusterSettings],
    ) -> Vec<Settings> {
        let mut found = Vec::new();
        for w in &written.catalogs {
            let (Some(reflect), Some(name)) = (&w.reflect, &w.name) else { continue };
            let before = self.mistakes.len();
            let cluster = self.asked(w, reflect, &name.value, clusters);
            // watched from now on: a pin that is written anew is another truth
            self.files.extend(value_of(&reflect.pin));
            let settings = reflection(reflect, &name.value, cluster);
            if self.mistakes.len() > before {
                catalogs.retain(|catalog| catalog.name != name.value);
            }
            let is_whole = catalogs.iter().any(|catalog| catalog.name == name.value);
            found.extend(settings.filter(|_| is_whole));
        }
        found
    }

    /// Whose reflection is asked.
    fn asked(
        &mut self,
        w: &written::Catalog,
        reflect: &Reflect,
        name: &str,
        clusters: &[ClusterSettings],
    ) -> Option<ClusterSettings> {
        if let (Some(cluster), Some(url)) = (&reflect.cluster, reflect.upstream.first()) {
            let text = format!("`upstream` and `cluster: {}` exclude each other", cluster.value);
            self.mistakes.push(url.spot.mistake(text).hint("keep one of them"));
            return None;
        }
        if !reflect.upstream.is_empty() {
            return Some(self.own_cluster(name, &reflect.upstream));
        }
        let of_catalog = w.cluster.as_ref().map_or(name, |cluster| &cluster.value);
        let asked = reflect.cluster.as_ref().map_or(of_catalog, |cluster| &cluster.value);
        let found = clusters.iter().find(|cluster| *cluster.name == *asked).cloned();
        match (&found, &reflect.cluster) {
            (None, Some(cluster)) => {
                let mistake = cluster.spot.mistake(format!("there is no cluster \"{asked}\""));
                let near = closest(asked, clusters.iter().map(|cluster| &*cluster.name));
                self.mistakes.push(match near {
                    Some(near) => mistake.hint(format!("did you mean \"{near}\"?")),
                    None => mistake,
                });
            }
            // without anybody a catalog can be described, but not asked for
            (Some(_), None) if w.cluster.is_none() && w.upstream.is_empty() && reflect.pin.is_none() => {
                let told = ["cluster", "upstream"].iter().any(|key| self.is_told(&w.spot, key));
                if !told && self.purpose == Purpose::Describe {
                    self.mistakes.push(nobody(reflect));
                }
            }
            _ => {}
        }
        found
    }
}

fn nobody(reflect: &Reflect) -> Mistake {
    let mistake = reflect.spot.mistake("whose reflection is to be asked?");
    match reflect.spot.key.starts_with("--") {
        true => mistake.hint("give --upstream URL, as in h2c://127.0.0.1:50051"),
        false => mistake.hint("give the catalog a `cluster` or an `upstream`, or `reflect` one of its own"),
    }
}

fn reflection(w: &Reflect, name: &str, cluster: Option<ClusterSettings>) -> Option<Settings> {
    let mut settings = Settings::new(name, cluster?);
    // each pattern was read when it was written
    settings.services = Services::parse(w.services.iter().map(|pattern| pattern.value.as_str())).ok()?;
    if let Some(refresh) = &w.refresh {
        settings.refresh = Some(refresh.value).filter(|refresh| !refresh.is_zero());
    }
    set(&mut settings.timeout, &w.timeout);
    set(&mut settings.wait, &w.wait);
    set(&mut settings.drift, &w.drift);
    settings.pin = values_of(w.pin.as_slice()).pop();
    settings.place = w.spot.place.clone();
    settings.key = w.spot.key.as_str().into();
    Some(settings)
}
