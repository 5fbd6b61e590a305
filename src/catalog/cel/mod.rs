//! CEL rules of `buf.validate` (protovalidate): `cel`, `cel_expression`, and predefined rules, judged by
//! prost-protovalidate. Standard rules are none of its business; the tables judge those.
//!
//! At load every expression is looked at, and what cannot work fails the load with its place. What is kept is a pool of
//! the files that matter, reduced to these rules, and the library's evaluators, compiled.
//!
//! At run time a message of a type that reaches a rule is decoded into a `DynamicMessage`, then judged. That is dear: some
//! microseconds for a small message, and time and memory in proportion to its length times the fields of its types; it is
//! counted before, and too much is refused. Where an expression copies a list for each element of one (`map` and `filter`
//! do, and `this.items.all(a, a in this.items)`), much less is too much. What it does beyond that is its author's matter:
//! a list looked through for each element of each element, a pattern that comes from the peer; each `matches` compiles its
//! pattern anew. Bound lists by `max_items`.
//!
//! Where the library (0.6, with cel 0.13) departs from CEL: `size` of a string counts bytes; an unset message of a
//! well-known type is not its zero (nor a wrapper `null`), and one below an unset message has no fields: an expression that
//! needs them fails, so say `has(...)` first; the nanos of a negative `Duration` lose their sign. A test pins these.

mod check;
mod dynamic;
mod failure;
mod place;
mod price;
mod rewrite;
mod tag;
mod violation;

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use prost_protovalidate::{Error, ValidationOption, Validator, ValidatorOption};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

use super::BrokenRules;
use super::compile::Linked;
use super::mistake::{Mistake, Place};
use super::schema::{MessageId, Schema};
use crate::status::RuleViolation;
use crate::wire::put_bytes;

pub use failure::CelFailure;
use price::Prices;
use rewrite::{Found, Rule};

/// No more violations of one message than this are told.
const MAX_VIOLATIONS: usize = 100;

/// A message that becomes more values than this is not judged. A value takes some hundred bytes for a moment.
const MAX_VALUES: usize = 200_000;

/// A message with more places than this at which a rule may be broken is not judged if its type reaches an expression that
/// copies a list for each of a list's elements.
const MAX_STEEP_PLACES: usize = 2_000;

/// In a message with more places than this at which a rule may be broken, the first violation is the only one told: the
/// library keeps about a kilobyte for each.
const MAX_PLACES: usize = 10_000;

/// The CEL rules of a catalog, compiled. Shared by all workers: to judge takes one read lock, of the library's cache.
pub struct CelRules {
    validator: Validator,
    prices: Prices,
    rules: Box<[Rule]>,
    /// By message id: what there is to judge.
    reach: Box<[Reach]>,
}

/// What a message of a type can come to.
#[derive(Clone)]
enum Reach {
    /// No rule, nor in anything that it holds.
    Nothing,
    Rules {
        descriptor: MessageDescriptor,
        /// Places in a message that can be judged.
        most: usize,
    },
    /// A rule that does not compile: its number.
    Broken(usize),
}

// === impl CelRules ===

impl CelRules {
    /// Takes the rules out of a linked catalog; `None` if it has none.
    ///
    /// Fails with every rule that does not compile, each with the place of its option; with [`BrokenRules::Keep`] it goes
    /// on, and messages that such a rule is about fail with [`CelFailure::NotCompiled`] when they are judged.
    pub(super) fn build(
        linked: &Linked,
        schema: &Schema,
        broken: BrokenRules,
    ) -> Result<Option<CelRules>, Vec<Mistake>> {
        if linked.pool.get_message_by_name("buf.validate.FieldRules").is_none() {
            return Ok(None);
        }
        let damaged = |_| vec![Mistake::new("the rules of the catalog cannot be read")];
        let found = rewrite::rewrite(linked, schema).map_err(damaged)?;
        if !found.broken.is_empty() && broken == BrokenRules::Refuse {
            return Err(place::mistakes(&linked.units, &found.rules, &found.broken));
        }
        if found.speaking.is_empty() {
            return Ok(None);
        }
        let rules = CelRules::assemble(linked, schema, found).map_err(|mistake| vec![mistake])?;
        match broken {
            BrokenRules::Refuse => rules.compile_all(schema)?,
            BrokenRules::Keep => (),
        }
        Ok(Some(rules))
    }

    fn assemble(linked: &Linked, schema: &Schema, found: Found) -> Result<CelRules, Mistake> {
        let speaks = closure(schema, |name| found.speaking.contains(name).then_some(0));
        let spoilt = closure(schema, |name| found.spoilt.get(name).copied());
        let pool = reduced(linked, &found, |name| {
            schema.find(name).and_then(|id| speaks.get(id.0 as usize)).is_some_and(Option::is_some)
        })?;
        let steep = closure(schema, |name| found.steep.contains(name).then_some(MAX_STEEP_PLACES));
        let rules = |name: &str, most: Option<usize>| match pool.get_message_by_name(name) {
            Some(descriptor) => Reach::Rules { descriptor, most: most.unwrap_or(usize::MAX) },
            None => Reach::Nothing,
        };
        let reach: Box<[Reach]> = (0..)
            .zip(&schema.messages)
            .map(|(at, message): (usize, _)| match (speaks[at], spoilt[at]) {
                (None, _) => Reach::Nothing,
                (Some(_), Some(broken)) => Reach::Broken(broken),
                (Some(_), None) => rules(&message.name, steep[at]),
            })
            .collect();
        let mut options = Vec::new();
        if found.predefines.contains(&true) {
            options.push(ValidatorOption::AdditionalDescriptorSetBytes(predefining(linked, &found)));
        }
        let descriptors = reach.iter().filter_map(|reach| match reach {
            Reach::Rules { descriptor, .. } => Some(descriptor.clone()),
            _ => None,
        });
        options.push(ValidatorOption::MessageDescriptors(descriptors.collect()));
        Ok(CelRules {
            validator: Validator::with_options(&options),
            prices: Prices::new(schema),
            rules: found.rules.into(),
            reach,
        })
    }

    /// Whether messages of this type have anything to judge. An array look-up.
    #[inline]
    pub fn covers(&self, id: MessageId) -> bool {
        !matches!(self.reach.get(id.0 as usize), None | Some(Reach::Nothing))
    }

    /// Judges an encoded message, whose wire form is taken to be sound: at most 100 violations, in the order of the
    /// fields, none of them of a standard rule. Empty if it breaks no rule, or [`CelRules::covers`] says that there is none.
    ///
    /// Blocks the thread for the time that the expressions take; see the module's head.
    pub fn evaluate(&self, id: MessageId, wire: &[u8]) -> Result<Vec<RuleViolation>, CelFailure> {
        let (descriptor, most) = match self.reach.get(id.0 as usize) {
            None | Some(Reach::Nothing) => return Ok(Vec::new()),
            Some(Reach::Rules { descriptor, most }) => (descriptor, *most),
            Some(Reach::Broken(rule)) => {
                return Err(CelFailure::NotCompiled(self.rules.get(*rule).map(Rule::shown).unwrap_or_default()));
            }
        };
        let cost = self.prices.of(id.0, wire);
        if cost.values > MAX_VALUES {
            return Err(CelFailure::TooLarge { values: cost.values, limit: MAX_VALUES });
        }
        if cost.places > most {
            return Err(CelFailure::TooLarge { values: cost.places, limit: most });
        }
        let message = DynamicMessage::decode(descriptor.clone(), wire)
            .map_err(|error| CelFailure::run_time(&format!("the message cannot be decoded: {error}")))?;
        let first_only = [ValidationOption::FailFast];
        let options = if cost.places > MAX_PLACES { &first_only[..] } else { &[] };
        // the cel crate panics over some values (a search for empty bytes, for one)
        let judged = catch_unwind(AssertUnwindSafe(|| self.validator.validate_with(&message, options)));
        match judged {
            Ok(Ok(())) => Ok(Vec::new()),
            Ok(Err(Error::Validation(error))) => {
                let told = error.violations().iter();
                Ok(told.filter_map(|told| violation::of(told, &self.rules)).take(MAX_VIOLATIONS).collect())
            }
            Ok(Err(Error::Compilation(error))) => Err(CelFailure::NotCompiled(self.readable(&error.cause))),
            Ok(Err(error)) => Err(CelFailure::run_time(&self.readable(&error.to_string()))),
            Err(panic) => Err(CelFailure::run_time(&format!("the evaluator gave up: {}", panic_text(&*panic)))),
        }
    }

    /// Has the library look at every type once, and tells what it could not make sense of. The expressions themselves were
    /// looked at before: what is left are rules that do not fit their field.
    fn compile_all(&self, schema: &Schema) -> Result<(), Vec<Mistake>> {
        let mut mistakes = Vec::new();
        for (id, reach) in (0..).map(MessageId).zip(&self.reach) {
            let Reach::Rules { descriptor, .. } = reach else { continue };
            match self.evaluate(id, &[]) {
                // the type that is embedded has its own turn
                Err(CelFailure::NotCompiled(text)) if !text.contains("failed to compile embedded type") => {
                    let text = format!("rules of {}: {text}", schema.message(id).name);
                    mistakes.push(Mistake::new(text).at(Place::new(descriptor.parent_file().name(), 0, 0)));
                }
                _ => (),
            }
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    /// A text of the library's with the rule named as its author did.
    fn readable(&self, text: &str) -> String {
        match tag::find(text) {
            Some((rule, end)) => {
                let rule = self.rules.get(rule).map(Rule::shown).unwrap_or_default();
                let rest = text.get(end..).unwrap_or_default();
                format!("{rule}: {}", rest.trim_start_matches(['`', ':', ' ']))
            }
            None => text.to_owned(),
        }
    }
}

impl fmt::Debug for CelRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CelRules").field("rules", &self.rules).finish_non_exhaustive()
    }
}

// === impl Rule ===

impl Rule {
    /// As mistakes and failures name it, with its fault if it has one.
    fn shown(&self) -> String {
        let id = match self.id == self.expression || self.id.is_empty() {
            true => String::new(),
            false => format!(" {:?}", self.id),
        };
        let fault = self.fault.as_deref().map(|fault| format!(": {fault}")).unwrap_or_default();
        format!("the CEL rule{id} of {}{fault}", self.owner)
    }
}

/// For each message what `of` tells of it by its name, or else of one that it can hold, however deep.
fn closure(schema: &Schema, of: impl Fn(&str) -> Option<usize>) -> Vec<Option<usize>> {
    let mut found: Vec<Option<usize>> = schema.messages.iter().map(|message| of(&message.name)).collect();
    let mut holders: HashMap<u32, Vec<usize>> = HashMap::new();
    for (holder, message) in schema.messages.iter().enumerate() {
        // extensions are not judged
        for field in message.fields.iter().filter(|field| !field.is_extension()) {
            if let Some(held) = field.kind.message() {
                holders.entry(held.0).or_default().push(holder);
            }
        }
    }
    let mut open: Vec<usize> = (0..found.len()).filter(|at| found[*at].is_some()).collect();
    while let Some(at) = open.pop() {
        let held = u32::try_from(at).unwrap_or(u32::MAX);
        for &holder in holders.get(&held).into_iter().flatten() {
            if found[holder].is_none() {
                found[holder] = found[at];
                open.push(holder);
            }
        }
    }
    found
}

/// A pool of the files with a message that `matters`, and of what they import.
fn reduced(linked: &Linked, found: &Found, matters: impl Fn(&str) -> bool) -> Result<DescriptorPool, Mistake> {
    let files: HashSet<String> = linked
        .pool
        .all_messages()
        .filter(|message| matters(message.full_name()))
        .map(|message| message.parent_file().name().to_owned())
        .collect();
    let wanted: Vec<bool> = linked.units.iter().map(|unit| files.contains(&*unit.name)).collect();
    let mut pool = DescriptorPool::new();
    for (unit, file) in with_imports(linked, found, wanted) {
        pool.decode_file_descriptor_proto(file).map_err(|error| {
            let name = &linked.units[unit].shown;
            Mistake::new(format!("{name}: its CEL rules cannot be taken out of it: {error}"))
        })?;
    }
    Ok(pool)
}

/// A descriptor set of the files that declare predefined rules, and of what they import.
fn predefining(linked: &Linked, found: &Found) -> Vec<u8> {
    let mut set = Vec::new();
    for (_, file) in with_imports(linked, found, found.predefines.clone()) {
        put_bytes(&mut set, 1, file);
    }
    set
}

/// The rewritten files that are wanted, and what they import, imports first.
fn with_imports<'a>(
    linked: &'a Linked,
    found: &'a Found,
    mut wanted: Vec<bool>,
) -> impl Iterator<Item = (usize, &'a [u8])> {
    let index: HashMap<&str, usize> = linked.units.iter().enumerate().map(|(at, unit)| (&*unit.name, at)).collect();
    // a file comes after what it imports
    for at in (0..linked.units.len()).rev() {
        if !wanted[at] {
            continue;
        }
        let file = linked.pool.get_file_by_name(&linked.units[at].name);
        for import in file.iter().flat_map(|file| file.dependencies()) {
            if let Some(&import) = index.get(import.name()) {
                wanted[import] = true;
            }
        }
    }
    found.files.iter().enumerate().filter(move |(at, _)| wanted[*at]).map(|(at, file)| (at, &file[..]))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}

#[cfg(test)]
mod tests;
