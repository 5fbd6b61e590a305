use super::*;
use crate::catalog::BytesForm;
use crate::transcode::tests::{id, schema};
use crate::transcode::{ReadOptions, UnknownAny, json_to_wire};

fn print_as(name: &str, wire: &[u8], options: &PrintOptions) -> Result<String, BadWire> {
    let (schema, mut out) = (schema(), Vec::new());
    wire_to_json(&schema, id(&schema, name), wire, options, &mut out)?;
    Ok(String::from_utf8(out).expect("UTF-8"))
}

fn print_book(wire: &[u8]) -> Result<String, BadWire> {
    print_as("t.Book", wire, &PrintOptions::default())
}

fn round_trip(json: &str) -> String {
    let (schema, mut wire) = (schema(), Vec::new());
    json_to_wire(&schema, id(&schema, "t.Book"), json.as_bytes(), &ReadOptions::default(), &mut wire).expect(json);
    print_book(&wire).expect(json)
}

#[test]
fn every_kind_of_field_survives_there_and_back() {
    for json in [
        r#"{}"#,
        r#"{"title":"a\"\\\n\u0001é😀","pageCount":"-5","color":"RED","tags":["","x"],"marks":[1,-2]}"#,
        r#"{"people":{"a":{"name":"x"},"":{}},"notes":{"-1":"a","2":""},"author":{"teacher":{}},"editors":[{},{"born":1}]}"#,
        r#"{"donor":{},"copies":0,"cover":"+/8=","price":0.1,"weight":1.5,"sold":true,"serial":"18446744073709551615"}"#,
        r#"{"price":"NaN","weight":"-Infinity","shift":-3,"code":4294967295}"#,
        r#"{"made":"2024-02-29T01:02:03.004Z","spent":"-0.500s","mask":"a.fooBar,b"}"#,
        r#"{"extra":{"a":null,"b":[1,"x",{"c":false}],"d":1.5},"anyValue":null,"list":[],"values":[null,1]}"#,
        r#"{"detail":{"@type":"x/t.Author","name":"n"}}"#,
        r#"{"detail":{"@type":"x/t.Author"}}"#,
        r#"{"detail":{"@type":"x/google.protobuf.Duration","value":"1s"}}"#,
        r#"{"detail":{"@type":"x/google.protobuf.Empty"}}"#,
        r#"{"detail":{"@type":"x/google.protobuf.Any","value":{"@type":"x/t.Author"}}}"#,
        r#"{"detail":{},"count":"7","label":"","nothing":{},"flag":true,"colors":["RED",7],"shades":{"a":"GREEN"}}"#,
    ] {
        assert_eq!(round_trip(json), json);
    }
}

#[test]
fn fields_out_of_order_are_brought_together() {
    let author = |bytes: &[u8]| [&[0x42, bytes.len() as u8], bytes].concat();
    for (wire, json) in [
        (b"\x0a\x01a\x0a\x01b".to_vec(), r#"{"title":"b"}"#),
        (b"\x0a\x01a\x10\x01\x0a\x00".to_vec(), r#"{"pageCount":"1"}"#),
        (b"\x22\x01a\x10\x01\x22\x01b".to_vec(), r#"{"pageCount":"1","tags":["a","b"]}"#),
        (b"\x28\x01\x10\x01\x2a\x02\x02\x03\x28\x04".to_vec(), r#"{"pageCount":"1","marks":[1,2,3,4]}"#),
        ([author(b"\x0a\x01a"), author(b"\x10\x05")].concat(), r#"{"author":{"name":"a","born":5}}"#),
        (b"\x3a\x04\x08\x01\x12\x00\x3a\x05\x08\x01\x12\x01x".to_vec(), r#"{"notes":{"1":"x"}}"#),
        (b"\x52\x01a\x5a\x00".to_vec(), r#"{"donor":{}}"#),
        (b"\x5a\x03\x0a\x01a\x52\x01a\x5a\x02\x10\x01".to_vec(), r#"{"donor":{"born":1}}"#),
        (b"\x3a\x05\x12\x01x\x08\x02".to_vec(), r#"{"notes":{"2":"x"}}"#),
        (b"\x3a\x00".to_vec(), r#"{"notes":{"0":""}}"#),
        (b"\x32\x0a\x12\x03\x0a\x01a\x12\x03\x10\x85\x00".to_vec(), r#"{"people":{"":{"name":"a","born":5}}}"#),
        (b"\xc2\x01\x04\x20\x01\x1a\x00".to_vec(), r#"{"anyValue":""}"#),
        (
            b"\xba\x01\x10\x0a\x06\x0a\x00\x12\x02\x20\x01\x0a\x06\x0a\x00\x12\x02\x20\x00".to_vec(),
            r#"{"extra":{"":false}}"#,
        ),
    ] {
        assert_eq!(print_book(&wire).as_deref(), Ok(json), "{wire:02x?}");
    }
}

#[test]
fn unknown_fields_and_wrong_wire_types_are_left_out() {
    assert_eq!(print_book(b"\xf8\x3f\x01\x0a\x01a\xfb\x3f\x08\x01\xfc\x3f").as_deref(), Ok(r#"{"title":"a"}"#));
    assert_eq!(print_book(b"\x08\x01\x12\x00\x2a\x00\x35\0\0\0\0").as_deref(), Ok("{}"));
    let closed = b"\x10\x09\x18\x09\x18\x01\x3a\x04\x0a\x00\x10\x09\x3a\x05\x0a\x01a\x10\x02";
    let json = r#"{"many":["ONE"],"byName":{"a":"TWO"}}"#;
    assert_eq!(print_as("u.Old", closed, &PrintOptions::default()).as_deref(), Ok(json));
    assert_eq!(print_as("u.Old", b"\x10\x02\x10\x09", &PrintOptions::default()).as_deref(), Ok(r#"{"closed":"TWO"}"#));
}

#[test]
fn a_list_or_a_map_of_nothing_but_numbers_that_a_closed_enum_does_not_have_is_not_there() {
    let wire = b"\x1a\x02\x09\x0a\x0a\x00\x3a\x04\x0a\x00\x10\x09";
    assert_eq!(print_as("u.Old", wire, &PrintOptions::default()).as_deref(), Ok(r#"{"name":""}"#));
    let options = PrintOptions { print_unset: true, ..PrintOptions::default() };
    let json = print_as("u.Old", wire, &options).expect("prints");
    assert!(json.contains(r#""many":[]"#) && json.contains(r#""byName":{}"#), "{json}");
}

#[test]
fn a_varint_whose_low_32_bits_are_zero_is_the_zero_of_a_32_bit_field() {
    // Author.born, Book.color, shift, null_value
    for wire in [&b"\x42\x06\x10\x80\x80\x80\x80\x10"[..], b"\x4a\x06\x10\x80\x80\x80\x80\x10\x10\x00\x4a\x00"] {
        let json = print_book(wire).expect("prints");
        assert!(!json.contains("born"), "{json}");
    }
    assert_eq!(print_book(b"\x18\x80\x80\x80\x80\x10\x90\x01\x80\x80\x80\x80\x10").as_deref(), Ok("{}"));
    assert_eq!(print_book(b"\x10\x80\x80\x80\x80\x10").as_deref(), Ok(r#"{"pageCount":"4294967296"}"#));
}

#[test]
fn what_is_cut_short_in_one_part_of_a_message_takes_no_bytes_from_the_next() {
    // an Author of three bytes, of which a fixed32 needs four; the next part would have them
    let parts = b"\x22\x01a\x10\x01\x22\x01b\x42\x03\x5d\x01a\x42\x02\x10\x05";
    assert!(print_book(parts).is_err());
    // the same in an Any's content
    let any =
        [&b"\xd2\x01\x1b\x0a\x08x/t.Book\x12\x0f"[..], b"\x22\x00\x10\x01\x22\x00\x42\x03\x5d\x01a\x42\x02\x10\x05"];
    assert!(print_book(&any.concat()[..]).is_err());
    let (schema, mut out) = (schema(), Vec::new());
    let author = schema.message(id(&schema, "t.Book")).field_by_name("author").expect("author").0;
    let alone = b"\x42\x03\x5d\x01a\x42\x02\x10\x05";
    assert!(
        wire_to_json_field(&schema, id(&schema, "t.Book"), author, alone, &PrintOptions::default(), &mut out).is_err()
    );
}

#[test]
fn what_a_later_value_displaces_must_be_well_formed_as_well() {
    for wire in [
        &b"\x0a\x01\xff\x0a\x01a"[..],                                   // a string
        b"\x5a\x02\x0a\x05\x52\x01a",                                    // a member of a oneof
        b"\x5a\x03\x0a\x01\xff\x52\x01a",                                // a string in one
        b"\x32\x05\x0a\x01\xff\x0a\x00",                                 // a map's key
        b"\x3a\x05\x12\x01\xff\x12\x00",                                 // a map's value
        b"\xe2\x01\x05\x0a\x01\xff\x0a\x00",                             // a wrapper's value
        b"\xd2\x01\x0f\x0a\x01\xff\x0a\x0ax/t.Author",                   // an Any's type
        b"\x32\x09\x0a\x00\x12\x05\x1a\x03\x0a\x01\xff\x32\x02\x0a\x00", // a string in a map's value
    ] {
        let error = print_book(wire).expect_err("refused");
        assert!(error.reason.contains("UTF-8") || wire[0] == 0x5a, "{wire:02x?}: {error}");
    }
}

#[test]
fn what_json_cannot_show_may_be_replaced_by_what_comes_later() {
    for (wire, json) in [
        (&b"\xc2\x01\x09\x11\0\0\0\0\0\0\xf0\x7f\xc2\x01\x02\x20\x01"[..], r#"{"anyValue":true}"#),
        (
            b"\xa2\x01\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\xa2\x01\x02\x10\0",
            r#"{"made":"1970-01-01T00:00:00Z"}"#,
        ),
        (b"\xd2\x01\x05\x0a\x03x/y\xd2\x01\x0c\x0a\x0ax/t.Author", r#"{"detail":{"@type":"x/t.Author"}}"#),
    ] {
        assert_eq!(print_book(wire).as_deref(), Ok(json), "{wire:02x?}");
    }
}

#[test]
fn every_field_mask_that_prints_reads_back() {
    for (wire, json) in [
        (&b"\xb2\x01\x05\x0a\x01a\x0a\x00"[..], r#"{"mask":"a,"}"#),
        (b"\xb2\x01\x05\x0a\x00\x0a\x01a", r#"{"mask":",a"}"#),
        (b"\xb2\x01\x00", r#"{"mask":""}"#),
    ] {
        assert_eq!(print_book(wire).as_deref(), Ok(json));
        assert_eq!(round_trip(json), json);
    }
}

#[test]
fn what_json_cannot_show_is_an_error_with_its_path_and_leaves_the_output_alone() {
    for (wire, field) in [
        (&b"\x0a\x01\xff"[..], "title"),
        (b"\x42\x03\x0a\x01\xff", "author.name"),
        (b"\xa2\x01\x02\x10\xff", ""),
        (b"\xa2\x01\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10", ""),
        (b"\xaa\x01\x0d\x08\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "spent"),
        (b"\xb2\x01\x05\x0a\x03fA\0", "mask"),
        (b"\xc2\x01\x09\x11\0\0\0\0\0\0\xf0\x7f", "any_value"),
        (b"\xd2\x01\x07\x0a\x05x/t.N", "detail"),
        (b"\x08", ""),
        (b"\x0a\x05a", ""),
        (b"\x0c", ""),
        (b"\x2a\x01\x80", "marks"),
        (b"\x00", ""),
    ] {
        let error = print_book(wire).expect_err("refused");
        assert!(error.field.starts_with(field), "{wire:02x?}: {error}");
    }
    let (schema, mut out) = (schema(), b"before".to_vec());
    assert!(wire_to_json(&schema, id(&schema, "t.Book"), b"\x10\x01\x08", &PrintOptions::default(), &mut out).is_err());
    assert_eq!(out, b"before");
}

#[test]
fn an_any_of_an_unknown_type_can_be_printed_raw() {
    let wire = b"\xd2\x01\x0b\x0a\x05x/t.N\x12\x02\x08\x01";
    let options = PrintOptions { unknown_any: UnknownAny::Raw, ..PrintOptions::default() };
    assert_eq!(print_as("t.Book", wire, &options).as_deref(), Ok(r#"{"detail":{"@type":"x/t.N","value":"CAE="}}"#));
}

#[test]
fn options_change_names_numbers_and_unset_fields() {
    let options = PrintOptions { proto_names: true, enums: EnumForm::Number, ..PrintOptions::default() };
    assert_eq!(print_as("t.Book", b"\x10\x01\x18\x01", &options).as_deref(), Ok(r#"{"page_count":"1","color":1}"#));
    let options = PrintOptions { enums: EnumForm::ShortName, ..PrintOptions::default() };
    let shades = print_as("u.Old", b"\x48\0\x48\x01\x48\x07", &options);
    assert_eq!(shades.as_deref(), Ok(r#"{"shades":["NONE","DARK"]}"#));
    assert_eq!(print_as("t.Book", b"\x18\x01", &options).as_deref(), Ok(r#"{"color":"RED"}"#));
    let options = PrintOptions { print_unset: true, ..PrintOptions::default() };
    let json = r#"{"born":0,"name":""}"#;
    assert_eq!(print_as("t.Author", b"\x10\x00", &options).as_deref(), Ok(json));
    let old = print_as("u.Old", b"", &options);
    assert_eq!(old.as_deref(), Ok(r#"{"many":[],"loose":[],"piece":[],"byName":{},"shades":[]}"#));
    let book = print_as("t.Book", b"", &options).expect("prints");
    assert!(serde_json::from_str::<serde_json::Value>(&book).is_ok_and(|book| book["marks"] == serde_json::json!([])));
}

#[test]
fn integers_are_numbers_as_far_as_every_reader_can_hold_them() {
    let print = |name: &str, value: u64| {
        let (schema, mut wire) = (schema(), Vec::new());
        let (_, field) = schema.message(id(&schema, "t.Book")).field_by_name(name).expect(name);
        crate::wire::put_uint(&mut wire, field.number, value);
        print_as("t.Book", &wire, &PrintOptions { int64_numbers: true, ..PrintOptions::default() }).expect(name)
    };
    const SAFE: u64 = (1 << 53) - 1;
    assert_eq!(print("pageCount", SAFE), r#"{"pageCount":9007199254740991}"#);
    assert_eq!(print("pageCount", SAFE + 1), r#"{"pageCount":"9007199254740992"}"#);
    assert_eq!(print("pageCount", (SAFE as i64).wrapping_neg() as u64), r#"{"pageCount":-9007199254740991}"#);
    assert_eq!(print("pageCount", i64::MIN as u64), r#"{"pageCount":"-9223372036854775808"}"#);
    assert_eq!(print("serial", SAFE), r#"{"serial":9007199254740991}"#);
    assert_eq!(print("serial", u64::MAX), r#"{"serial":"18446744073709551615"}"#);
    let options = PrintOptions { int64_numbers: true, ..PrintOptions::default() };
    assert_eq!(print_as("t.Book", b"\xda\x01\x02\x08\x07", &options).as_deref(), Ok(r#"{"count":7}"#), "a wrapper");
}

#[test]
fn bytes_have_the_form_that_the_options_name_and_lines_their_blanks() {
    for (bytes, json) in [(BytesForm::Base64, "+/8="), (BytesForm::Base64Url, "-_8"), (BytesForm::Hex, "fbff")] {
        let options = PrintOptions { bytes, ..PrintOptions::default() };
        let printed = print_as("t.Book", b"\x6a\x02\xfb\xff", &options);
        assert_eq!(printed.as_deref(), Ok(&*format!("{{\"cover\":\"{json}\"}}")));
    }
    let options = PrintOptions { indent: 2, ..PrintOptions::default() };
    let printed = print_as("t.Book", b"\x0a\x01a\x2a\x02\x01\x02", &options);
    assert_eq!(printed.as_deref(), Ok("{\n  \"title\": \"a\",\n  \"marks\": [\n    1,\n    2\n  ]\n}"));
}

#[test]
fn one_field_is_printed_alone() {
    let schema = schema();
    let book = schema.message(id(&schema, "t.Book"));
    for (name, wire, json) in [
        ("tags", &b"\x22\x01a\x10\x01\x22\x01b"[..], r#"["a","b"]"#),
        ("tags", b"", "[]"),
        ("people", b"", "{}"),
        ("notes", b"\x3a\x05\x08\x01\x12\x01x", r#"{"1":"x"}"#),
        ("title", b"", r#""""#),
        ("pageCount", b"\x10\x05", r#""5""#),
        ("author", b"", "null"),
        ("author", b"\x42\x02\x10\x01\x10\x01\x42\x02\x10\x02", r#"{"born":2}"#),
        ("isbn", b"\x52\x01a\x5a\x00", "null"),
        ("made", b"\xa2\x01\x00", r#""1970-01-01T00:00:00Z""#),
    ] {
        let (index, _) = book.field_by_name(name).expect(name);
        let mut out = Vec::new();
        let printed =
            wire_to_json_field(&schema, id(&schema, "t.Book"), index, wire, &PrintOptions::default(), &mut out);
        assert_eq!(printed, Ok(()), "{name}");
        assert_eq!(String::from_utf8_lossy(&out), json, "{name}");
    }
}

#[test]
fn nesting_is_limited_and_merging_deep_messages_stays_cheap() {
    let wrap = |tag: u8, inner: Vec<u8>| {
        let mut out = vec![tag];
        crate::wire::put_varint(&mut out, inner.len() as u64);
        out.extend(inner);
        out
    };
    let nested = |levels: usize| (1..levels).fold(vec![], |inner, _| wrap(0x1a, inner));
    assert!(print_as("t.Author", &nested(101), &PrintOptions::default()).is_ok());
    assert!(print_as("t.Author", &nested(102), &PrintOptions::default()).is_err());
    // each level comes twice, so that each level has to be merged
    let mut doubled = vec![0x10, 1];
    for _ in 0..12 {
        let one = wrap(0x1a, doubled);
        doubled = [one.clone(), one].concat();
    }
    assert!(print_as("t.Author", &doubled, &PrintOptions::default()).is_ok());
    // a message that is out of order at the end of every level
    let mut late = vec![0x10, 1];
    for _ in 0..99 {
        late = [wrap(0x1a, late), b"\x10\x01\x10\x02".to_vec()].concat();
    }
    assert!(print_as("t.Author", &late, &PrintOptions::default()).is_ok());
}

#[test]
fn damaged_bytes_are_an_error_and_never_a_panic() {
    let (schema, mut wire) = (schema(), Vec::new());
    let json = br#"{"title":"abc","marks":[1,2],"people":{"a":{"name":"x"}},"made":"2024-01-01T00:00:00Z","extra":{"a":[1,{"b":null}]},
        "detail":{"@type":"x/t.Author","name":"n"},"price":1.5,"donor":{}}"#;
    json_to_wire(&schema, id(&schema, "t.Book"), json, &ReadOptions::default(), &mut wire).expect("reads");
    for at in 0..wire.len() {
        let mut out = Vec::new();
        let _ = wire_to_json(&schema, id(&schema, "t.Book"), &wire[..at], &PrintOptions::default(), &mut out);
        for byte in [0, 1, 0x7f, 0x80, 0xff, wire[at] ^ 1, wire[at] ^ 8] {
            let mut damaged = wire.clone();
            damaged[at] = byte;
            out.clear();
            if wire_to_json(&schema, id(&schema, "t.Book"), &damaged, &PrintOptions::default(), &mut out).is_ok() {
                let json = String::from_utf8(out.clone()).expect("UTF-8");
                assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
            }
        }
    }
}
