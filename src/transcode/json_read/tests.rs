use super::*;
use crate::transcode::tests::{id, schema};
use crate::transcode::{PrintOptions, wire_to_json};

fn read(json: &str) -> Result<Vec<u8>, BadInput> {
    let (schema, mut out) = (schema(), Vec::new());
    json_to_wire(&schema, id(&schema, "t.Book"), json.as_bytes(), &ReadOptions::default(), &mut out).map(|()| out)
}

fn refused(json: &str) -> String {
    read(json).expect_err(json).message
}

#[test]
fn fields_are_written_in_the_order_of_the_text() {
    assert_eq!(read(r#"{"title":"ab","pageCount":"3","page_count2":1}"#).map_err(|e| e.violations.len()), Err(1));
    let wire = read(r#" { "pageCount" : "-1" , "title" : "a\u00e9" , "tags":["x",""],"marks":[1,-1] } "#);
    let expected = b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x0a\x03a\xc3\xa9\x22\x01x\x22\x00\x2a\x0b\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    assert_eq!(wire.as_deref(), Ok(&expected[..]));
}

#[test]
fn zero_values_without_presence_are_not_written_and_others_are() {
    let zeros = r#"{"title":"","pageCount":0,"color":"NONE","tags":[],"people":{},"cover":"","price":0.0,"sold":false,
        "serial":"0","shift":0,"code":0,"marks":[],"weight":0,"nullValue":null}"#;
    assert_eq!(read(zeros).as_deref(), Ok(&[][..]));
    assert_eq!(read(r#"{"copies":0,"isbn":"","author":{}}"#).as_deref(), Ok(&b"\x60\0\x52\0\x42\0"[..]));
    assert_eq!(read(r#"{"price":-0.0}"#).map(|wire| wire.len()), Ok(9), "minus zero is not zero");
    assert_eq!(read(r#"{"count":"0","label":"","flag":false}"#).as_deref(), Ok(&b"\xda\x01\0\xe2\x01\0\x92\x02\0"[..]));
}

#[test]
fn null_is_absence_where_it_is_not_a_value() {
    let nulls = r#"{"title":null,"tags":null,"people":null,"author":null,"isbn":null,"donor":null,"made":null,"count":null,
        "extra":null,"list":null,"detail":null}"#;
    assert_eq!(read(nulls).as_deref(), Ok(&[][..]));
    assert_eq!(read(r#"{"anyValue":null}"#).as_deref(), Ok(&b"\xc2\x01\x02\x08\0"[..]));
    assert_eq!(read(r#"{"values":[null]}"#).as_deref(), Ok(&b"\x82\x02\x02\x08\0"[..]));
    assert!(refused(r#"{"tags":[null]}"#).contains("tags[0]: null cannot stand in a list"));
    assert!(refused(r#"{"people":{"a":null}}"#).contains("people[\"a\"]: null cannot be the value of a map"));
}

#[test]
fn an_unknown_field_is_refused_with_its_place_its_path_and_the_likely_name() {
    let error = read("{\"author\":\n  {\"naem\": \"x\"}}").expect_err("refused");
    assert_eq!(error.message, "line 2, column 4: author.naem: no such field (did you mean \"name\"?)");
    assert_eq!(error.place, Some((2, 4)));
    assert_eq!(error.violations.len(), 1);
    assert_eq!(error.violations[0].field, "author.naem");
    assert_eq!(refused(r#"{"zzz":1}"#), "line 1, column 2: zzz: no such field");
}

#[test]
fn unknown_fields_and_enum_names_can_be_ignored() {
    let schema = schema();
    let options = ReadOptions { unknown: UnknownFields::Ignore, ..ReadOptions::default() };
    let json = br#"{"x":{"y":[1,null,"s"]},"color":"BLUE","colors":["RED","BLUE"],"shades":{"a":"BLUE","b":"RED"},"title":"t"}"#;
    let mut out = Vec::new();
    assert_eq!(json_to_wire(&schema, id(&schema, "t.Book"), json, &options, &mut out), Ok(()));
    assert_eq!(out, b"\xfa\x01\x01\x01\x8a\x02\x05\x0a\x01b\x10\x01\x0a\x01t");
}

#[test]
fn what_is_given_twice_is_refused() {
    assert!(refused(r#"{"title":"a","title":"b"}"#).contains("title: is given twice"));
    assert!(refused(r#"{"pageCount":1,"page_count":1}"#).contains("page_count: is given twice"));
    assert!(refused(r#"{"isbn":"a","donor":{}}"#).contains("donor: another member of the same oneof"));
    assert!(refused(r#"{"notes":{"1":"a","1":"b"}}"#).contains("notes[\"1\"]: is given twice"));
    assert!(refused(r#"{"people":{"a":{},"\u0061":{}}}"#).contains("is given twice"));
    assert!(refused(r#"{"extra":{"a":1,"a":1}}"#).contains("extra[\"a\"]: is given twice"));
    let many: String = (0..40).map(|i| format!("\"{i}\":\"\",")).collect();
    assert!(read(&format!("{{\"notes\":{{{many}\"40\":\"\"}}}}")).is_ok());
    assert!(refused(&format!("{{\"notes\":{{{many}\"7\":\"\"}}}}")).contains("is given twice"));
}

#[test]
fn a_value_of_the_wrong_form_says_what_was_expected() {
    for (json, text) in [
        (r#"{"title":1}"#, "title: expected a string, found a number"),
        (r#"{"tags":"x"}"#, "tags: expected an array, found a string"),
        (r#"{"tags":["x",2]}"#, "tags[1]: expected a string, found a number"),
        (r#"{"author":[]}"#, "author: expected an object, found an array"),
        (r#"{"people":[]}"#, "people: expected an object, found an array"),
        (r#"{"people":{"x":{"born":true}}}"#, "people[\"x\"].born: expected a whole number, found a boolean"),
        (r#"{"sold":"true"}"#, "sold: expected true or false, found a string"),
        (r#"{"marks":[2147483648]}"#, "marks[0]: out of range for int32 (-2147483648 to 2147483647)"),
        (r#"{"pageCount":1.5}"#, "page_count: not a whole number for int64"),
        (r#"{"pageCount":"x"}"#, "page_count: not a number for int64"),
        (r#"{"price":"inf"}"#, "price: not a number for double"),
        (r#"{"weight":1e39}"#, "weight: out of range for float"),
        (r#"{"cover":"*"}"#, "cover: not base64"),
        (
            r#"{"color":"GREAN"}"#,
            "color: \"GREAN\" is no value of t.Color (did you mean \"GREEN\"? allowed: NONE, RED, GREEN, CRIMSON_LIKE)",
        ),
        (r#"{"color":"x"}"#, "(allowed: NONE, RED, GREEN, CRIMSON_LIKE)"),
        (r#"{"notes":{"01":""}}"#, "notes[\"01\"]: the key is not a number for int32"),
        (r#"{"made":"yesterday"}"#, "made: not a timestamp"),
        (r#"{"spent":"1"}"#, "spent: not a duration"),
        (r#"{"mask":"a_b"}"#, "mask: not a field mask"),
        (r#"{"nothing":{"a":1}}"#, "nothing.a: no such field"),
    ] {
        let message = refused(json);
        assert!(message.contains(text), "{json}: {message}");
    }
}

#[test]
fn whole_numbers_are_exact_from_every_form() {
    let wire = |value: &str| read(&format!("{{\"pageCount\":{value}}}")).expect(value);
    for value in ["9007199254740993", "\"9007199254740993\"", "9007199254740993.0", "\"900719925474099300e-2\""] {
        assert_eq!(wire(value), b"\x10\x81\x80\x80\x80\x80\x80\x80\x10", "{value}");
    }
    assert!(read(r#"{"pageCount":9223372036854775808}"#).is_err());
    assert!(read(r#"{"serial":18446744073709551615}"#).is_ok());
    assert!(read(r#"{"serial":-1}"#).is_err());
}

#[test]
fn known_types_are_read_in_their_own_forms() {
    for (json, wire) in [
        (r#"{"made":"1970-01-01T00:00:01.5Z"}"#, &b"\xa2\x01\x08\x08\x01\x10\x80\xca\xb5\xee\x01"[..]),
        (
            r#"{"spent":"-1.5s"}"#,
            b"\xaa\x01\x16\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x80\xb6\xca\x91\xfe\xff\xff\xff\xff\x01",
        ),
        (r#"{"mask":"a.fooBar,c"}"#, b"\xb2\x01\x0e\x0a\x09a.foo_bar\x0a\x01c"),
        (r#"{"extra":{"a":true}}"#, b"\xba\x01\x09\x0a\x07\x0a\x01a\x12\x02\x20\x01"),
        (r#"{"list":["x",null]}"#, b"\xca\x01\x09\x0a\x03\x1a\x01x\x0a\x02\x08\0"),
        (r#"{"anyValue":0.5}"#, b"\xc2\x01\x09\x11\0\0\0\0\0\0\xe0\x3f"),
        (r#"{"count":"7","label":"x"}"#, b"\xda\x01\x02\x08\x07\xe2\x01\x03\x0a\x01x"),
        (r#"{"nothing":{}}"#, b"\xea\x01\0"),
        (r#"{"detail":{}}"#, b"\xd2\x01\0"),
    ] {
        assert_eq!(read(json).as_deref(), Ok(wire), "{json}");
    }
}

#[test]
fn an_any_is_read_by_the_catalogs_types_wherever_its_type_stands() {
    let author = b"\xd2\x01\x11\x0a\x0ax/t.Author\x12\x03\x0a\x01n";
    for json in [r#"{"detail":{"@type":"x/t.Author","name":"n"}}"#, r#"{"detail":{"name":"n","@type":"x/t.Author"}}"#] {
        assert_eq!(read(json).as_deref(), Ok(&author[..]), "{json}");
    }
    let duration = r#"{"detail":{"value":"1s","@type":"x/google.protobuf.Duration"}}"#;
    assert_eq!(read(duration).as_deref(), Ok(&b"\xd2\x01\x20\x0a\x1ax/google.protobuf.Duration\x12\x02\x08\x01"[..]));
    assert!(read(r#"{"detail":{"@type":"x/google.protobuf.Empty"}}"#).is_ok());
    assert!(read(r#"{"detail":{"@type":"x/google.protobuf.Empty","value":{}}}"#).is_ok());
    for (json, text) in [
        (r#"{"detail":{"name":"n"}}"#, "detail: the object needs an \"@type\""),
        (r#"{"detail":{"@type":"x/t.None"}}"#, "detail.@type: the catalog has no type \"x/t.None\""),
        (r#"{"detail":{"@type":"t.Author"}}"#, "detail.@type: the catalog has no type"),
        (r#"{"detail":{"@type":"x/t.Author","nam":1}}"#, "detail.nam: no such field (did you mean \"name\"?)"),
        (r#"{"detail":{"@type":"x/t.Author","@type":"x/t.Author"}}"#, "@type: no such field"),
        (r#"{"detail":{"@type":"x/google.protobuf.Duration"}}"#, "detail: the object needs a \"value\""),
        (r#"{"detail":{"@type":"x/google.protobuf.Duration","value":"1s","x":1}}"#, "detail.x: no such field"),
    ] {
        assert!(refused(json).contains(text), "{json}: {}", refused(json));
    }
}

#[test]
fn proto2_has_groups_closed_enums_and_extensions() {
    let schema = schema();
    let read = |json: &str| {
        let mut out = Vec::new();
        json_to_wire(&schema, id(&schema, "u.Old"), json.as_bytes(), &ReadOptions::default(), &mut out).map(|()| out)
    };
    let json = r#"{"name":"","part":{"size":1,"inner":{"name":"n","loose":[1,2]}},"piece":[{},{"size":0}],"[u.extra]":7,"closed":2}"#;
    let wire = b"\x0a\0\x2b\x08\x01\x12\x07\x0a\x01n\x20\x01\x20\x02\x2c\x33\x34\x33\x08\0\x34\xa0\x06\x07\x10\x02";
    assert_eq!(read(json).as_deref(), Ok(&wire[..]));
    assert!(read(r#"{"name":"","closed":3}"#).expect_err("closed").message.contains("\"3\" is no value of u.Closed"));
    let mut out = Vec::new();
    wire_to_json(&schema, id(&schema, "u.Old"), wire, &PrintOptions::default(), &mut out).expect("prints");
    let printed = r#"{"name":"","part":{"size":1,"inner":{"name":"n","loose":[1,2]}},"piece":[{},{"size":0}],"[u.extra]":7,"closed":"TWO"}"#;
    assert_eq!(String::from_utf8_lossy(&out), printed);
}

#[test]
fn a_message_without_a_required_field_is_refused() {
    let schema = schema();
    let read = |json: &str, unknown: UnknownFields| {
        let options = ReadOptions { unknown, ..ReadOptions::default() };
        json_to_wire(&schema, id(&schema, "u.Old"), json.as_bytes(), &options, &mut Vec::new())
    };
    for (json, message) in [
        ("{}", "line 1, column 1: name: is required"),
        (r#" {"closed":1}"#, "line 1, column 2: name: is required"),
        (r#"{"name":null}"#, "line 1, column 9: name: is required"),
        (r#"{"name":"a","[u.more]":[{"name":""},{}]}"#, "line 1, column 37: [u.more][1].name: is required"),
    ] {
        for unknown in [UnknownFields::Refuse, UnknownFields::Ignore] {
            assert_eq!(read(json, unknown).map_err(|error| error.message), Err(message.into()), "{json}");
        }
    }
    let part = r#"{"name":"a","part":{"inner":{"name":"b"}}}"#;
    assert_eq!(read(part, UnknownFields::Refuse), Ok(()));
}

#[test]
fn a_set_of_extensions_is_encoded_as_items_and_shown_as_an_object() {
    let schema = schema();
    for (json, wire) in [
        (r#"{"name":"","set":{}}"#, &b"\x0a\0\x42\0"[..]),
        (r#"{"name":"","set":{"[u.Member.member]":{}}}"#, b"\x0a\0\x42\x07\x0b\x10\xe8\x07\x1a\0\x0c"),
        (
            r#"{"name":"","set":{"[u.Member.member]":{"size":1,"inner":{"[u.Member.member]":{"size":2}}}}}"#,
            b"\x0a\0\x42\x14\x0b\x10\xe8\x07\x1a\x0d\x08\x01\x12\x09\x0b\x10\xe8\x07\x1a\x02\x08\x02\x0c\x0c",
        ),
    ] {
        let (mut read, mut printed) = (Vec::new(), Vec::new());
        let old = id(&schema, "u.Old");
        assert_eq!(json_to_wire(&schema, old, json.as_bytes(), &ReadOptions::default(), &mut read), Ok(()));
        assert_eq!(read, wire, "{json}");
        assert_eq!(wire_to_json(&schema, old, wire, &PrintOptions::default(), &mut printed), Ok(()));
        assert_eq!(String::from_utf8_lossy(&printed), json);
    }
    let any = r#"{"@type":"x/u.Set","[u.Member.member]":{"size":1}}"#;
    let (mut read, mut printed) = (Vec::new(), Vec::new());
    let id = id(&schema, "google.protobuf.Any");
    assert_eq!(json_to_wire(&schema, id, any.as_bytes(), &ReadOptions::default(), &mut read), Ok(()));
    assert_eq!(read, b"\x0a\x07x/u.Set\x12\x09\x0b\x10\xe8\x07\x1a\x02\x08\x01\x0c");
    assert_eq!(wire_to_json(&schema, id, &read, &PrintOptions::default(), &mut printed), Ok(()));
    assert_eq!(String::from_utf8_lossy(&printed), any);
    assert!(
        json_to_wire(&schema, id, &any.replace("size", "sise").into_bytes(), &ReadOptions::default(), &mut read)
            .is_err()
    );
}

#[test]
fn short_names_and_hexadecimal_bytes_are_read_if_the_options_say_so() {
    let schema = schema();
    let read = |name: &str, json: &str, options: &ReadOptions<'_>| {
        let mut out = Vec::new();
        json_to_wire(&schema, id(&schema, name), json.as_bytes(), options, &mut out).map(|()| out)
    };
    let short = ReadOptions { short_enums: true, ..ReadOptions::default() };
    let names = r#"{"name":"","shades":["DARK","SHADE_NONE","SHADE_DARK","NONE"]}"#;
    assert_eq!(read("u.Old", names, &short).as_deref(), Ok(&b"\x0a\0\x48\x01\x48\0\x48\x01\x48\0"[..]));
    assert!(read("u.Old", names, &ReadOptions::default()).is_err());
    assert!(read("u.Old", r#"{"name":"","shades":["SHADE_"]}"#, &short).is_err());
    let hex = ReadOptions { bytes: BytesForm::Hex, ..ReadOptions::default() };
    assert_eq!(read("t.Book", r#"{"cover":"00fF"}"#, &hex).as_deref(), Ok(&b"\x6a\x02\0\xff"[..]));
    let refused = read("t.Book", r#"{"cover":"+/8="}"#, &hex).expect_err("base64");
    assert!(refused.message.contains("line 1, column 10: cover: not hexadecimal digits"), "{refused}");
}

#[test]
fn nesting_is_limited_and_never_exhausts_the_stack() {
    let nested = |open: &str, close: &str, count: usize| {
        format!("{{\"author\":{}{{}}{}}}", open.repeat(count), close.repeat(count))
    };
    assert!(read(&nested("{\"teacher\":", "}", 99)).is_ok());
    assert!(refused(&nested("{\"teacher\":", "}", 100)).contains("nested deeper than 100 levels"));
    assert!(read(&nested("{\"teacher\":", "}", 1_000_000)).is_err());
    for json in ["{\"anyValue\":", "{\"list\":", "{\"x\":"] {
        assert!(read(&format!("{json}{}", "[".repeat(1_000_000))).is_err());
        assert!(read(&format!("{json}{}", "{\"a\":".repeat(1_000_000))).is_err());
        assert!(read(&format!("{json}{}", "{\"@type\":\"x/google.protobuf.Any\",\"value\":".repeat(10_000))).is_err());
    }
    let anys = "{\"@type\":\"x/google.protobuf.Any\",\"value\":".repeat(10_000);
    assert!(read(&format!("{{\"detail\":{anys}")).is_err());
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    for (json, text) in [
        ("", "line 1, column 1: the text ends"),
        ("{", "line 1, column 2: the text ends"),
        ("{\"title\":\"a\"", "the text ends in the middle of a value"),
        ("{\"title\":\"a\"} x", "line 1, column 15: more text behind the value"),
        ("{\"title\" \"a\"}", "expected ':'"),
        ("{\"title\":\"a\n\"}", "line 1, column 12: title: a control character"),
        ("{\"title\":\"a\" \"b\"}", "expected ',' or '}'"),
        ("{,}", "expected a string"),
        ("{\"title\":\"a\",}", "expected a string"),
        ("{\"marks\":[1,]}", "marks[1]: expected a whole number"),
        ("{\"marks\":[01]}", "marks"),
        ("[]", "expected an object, found an array"),
        ("nul", "expected an object"),
    ] {
        let error = read(json).expect_err(json);
        assert!(error.message.contains(text), "{json}: {}", error.message);
    }
    let schema = schema();
    let mut out = Vec::new();
    let error =
        json_to_wire(&schema, id(&schema, "t.Book"), b"{\"title\":\"\xff\"}", &ReadOptions::default(), &mut out);
    assert_eq!(error.map_err(|e| (e.offset, e.violations.len())), Err((Some(10), 0)));
}
