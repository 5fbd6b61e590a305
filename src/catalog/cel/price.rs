//! What it would cost to judge a message, counted before it is decoded.
//!
//! The library turns a message into values with every field of its type, set or not, under its name: two bytes of an
//! empty message become kilobytes. Messages that would become too much are refused before anything is made of them.

use super::super::records::{Damaged, Records, Value};
use super::super::schema::{Field, Kind, Label, Message, Schema};
use crate::wire::varint_len;

/// Nested messages that are looked into: as many as the decoder follows.
const MAX_DEPTH: usize = 100;

/// The messages of a schema, with what one of each costs.
#[derive(Debug, Default)]
pub(super) struct Prices {
    messages: Box<[Price]>,
}

#[derive(Debug)]
struct Price {
    /// Values that one message of the type becomes, what is nested in it not counted.
    values: u64,
    /// By number, ascending: the fields of which one record can hold more than one value.
    fields: Box<[(u32, Holds)]>,
}

#[derive(Clone, Copy, Debug)]
enum Holds {
    Message(u32),
    /// Packed numbers of so many bytes; 0: varints.
    Packed(usize),
}

/// What a message costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Values that are made of it.
    pub values: usize,
    /// Places at which a rule may be broken: messages, fields that are set, elements, entries.
    pub places: usize,
}

// === impl Prices ===

impl Prices {
    pub fn new(schema: &Schema) -> Prices {
        Prices { messages: schema.messages.iter().map(|message| Price::new(schema, message)).collect() }
    }

    /// What the message with this index and these bytes costs. Damaged bytes are counted as far as they go: the decoder
    /// refuses them.
    pub fn of(&self, message: u32, wire: &[u8]) -> Cost {
        let mut cost = Cost::default();
        let _ = self.add(message, wire, MAX_DEPTH, &mut cost);
        cost
    }

    fn add(&self, message: u32, wire: &[u8], depth: usize, cost: &mut Cost) -> Result<(), Damaged> {
        let Some(price) = self.messages.get(message as usize) else { return Ok(()) };
        cost.count(1);
        cost.values = cost.values.saturating_add(usize::try_from(price.values).unwrap_or(usize::MAX));
        if depth == 0 {
            return Ok(());
        }
        for record in Records::new(wire) {
            let record = record?;
            let known = price.fields.binary_search_by_key(&record.number, |(number, _)| *number).ok();
            match (known.and_then(|at| price.fields.get(at)), record.value) {
                (Some((_, Holds::Message(inner))), Value::Bytes(bytes)) => self.add(*inner, bytes, depth - 1, cost)?,
                (Some((_, Holds::Message(inner))), Value::Other) => {
                    self.add(*inner, group_content(record.number, record.whole), depth - 1, cost)?;
                }
                (Some((_, Holds::Packed(0))), Value::Bytes(bytes)) => {
                    cost.count(bytes.iter().filter(|byte| **byte < 0x80).count());
                }
                (Some((_, Holds::Packed(size))), Value::Bytes(bytes)) => cost.count(bytes.len() / size),
                _ => cost.count(1),
            }
        }
        Ok(())
    }
}

/// What stands between the tags of a group.
fn group_content(number: u32, whole: &[u8]) -> &[u8] {
    let tag = varint_len(u64::from(number) << 3);
    whole.len().checked_sub(tag).and_then(|end| whole.get(tag..end)).unwrap_or_default()
}

// === impl Price ===

impl Price {
    fn new(schema: &Schema, message: &Message) -> Price {
        // an unset message shows its own fields, one step deep
        let unset = |field: &Field| match (field.label, field.kind.message()) {
            (Label::Singular, Some(id)) => schema.message(id).fields.len(),
            _ => 0,
        };
        let values: usize = message.fields.iter().map(|field| 1 + unset(field)).sum();
        let fields = message.fields.iter().filter_map(|field| Some((field.number, Holds::of(field)?)));
        Price { values: values as u64, fields: fields.collect() }
    }
}

// === impl Holds ===

impl Holds {
    fn of(field: &Field) -> Option<Holds> {
        let size = match field.kind {
            Kind::Message(id) | Kind::Group(id) => return Some(Holds::Message(id.0)),
            kind if kind.wire_type() == 1 => 8,
            kind if kind.wire_type() == 5 => 4,
            _ => 0,
        };
        (field.label == Label::Repeated && field.kind.can_be_packed()).then_some(Holds::Packed(size))
    }
}

// === impl Cost ===

impl Cost {
    fn count(&mut self, places: usize) {
        self.values = self.values.saturating_add(places);
        self.places = self.places.saturating_add(places);
    }
}
