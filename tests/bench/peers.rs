//! The ways that are timed side by side, each checked to make the same message as all others.

use std::hint::black_box;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use transom::catalog::{MessageId, Schema};
use transom::transcode::{PrintOptions, ReadOptions, guard, json_to_wire, wire_to_json};

use crate::canonical::limits;
use crate::rows::Row;
use crate::timing::{Cost, Way, time};

pub const TRANSOM: &str = "transom";
pub const DYNAMIC: &str = "DynamicMessage + serde_json";
pub const PBJSON: &str = "prost + pbjson + serde_json";

/// A type that prost and pbjson have generated.
pub trait Generated: Message + Default + PartialEq + Serialize + DeserializeOwned {}

impl<T: Message + Default + PartialEq + Serialize + DeserializeOwned> Generated for T {}

/// The messages of one row, in both forms.
pub struct Messages<'s> {
    schema: &'s Schema,
    id: MessageId,
    descriptor: MessageDescriptor,
    pub texts: Vec<Vec<u8>>,
    pub wires: Vec<Vec<u8>>,
}

// === impl Messages ===

impl<'s> Messages<'s> {
    /// Takes the row's messages, and makes sure that all ways agree on what they are.
    pub fn checked<T: Generated>(schema: &'s Schema, pool: &DescriptorPool, row: &Row) -> Messages<'s> {
        let texts: Vec<Vec<u8>> = row.texts.iter().map(|text| text.clone().into_bytes()).collect();
        let id = schema.find(row.message).expect("in the schema");
        let descriptor = pool.get_message_by_name(row.message).expect("in the pool");
        let mut messages = Messages { schema, id, descriptor, texts, wires: Vec::new() };
        for text in &messages.texts {
            messages.wires.push(messages.check::<T>(row.name, text));
        }
        messages
    }

    /// Both directions by all ways; the encoding. What is compared are messages: the order of a map's entries, for one,
    /// is anybody's.
    fn check<T: Generated>(&self, row: &str, text: &[u8]) -> Vec<u8> {
        let generated: T = serde_json::from_slice(text).expect("pbjson reads");
        let is_it = |wire: &[u8]| T::decode(wire).is_ok_and(|message| message == generated);
        let wire = self.read(text);
        assert!(is_it(&wire), "{row}: JSON to wire");
        assert!(is_it(&self.dynamic_read(text)), "{row}: JSON to wire by DynamicMessage");
        assert!(is_it(&generated.encode_to_vec()), "{row}: JSON to wire by prost");
        let value = |text: &[u8]| serde_json::from_slice::<Value>(text).expect("JSON");
        let reads_as_it = |text: &[u8]| serde_json::from_slice::<T>(text).is_ok_and(|message| message == generated);
        let printed = self.print(&wire);
        assert_eq!(value(&printed), value(text), "{row}: wire to JSON and back, value by value");
        assert!(reads_as_it(&printed), "{row}: wire to JSON");
        assert!(reads_as_it(&self.dynamic_print(&wire)), "{row}: wire to JSON by DynamicMessage");
        assert!(reads_as_it(&generated_print::<T>(&wire)), "{row}: wire to JSON by pbjson");
        self.guard(&wire);
        wire
    }

    fn read(&self, text: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        json_to_wire(self.schema, self.id, text, &ReadOptions::default(), &mut wire).expect("reads");
        wire
    }

    fn print(&self, wire: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        wire_to_json(self.schema, self.id, wire, &PrintOptions::default(), &mut text).expect("prints");
        text
    }

    /// With every limit that there is, none of which is hit.
    fn guard(&self, wire: &[u8]) {
        black_box(guard(self.schema, self.id, wire, &limits())).expect("in order");
    }

    fn dynamic_read(&self, text: &[u8]) -> Vec<u8> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let message = DynamicMessage::deserialize(self.descriptor.clone(), &mut deserializer).expect("reads");
        deserializer.end().expect("nothing more");
        message.encode_to_vec()
    }

    fn dynamic_print(&self, wire: &[u8]) -> Vec<u8> {
        let message = DynamicMessage::decode(self.descriptor.clone(), wire).expect("decodes");
        serde_json::to_vec(&message).expect("prints")
    }

    /// JSON to wire; parsers that only build a tree and the copying of the text show where the limits are.
    pub fn time_read<T: Generated>(&self) -> Vec<Cost> {
        let texts = &self.texts;
        let mut copy = Vec::new();
        let ways = vec![
            each(TRANSOM, texts, |text| self.read(text)),
            each(DYNAMIC, texts, |text| self.dynamic_read(text)),
            each(PBJSON, texts, |text| serde_json::from_slice::<T>(text).expect("reads").encode_to_vec()),
            each("serde_json: a tree, no wire", texts, |text| serde_json::from_slice::<Value>(text).expect("reads")),
            each("sonic-rs: a tree, no wire", texts, |text| {
                sonic_rs::from_slice::<sonic_rs::Value>(text).expect("reads")
            }),
            each("memcpy of the JSON", texts, |text| copy_to(text, &mut copy)),
        ];
        time(ways, texts.len())
    }

    /// Wire to JSON.
    pub fn time_print<T: Generated>(&self) -> Vec<Cost> {
        let mut copy = Vec::new();
        let ways = vec![
            each(TRANSOM, &self.wires, |wire| self.print(wire)),
            each(DYNAMIC, &self.wires, |wire| self.dynamic_print(wire)),
            each(PBJSON, &self.wires, generated_print::<T>),
            each("memcpy of the JSON", &self.texts, |text| copy_to(text, &mut copy)),
        ];
        time(ways, self.wires.len())
    }

    /// The guard alone, beside prost's decoding.
    pub fn time_guard<T: Generated>(&self) -> Vec<Cost> {
        let mut copy = Vec::new();
        let ways = vec![
            each(TRANSOM, &self.wires, |wire| self.guard(wire)),
            each("prost: decode", &self.wires, |wire| T::decode(wire).expect("decodes")),
            each("memcpy of the wire", &self.wires, |wire| copy_to(wire, &mut copy)),
        ];
        time(ways, self.wires.len())
    }
}

fn generated_print<T: Generated>(wire: &[u8]) -> Vec<u8> {
    serde_json::to_vec(&T::decode(wire).expect("decodes")).expect("prints")
}

fn each<'a, R>(name: &'static str, inputs: &'a [Vec<u8>], mut run: impl FnMut(&[u8]) -> R + 'a) -> Way<'a> {
    Way::new(name, move || {
        for input in inputs {
            black_box(run(black_box(input)));
        }
    })
}

fn copy_to(from: &[u8], to: &mut Vec<u8>) {
    to.clear();
    to.extend_from_slice(from);
    black_box(to);
}
