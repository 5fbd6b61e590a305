//! Links the files of a catalog: puts them in order, resolves their types, and names what does not fit.
//!
//! Files go into the descriptor pool one by one, without source info: it would double the memory of a large catalog. A
//! file that is refused is read once more with all its places, to say where.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use prost::Message as _;
use prost_reflect::{DescriptorError, DescriptorPool};
use prost_types::FileDescriptorProto;

use super::diagnose;
use super::editions::{Overrides, Parsed};
use super::gather::{Gathered, read_text};
use super::mistake::{Mistake, Place};
use super::unit::{Origin, Unit, file_tag, parse_text, without};
use crate::wire::put_bytes;

/// After so many mistakes nobody reads on.
pub(super) const MAX_MISTAKES: usize = 100;

/// How often the pool is built anew after a file that spoilt it.
const MAX_REBUILDS: usize = 8;

/// The files of a catalog in the order of their imports, and the pool made of them.
pub(super) struct Linked {
    pub pool: DescriptorPool,
    pub units: Vec<Unit>,
    /// What files of editions mean beyond what the pool says.
    pub overrides: Overrides,
}

/// What a file imports beyond what it says.
#[derive(Default)]
struct Visible {
    /// The names that its public imports hand on to those who import it.
    handed_on: Vec<Arc<str>>,
    /// The names that others' public imports hand on to it.
    received: Vec<Arc<str>>,
}

struct Linker {
    pool: DescriptorPool,
    visible: HashMap<Box<str>, Visible>,
    failed: HashSet<Box<str>>,
    mistakes: Vec<Mistake>,
    rebuilds: usize,
}

/// Links what was gathered; all mistakes of both steps come back together.
pub(super) fn link(gathered: Gathered) -> Result<Linked, Vec<Mistake>> {
    let Gathered { units, broken, mut mistakes } = gathered;
    let (units, cycles) = in_order(units);
    mistakes.extend(cycles.iter().map(|(_, mistake)| mistake.clone()));
    let mut linker = Linker {
        pool: DescriptorPool::new(),
        visible: HashMap::new(),
        failed: broken.into_iter().chain(cycles.into_iter().map(|(name, _)| name)).collect(),
        mistakes,
        rebuilds: 0,
    };
    linker.add_all(&units);
    if !linker.mistakes.is_empty() {
        let more = linker.mistakes.len().saturating_sub(MAX_MISTAKES);
        linker.mistakes.truncate(MAX_MISTAKES);
        if more > 0 {
            linker.mistakes.push(Mistake::new(format!("and {more} more mistakes")));
        }
        return Err(linker.mistakes);
    }
    let mut overrides = Overrides::default();
    units.iter().for_each(|unit| overrides.absorb(&unit.overrides));
    Ok(Linked { pool: linker.pool, units, overrides })
}

/// Sorts files so that each comes after what it imports. Files that import themselves by some way come back with a
/// mistake; prost-reflect would follow public ones without end.
fn in_order(units: BTreeMap<Box<str>, Unit>) -> (Vec<Unit>, Vec<(Box<str>, Mistake)>) {
    let names: Vec<&str> = units.keys().map(|name| &**name).collect();
    let index: HashMap<&str, usize> = names.iter().enumerate().map(|(i, name)| (*name, i)).collect();
    let list: Vec<&Unit> = units.values().collect();
    let mut state = vec![Walk::New; list.len()];
    let mut order: Vec<usize> = Vec::with_capacity(list.len());
    let mut cycles = Vec::new();
    for start in 0..list.len() {
        let mut stack = if state[start] == Walk::New { vec![(start, 0)] } else { Vec::new() };
        while let Some((at, next)) = stack.last_mut() {
            let at = *at;
            state[at] = Walk::Open;
            let Some(import) = list[at].imports.get(*next) else {
                state[at] = Walk::Done;
                order.push(at);
                stack.pop();
                continue;
            };
            *next += 1;
            match index.get(&*import.name) {
                Some(&to) if state[to] == Walk::New => stack.push((to, 0)),
                Some(&to) if state[to] == Walk::Open => {
                    let ring = stack.iter().map(|(i, _)| *i).skip_while(|i| *i != to).chain([to]);
                    let ring: Vec<&str> = ring.map(|i| names[i]).collect();
                    let text = format!("the imports go round in a circle: {}", ring.join(" -> "));
                    cycles.push((list[at].name.clone(), Mistake::new(text).at(list[at].place(import.spot))));
                }
                _ => (),
            }
        }
    }
    let mut position = vec![0; order.len()];
    for (place, &i) in order.iter().enumerate() {
        position[i] = place;
    }
    let mut sorted: Vec<(usize, Unit)> = position.into_iter().zip(units.into_values()).collect();
    sorted.sort_by_key(|(place, _)| *place);
    (sorted.into_iter().map(|(_, unit)| unit).collect(), cycles)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    New,
    Open,
    Done,
}

// === impl Linker ===

impl Linker {
    fn add_all(&mut self, units: &[Unit]) {
        for (i, unit) in units.iter().enumerate() {
            if self.failed.contains(&unit.name) || unit.imports.iter().any(|import| self.failed.contains(&import.name))
            {
                // its own mistake, or that of what it imports, is reported already
                self.failed.insert(unit.name.clone());
                continue;
            }
            self.note_visible(unit);
            let bytes = self.flattened(unit, &unit.bytes);
            if let Err(error) = self.pool.decode_file_descriptor_proto(&bytes[..]) {
                let mistakes = self.explain(unit, error);
                self.mistakes.extend(mistakes);
                self.failed.insert(unit.name.clone());
                if self.mistakes.len() >= MAX_MISTAKES || !self.repair(unit, &units[..i]) {
                    return;
                }
            }
        }
    }

    /// Public imports, followed all the way: prost-reflect follows them one step only, and walks some of them without
    /// bound. Each file therefore gets what it sees as plain imports.
    fn note_visible(&mut self, unit: &Unit) {
        let mut visible = Visible::default();
        let mut seen: HashSet<Arc<str>> = unit.imports.iter().map(|import| Arc::from(&*import.name)).collect();
        let mut handed: HashSet<Arc<str>> = HashSet::new();
        for import in &unit.imports {
            let name: Arc<str> = Arc::from(&*import.name);
            let behind = self.visible.get(&import.name).map(|v| v.handed_on.clone()).unwrap_or_default();
            for name in behind.iter().chain([&name]).filter(|_| import.public) {
                if handed.insert(Arc::clone(name)) {
                    visible.handed_on.push(Arc::clone(name));
                }
            }
            visible.received.extend(behind.into_iter().filter(|name| seen.insert(Arc::clone(name))));
        }
        self.visible.insert(unit.name.clone(), visible);
    }

    fn flattened(&self, unit: &Unit, bytes: &[u8]) -> Vec<u8> {
        let received = self.visible.get(&unit.name).map(|visible| &visible.received[..]).unwrap_or_default();
        if received.is_empty() && !unit.imports.iter().any(|import| import.public) {
            return bytes.to_vec();
        }
        let mut bytes = without(bytes, &[file_tag::PUBLIC_DEPENDENCY]);
        for name in received {
            put_bytes(&mut bytes, file_tag::DEPENDENCY, name.as_bytes());
        }
        bytes
    }

    /// The mistakes of a file that the pool refused, with their places.
    fn explain(&mut self, unit: &Unit, first: DescriptorError) -> Vec<Mistake> {
        match &unit.origin {
            Origin::Disk(path) => match read_text(path, &unit.shown) {
                Ok(text) => self.explain_text(unit, &text, first),
                Err(_) => diagnose::mistakes(&first, &unit.shown, ""),
            },
            Origin::Bundled(text) => self.explain_text(unit, text, first),
            Origin::Set(bytes) => {
                let bytes = self.flattened(unit, bytes);
                let error = self.pool.decode_file_descriptor_proto(&bytes[..]).err().unwrap_or(first);
                let mut mistakes = diagnose::mistakes(&error, &unit.shown, "");
                if let (Some(mistake), Some(line)) = (mistakes.first_mut(), error.line()) {
                    let from_one = |value: usize| u32::try_from(value + 1).unwrap_or(u32::MAX);
                    let column = error.column().map_or(0, from_one);
                    mistake.place = Some(Place::new(Arc::clone(&unit.shown), from_one(line), column));
                }
                mistakes
            }
            Origin::Protobuf => diagnose::mistakes(&first, &unit.shown, ""),
        }
    }

    fn explain_text(&mut self, unit: &Unit, text: &str, first: DescriptorError) -> Vec<Mistake> {
        let Ok(Parsed { file, .. }) = parse_text(&unit.name, &unit.shown, text) else {
            return diagnose::mistakes(&first, &unit.shown, "");
        };
        let bytes = self.flattened(unit, &FileDescriptorProto::encode_to_vec(&file));
        let error = self.pool.decode_file_descriptor_proto(&bytes[..]).err().unwrap_or(first);
        diagnose::mistakes(&error.with_source_code(text), &unit.shown, text)
    }

    /// Makes the pool fit to go on with after a refusal. When prost-reflect rolls a refused file back, extensions that
    /// the file declared stay listed with the messages that they extend, and point to nothing: then the pool is built
    /// anew. `false` when that was done too often.
    fn repair(&mut self, refused: &Unit, before: &[Unit]) -> bool {
        if !refused.extends {
            return true;
        }
        self.rebuilds += 1;
        if self.rebuilds > MAX_REBUILDS {
            return false;
        }
        let mut pool = DescriptorPool::new();
        for unit in before.iter().filter(|unit| !self.failed.contains(&unit.name)) {
            if pool.decode_file_descriptor_proto(&self.flattened(unit, &unit.bytes)[..]).is_err() {
                return false; // cannot be: it went in before
            }
        }
        self.pool = pool;
        true
    }
}
