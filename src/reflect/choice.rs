//! Which of several answers is taken.

use std::sync::Arc;

use super::instances::Told;
use super::set::Set;

/// What most instances say; of equally many what is in force, else what the first one says. `None` if none said anything.
///
/// While a new version is rolled out, the catalog so changes once, at half of the way, whatever the order of the endpoints.
pub fn choose(told: &[Told], current: Option<&Arc<Set>>) -> Option<Arc<Set>> {
    let mut groups: Vec<(&Arc<Set>, usize)> = Vec::new();
    for set in told.iter().filter_map(Told::set) {
        match groups.iter_mut().find(|(known, _)| known.outline() == set.outline()) {
            Some((known, count)) => {
                *count += 1;
                // comments, and the order of declarations, make no other catalog
                if current.is_some_and(|current| current == set) {
                    *known = set;
                }
            }
            None => groups.push((set, 1)),
        }
    }
    let is_current = |set: &Arc<Set>| current.is_some_and(|current| current.outline() == set.outline());
    // of equal ones `max_by_key` takes the last
    let chosen = groups.iter().rev().max_by_key(|(set, count)| (*count, is_current(set)));
    chosen.map(|(set, _)| Arc::clone(set))
}
