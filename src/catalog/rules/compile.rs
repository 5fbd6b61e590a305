//! From written options to tables.

use std::collections::{HashMap, HashSet};

use super::numbers::Layout;
use super::spoken::Spoken;
use super::steps::{
    BOOL, INT32, ITEMS, KEYS, MAP, REPEATED, Step, UINT64, VALUES, name_of, path, rules_for, type_number,
};
use super::test::{Number, Tests, real, signed, unsigned};
use super::texts::{self, BYTES_RULES, STRING_RULES};
use super::times;
use super::written::{Spot, Written, WrittenField, WrittenMessage};
use super::{Exclusive, FieldRules, MessageRules, OneofRule, Said, SizeRules, ValueRules};
use crate::catalog::schema::{Field, Kind, Known, Label, Message, MessageId, Presence, Schema};
use crate::wire::{Cursor, Malformed, Piece};

/// Predefined rules are extensions, which begin here; they are CEL, and judged as such.
const EXTENSIONS: u32 = 1000;

/// The members of `FieldRules.type`, and the other numbers of `FieldRules`: CEL (23 and 29), `required`, `ignore`.
const TYPES: [u32; 22] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 28];
const FIELD_RULES: [u32; 26] =
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 25, 27, 28, 29];

/// Something that does not fit, and where it stands.
#[derive(Debug)]
pub(in crate::catalog) struct Unfit {
    pub spot: Spot,
    pub text: String,
}

/// The fields of a message of rules.
pub(super) struct Fields<'w> {
    /// With their tags, in the order in which they came.
    all: Vec<(u32, Piece<'w>)>,
}

/// The tests that rules become, with what is to be said of each.
pub(super) struct Found<T> {
    tests: Vec<T>,
    said: Vec<Said>,
    /// From `FieldRules` to the message that the rules are fields of.
    outer: Vec<Step>,
    /// What rule ids begin with.
    name: &'static str,
}

/// `buf.validate.Ignore`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ignore {
    Unspecified,
    IfZero,
    Always,
}

/// The rules of one message as far as they are understood.
#[derive(Default)]
struct Draft {
    fields: HashMap<u16, FieldRules>,
    /// Fields that nothing is to be looked at of, nor below.
    closed: HashSet<u16>,
    oneofs: Vec<OneofRule>,
    exclusive: Vec<Exclusive>,
    broken: Option<String>,
}

struct Compiler<'s> {
    schema: &'s Schema,
    drafts: HashMap<MessageId, Draft>,
    unfit: Vec<Unfit>,
}

/// Gives the schema its tables of rules. What does not fit comes back, and marks its message as broken, as well as those
/// that may hold one.
pub(in crate::catalog) fn compile(schema: &mut Schema, written: &Written) -> Vec<Unfit> {
    if written.messages.is_empty() {
        return Vec::new();
    }
    let mut compiler = Compiler { schema, drafts: HashMap::new(), unfit: Vec::new() };
    for message in &written.messages {
        compiler.message(message);
    }
    let Compiler { drafts, unfit, .. } = compiler;
    let tables = tables(schema, drafts);
    for (id, rules) in tables {
        if let Some(message) = schema.messages.get_mut(id.0 as usize) {
            message.rules = Some(Box::new(rules));
        }
    }
    unfit
}

// === impl Fields ===

impl<'w> Fields<'w> {
    pub(super) fn read(bytes: &'w [u8]) -> Result<Fields<'w>, Malformed> {
        let (mut cursor, mut all) = (Cursor::new(bytes), Vec::new());
        while !cursor.is_empty() {
            let tag = cursor.tag()?;
            all.push((tag, cursor.piece(tag)?));
        }
        Ok(Fields { all })
    }

    /// Reads rules of which these are known. Errors: there are others, which cannot be kept.
    fn of(bytes: &'w [u8], known: &[u32], name: &str) -> Result<Fields<'w>, String> {
        let fields = Fields::read(bytes).map_err(|error| format!("its {name} cannot be read: {}", error.0))?;
        let numbers = fields.all.iter().map(|(tag, _)| tag >> 3);
        match numbers.filter(|number| *number < EXTENSIONS).find(|number| !known.contains(number)) {
            Some(number) => Err(format!("no rule of {name} has the number {number} (as of protovalidate 1.2.2)")),
            None => Ok(fields),
        }
    }

    pub(super) fn all(&self, number: u32) -> impl Iterator<Item = &Piece<'w>> {
        self.all.iter().filter(move |(tag, _)| tag >> 3 == number).map(|(_, piece)| piece)
    }

    /// A number or a truth value.
    pub(super) fn bits(&self, number: u32) -> Option<u64> {
        self.all(number).last().map(|piece| piece.bits)
    }

    pub(super) fn bytes(&self, number: u32) -> Option<&'w [u8]> {
        self.all(number).last().map(|piece| piece.bytes)
    }

    pub(super) fn text(&self, number: u32) -> Option<String> {
        self.bytes(number).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// A message, in as many parts as it may come.
    pub(super) fn merged(&self, number: u32) -> Option<Vec<u8>> {
        let parts: Vec<&[u8]> = self.all(number).map(|piece| piece.bytes).collect();
        (!parts.is_empty()).then(|| parts.concat())
    }

    /// Which of a oneof's members is set: the last that came.
    pub(super) fn member(&self, members: &[u32]) -> Option<u32> {
        self.all.iter().rev().map(|(tag, _)| tag >> 3).find(|number| members.contains(number))
    }

    /// The numbers of a list, packed or not.
    fn numbers(&self, number: u32, kind: Kind) -> Vec<u64> {
        let mut found = Vec::new();
        for (tag, piece) in self.all.iter().filter(|(tag, _)| tag >> 3 == number) {
            if tag & 7 != 2 {
                found.push(piece.bits);
                continue;
            }
            let mut run = Cursor::new(piece.bytes);
            while !run.is_empty() {
                let Ok(bits) = run.packed(kind.wire_type()) else { break };
                found.push(bits);
            }
        }
        found
    }

    fn ignore(&self) -> Result<Ignore, String> {
        match self.bits(27) {
            None | Some(0) => Ok(Ignore::Unspecified),
            Some(1) => Ok(Ignore::IfZero),
            Some(3) => Ok(Ignore::Always),
            Some(other) => Err(format!("no way to ignore rules has the number {other}")),
        }
    }
}

// === impl Found ===

impl<T> Found<T> {
    fn new(outer: &[Step], last: Step) -> Found<T> {
        Found { tests: Vec::new(), said: Vec::new(), outer: [outer, &[last]].concat(), name: last.1 }
    }

    /// `id`: without the name of the type. `step`: the rule's field.
    pub(super) fn add(&mut self, test: T, id: &str, message: String, step: Step) {
        self.tests.push(test);
        self.said.push(self.said(id, message, step));
    }

    fn said(&self, id: &str, message: String, step: Step) -> Said {
        let id = format!("{}.{id}", self.name).into();
        Said { id, message: message.into(), rule: path(&self.outer, &[step]) }
    }

    fn finish(self, tests: fn(Box<[T]>) -> Tests) -> (Tests, Vec<Said>) {
        (if self.tests.is_empty() { Tests::None } else { tests(self.tests.into()) }, self.said)
    }
}

// === impl Compiler ===

impl<'s> Compiler<'s> {
    fn message(&mut self, written: &WrittenMessage) {
        let Some(id) = self.schema.find(&written.name) else { return };
        let table = self.schema.message(id);
        let mut shared = HashSet::new();
        if let Some(rules) = &written.rules {
            match exclusive(table, rules) {
                Ok(sets) => {
                    shared = sets.iter().flat_map(|set| set.members.iter().copied()).collect();
                    self.draft(id).exclusive = sets;
                }
                Err(text) => self.unfit(id, &written.spot, format!("{}: {text}", written.name)),
            }
        }
        for oneof in &written.oneofs {
            match Fields::of(&oneof.rules, &[1], "OneofRules") {
                Ok(rules) if rules.bits(1).is_some_and(|required| required != 0) => {
                    let rule = OneofRule { oneof: oneof.index, name: oneof.name.as_str().into() };
                    self.draft(id).oneofs.push(rule);
                }
                Ok(_) => {}
                Err(text) => self.unfit(id, &oneof.spot, format!("{}.{}: {text}", written.name, oneof.name)),
            }
        }
        for field in &written.fields {
            let Some((index, table)) = table.field_by_number(field.number) else { continue };
            if let Err(text) = self.field(id, index, table, field, shared.contains(&index)) {
                self.unfit(id, &field.spot, format!("{}.{}: {text}", written.name, field.name));
            }
        }
    }

    fn draft(&mut self, id: MessageId) -> &mut Draft {
        self.drafts.entry(id).or_default()
    }

    fn unfit(&mut self, id: MessageId, spot: &Spot, text: String) {
        self.draft(id).broken.get_or_insert_with(|| text.clone());
        self.unfit.push(Unfit { spot: spot.clone(), text });
    }

    /// `shared`: the field is of a set of which one at most may be set, and is so not judged while it is not.
    fn field(
        &mut self,
        id: MessageId,
        index: u16,
        field: &Field,
        written: &WrittenField,
        shared: bool,
    ) -> Result<(), String> {
        let rules = Fields::of(&written.rules, &FIELD_RULES, "FieldRules")?;
        let mut ignore = rules.ignore()?;
        if ignore == Ignore::Unspecified && shared {
            ignore = Ignore::IfZero;
        }
        if ignore == Ignore::Always {
            self.draft(id).closed.insert(index);
            return Ok(());
        }
        let (value, size) = match field.label {
            Label::Singular => (self.value(field.kind, &rules, &[])?, None),
            Label::Repeated => self.list(id, index, field, &rules)?,
            Label::Map => (ValueRules::none(field.kind), self.map(field, &rules)?),
        };
        let has_presence = field.label == Label::Singular && field.presence != Presence::Implicit;
        let ignore_zero = ignore == Ignore::IfZero && field.label == Label::Singular && !has_presence;
        let compiled = FieldRules {
            required: rules.bits(25).is_some_and(|required| required != 0),
            ignore_unset: has_presence || ignore == Ignore::IfZero,
            value: ValueRules { ignore_zero: ignore_zero || value.ignore_zero, ..value },
            size,
        };
        if compiled.required || compiled.size.is_some() || !compiled.value.is_empty() {
            self.draft(id).fields.insert(index, compiled);
        }
        Ok(())
    }

    /// Rules of the elements, and of their number.
    fn list(
        &mut self,
        id: MessageId,
        index: u16,
        field: &Field,
        rules: &Fields<'_>,
    ) -> Result<(ValueRules, Option<Box<SizeRules>>), String> {
        let mut items = ValueRules::none(field.kind);
        let Some(bytes) = self.type_rules(rules, Some(REPEATED))? else { return Ok((items, None)) };
        let list = Fields::of(&bytes, &[1, 2, 3, 4], "RepeatedRules")?;
        let mut size = SizeRules::default();
        let found = Found::<()>::new(&[], REPEATED);
        size.min = list.bits(1).map(|min| {
            (min, found.said("min_items", format!("must contain at least {min} item(s)"), (1, "min_items", UINT64)))
        });
        size.max = list.bits(2).map(|max| {
            (max, found.said("max_items", format!("must contain no more than {max} item(s)"), (2, "max_items", UINT64)))
        });
        if list.bits(3).is_some_and(|unique| unique != 0) {
            if field.kind.message().is_some() {
                return Err("`unique` is for lists of scalars and enums".into());
            }
            let message = "repeated value must contain unique items";
            size.unique = Some(found.said("unique", message.into(), (3, "unique", BOOL)));
        }
        if let Some(bytes) = list.merged(4) {
            match self.nested(field.kind, &bytes, &[REPEATED, ITEMS])? {
                Some(rules) => items = rules,
                None => _ = self.draft(id).closed.insert(index),
            }
        }
        let is_sized = size.min.is_some() || size.max.is_some() || size.unique.is_some();
        Ok((items, is_sized.then(|| Box::new(size))))
    }

    /// The number of entries; what holds for keys and values becomes the entry's own table.
    fn map(&mut self, field: &Field, rules: &Fields<'_>) -> Result<Option<Box<SizeRules>>, String> {
        let Some(bytes) = self.type_rules(rules, Some(MAP))? else { return Ok(None) };
        let map = Fields::of(&bytes, &[1, 2, 4, 5], "MapRules")?;
        let found = Found::<()>::new(&[], MAP);
        let size = SizeRules {
            min: map.bits(1).map(|min| {
                (min, found.said("min_pairs", format!("map must be at least {min} entries"), (1, "min_pairs", UINT64)))
            }),
            max: map.bits(2).map(|max| {
                (max, found.said("max_pairs", format!("map must be at most {max} entries"), (2, "max_pairs", UINT64)))
            }),
            unique: None,
        };
        let entry = field.kind.message().map(|id| (id, self.schema.message(id)));
        let Some((entry, (key, value))) = entry.and_then(|(id, table)| Some((id, table.entry()?))) else {
            return Err("it is no map".into());
        };
        for (index, kind, number, step) in [(0, key.kind, 4, KEYS), (1, value.kind, 5, VALUES)] {
            let Some(bytes) = map.merged(number) else { continue };
            match self.nested(kind, &bytes, &[MAP, step])? {
                None => _ = self.draft(entry).closed.insert(index),
                Some(value) if value.is_empty() => {}
                Some(value) => {
                    let rules = FieldRules { required: false, ignore_unset: false, value, size: None };
                    self.draft(entry).fields.insert(index, rules);
                }
            }
        }
        Ok((size.min.is_some() || size.max.is_some()).then(|| Box::new(size)))
    }

    /// The rules of elements, keys or values; `None`: nothing is to be looked at there.
    fn nested(&self, kind: Kind, rules: &[u8], outer: &[Step]) -> Result<Option<ValueRules>, String> {
        let rules = Fields::of(rules, &FIELD_RULES, "FieldRules")?;
        let ignore = rules.ignore()?;
        if ignore == Ignore::Always {
            return Ok(None);
        }
        let value = self.value(kind, &rules, outer)?;
        Ok(Some(ValueRules { ignore_zero: ignore == Ignore::IfZero, ..value }))
    }

    /// The member of `FieldRules.type`, which has to be the one for this type.
    fn type_rules(&self, rules: &Fields<'_>, expected: Option<Step>) -> Result<Option<Vec<u8>>, String> {
        let Some(number) = rules.member(&TYPES) else { return Ok(None) };
        match expected {
            Some((fits, ..)) if fits == number => Ok(rules.merged(number)),
            expected => {
                let actual = name_of(number).unwrap_or_default();
                let takes = match expected {
                    Some((_, name, _)) => format!("its type takes `{name}`"),
                    None => "its type takes none by type".into(),
                };
                Err(format!("rules of `{actual}` do not fit: {takes}"))
            }
        }
    }

    fn value(&self, kind: Kind, rules: &Fields<'_>, outer: &[Step]) -> Result<ValueRules, String> {
        let none = ValueRules { zero: self.zero(kind), ..ValueRules::none(kind) };
        let known = kind.message().map(|id| self.schema.message(id));
        let (inner, step) = match known.map(|table| (table.known, table)) {
            None => (kind, rules_for(kind)),
            Some((Known::Wrapper, table)) => {
                let inner = table.fields.first().map_or(kind, |field| field.kind);
                (inner, rules_for(inner))
            }
            Some((known, _)) => (kind, known_rules(known)),
        };
        let Some(bytes) = self.type_rules(rules, step)? else { return Ok(none) };
        let Some(step) = step else { return Ok(none) };
        let (tests, said) = match known.map(|table| table.known) {
            None | Some(Known::Wrapper) => self.scalar(inner, &bytes, outer, step)?,
            Some(known) => known_tests(known, &bytes, outer, step)?,
        };
        let is_wrapped = inner != kind && !matches!(tests, Tests::None);
        let tests = if is_wrapped { Tests::Wrapped(inner, Box::new(tests)) } else { tests };
        Ok(ValueRules { tests, said: said.into(), ..none })
    }

    fn zero(&self, kind: Kind) -> i32 {
        match kind {
            Kind::Enum(id) => self.schema.enumeration(id).values.first().map_or(0, |first| first.number),
            _ => 0,
        }
    }

    fn scalar(&self, kind: Kind, bytes: &[u8], outer: &[Step], step: Step) -> Result<(Tests, Vec<Said>), String> {
        let name = step.1;
        Ok(match kind {
            Kind::String => {
                let mut found = Found::new(outer, step);
                texts::strings(&Fields::of(bytes, STRING_RULES, name)?, &mut found)?;
                found.finish(Tests::Text)
            }
            Kind::Bytes => {
                let mut found = Found::new(outer, step);
                texts::bytes(&Fields::of(bytes, BYTES_RULES, name)?, &mut found)?;
                found.finish(Tests::Bytes)
            }
            Kind::Bool => {
                let mut found = Found::new(outer, step);
                if let Some(expected) = Fields::of(bytes, &[1, 2], name)?.bits(1).map(|bits| bits != 0) {
                    found.add(expected, "const", format!("must equal {expected}"), (1, "const", BOOL));
                }
                found.finish(|tests| tests.first().map_or(Tests::None, |expected| Tests::Bool(*expected)))
            }
            Kind::Enum(_) => self.enumeration(kind, &Fields::of(bytes, &[1, 2, 3, 4, 5], name)?, outer, step),
            Kind::Float | Kind::Double => {
                let fields = Fields::of(bytes, &[1, 2, 3, 4, 5, 6, 7, 8, 9], name)?;
                let mut found = numbers(kind, &fields, outer, step, |bits| real(kind, bits));
                if fields.bits(8).is_some_and(|finite| finite != 0) {
                    found.add(Number::Finite, "finite", "must be finite".into(), (8, "finite", BOOL));
                }
                found.finish(Tests::Real)
            }
            Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => {
                let fields = Fields::of(bytes, &[1, 2, 3, 4, 5, 6, 7, 8], name)?;
                numbers(kind, &fields, outer, step, |bits| unsigned(kind, bits)).finish(Tests::Unsigned)
            }
            _ => {
                // the examples of Int64Rules have the number 9
                let fields = Fields::of(bytes, &[1, 2, 3, 4, 5, 6, 7, 8, 9], name)?;
                numbers(kind, &fields, outer, step, |bits| signed(kind, bits)).finish(Tests::Signed)
            }
        })
    }

    fn enumeration(&self, kind: Kind, fields: &Fields<'_>, outer: &[Step], step: Step) -> (Tests, Vec<Said>) {
        let layout = Layout { among: 3, not_among: 4, ..Layout::scalar(INT32) };
        let mut found = Found::new(outer, step);
        layout.constants(&mut found, fields.bits(1).map(|bits| signed(kind, bits)));
        if let Kind::Enum(id) = kind
            && fields.bits(2).is_some_and(|defined| defined != 0)
        {
            let values = self.schema.enumeration(id).values.iter();
            let mut numbers: Vec<i64> = values.map(|value| i64::from(value.number)).collect();
            numbers.sort_unstable();
            numbers.dedup();
            let message = "value must be one of the defined enum values".to_owned();
            found.add(Number::Defined(numbers.into()), "defined_only", message, (2, "defined_only", BOOL));
        }
        let all = |number| fields.numbers(number, kind).into_iter().map(|bits| signed(kind, bits)).collect();
        layout.lists(&mut found, all);
        found.finish(Tests::Signed)
    }
}

fn numbers<T: Spoken + PartialOrd + Copy>(
    kind: Kind,
    fields: &Fields<'_>,
    outer: &[Step],
    step: Step,
    read: impl Fn(u64) -> T,
) -> Found<Number<T>> {
    let (layout, mut found) = (Layout::scalar(type_number(kind)), Found::new(outer, step));
    layout.constants(&mut found, fields.bits(1).map(&read));
    layout.bounds(&mut found, fields, |number| fields.bits(number).map(&read));
    layout.lists(&mut found, |number| fields.numbers(number, kind).into_iter().map(&read).collect());
    found
}

/// The member of `FieldRules.type` for a well-known type.
fn known_rules(known: Known) -> Option<Step> {
    let (number, name) = match known {
        Known::Any => (20, "any"),
        Known::Duration => (21, "duration"),
        Known::Timestamp => (22, "timestamp"),
        Known::FieldMask => (28, "field_mask"),
        _ => return None,
    };
    Some((number, name, super::steps::MESSAGE))
}

fn known_tests(known: Known, bytes: &[u8], outer: &[Step], step: Step) -> Result<(Tests, Vec<Said>), String> {
    Ok(match known {
        Known::Any => {
            let mut found = Found::new(outer, step);
            texts::types(&Fields::of(bytes, &[2, 3], step.1)?, &mut found);
            found.finish(Tests::Any)
        }
        Known::Duration => {
            let mut found = Found::new(outer, step);
            times::durations(&Fields::of(bytes, &[2, 3, 4, 5, 6, 7, 8, 9], step.1)?, &mut found);
            found.finish(Tests::Duration)
        }
        Known::Timestamp => {
            let mut found = Found::new(outer, step);
            times::timestamps(&Fields::of(bytes, &[2, 3, 4, 5, 6, 7, 8, 9, 10], step.1)?, &mut found);
            found.finish(Tests::Timestamp)
        }
        Known::FieldMask => {
            let mut found = Found::new(outer, step);
            times::field_masks(&Fields::of(bytes, &[1, 2, 3, 4], step.1)?, &mut found);
            found.finish(Tests::FieldMask)
        }
        _ => (Tests::None, Vec::new()),
    })
}

/// `MessageRules`: `cel` = 3, `oneof` = 4, `cel_expression` = 5. `MessageOneofRule`: `fields` = 1, `required` = 2.
fn exclusive(table: &Message, rules: &[u8]) -> Result<Vec<Exclusive>, String> {
    let rules = Fields::of(rules, &[3, 4, 5], "MessageRules")?;
    let read = |piece: &Piece<'_>| {
        let rule = Fields::of(piece.bytes, &[1, 2], "MessageOneofRule")?;
        let names: Vec<String> = rule.all(1).map(|piece| String::from_utf8_lossy(piece.bytes).into_owned()).collect();
        if names.is_empty() {
            return Err("a oneof rule names no field".to_owned());
        }
        let mut members = Vec::new();
        for name in &names {
            let found = table.fields.iter().position(|field| field.name() == name && !field.is_extension());
            let index = found.and_then(|index| u16::try_from(index).ok());
            match index.ok_or(()) {
                Err(()) => return Err(format!("a oneof rule names {name:?}, and there is no such field")),
                Ok(index) if members.contains(&index) => return Err(format!("a oneof rule names {name:?} twice")),
                Ok(index) => members.push(index),
            }
        }
        Ok(Exclusive {
            members: members.into(),
            required: rule.bits(2).is_some_and(|required| required != 0),
            names: names.join(", ").into(),
        })
    };
    rules.all(4).map(read).collect()
}

/// Completes drafts: messages learn what is below them.
fn tables(schema: &Schema, mut drafts: HashMap<MessageId, Draft>) -> Vec<(MessageId, MessageRules)> {
    let holders = holders(schema, &drafts);
    let has_rules = |draft: &Draft| {
        !draft.fields.is_empty() || !draft.oneofs.is_empty() || !draft.exclusive.is_empty() || draft.broken.is_some()
    };
    let own = drafts.iter().filter(|(_, draft)| has_rules(draft)).map(|(id, _)| *id);
    let ruled = spread(own.collect(), &holders);
    // of what is broken, each holder is told one reason
    let mut reasons: HashMap<MessageId, Box<str>> = HashMap::new();
    let mut broken: Vec<(MessageId, &str)> =
        drafts.iter().filter_map(|(id, draft)| Some((*id, draft.broken.as_deref()?))).collect();
    broken.sort_unstable();
    for (id, reason) in broken {
        for holder in spread(HashSet::from([id]), &holders) {
            reasons.entry(holder).or_insert_with(|| reason.into());
        }
    }
    let mut ordered: Vec<MessageId> = ruled.iter().copied().collect();
    ordered.sort_unstable();
    let complete = |id: MessageId| {
        let draft = drafts.remove(&id).unwrap_or_default();
        let mut rules = draft.complete(schema.message(id), &ruled);
        rules.broken = reasons.remove(&id);
        (id, rules)
    };
    ordered.into_iter().map(complete).collect()
}

/// Which messages have fields of which message, where that is looked at.
fn holders(schema: &Schema, drafts: &HashMap<MessageId, Draft>) -> HashMap<MessageId, Vec<MessageId>> {
    let mut holders: HashMap<MessageId, Vec<MessageId>> = HashMap::new();
    for (id, table) in (0..).map(MessageId).zip(&schema.messages) {
        let closed = drafts.get(&id).map(|draft| &draft.closed);
        for (index, field) in (0u16..).zip(&table.fields) {
            if let Some(inner) = field.kind.message()
                && !field.is_extension()
                && !closed.is_some_and(|closed| closed.contains(&index))
            {
                holders.entry(inner).or_default().push(id);
            }
        }
    }
    holders
}

/// These messages, and all that may hold one of them at any depth.
fn spread(mut found: HashSet<MessageId>, holders: &HashMap<MessageId, Vec<MessageId>>) -> HashSet<MessageId> {
    let mut open: Vec<MessageId> = found.iter().copied().collect();
    while let Some(id) = open.pop() {
        for holder in holders.get(&id).into_iter().flatten() {
            if found.insert(*holder) {
                open.push(*holder);
            }
        }
    }
    found
}

// === impl Draft ===

impl Draft {
    fn complete(mut self, table: &Message, ruled: &HashSet<MessageId>) -> MessageRules {
        let mut rules =
            MessageRules { oneofs: self.oneofs.into(), exclusive: self.exclusive.into(), ..MessageRules::default() };
        let mut far = Vec::new();
        let mut fields = Vec::with_capacity(table.fields.len());
        for (index, field) in (0u16..).zip(&table.fields) {
            let is_open = !field.is_extension() && !self.closed.contains(&index);
            let below = is_open && field.kind.message().is_some_and(|id| ruled.contains(&id));
            let bare = || FieldRules {
                required: false,
                ignore_unset: field.label == Label::Singular && !table.is_map_entry,
                value: ValueRules::none(field.kind),
                size: None,
            };
            let mut found = self.fields.remove(&index).or_else(|| below.then(bare));
            if let Some(found) = &mut found {
                found.value.below = below;
                let has_presence =
                    field.label == Label::Singular && field.presence != Presence::Implicit && !table.is_map_entry;
                if found.absence_breaks(has_presence, field.label != Label::Singular) {
                    if index < 64 { rules.needed |= 1 << index } else { far.push(index) }
                }
            }
            fields.push(found);
        }
        rules.fields = fields.into();
        rules.needed_far = far.into();
        rules
    }
}
