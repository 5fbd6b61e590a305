//! Counters whose labels are the operator's own names, as those of routes and clusters: made when a generation is loaded,
//! and held by those who count, so that counting costs no look-up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::meters::Tally;

/// A family of counters of one name. Labels come from the configuration, never from a peer; what a reload no longer has
/// keeps its last number, as Prometheus wants of counters.
#[derive(Debug)]
pub struct Labelled {
    /// Without the `_total` of the page.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) labels: &'static [&'static str],
    cells: Mutex<BTreeMap<Values, Arc<Tally>>>,
}

/// Values of a family's labels, in their order.
type Values = Box<[Box<str>]>;

// === impl Labelled ===

impl Labelled {
    pub(super) fn new(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Labelled {
        Labelled { name, help, labels, cells: Mutex::default() }
    }

    /// The counter with these values of the labels, in their order; made if there is none. Takes a lock: for load time.
    pub fn cell(&self, values: &[&str]) -> Arc<Tally> {
        let key = values.iter().map(|value| Box::from(*value)).collect();
        Arc::clone(self.cells.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default())
    }

    /// All counters and their labels' values.
    pub fn read(&self) -> Vec<(Values, u64)> {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.iter().map(|(values, tally)| (values.clone(), tally.get())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_labels_share_a_counter() {
        let family = Labelled::new("calls", "Calls", &["route"]);
        family.cell(&["a"]).add(2);
        family.cell(&["a"]).add(1);
        family.cell(&["b"]);
        let read: Vec<_> = family.read().into_iter().map(|(values, count)| (values[0].to_string(), count)).collect();
        assert_eq!(read, [("a".to_owned(), 3), ("b".to_owned(), 0)]);
    }
}
