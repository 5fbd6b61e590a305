//! Files reduced to what CEL has to judge, and a list of every CEL rule in them.
//!
//! The tables judge the standard rules of `buf.validate`; here they are taken out of the options, so that no value is
//! judged twice. What they decide for others stays: `ignore`, and that no rule speaks about a field whose `required` has
//! failed. Each rule gets a number in place of its id, by which it is found again in whatever the library says of it.

use std::collections::{HashMap, HashSet};

use prost_reflect::DescriptorPool;

use super::super::compile::Linked;
use super::super::editions::{self, Overrides};
use super::super::records::{Damaged, Records, Value};
use super::super::schema::Schema;
use super::super::unit::{file_tag, without};
use super::check::{Fault, This, look};
use super::dynamic::without_dyn;
use super::tag;
use crate::wire::{put_bytes, put_uint};

/// The extension of every kind of options that holds rules (`buf.validate.message`, `.oneof`, `.field`).
const RULES: u32 = 1159;

/// The extension of `google.protobuf.FieldOptions` that makes an extension of a rules message a rule.
const PREDEFINED: u32 = 1160;

/// Options above this number are extensions: other people's, of no use here.
const LAST_OWN_OPTION: u32 = 999;

/// One CEL rule, as its author wrote it.
#[derive(Debug, Default)]
pub(super) struct Rule {
    pub id: Box<str>,
    pub message: Box<str>,
    pub expression: Box<str>,
    /// Full name of the message, field or extension whose options hold it.
    pub owner: Box<str>,
    /// What is wrong with it.
    pub fault: Option<Box<str>>,
    /// See [`Sound::steep`](super::check::Sound).
    pub steep: bool,
}

/// A rule with a fault, and where it stands.
#[derive(Debug)]
pub(super) struct Broken {
    /// Index of its [`Rule`].
    pub rule: usize,
    pub site: Site,
}

/// Where a rule stands, in the terms of `SourceCodeInfo.Location.path`.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// Index of the file in [`Linked::units`].
    pub unit: usize,
    /// Of the message, field or extension.
    pub element: Vec<i32>,
    /// Number of the extension of its options.
    pub option: i32,
    /// From the option's value to the rule.
    pub steps: Vec<i32>,
}

/// What is found in a catalog.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub rules: Vec<Rule>,
    pub broken: Vec<Broken>,
    /// Full names of the messages that have a rule: of their own, at a field, or by a predefined rule that one uses.
    pub speaking: HashSet<String>,
    /// Those of them with a broken rule, and the index of one.
    pub spoilt: HashMap<String, usize>,
    /// Those of them with a rule of which the cost grows with the square of the message.
    pub steep: HashSet<String>,
    /// Rewritten files, by their index in [`Linked::units`].
    pub files: Vec<Vec<u8>>,
    /// Whether the file declares a predefined rule, likewise.
    pub predefines: Vec<bool>,
}

/// A rule that is an extension of a rules message.
#[derive(Default)]
struct Predefined {
    /// Whether its expressions look at the rules beside it (`rules.min_len`): those must be kept, then.
    needs_rules: bool,
    /// The index of a broken rule of it.
    broken: Option<usize>,
    steep: bool,
}

struct Rewriter<'a> {
    pool: &'a DescriptorPool,
    overrides: &'a Overrides,
    /// By the full name of the message that is extended, and the number.
    predefined: HashMap<(String, u32), Predefined>,
    found: Found,
    unit: usize,
}

/// Where the rules that are being read belong.
struct Context<'a> {
    /// Full name of the message that they are in.
    message: &'a str,
    /// Full name of what holds them.
    owner: &'a str,
    element: &'a [i32],
}

/// `buf.validate.FieldRules` in parts; parts of a message that comes in pieces are put together.
#[derive(Default)]
struct FieldParts {
    expressions: Vec<Vec<u8>>,
    rules: Vec<Vec<u8>>,
    required: bool,
    ignore: u64,
    /// The member of the oneof `type`, by its number.
    typed: Option<(u32, Vec<u8>)>,
}

/// Numbers in `buf.validate.FieldRules`, `MessageRules`, `RepeatedRules`, `MapRules`, `PredefinedRules`, `Rule`.
mod number {
    pub const FIELD_CEL: u32 = 23;
    pub const FIELD_REQUIRED: u32 = 25;
    pub const FIELD_IGNORE: u32 = 27;
    pub const FIELD_CEL_EXPRESSION: u32 = 29;
    pub const FIELD_REPEATED: u32 = 18;
    pub const FIELD_MAP: u32 = 19;
    pub const MESSAGE_CEL: u32 = 3;
    pub const MESSAGE_ONEOF: u32 = 4;
    pub const MESSAGE_CEL_EXPRESSION: u32 = 5;
    pub const ITEMS: u32 = 4;
    pub const KEYS: u32 = 4;
    pub const VALUES: u32 = 5;
    pub const PREDEFINED_CEL: u32 = 1;
    pub const ID: u32 = 1;
    pub const MESSAGE: u32 = 2;
    pub const EXPRESSION: u32 = 3;
}

/// `buf.validate.Ignore`: `IGNORE_IF_ZERO_VALUE`.
const IF_ZERO_VALUE: u64 = 1;

/// `FieldDescriptorProto.Label`.
const LABEL_REQUIRED: u64 = 2;

/// Reads all files of a catalog. Damage cannot be: the pool encoded them itself.
pub(super) fn rewrite(linked: &Linked, schema: &Schema) -> Result<Found, Damaged> {
    let mut files = Vec::with_capacity(linked.units.len());
    for unit in &linked.units {
        let mut bytes = linked.pool.get_file_by_name(&unit.name).map(|file| file.encode_to_vec()).unwrap_or_default();
        if unit.unsettled {
            bytes = editions::settle(&bytes, &|name| schema.find_enum(name).is_some());
        }
        files.push(without(&bytes, &[file_tag::SERVICE, file_tag::SOURCE_INFO]));
    }
    let mut rewriter = Rewriter {
        pool: &linked.pool,
        overrides: &linked.overrides,
        predefined: HashMap::new(),
        found: Found::default(),
        unit: 0,
    };
    rewriter.found.predefines = vec![false; files.len()];
    // all predefined rules first: any file may use them
    for (unit, file) in files.iter_mut().enumerate() {
        rewriter.unit = unit;
        if declares_predefined(file) {
            *file = rewriter.extensions(file, "", &mut Vec::new(), &[4], &[7])?;
        }
    }
    for (unit, file) in files.iter().enumerate() {
        rewriter.unit = unit;
        let rewritten = if may_speak(file) { rewriter.file(file)? } else { file.clone() };
        rewriter.found.files.push(rewritten);
    }
    Ok(rewriter.found)
}

/// The tags of 1159 and 1160 as length-delimited fields. What only looks like one costs a closer look.
const RULES_TAG: [u8; 2] = [0xba, 0x48];
const PREDEFINED_TAG: [u8; 2] = [0xc2, 0x48];

fn may_speak(file: &[u8]) -> bool {
    memchr::memmem::find(file, &RULES_TAG).is_some() || declares_predefined(file)
}

fn declares_predefined(file: &[u8]) -> bool {
    memchr::memmem::find(file, &PREDEFINED_TAG).is_some()
}

// === impl Rewriter ===

impl Rewriter<'_> {
    /// First pass: numbers and judges the predefined rules of the extensions in a file or message.
    fn extensions(
        &mut self,
        bytes: &[u8],
        scope: &str,
        path: &mut Vec<i32>,
        messages: &[u32],
        extensions: &[u32],
    ) -> Result<Vec<u8>, Damaged> {
        let scope = match path.is_empty() {
            true => string(bytes, 2)?, // FileDescriptorProto.package
            false => join(scope, &string(bytes, 1)?),
        };
        let mut out = Vec::with_capacity(bytes.len());
        let mut counts: HashMap<u32, i32> = HashMap::new();
        for record in Records::new(bytes) {
            let record = record?;
            let Value::Bytes(inner) = record.value else {
                out.extend_from_slice(record.whole);
                continue;
            };
            let (is_message, is_extension) = (messages.contains(&record.number), extensions.contains(&record.number));
            if !is_message && !is_extension {
                out.extend_from_slice(record.whole);
                continue;
            }
            let index = counts.entry(record.number).or_default();
            path.extend([record.number.cast_signed(), *index]);
            *index += 1;
            // DescriptorProto: nested_type = 3, extension = 6
            let inner = match is_message {
                true => self.extensions(inner, &scope, path, &[3], &[6])?,
                false => self.extension(inner, &scope, path)?,
            };
            path.truncate(path.len() - 2);
            put_bytes(&mut out, record.number, &inner);
        }
        Ok(out)
    }

    /// One extension: its options are left with nothing but a predefined rule.
    fn extension(&mut self, bytes: &[u8], scope: &str, path: &[i32]) -> Result<Vec<u8>, Damaged> {
        let options = gathered(bytes, 8)?;
        let written = gathered(&options, PREDEFINED)?;
        let rules: Vec<Vec<u8>> = all(&written, number::PREDEFINED_CEL)?;
        let mut kept = own_options(&options)?;
        if !rules.is_empty() {
            let owner = join(scope, &string(bytes, 1)?);
            let context = Context { message: "", owner: &owner, element: path };
            let before = self.found.broken.len();
            let mut out = Vec::new();
            let mut entry = Predefined::default();
            for (i, rule) in rules.iter().enumerate() {
                let site = context.site(self.unit, PREDEFINED, vec![number::PREDEFINED_CEL, i as u32]);
                let (number, rule) = self.rule(rule, &context, site, &This::Predefined)?;
                if let Some(rule) = self.found.rules.get(number) {
                    entry.needs_rules |= rule.expression.contains("rules");
                    entry.steep |= rule.steep;
                }
                put_bytes(&mut out, number::PREDEFINED_CEL, &rule);
            }
            entry.broken = self.found.broken.get(before).map(|broken| broken.rule);
            put_bytes(&mut kept, PREDEFINED, &out);
            // FieldDescriptorProto: extendee = 2, number = 3
            let extendee = string(bytes, 2)?.trim_start_matches('.').to_owned();
            let number = u32::try_from(varint(bytes, 3)?).unwrap_or_default();
            self.predefined.insert((extendee, number), entry);
            if let Some(predefines) = self.found.predefines.get_mut(self.unit) {
                *predefines = true;
            }
        }
        let mut out = without(bytes, &[8]);
        if !kept.is_empty() {
            put_bytes(&mut out, 8, &kept);
        }
        Ok(out)
    }

    /// Second pass. FileDescriptorProto: package = 2, message_type = 4, options = 8.
    fn file(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Damaged> {
        let package = string(bytes, 2)?;
        let mut out = Vec::with_capacity(bytes.len());
        let mut messages = 0;
        for record in Records::new(bytes) {
            let record = record?;
            match record.bytes(4) {
                Some(message) => {
                    let message = self.message(message, &package, &[4, messages])?;
                    put_bytes(&mut out, 4, &message);
                    messages += 1;
                }
                None if record.number == 8 => (),
                None => out.extend_from_slice(record.whole),
            }
        }
        Ok(out)
    }

    /// DescriptorProto: name = 1, field = 2, nested_type = 3, options = 7, oneof_decl = 8.
    fn message(&mut self, bytes: &[u8], scope: &str, path: &[i32]) -> Result<Vec<u8>, Damaged> {
        let name = join(scope, &string(bytes, 1)?);
        let options = gathered(bytes, 7)?;
        let rules = gathered(&options, RULES)?;
        let members = oneof_members(&rules)?;
        let mut kept = own_options(&options)?;
        let rules = self.message_rules(&rules, &Context { message: &name, owner: &name, element: path })?;
        if !rules.is_empty() {
            put_bytes(&mut kept, RULES, &rules);
        }
        let mut out = Vec::with_capacity(bytes.len());
        let (mut fields, mut nested) = (0, 0);
        for record in Records::new(bytes) {
            let record = record?;
            let Value::Bytes(inner) = record.value else {
                out.extend_from_slice(record.whole);
                continue;
            };
            let inner = match record.number {
                2 => {
                    let path = [path, &[2, fields]].concat();
                    fields += 1;
                    self.field(inner, &name, &path, &members)?
                }
                3 => {
                    let path = [path, &[3, nested]].concat();
                    nested += 1;
                    self.message(inner, &name, &path)?
                }
                7 => continue,
                // OneofDescriptorProto: options = 2
                8 => without(inner, &[2]),
                _ => inner.to_vec(),
            };
            put_bytes(&mut out, record.number, &inner);
        }
        if !kept.is_empty() {
            put_bytes(&mut out, 7, &kept);
        }
        Ok(out)
    }

    /// `buf.validate.MessageRules` with its CEL rules alone, all of them written as `cel_expression`: of those the library
    /// tells the string that an expression returned, of the others nothing.
    fn message_rules(&mut self, bytes: &[u8], context: &Context<'_>) -> Result<Vec<u8>, Damaged> {
        let mut out = Vec::new();
        let this = This::of_message(self.pool, context.message);
        for (i, expression) in all(bytes, number::MESSAGE_CEL_EXPRESSION)?.iter().enumerate() {
            let site = context.site(self.unit, RULES, vec![number::MESSAGE_CEL_EXPRESSION, i as u32]);
            let number = self.note(Rule::bare(expression, context), context, site, &this);
            put_bytes(&mut out, number::MESSAGE_CEL_EXPRESSION, self.tagged(number).as_bytes());
        }
        for (i, rule) in all(bytes, number::MESSAGE_CEL)?.iter().enumerate() {
            let site = context.site(self.unit, RULES, vec![number::MESSAGE_CEL, i as u32]);
            let (number, _) = self.rule(rule, context, site, &this)?;
            put_bytes(&mut out, number::MESSAGE_CEL_EXPRESSION, self.tagged(number).as_bytes());
        }
        Ok(out)
    }

    /// FieldDescriptorProto: name = 1, number = 3, label = 4, options = 8.
    fn field(
        &mut self,
        bytes: &[u8],
        message: &str,
        path: &[i32],
        members: &HashSet<String>,
    ) -> Result<Vec<u8>, Damaged> {
        let options = gathered(bytes, 8)?;
        if options.is_empty() && members.is_empty() {
            return Ok(bytes.to_vec());
        }
        let name = string(bytes, 1)?;
        let owner = join(message, &name);
        let context = Context { message, owner: &owner, element: path };
        let mut parts = FieldParts::read(&gathered(&options, RULES)?)?;
        if parts.ignore == 0 && (parts.required || members.contains(&name)) {
            parts.ignore = IF_ZERO_VALUE;
        }
        let always_there = parts.ignore == 0 && self.overrides.is_implicit(&owner);
        let mut kept = own_options(&options)?;
        let this = This::of_field(self.pool, message, varint(bytes, 3)?);
        let rules = self.field_rules(parts, &context, &[], &this)?;
        if !rules.is_empty() {
            put_bytes(&mut kept, RULES, &rules);
        }
        let mut out = without(bytes, &[8]);
        if always_there && !rules.is_empty() {
            // a proto2 file has no fields of implicit presence, but rules hold for required ones set or not
            out = without(&out, &[4]);
            put_uint(&mut out, 4, LABEL_REQUIRED);
        }
        if !kept.is_empty() {
            put_bytes(&mut out, 8, &kept);
        }
        Ok(out)
    }

    /// `buf.validate.FieldRules` with what CEL needs. `steps`: from the option's value to these rules.
    fn field_rules(
        &mut self,
        parts: FieldParts,
        context: &Context<'_>,
        steps: &[u32],
        this: &This,
    ) -> Result<Vec<u8>, Damaged> {
        let mut out = Vec::new();
        if parts.ignore != 0 {
            put_uint(&mut out, number::FIELD_IGNORE, parts.ignore);
        }
        for (i, expression) in parts.expressions.iter().enumerate() {
            let site = context.site(self.unit, RULES, [steps, &[number::FIELD_CEL_EXPRESSION, i as u32]].concat());
            let number = self.note(Rule::bare(expression, context), context, site, this);
            put_bytes(&mut out, number::FIELD_CEL_EXPRESSION, self.tagged(number).as_bytes());
        }
        for (i, rule) in parts.rules.iter().enumerate() {
            let site = context.site(self.unit, RULES, [steps, &[number::FIELD_CEL, i as u32]].concat());
            let (_, rule) = self.rule(rule, context, site, this)?;
            put_bytes(&mut out, number::FIELD_CEL, &rule);
        }
        if let Some((number, bytes)) = parts.typed {
            let inner = match number {
                number::FIELD_REPEATED => &[number::ITEMS][..],
                number::FIELD_MAP => &[number::KEYS, number::VALUES],
                _ => &[],
            };
            let typed = self.typed_rules(number, &bytes, inner, context, steps, this)?;
            if !typed.is_empty() {
                put_bytes(&mut out, number, &typed);
            }
        }
        Ok(out)
    }

    /// The rules of one type (`StringRules`, `RepeatedRules`, ...). `nested`: which of its fields hold rules themselves.
    fn typed_rules(
        &mut self,
        number: u32,
        bytes: &[u8],
        nested: &[u32],
        context: &Context<'_>,
        steps: &[u32],
        this: &This,
    ) -> Result<Vec<u8>, Damaged> {
        let mut out = Vec::new();
        for &inner in nested {
            let rules = FieldParts::read(&gathered(bytes, inner)?)?;
            let steps = [steps, &[number, inner]].concat();
            let rules = self.field_rules(rules, context, &steps, &this.inner(inner == number::KEYS))?;
            if !rules.is_empty() {
                put_bytes(&mut out, inner, &rules);
            }
        }
        let Some(extended) = self.rules_message(number) else { return Ok(out) };
        let mut needs_rules = false;
        let mut used = Vec::new();
        for record in Records::new(bytes) {
            let record = record?;
            let Some(predefined) = self.predefined.get(&(extended.clone(), record.number)) else { continue };
            needs_rules |= predefined.needs_rules;
            used.extend_from_slice(record.whole);
            self.found.speaking.insert(context.message.to_owned());
            if predefined.steep {
                self.found.steep.insert(context.message.to_owned());
            }
            if let Some(broken) = predefined.broken {
                self.found.spoilt.insert(context.message.to_owned(), broken);
            }
        }
        match needs_rules {
            true => out.extend_from_slice(&without(bytes, nested)),
            false => out.extend_from_slice(&used),
        }
        Ok(out)
    }

    /// The full name of the message that a member of the oneof `type` of `FieldRules` holds.
    fn rules_message(&self, number: u32) -> Option<String> {
        let rules = self.pool.get_message_by_name("buf.validate.FieldRules")?;
        Some(rules.get_field(number)?.kind().as_message()?.full_name().to_owned())
    }

    /// `buf.validate.Rule`: its number, and the rule with a tag for its id.
    fn rule(
        &mut self,
        bytes: &[u8],
        context: &Context<'_>,
        site: Site,
        this: &This,
    ) -> Result<(usize, Vec<u8>), Damaged> {
        let rule = Rule {
            id: string(bytes, number::ID)?.into(),
            message: string(bytes, number::MESSAGE)?.into(),
            expression: string(bytes, number::EXPRESSION)?.into(),
            owner: context.owner.into(),
            fault: None,
            steep: false,
        };
        let mut out = Vec::new();
        put_bytes(&mut out, number::EXPRESSION, without_dyn(&rule.expression).as_bytes());
        let number = self.note(rule, context, site, this);
        put_bytes(&mut out, number::ID, tag::of(number).as_bytes());
        Ok((number, out))
    }

    /// Adds a rule to the list, and judges its expression.
    fn note(&mut self, mut rule: Rule, context: &Context<'_>, site: Site, this: &This) -> usize {
        let number = self.found.rules.len();
        match look(&rule.expression, this) {
            Ok(sound) => rule.steep = sound.steep,
            Err(Fault(text)) => rule.fault = Some(text.into()),
        }
        let (is_broken, steep) = (rule.fault.is_some(), rule.steep);
        self.found.rules.push(rule);
        if !context.message.is_empty() {
            self.found.speaking.insert(context.message.to_owned());
            if steep {
                self.found.steep.insert(context.message.to_owned());
            }
        }
        if is_broken {
            self.found.broken.push(Broken { rule: number, site });
            if !context.message.is_empty() {
                self.found.spoilt.insert(context.message.to_owned(), number);
            }
        }
        number
    }

    /// The expression of a rule with its tag in a comment.
    fn tagged(&self, number: usize) -> String {
        let expression = self.found.rules.get(number).map_or("", |rule| &rule.expression);
        format!("{}\n// {}", without_dyn(expression), tag::of(number))
    }
}

// === impl Rule ===

impl Rule {
    /// One of `cel_expression`: it is its own id.
    fn bare(expression: &[u8], context: &Context<'_>) -> Rule {
        let expression: Box<str> = String::from_utf8_lossy(expression).into();
        Rule {
            id: expression.clone(),
            message: Box::default(),
            expression,
            owner: context.owner.into(),
            ..Rule::default()
        }
    }
}

// === impl Context ===

impl Context<'_> {
    fn site(&self, unit: usize, option: u32, steps: Vec<u32>) -> Site {
        let steps = steps.into_iter().map(u32::cast_signed).collect();
        Site { unit, element: self.element.to_vec(), option: option.cast_signed(), steps }
    }
}

// === impl FieldParts ===

impl FieldParts {
    fn read(bytes: &[u8]) -> Result<FieldParts, Damaged> {
        let mut parts = FieldParts::default();
        for record in Records::new(bytes) {
            let record = record?;
            match (record.number, record.value) {
                (number::FIELD_CEL_EXPRESSION, Value::Bytes(text)) => parts.expressions.push(text.to_vec()),
                (number::FIELD_CEL, Value::Bytes(rule)) => parts.rules.push(rule.to_vec()),
                (number::FIELD_REQUIRED, Value::Varint(required)) => parts.required = required != 0,
                (number::FIELD_IGNORE, Value::Varint(ignore)) => parts.ignore = ignore,
                // every other field of FieldRules that is a message belongs to the oneof: the last one counts
                (number, Value::Bytes(piece)) => match &mut parts.typed {
                    Some((before, rules)) if *before == number => rules.extend_from_slice(piece),
                    typed => *typed = Some((number, piece.to_vec())),
                },
                _ => (),
            }
        }
        Ok(parts)
    }
}

/// All pieces of a message field, put together.
fn gathered(bytes: &[u8], number: u32) -> Result<Vec<u8>, Damaged> {
    Ok(all(bytes, number)?.concat())
}

/// All values of a repeated field.
fn all(bytes: &[u8], number: u32) -> Result<Vec<Vec<u8>>, Damaged> {
    let mut found = Vec::new();
    for record in Records::new(bytes) {
        found.extend(record?.bytes(number).map(<[u8]>::to_vec));
    }
    Ok(found)
}

fn string(bytes: &[u8], number: u32) -> Result<String, Damaged> {
    Ok(all(bytes, number)?.last().map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default())
}

fn varint(bytes: &[u8], number: u32) -> Result<u64, Damaged> {
    let mut found = 0;
    for record in Records::new(bytes) {
        let record = record?;
        if let (true, Value::Varint(value)) = (record.number == number, record.value) {
            found = value;
        }
    }
    Ok(found)
}

/// Options without extensions.
fn own_options(options: &[u8]) -> Result<Vec<u8>, Damaged> {
    let mut out = Vec::new();
    for record in Records::new(options) {
        let record = record?;
        if record.number < LAST_OWN_OPTION {
            out.extend_from_slice(record.whole);
        }
    }
    Ok(out)
}

/// The fields that rules of the message name as members of a oneof (`MessageOneofRule.fields` = 1): no rule speaks about
/// one of them that is not set.
fn oneof_members(rules: &[u8]) -> Result<HashSet<String>, Damaged> {
    let mut members = HashSet::new();
    for rule in all(rules, number::MESSAGE_ONEOF)? {
        members.extend(all(&rule, 1)?.iter().map(|name| String::from_utf8_lossy(name).into_owned()));
    }
    Ok(members)
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}
