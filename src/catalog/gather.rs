//! Finds and reads the files of a catalog: import roots, descriptor sets, bundled files, and all that they import.
//!
//! A name is looked up in this order: protobuf's own files as the compiler carries them (a stale `descriptor.proto` in
//! somebody's tree would take thousands of files with it), the import roots, the descriptor sets, our bundled files.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::bundled;
use super::descriptor_set;
use super::mistake::{Mistake, Place};
use super::modern_descriptor;
use super::source::Source;
use super::unit::{Origin, Unit};
use crate::wire::closest;

/// Directories below a root that are looked into: nobody nests packages deeper.
const MAX_DEPTH: usize = 64;

/// Fewer files than this are not worth a second thread.
const FEW_FILES: usize = 32;

/// Protobuf's own files: loaded when something imports them, not because they lie in a tree.
const PROTOBUF: &str = "google/protobuf/";

/// Every catalog has it: options are read by it, so a damaged copy must never stand in its place.
const DESCRIPTOR: &str = "google/protobuf/descriptor.proto";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// By import name.
    pub units: BTreeMap<Box<str>, Unit>,
    /// Import names of files that have mistakes of their own: what imports them is not complained about.
    pub broken: HashSet<Box<str>>,
    pub mistakes: Vec<Mistake>,
}

/// A file to read.
struct Reading {
    name: Box<str>,
    path: PathBuf,
    offered: bool,
}

/// A file that was read, under its import name.
type Read = (Box<str>, Result<Unit, Vec<Mistake>>);

struct Gatherer<'a> {
    roots: Vec<PathBuf>,
    source: &'a Source,
    set_units: BTreeMap<Box<str>, Unit>,
    gathered: Gathered,
}

/// Reads everything that the source names, and everything that those files import.
pub(super) fn gather(source: &Source) -> Gathered {
    let mut gatherer =
        Gatherer { roots: roots(source), source, set_units: BTreeMap::new(), gathered: Gathered::default() };
    gatherer.read_sets();
    let wanted = gatherer.wanted();
    gatherer.read_all(wanted);
    gatherer.complain_of_missing_imports();
    gatherer.gathered
}

/// The import roots: as given, or else the directories of the `.proto` files.
pub(super) fn roots(source: &Source) -> Vec<PathBuf> {
    if !source.proto_paths.is_empty() || source.protos.is_empty() {
        return source.proto_paths.clone();
    }
    let mut roots: Vec<PathBuf> = Vec::new();
    for proto in &source.protos {
        let parent = proto.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !roots.iter().any(|root| root == parent) {
            roots.push(parent.to_owned());
        }
    }
    roots
}

// === impl Gatherer ===

impl Gatherer<'_> {
    fn read_sets(&mut self) {
        let source = self.source;
        for path in &source.descriptor_sets {
            let units = descriptor_set::read(path, &mut self.gathered);
            self.take_set(units);
        }
        for set in &source.held_sets {
            let units = descriptor_set::hold(set, &mut self.gathered);
            self.take_set(units);
        }
    }

    /// Of files of one name, the set that is named first has it.
    fn take_set(&mut self, units: Result<Vec<Unit>, Mistake>) {
        match units {
            Ok(units) => {
                for unit in units {
                    self.set_units.entry(unit.name.clone()).or_insert(unit);
                }
            }
            Err(mistake) => self.gathered.mistakes.push(mistake),
        }
    }

    /// The files whose services are offered, by import name.
    fn wanted(&mut self) -> BTreeSet<Box<str>> {
        let mut wanted: BTreeSet<Box<str>> = BTreeSet::new();
        if self.source.protos.is_empty() {
            let roots = self.roots.clone();
            for root in &roots {
                self.walk_root(root, &mut wanted);
            }
            let nothing = wanted.is_empty() && self.set_units.is_empty() && self.gathered.mistakes.is_empty();
            if let Some(root) = roots.first().filter(|_| nothing) {
                self.gathered
                    .mistakes
                    .push(Mistake::new("no .proto file below this import root").at(shown_place(root)));
            }
        }
        for proto in &self.source.protos {
            match self.import_name(proto) {
                Ok(name) => drop(wanted.insert(name)),
                Err(mistake) => self.gathered.mistakes.push(mistake),
            }
        }
        wanted
    }

    fn walk_root(&mut self, root: &Path, wanted: &mut BTreeSet<Box<str>>) {
        let others: HashSet<PathBuf> =
            self.roots.iter().filter(|other| **other != root).filter_map(|other| other.canonicalize().ok()).collect();
        let mut walk =
            Walk { root, others: &others, wanted, mistakes: &mut self.gathered.mistakes, walked: HashSet::new() };
        walk.directory(root, 0);
    }

    /// The name under which a `.proto` file is imported: its path below one of the roots.
    fn import_name(&self, proto: &Path) -> Result<Box<str>, Mistake> {
        let on_disk = proto.is_file().then(|| proto.canonicalize().ok()).flatten();
        for root in &self.roots {
            let below = on_disk.as_ref().and_then(|path| path.strip_prefix(root.canonicalize().ok()?).ok());
            let plain = proto.strip_prefix(root).ok().filter(|_| proto.is_file());
            if let Some(name) = plain.or(below).and_then(slashed) {
                return Ok(name);
            }
        }
        if let Some(name) = slashed(proto)
            && (self.find(&name).is_some() || bundled::text(&name).is_some())
        {
            return Ok(name);
        }
        let roots: Vec<_> = self.roots.iter().map(|root| root.display().to_string()).collect();
        let text = if on_disk.is_some() { "the file is under none of the import roots" } else { "file not found" };
        Err(Mistake::new(text).at(shown_place(proto)).hint(format!("import roots: {}", roots.join(", "))))
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        let safe = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        self.roots.iter().map(|root| root.join(name)).find(|path| safe && path.is_file())
    }

    /// Reads the wanted files and what they import, round after round.
    fn read_all(&mut self, wanted: BTreeSet<Box<str>>) {
        let mut asked: HashSet<Box<str>> = wanted.iter().cloned().collect();
        let mut round: Vec<(Box<str>, bool)> = wanted.into_iter().map(|name| (name, true)).collect();
        let in_sets = self.set_units.keys().cloned().map(|name| (name, true));
        round.extend(in_sets.chain([(DESCRIPTOR.into(), false)]).filter(|(name, _)| asked.insert(name.clone())));
        while !round.is_empty() {
            let mut readings = Vec::new();
            let mut fresh = Vec::new();
            for (name, offered) in round.drain(..) {
                self.take(name, offered, &mut readings, &mut fresh);
            }
            for (name, outcome) in read_files(readings) {
                match outcome {
                    Ok(unit) => fresh.push(unit),
                    Err(mistakes) => {
                        self.gathered.mistakes.extend(mistakes);
                        self.gathered.broken.insert(name);
                    }
                }
            }
            for unit in fresh {
                for import in &unit.imports {
                    if asked.insert(import.name.clone()) {
                        round.push((import.name.clone(), false));
                    }
                }
                self.gathered.units.insert(unit.name.clone(), unit);
            }
        }
    }

    /// Looks a name up; what is on disk is left to the readers.
    fn take(&mut self, name: Box<str>, offered: bool, readings: &mut Vec<Reading>, fresh: &mut Vec<Unit>) {
        if let Some(unit) = Unit::protobuf(&name) {
            fresh.push(unit);
        } else if let Some(path) = self.find(&name) {
            readings.push(Reading { name, path, offered });
        } else if let Some(unit) = self.set_units.remove(&name) {
            fresh.push(unit);
        } else if let Some(text) = bundled::text(&name).or_else(|| modern_descriptor::stand_in(&name)) {
            match Unit::parse(&name, format!("{name} (bundled)").into(), text, Origin::Bundled(text)) {
                Ok(unit) => fresh.push(Unit { offered, ..unit }),
                Err(mistakes) => self.gathered.mistakes.extend(mistakes),
            }
        }
    }

    fn complain_of_missing_imports(&mut self) {
        let Gathered { units, broken, mistakes } = &mut self.gathered;
        let mut incomplete = Vec::new();
        for unit in units.values() {
            for import in &unit.imports {
                if units.contains_key(&import.name) || broken.contains(&import.name) {
                    continue;
                }
                incomplete.push(unit.name.clone());
                let mut known: Vec<&str> =
                    units.keys().filter(|name| **name != unit.name).map(|name| &**name).collect();
                known.extend(bundled::names());
                let hint = if self.roots.is_empty() {
                    "it is not in the descriptor set: build the set with --include_imports".to_owned()
                } else if let Some(name) = closest(&import.name, known) {
                    format!("did you mean {name:?}?")
                } else {
                    let roots: Vec<_> = self.roots.iter().map(|root| root.display().to_string()).collect();
                    format!("import roots: {}", roots.join(", "))
                };
                let text = format!("import {:?} not found", import.name);
                mistakes.push(Mistake::new(text).at(unit.place(import.spot)).hint(hint));
            }
        }
        broken.extend(incomplete);
    }
}

/// A walk through one import root.
struct Walk<'a> {
    root: &'a Path,
    /// The other roots: a file below two of them belongs to the inner one.
    others: &'a HashSet<PathBuf>,
    wanted: &'a mut BTreeSet<Box<str>>,
    mistakes: &'a mut Vec<Mistake>,
    /// Directories that were walked, by their real path: links may lead round in a circle.
    walked: HashSet<PathBuf>,
}

// === impl Walk ===

impl Walk<'_> {
    fn directory(&mut self, directory: &Path, depth: usize) {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => {
                let text = format!("cannot read the directory: {error}");
                return self.mistakes.push(Mistake::new(text).at(shown_place(directory)));
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                let hidden = name.to_str().is_none_or(|name| name.starts_with('.') || name == "node_modules");
                let real = path.canonicalize().ok().filter(|real| !self.others.contains(real));
                if !hidden && depth < MAX_DEPTH && real.is_some_and(|real| self.walked.insert(real)) {
                    self.directory(&path, depth + 1);
                }
            } else if path.extension().is_some_and(|extension| extension == "proto")
                && let Some(name) = path.strip_prefix(self.root).ok().and_then(slashed)
                && !name.starts_with(PROTOBUF)
            {
                self.wanted.insert(name);
            }
        }
    }
}

/// Reads and parses files, on all processors when there are many. In the order of the names.
fn read_files(readings: Vec<Reading>) -> Vec<Read> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    if readings.len() < FEW_FILES || threads == 1 {
        return readings.into_iter().map(|reading| (reading.name.clone(), reading.read())).collect();
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(readings.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(reading) = readings.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = (reading.name.clone(), reading.read());
                    results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by(|(a, _), (b, _)| a.cmp(b));
    results
}

// === impl Reading ===

impl Reading {
    fn read(&self) -> Result<Unit, Vec<Mistake>> {
        let shown: Arc<str> = self.path.display().to_string().into();
        let text = read_text(&self.path, &shown).map_err(|mistake| vec![mistake])?;
        let unit = Unit::parse(&self.name, shown, &text, Origin::Disk(self.path.clone()))?;
        Ok(Unit { offered: self.offered, ..unit })
    }
}

/// The text of a `.proto` file.
pub(super) fn read_text(path: &Path, shown: &Arc<str>) -> Result<String, Mistake> {
    let complain = |text: String| Mistake::new(text).at(Place::new(Arc::clone(shown), 0, 0));
    let bytes = std::fs::read(path).map_err(|error| complain(format!("cannot read the file: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1;
        let place = Place::new(Arc::clone(shown), u32::try_from(line).unwrap_or(u32::MAX), 0);
        complain(String::from("the file is not UTF-8")).at(place)
    })
}

fn shown_place(path: &Path) -> Place {
    Place::new(path.display().to_string(), 0, 0)
}

/// A relative path as an import name.
fn slashed(path: &Path) -> Option<Box<str>> {
    let mut name = String::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => {
                if !name.is_empty() {
                    name.push('/');
                }
                name.push_str(part.to_str()?);
            }
            Component::CurDir => (),
            _ => return None,
        }
    }
    (!name.is_empty()).then(|| name.into())
}
