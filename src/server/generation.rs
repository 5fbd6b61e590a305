//! The generation: one immutable set of tables, swapped whole.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::admin::{Pages, Shelf};
use crate::catalog::Mistake;
use crate::observe::Meters;

/// What a load gives: the tables of a generation, and the files and directories that they were made of.
pub struct Loaded<T> {
    pub tables: T,
    /// A change of any of these, or below one that is a directory, is a reason to load again.
    pub watch: Vec<PathBuf>,
    /// Pages about these tables for the operator's door; `None`: there are none.
    pub about: Option<About<T>>,
}

/// Makes the pages about a generation, once its tables are in their place.
pub type About<T> = Box<dyn FnOnce(Arc<T>) -> Pages + Send>;

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
    /// Where the pages about the generation in force go.
    shelf: Arc<Shelf>,
}

// === impl Loaded ===

impl<T> Loaded<T> {
    /// Without pages.
    pub fn new(tables: T, watch: Vec<PathBuf>) -> Loaded<T> {
        Loaded { tables, watch, about: None }
    }
}

// === impl Generations ===

impl<T> Generations<T> {
    pub(super) fn first(tables: T, about: Option<About<T>>, meters: Arc<Meters>, shelf: Arc<Shelf>) -> Generations<T> {
        meters.generation.set(1);
        let tables = Arc::new(tables);
        shelf.lay(about.map(|about| about(Arc::clone(&tables))));
        Generations { current: Arc::new(ArcSwap::new(tables)), old: Vec::new(), number: 1, meters, shelf }
    }

    /// What workers read the tables in force from, once per call.
    pub(super) fn current(&self) -> Arc<ArcSwap<T>> {
        Arc::clone(&self.current)
    }

    /// Puts new tables in force; calls in flight keep theirs. Returns the generation's number.
    pub(super) fn swap(&mut self, tables: T, about: Option<About<T>>) -> i64 {
        let tables = Arc::new(tables);
        let pages = about.map(|about| about(Arc::clone(&tables)));
        self.old.push(self.current.swap(tables));
        self.shelf.lay(pages);
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
    use crate::admin::Page;
    use bytes::Bytes;

    #[test]
    fn calls_in_flight_keep_their_generation_until_they_end() {
        let (meters, shelf) = (Meters::new(false), Arc::<Shelf>::default());
        let about = || -> Option<About<&str>> {
            Some(Box::new(|tables| Box::new(move |_| Some(Page { content_type: "", bytes: Bytes::from(*tables) }))))
        };
        let shown = || shelf.find("/").map(|page| page.bytes);
        let mut generations = Generations::first("one", about(), Arc::clone(&meters), Arc::clone(&shelf));
        assert_eq!(shown().as_deref(), Some(&b"one"[..]));
        let call = generations.current().load_full();
        assert_eq!(generations.swap("two", about()), 2);
        assert_eq!(shown().as_deref(), Some(&b"two"[..]));
        assert_eq!((*call, **generations.current().load(), meters.generation.get()), ("one", "two", 2));
        assert!(generations.tidy());
        drop(call);
        assert!(!generations.tidy());
    }
}
