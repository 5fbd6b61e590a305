//! A message's values by field, after protobuf's rules of merging: the exact way for messages that come out of order.
//!
//! Nothing is copied: a message that comes in several parts stays where it is, and is read part by part ([`Parts`]).

use super::MAX_DEPTH;
use super::fault::{Fault, Outcome};
use super::json_write::{is_empty_run, shows, takes};
use super::message_set::{self, ITEM};
use crate::catalog::{Field, Kind, Known, Label, Message, Schema};
use crate::wire::{Cursor, Malformed, Piece};

/// One value of a field, and where it stood among the others. 32 bytes, for each value of a message that is regrouped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'w> {
    pub(super) piece: Piece<'w>,
    position: u32,
    pub(super) index: u16,
    pub(super) wire_type: u8,
}

/// The encoding of one message: whole, or in the parts that make it when they are read one behind the other (encoding
/// guide, "Last One Wins").
#[derive(Clone, Copy, Debug)]
pub(super) enum Parts<'a, 'w> {
    Whole(&'w [u8]),
    Several(&'a [Value<'w>]),
}

/// The fields of a message in the order in which they come, part by part.
pub(super) struct Fields<'a, 'w> {
    cursor: Cursor<'w>,
    rest: std::slice::Iter<'a, Value<'w>>,
}

/// All values of a message that count: field by field, those of one field in the order in which they came.
pub(super) struct Groups<'w>(Vec<Value<'w>>);

/// All values of one field that count; never none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<'a, 'w> {
    pub(super) index: u16,
    pub(super) values: &'a [Value<'w>],
}

// === impl Value ===

impl<'w> Value<'w> {
    /// One element of this packed run, in the run's place.
    pub(super) fn with(self, piece: Piece<'w>) -> Value<'w> {
        Value { piece, ..self }
    }
}

// === impl Parts ===

impl<'a, 'w> Parts<'a, 'w> {
    pub(super) fn fields(self) -> Fields<'a, 'w> {
        match self {
            Parts::Whole(bytes) => Fields { cursor: Cursor::new(bytes), rest: [].iter() },
            Parts::Several(values) => Fields { cursor: Cursor::new(&[]), rest: values.iter() },
        }
    }
}

// === impl Fields ===

impl Fields<'_, '_> {
    /// How many bytes of the present part are still to come.
    pub(super) fn left(&self) -> usize {
        self.cursor.remaining()
    }
}

impl<'w> Iterator for Fields<'_, 'w> {
    type Item = Result<(u32, Piece<'w>), Malformed>;

    /// Nothing more comes of a part that is damaged: whoever sees the error stops.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.cursor.is_empty() {
            self.cursor = Cursor::new(self.rest.next()?.piece.bytes);
        }
        Some(self.cursor.tag().and_then(|tag| Ok((tag, self.cursor.piece(tag)?))))
    }
}

// === impl Groups ===

impl<'w> Groups<'w> {
    /// Sorts a message's values. Of a oneof only the member that came last is there, with nothing of it from before another
    /// member displaced it. A message set's items are values of its extensions.
    pub(super) fn of(schema: &Schema, message: &Message, parts: Parts<'_, 'w>) -> Result<Groups<'w>, Malformed> {
        // counted first: a vector that grows would take three times as much
        let mut count = 0;
        each_value(schema, message, parts, |_| count += 1)?;
        if u32::try_from(count).is_err() {
            return Err(Malformed("the message has too many values"));
        }
        let mut values = Vec::with_capacity(count);
        // Per oneof: the member that holds it, and from which position on.
        let mut oneofs: Vec<(u16, u16, u32)> = Vec::new();
        each_value(schema, message, parts, |(field, mut value)| {
            value.position = values.len() as u32;
            if let Some(oneof) = field.oneof {
                match oneofs.iter_mut().find(|(other, ..)| *other == oneof) {
                    Some((_, member, from)) if *member != value.index => {
                        (*member, *from) = (value.index, value.position)
                    }
                    Some(_) => {}
                    None => oneofs.push((oneof, value.index, value.position)),
                }
            }
            values.push(value);
        })?;
        if !oneofs.is_empty() {
            values.retain(|value: &Value<'_>| match message.field(value.index).and_then(|field| field.oneof) {
                Some(oneof) => oneofs
                    .iter()
                    .any(|(other, member, from)| *other == oneof && *member == value.index && value.position >= *from),
                None => true,
            });
        }
        values.sort_unstable_by_key(|value| (value.index, value.position));
        Ok(Groups(values))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Group<'_, 'w>> {
        let runs = self.0.chunk_by(|one, other| one.index == other.index);
        runs.filter_map(|values| Some(Group { index: values.first()?.index, values }))
    }

    pub(super) fn find(&self, index: u16) -> Option<Group<'_, 'w>> {
        let start = self.0.partition_point(|value| value.index < index);
        let rest = self.0.get(start..)?;
        let values = rest.get(..rest.partition_point(|value| value.index == index))?;
        (!values.is_empty()).then_some(Group { index, values })
    }
}

/// Calls back for each value of a field that the message has, and that is one.
fn each_value<'s, 'w>(
    schema: &Schema,
    message: &'s Message,
    parts: Parts<'_, 'w>,
    mut each: impl FnMut((&'s Field, Value<'w>)),
) -> Result<(), Malformed> {
    let mut value = |number: u32, wire_type: u32, piece: Piece<'w>| {
        let found = message.field_by_number(number);
        let Some((index, field)) =
            found.filter(|(_, field)| takes(field, wire_type) && !is_empty_run(field, wire_type, &piece))
        else {
            return;
        };
        if field.label != Label::Singular || shows(schema, field.kind, piece.bits) {
            each((field, Value { piece, position: 0, index, wire_type: (wire_type & 7) as u8 }));
        }
    };
    for field in parts.fields() {
        let (tag, piece) = field?;
        if message.known == Known::MessageSet && tag == ITEM {
            let contents = message_set::contents(piece.bytes)?;
            contents.for_each(|(number, content)| value(number, 2, Piece { bits: 0, bytes: content }));
        } else {
            value(tag >> 3, tag & 7, piece);
        }
    }
    Ok(())
}

/// Checks a message whose parts will be read as one, before they are: that each part is whole (else what is cut short in
/// one would take its missing bytes from the next), and that those are in order which later ones displace, and which
/// nobody looks at any more then.
pub(super) fn check_parts(schema: &Schema, message: &Message, bytes: &[u8], depth: u32) -> Outcome<()> {
    if depth > MAX_DEPTH {
        return Err(Fault::new("nested deeper than 100 levels"));
    }
    let mut fault = None;
    for field in Parts::Whole(bytes).fields() {
        let (tag, piece) = field?;
        let mut check = |number: u32, wire_type: u32, bytes: &[u8]| {
            let found = message.field_by_number(number).filter(|(_, field)| takes(field, wire_type));
            if let (Some((_, field)), None) = (found, &fault) {
                let checked = check_value(schema, field, wire_type, bytes, depth);
                fault = checked.map_err(|fault| fault.within(field.name())).err();
            }
        };
        if message.known == Known::MessageSet && tag == ITEM {
            message_set::contents(piece.bytes)?.for_each(|(number, content)| check(number, 2, content));
        } else {
            check(tag >> 3, tag & 7, piece.bytes);
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
    }
    Ok(())
}

fn check_value(schema: &Schema, field: &Field, wire_type: u32, bytes: &[u8], depth: u32) -> Outcome<()> {
    match field.kind {
        Kind::Message(id) | Kind::Group(id) => check_parts(schema, schema.message(id), bytes, depth + 1),
        Kind::String if field.check_utf8 && std::str::from_utf8(bytes).is_err() => {
            Err(Fault::new("a string is not UTF-8"))
        }
        // a packed run, in which there must be whole values
        kind if kind.wire_type() != wire_type => {
            let mut run = Cursor::new(bytes);
            while !run.is_empty() {
                run.packed(kind.wire_type())?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
