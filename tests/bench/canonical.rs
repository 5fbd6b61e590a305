//! The eight canonical transcodes, four kinds of content both ways, and the guard over the same. What the ceilings are for.

use std::hint::black_box;

use transom::catalog::{MessageId, Schema};
use transom::transcode::{GuardOptions, PrintOptions, ReadOptions, guard, json_to_wire, wire_to_json};

use crate::rows::{Row, maps_row, numbers_row, order_row, strings_row};

/// One message and the way it goes.
pub struct Transcode<'s> {
    /// As `ceilings.txt` calls it: `order-read`, `order-print`, `order-guard`, ...
    pub name: String,
    schema: &'s Schema,
    message: MessageId,
    input: Vec<u8>,
    direction: Direction,
}

#[derive(Clone, Copy)]
enum Direction {
    /// JSON to wire.
    Read,
    /// Wire to JSON.
    Print,
    /// Wire to nothing.
    Guard,
}

/// All of them.
pub fn canonical(schema: &Schema) -> Vec<Transcode<'_>> {
    [order_row(), strings_row(), numbers_row(), maps_row()].iter().flat_map(|row| ways(schema, row)).collect()
}

fn ways<'s>(schema: &'s Schema, row: &Row) -> [Transcode<'s>; 3] {
    let message = schema.find(row.message).expect("the type of the row");
    let json = row.texts.first().expect("one text").clone().into_bytes();
    let mut wire = Vec::new();
    json_to_wire(schema, message, &json, &ReadOptions::default(), &mut wire).expect("canonical JSON");
    let way = |suffix, input, direction| Transcode {
        name: format!("{}-{suffix}", row.name),
        schema,
        message,
        input,
        direction,
    };
    [
        way("read", json, Direction::Read),
        way("print", wire.clone(), Direction::Print),
        way("guard", wire, Direction::Guard),
    ]
}

/// Every limit that there is; the messages hit none.
pub fn limits() -> GuardOptions {
    GuardOptions { max_repeated: 1000, max_string: 1 << 16, max_bytes: 1 << 16, ..GuardOptions::default() }
}

// === impl Transcode ===

impl Transcode<'_> {
    /// Does it once, into a new output, as the server does.
    pub fn run(&self) -> Vec<u8> {
        let (input, mut out) = (black_box(&*self.input), Vec::new());
        match self.direction {
            Direction::Read => {
                json_to_wire(self.schema, self.message, input, &ReadOptions::default(), &mut out).expect("reads");
            }
            Direction::Guard => {
                guard(self.schema, self.message, input, &limits()).expect("in order");
            }
            Direction::Print => {
                wire_to_json(self.schema, self.message, input, &PrintOptions::default(), &mut out).expect("prints");
            }
        }
        out
    }
}
