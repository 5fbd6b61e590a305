//! The generation: one immutable set of tables, swapped whole.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::catalog::Mistake;
use crate::observe::Meters;

/// What a load gives: the tables of a generation, and the files and directories that they were made of.
#[derive(Debug)]
pub struct Loaded<T> {
    pub tables: T,
    /// A change of any of these, or below one that is a directory, is a reason to load again.
    pub watch: Vec<PathBuf>,
}

/// Builds the tables of a generation from the files as they are now. Called once at start, and by each reload on a
/// thread that serves no calls. All mistakes are told at once.
pub type Load<T> = Box<dyn Fn() -> Result<Loaded<T>, Vec<Mistake>> + Send + Sync>;

/// The generation in force and the ones that calls still use.
#[derive(Debug)]
pub(super) struct Generations<T> {
    current: Arc<ArcSwap<T>>,
    old: Vec<Arc<T>>,
    number: i64,
    meters: Arc<Meters>,
}

// === impl Generations ===

impl<T> Generations<T> {
    pub(super) fn first(tables: T, meters: Arc<Meters>) -> Generations<T> {
        meters.generation.set(1);
        Generations { current: Arc::new(ArcSwap::from_pointee(tables)), old: Vec::new(), number: 1, meters }
    }

    /// What workers read the tables in force from, once per call.
    pub(super) fn current(&self) -> Arc<ArcSwap<T>> {
        Arc::clone(&self.current)
    }

    /// Puts new tables in force; calls in flight keep theirs. Returns the generation's number.
    pub(super) fn swap(&mut self, tables: T) -> i64 {
        self.old.push(self.current.swap(Arc::new(tables)));
        self.number = self.number.saturating_add(1);
        self.meters.generation.set(self.number);
        self.number
    }

    /// Drops old generations that no call uses, here and not on a worker: large tables take long to free. False when
    /// none is left.
    pub(super) fn tidy(&mut self) -> bool {
        self.old.retain(|tables| Arc::strong_count(tables) > 1);
        !self.old.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_in_flight_keep_their_generation_until_they_end() {
        let meters = Meters::new(false);
        let mut generations = Generations::first("one", Arc::clone(&meters));
        let call = generations.current().load_full();
        assert_eq!(generations.swap("two"), 2);
        assert_eq!((*call, **generations.current().load(), meters.generation.get()), ("one", "two", 2));
        assert!(generations.tidy());
        drop(call);
        assert!(!generations.tidy());
    }
}
