use super::super::tests::{id, schema};
use super::*;
use crate::transcode::{ReadOptions, json_to_wire};
use crate::wire::{put_bytes, put_uint, put_varint};

fn wire(schema: &Schema, name: &str, json: &str) -> Vec<u8> {
    let mut out = Vec::new();
    json_to_wire(schema, id(schema, name), json.as_bytes(), &ReadOptions::default(), &mut out).expect(json);
    out
}

/// A field with these bytes.
fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, number, bytes);
    out
}

fn uint(number: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_uint(&mut out, number, value);
    out
}

/// What is said of a message, and by which rule.
fn said(name: &str, wire: &[u8], options: &GuardOptions) -> Result<u64, (Rule, String)> {
    let schema = schema();
    let told = guard(&schema, id(&schema, name), wire, options);
    told.map(|guarded| guarded.unknown_fields).map_err(|violation| (violation.rule, violation.to_string()))
}

fn book(wire: &[u8]) -> Result<u64, (Rule, String)> {
    said("t.Book", wire, &GuardOptions::default())
}

fn old(wire: &[u8]) -> Result<u64, (Rule, String)> {
    said("u.Old", wire, &GuardOptions::default())
}

fn bad(rule: Rule, text: &str) -> Result<u64, (Rule, String)> {
    Err((rule, text.to_owned()))
}

const FULL: &str = r#"{"title": "Größe", "pageCount": "-5", "color": "RED", "tags": ["a", "b"], "marks": [1, -300, 70000],
    "people": {"x": {"name": "Ada", "teacher": {"born": 1}}}, "notes": {"-7": "n"}, "editors": [{}, {"born": 2}],
    "donor": {"name": "d"}, "copies": 0, "cover": "AAH/", "price": 1.5, "weight": -0.5, "sold": true, "serial": "7",
    "shift": -1, "code": 9, "made": "2026-01-01T00:00:00Z", "extra": {"k": [1, null, {"z": "y"}]}, "colors": ["RED", 77],
    "detail": {"@type": "type.googleapis.com/t.Author", "name": "n"}, "label": "l", "shades": {"s": "GREEN"}}"#;

const OLD: &str = r#"{"name": "n", "closed": "ONE", "many": ["ONE", "TWO"], "loose": [1, 2], "part": {"size": 3},
    "piece": [{"size": 1}, {}], "byName": {"k": "TWO"}, "set": {"[u.Member.member]": {"size": 4}}, "[u.extra]": 5,
    "[u.more]": [{"name": "m"}]}"#;

#[test]
fn messages_in_order_pass() {
    let schema = schema();
    assert_eq!(book(&wire(&schema, "t.Book", FULL)), Ok(0));
    assert_eq!(old(&wire(&schema, "u.Old", OLD)), Ok(0));
    assert_eq!(book(b""), Ok(0));
}

#[test]
fn repeated_scalars_may_be_packed_or_not_and_singular_fields_may_come_again() {
    let schema = schema();
    let loose = [uint(5, 1), field(5, &[2, 0xac, 0x02]), uint(5, 3)].concat();
    assert_eq!(book(&loose), Ok(0));
    let name = wire(&schema, "u.Old", r#"{"name": "n"}"#);
    // proto2 writes them one by one, and reads both
    assert_eq!(old(&[name.clone(), field(4, &[1, 2]), uint(4, 3), field(3, &[1, 2])].concat()), Ok(0));
    assert_eq!(book(&[field(1, b"a"), field(1, b"b")].concat()), Ok(0));
    assert_eq!(book(&[field(10, b"isbn"), field(11, b""), field(10, b"isbn")].concat()), Ok(0), "of a oneof the last");
}

#[test]
fn what_is_no_protobuf_is_malformed() {
    let cut = "the message is cut short";
    let long = [&[0x10][..], &[0xff; 10]].concat();
    for (wire, text) in [
        (&[0x0a, 5, b'a'][..], format!("title: {cut}")),
        (&[0x0a], "title: a varint is cut short or too long".into()),
        (&[0x10, 0x80], "page_count: a varint is cut short or too long".into()),
        (&long, "page_count: a varint is cut short or too long".into()),
        (&[0x71, 1, 2], format!("price: {cut}")),
        (&[0x7d, 1, 2], format!("weight: {cut}")),
        (&[0x00], "a tag has no valid field number".into()),
        (&[0x02, 0], "a tag has no valid field number".into()),
        (&[0x80], "a varint is cut short or too long".into()),
        (&[0x0e], "title: a tag has a wire type that does not exist".into()),
        (&[0x0c], "a group ends that did not begin".into()),
        (&[0x42, 2, 0x0a, 5], format!("author.name: {cut}")),
        (&[0x2a, 2, 1, 0x80], "marks[1]: a varint is cut short or too long".into()),
        // fields that nobody knows have to be well-formed as well
        (&[0xa2, 0x1f, 5], cut.into()),
        (&[0xa3, 0x1f, 0x08], "a varint is cut short or too long".into()),
        (&[0xa3, 0x1f, 0xac, 0x1f], "a group ends that did not begin".into()),
    ] {
        assert_eq!(book(wire), bad(Rule::Malformed, &text), "{wire:x?}");
    }
    let name = field(1, b"n");
    for (tail, text) in [
        (&[0x2b, 0x08, 1][..], "part: a group does not end"),
        (&[0x2b, 0x34], "part: a group ends that did not begin"),
        (&[0x33, 0x34, 0x33, 0x08], "piece[1].size: a varint is cut short or too long"),
    ] {
        let told = old(&[&name, tail].concat());
        assert_eq!(told, bad(Rule::Malformed, text), "{tail:x?}");
    }
}

#[test]
fn a_field_has_its_own_wire_type() {
    for (wire, text) in [
        (uint(1, 5), "title: comes with wire type 0, and has 2"),
        (field(2, b"x"), "page_count: comes with wire type 2, and has 0"),
        (uint(14, 1), "price: comes with wire type 0, and has 1"),
        (vec![0x0b, 0x0c], "title: comes with wire type 3, and has 2"),
        (vec![0x2d, 0, 0, 0, 0], "marks[0]: comes with wire type 5, and has 0"),
        (field(6, &uint(1, 5)), "people[0]: comes with wire type 0, and has 2"),
        (field(6, &[field(1, b"k"), uint(2, 5)].concat()), "people[\"k\"]: comes with wire type 0, and has 2"),
    ] {
        assert_eq!(book(&wire), bad(Rule::WireType, text), "{wire:x?}");
    }
}

#[test]
fn strings_are_utf8_where_the_schema_says_so() {
    let bad_name = field(1, b"\xff\xfe");
    assert_eq!(book(&bad_name), bad(Rule::Utf8, "title: is not UTF-8"));
    assert_eq!(book(&field(13, b"\xff\xfe")), Ok(0), "bytes are bytes");
    assert_eq!(old(&bad_name), Ok(0), "strings of proto2 are not checked");
    let twice = [field(4, b"a"), field(1, b"t"), field(4, b"b"), field(4, b"\xc3")].concat();
    assert_eq!(book(&twice), bad(Rule::Utf8, "tags[2]: is not UTF-8"));
    let editor = field(3, &field(3, &bad_name));
    assert_eq!(
        book(&[field(9, b""), field(9, &editor)].concat()),
        bad(Rule::Utf8, "editors[1].teacher.teacher.name: is not UTF-8")
    );
    let person = field(6, &[field(2, &bad_name), field(1, b"k")].concat());
    assert_eq!(book(&person), bad(Rule::Utf8, "people[\"k\"].name: is not UTF-8"));
    let note = field(7, &[uint(1, -7i64 as u64), field(2, b"\xff")].concat());
    assert_eq!(book(&note), bad(Rule::Utf8, "notes[\"-7\"]: is not UTF-8"));
    let long = field(6, &[field(1, "é".repeat(100).as_bytes()), field(2, &bad_name)].concat());
    assert_eq!(book(&long), bad(Rule::Utf8, &format!("people[\"{}…\"].name: is not UTF-8", "é".repeat(32))));
}

#[test]
fn messages_nest_as_deep_as_they_may_and_no_deeper() {
    let nested = |levels: usize| (0..levels).fold(Vec::new(), |inner, _| field(3, &inner));
    let deep = |levels: u32, max_depth: u32| {
        let options = GuardOptions { max_depth, ..GuardOptions::default() };
        said("t.Author", &nested(levels as usize), &options)
    };
    assert_eq!((deep(100, 100), deep(3, 3)), (Ok(0), Ok(0)));
    for (levels, limit) in [(101, 100), (5_000, 100), (4, 3), (101, 4_000_000)] {
        let (rule, text) = deep(levels, limit).expect_err("too deep");
        assert_eq!(rule, Rule::Depth);
        assert!(text.contains(&format!("nested deeper than {} levels", limit.min(100))), "{text}");
        assert!(text.len() < 620, "the path is shortened: {}", text.len());
    }
    // groups, known or not, are no way around it
    for tag in [0x2b, 0xf3] {
        let mut groups = field(1, b"n");
        for _ in 0..100_000 {
            if tag == 0x2b {
                groups.extend_from_slice(&[0x2b, 0x12, 0]);
            } else {
                put_varint(&mut groups, 50 << 3 | 3);
            }
        }
        assert!(old(&groups).is_err());
    }
    let unknown = |levels: usize| [[0xa3, 0x1f].repeat(levels), [0xa4, 0x1f].repeat(levels)].concat();
    assert_eq!(book(&unknown(100)), Ok(1));
    assert_eq!(book(&unknown(101)).map_err(|(rule, _)| rule), Err(Rule::Depth));
}

#[test]
fn elements_and_entries_are_counted_over_the_whole_message() {
    let options = GuardOptions { max_repeated: 3, ..GuardOptions::default() };
    let said = |wire: Vec<u8>| said("t.Book", &wire, &options);
    let tag = || field(4, b"t");
    assert_eq!(said([tag(), tag(), tag(), field(5, &[1, 2, 3])].concat()), Ok(0));
    let apart = [tag(), uint(5, 1), tag(), tag(), field(5, &[1]), tag()].concat();
    assert_eq!(said(apart), bad(Rule::Repeated, "tags: has more than 3 elements"));
    assert_eq!(
        said([uint(5, 1), field(5, &[1, 0x80, 1, 3])].concat()),
        bad(Rule::Repeated, "marks: has more than 3 elements")
    );
    let entries = (0..4).map(|key| field(7, &uint(1, key))).collect::<Vec<_>>().concat();
    assert_eq!(said(entries), bad(Rule::Repeated, "notes: has more than 3 entries"));
    let inner = [field(8, &[0x0a, 0].repeat(9)), tag()].concat();
    assert_eq!(said(inner), Ok(0), "a singular field that comes often is no list");
}

#[test]
fn strings_and_bytes_have_their_limits() {
    let options = GuardOptions { max_string: 4, max_bytes: 2, ..GuardOptions::default() };
    let said = |wire: Vec<u8>| said("t.Book", &wire, &options);
    assert_eq!(said([field(1, b"four"), field(13, b"22")].concat()), Ok(0));
    assert_eq!(said(field(1, "größe".as_bytes())), bad(Rule::StringSize, "title: has 7 bytes, and 4 are allowed"));
    assert_eq!(said(field(13, b"333")), bad(Rule::BytesSize, "cover: has 3 bytes, and 2 are allowed"));
    let person = field(6, &field(1, b"12345"));
    assert_eq!(said(person), bad(Rule::StringSize, "people[\"12345\"]: has 5 bytes, and 4 are allowed"));
}

#[test]
fn unknown_fields_are_counted_or_refused() {
    let unknown = [uint(500, 1), field(8, &field(77, b"x")), vec![0xa3, 0x1f, 0x08, 1, 0xa4, 0x1f]].concat();
    assert_eq!(book(&unknown), Ok(3));
    let options = GuardOptions { unknown: UnknownNumbers::Refuse, ..GuardOptions::default() };
    let text = "500 is not the number of a field of t.Book";
    assert_eq!(said("t.Book", &unknown, &options), bad(Rule::UnknownField, text));
    let inner = field(8, &field(77, b"x"));
    let text = "author: 77 is not the number of a field of t.Author";
    assert_eq!(said("t.Book", &inner, &options), bad(Rule::UnknownField, text));
}

#[test]
fn closed_enums_have_the_numbers_that_they_have() {
    assert_eq!(book(&uint(3, 77)), Ok(0), "open");
    let name = field(1, b"n");
    let said = |more: Vec<u8>| old(&[name.clone(), more].concat());
    assert_eq!(said(uint(2, 2)), Ok(0));
    assert_eq!(said(uint(2, 3)), bad(Rule::EnumValue, "closed: 3 is no value of u.Closed"));
    assert_eq!(said(uint(2, -1i64 as u64)), bad(Rule::EnumValue, "closed: -1 is no value of u.Closed"));
    assert_eq!(said(uint(2, 1 | 1 << 40)), Ok(0), "the low 32 bits count");
    assert_eq!(
        said([uint(3, 1), field(3, &[1, 2, 9])].concat()),
        bad(Rule::EnumValue, "many[3]: 9 is no value of u.Closed")
    );
    let entry = field(7, &[field(1, b"k"), uint(2, 0)].concat());
    assert_eq!(said(entry), bad(Rule::EnumValue, "by_name[\"k\"]: 0 is no value of u.Closed"));
}

#[test]
fn required_fields_are_there_wherever_their_message_is() {
    assert_eq!(old(b""), bad(Rule::Required, "name: is required"));
    let name = || field(1, b"n");
    // extension 101, a list of the message itself
    let more = |content: &[u8]| field(101, content);
    let told = old(&[name(), more(&name()), more(b"")].concat());
    assert_eq!(told, bad(Rule::Required, "[u.more][1].name: is required"));
    // group 5 { inner: 2 }
    let group = |inner: &[u8]| [vec![0x2b], field(2, inner), vec![0x2c]].concat();
    assert_eq!(old(&[name(), group(b"")].concat()), bad(Rule::Required, "part.inner.name: is required"));
    // a message that comes in parts is one message
    assert_eq!(old(&[name(), group(b""), group(&name())].concat()), Ok(0));
    assert_eq!(
        old(&[name(), group(b""), group(&uint(2, 1))].concat()),
        bad(Rule::Required, "part.inner.name: is required")
    );
    // what else is wrong is found all the same
    let both = [group(b""), group(&name()), uint(2, 9)].concat();
    assert_eq!(old(&[name(), both].concat()), bad(Rule::EnumValue, "closed: 9 is no value of u.Closed"));
}

#[test]
fn items_of_a_message_set_are_walked_as_the_extensions_that_they_are() {
    let item = |content: &[u8], number: u64| [vec![0x0b], uint(2, number), field(3, content), vec![0x0c]].concat();
    let set = |items: &[u8]| said("u.Set", items, &GuardOptions::default());
    assert_eq!(set(&item(&uint(1, 5), 1000)), Ok(0));
    assert_eq!(set(&item(b"", 77)), Ok(1), "an extension that nobody knows");
    let name = "[u.Member.member]";
    assert_eq!(
        set(&item(&[0x0a, 0], 1000)),
        bad(Rule::WireType, &format!("{name}.size: comes with wire type 2, and has 0"))
    );
    let turned = [vec![0x0b], field(3, &[0x08]), uint(2, 1000), vec![0x0c]].concat();
    assert_eq!(set(&turned), bad(Rule::Malformed, &format!("{name}.size: a varint is cut short or too long")));
    let two = [vec![0x0b], uint(2, 1000), field(3, &[0x08]), field(3, &uint(1, 5)), vec![0x0c]].concat();
    assert!(set(&two).is_err(), "the first of two contents is cut short");
    assert!(set(&[0x0b, 0x14]).is_err() && set(&[0x0b]).is_err());
}

#[test]
fn damage_never_panics_and_a_cut_message_passes_only_between_fields() {
    let schema = schema();
    for (name, json) in [("t.Book", FULL), ("u.Old", OLD)] {
        let (id, whole) = (id(&schema, name), wire(&schema, name, json));
        for options in [
            GuardOptions::default(),
            GuardOptions {
                unknown: UnknownNumbers::Refuse,
                max_repeated: 1,
                max_string: 3,
                max_bytes: 1,
                max_depth: 2,
                rules: true,
            },
        ] {
            for at in 0..whole.len() {
                let _ = guard(&schema, id, &whole[..at], &options);
                let mut damaged = whole.clone();
                for byte in 0..=255 {
                    damaged[at] = byte;
                    let _ = guard(&schema, id, &damaged, &options);
                }
            }
        }
        let mut cursor = Cursor::new(&whole);
        let mut ends = vec![0];
        while let Ok(tag) = cursor.tag() {
            cursor.piece(tag).expect("whole");
            ends.push(whole.len() - cursor.remaining());
        }
        for at in 0..whole.len() {
            let told = guard(&schema, id, &whole[..at], &GuardOptions::default());
            let required = told.as_ref().is_err_and(|violation| violation.rule == Rule::Required);
            assert_eq!(told.is_ok() || required, ends.contains(&at), "{name} cut at {at}: {told:?}");
        }
    }
}
