use super::*;
use crate::catalog::{FieldPath, Place, Template, Verb};
use crate::transcode::tests::{id, schema};
use crate::transcode::{PrintOptions, wire_to_json};
use crate::wire::TextPlace;

/// A rule with these path variables and this body (`*`, a field, or nothing).
fn rule(schema: &Schema, variables: &[&str], body: &str) -> Binding {
    let book = schema.message(id(schema, "t.Book"));
    let resolve = |path: &&str| {
        let mut message = Some(book);
        let steps = path.split('.').map(|step| {
            let (index, field) = message.and_then(|message| message.field_by_name(step)).expect(path);
            message = field.kind.message().map(|id| schema.message(id));
            index
        });
        FieldPath(steps.collect())
    };
    Binding {
        verb: Verb::Any,
        template: Template { text: "/".into(), segments: [].into(), verb: None, variables: [].into() },
        variables: variables.iter().map(resolve).collect(),
        body: match body {
            "" => Body::None,
            "*" => Body::All,
            field => Body::Field(book.field_by_name(field).expect(field).0),
        },
        response_body: None,
        raw_request: None,
        raw_answer: None,
        takes_form: false,
        mask: book.field_by_name("mask").map(|(index, _)| index),
        place: Place::default(),
    }
}

fn call(variables: &[(&str, &str)], query: &str, body_rule: &str, body: &str) -> Result<String, BadInput> {
    call_with(variables, query, body_rule, body, ReadOptions::default())
}

fn call_with(
    variables: &[(&str, &str)],
    query: &str,
    body_rule: &str,
    body: &str,
    options: ReadOptions<'_>,
) -> Result<String, BadInput> {
    let schema = schema();
    let paths: Vec<&str> = variables.iter().map(|(path, _)| *path).collect();
    let binding = rule(&schema, &paths, body_rule);
    let values: Vec<_> = variables.iter().enumerate().map(|(i, (_, value))| (i, Cow::Borrowed(*value))).collect();
    let ignored = ["key".into()];
    let options = ReadOptions { ignored_query: &ignored, ..options };
    let (mut wire, mut json) = (Vec::new(), Vec::new());
    let book = id(&schema, "t.Book");
    weave(&schema, book, &binding, &values, Some(query), Some(body.as_bytes()), &options, &mut wire)?;
    wire_to_json(&schema, book, &wire, &PrintOptions::default(), &mut json).expect("prints");
    Ok(String::from_utf8(json).expect("UTF-8"))
}

/// All violations, as `field: text` lines.
fn violations(variables: &[(&str, &str)], query: &str, body_rule: &str, body: &str) -> Vec<String> {
    let error = call(variables, query, body_rule, body).expect_err("refused");
    error.violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect()
}

#[test]
fn path_and_query_fill_fields_of_every_textual_kind() {
    let query = "title=a+b%26c&pageCount=5&page%5Fcount2=&key=x";
    assert_eq!(violations(&[], query, "", "").len(), 1);
    let query = "title=a+b%26c&page_count=-5&color=RED&tags=x&tags=&marks=1&marks=-2&author.name=n&author.teacher.born=7\
        &copies=0&cover=-_8&price=1e3&weight=NaN&sold=true&serial=18446744073709551615&shift=-1&code=7\
        &made=2024-01-01T00:00:00Z&spent=1.5s&mask=a,foo_bar.fooBar&count=7&label=&flag=false&colors=2&colors=NONE&key=x";
    let json = r#"{"title":"a b&c","pageCount":"-5","color":"RED","tags":["x",""],"marks":[1,-2],"author":{"name":"n","teacher":{"born":7}},"copies":0,"cover":"+/8=","price":1000,"weight":"NaN","sold":true,"serial":"18446744073709551615","shift":-1,"code":7,"made":"2024-01-01T00:00:00Z","spent":"1.500s","mask":"a,fooBar.fooBar","count":"7","label":"","flag":false,"isbn":"x","colors":["GREEN","NONE"]}"#;
    let sorted = |json: &str| serde_json::from_str::<serde_json::Value>(json).expect("JSON").to_string().len();
    let got = call(&[("isbn", "x")], query, "", "").expect("woven");
    let value: serde_json::Value = serde_json::from_str(&got).expect("JSON");
    let wanted: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(value, wanted);
    assert_eq!(sorted(&got), sorted(json));
}

#[test]
fn all_mistakes_of_the_query_are_told_at_once() {
    let query = "titel=x&author.nme=y&color=BLUE&marks=x&sold=yes&people=1&author=1&editors=1&title.x=1&anyValue=1\
        &tags.x=1&copies=1&copies=2&isbn=1&donor.name=2&pageCount=%FF&made=now&made.seconds=1&spent=1s&spent.nanos=1&=1";
    let told = violations(&[], query, "", "");
    let expected = [
        "titel: unknown query parameter (did you mean \"title\"?)",
        "author.nme: unknown query parameter (did you mean \"author.name\"?)",
        "color: \"BLUE\" is no value of t.Color (allowed: NONE, RED, GREEN, CRIMSON_LIKE)",
        "marks: not a number for int32",
        "sold: expected true or false",
        "people: a map cannot be given in the query (only as in \"people[key]=1\", if `query.brackets` is switched on for \
         the method)",
        "author: a message cannot be given in the query, only its fields (as in \"a.b=1\")",
        "editors: a repeated message cannot be given in the query (only as in \"editors[0].a=1\", if `query.brackets` is \
         switched on for the method)",
        "title.x: \"title\" has no fields that a query parameter could set",
        "anyValue: a message cannot be given in the query, only its fields (as in \"a.b=1\")",
        "tags.x: \"tags\" has no fields that a query parameter could set",
        "pageCount: the parameter's value is not UTF-8",
        "made: not a timestamp such as \"2024-01-31T13:00:00.5Z\" (RFC 3339, years 1 to 9999)",
        ": unknown query parameter",
        "copies: is given more than once, and is not a repeated field",
        "spent.nanos: is given both as a whole and in part",
        "donor.name: another member of the same oneof is given as well",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_field_that_the_path_sets_is_set_by_nothing_else() {
    assert_eq!(violations(&[("title", "a")], "title=b", "", ""), ["title: is set by the path already"]);
    assert_eq!(
        violations(&[("author.name", "a")], "author.name=b", "", ""),
        ["author.name: is set by the path already"]
    );
    assert_eq!(violations(&[("title", "a")], "", "*", r#"{"title":"a"}"#), ["title: is set by the path already"]);
    let body = r#"{"author":{"name":"b"}}"#;
    assert_eq!(violations(&[("author.name", "a")], "", "*", body), ["author.name: is set by the path already"]);
    assert_eq!(
        violations(&[("author.name", "a")], "", "author", r#"{"name":"b"}"#),
        ["author.name: is set by the path already"]
    );
    assert_eq!(
        violations(&[("made.seconds", "1")], "", "*", r#"{"made":"2024-01-01T00:00:00Z"}"#),
        ["made: is set by the path already"]
    );
    let oneof = "donor: another member of the same oneof is given as well";
    assert_eq!(violations(&[("isbn", "a")], "", "*", r#"{"donor":{}}"#), [oneof]);
    assert_eq!(
        violations(&[("isbn", "a")], "", "donor", "{}"),
        ["isbn: another member of the same oneof is given as well"]
    );
    assert_eq!(violations(&[("page_count", "x")], "", "*", "{}"), ["page_count: not a number for int64"]);
}

#[test]
fn the_body_completes_the_messages_that_the_path_begins() {
    let variables = [("author.name", "n"), ("author.teacher.name", "t")];
    let json = call(&variables, "", "*", r#"{"title":"x","author":{"born":1,"teacher":{"born":2}}}"#);
    let merged = r#"{"title":"x","author":{"born":1,"teacher":{"born":2,"name":"t"},"name":"n"}}"#;
    assert_eq!(json.as_deref(), Ok(merged));
    let json = call(&variables, "title=x", "author", r#"{"born":1}"#);
    assert_eq!(json.as_deref(), Ok(r#"{"title":"x","author":{"born":1,"name":"n","teacher":{"name":"t"}}}"#));
    let json = call(&variables, "", "*", r#"{"author":null}"#);
    assert_eq!(json.as_deref(), Ok(r#"{"author":{"name":"n","teacher":{"name":"t"}}}"#));
    let json = call(&[("donor.name", "n")], "", "*", r#"{"donor":{"born":1}}"#);
    assert_eq!(json.as_deref(), Ok(r#"{"donor":{"born":1,"name":"n"}}"#));
    // each message is on the wire once
    let schema = schema();
    let binding = rule(&schema, &["author.name"], "author");
    let mut wire = Vec::new();
    let values = [(0, Cow::Borrowed("n"))];
    let (book, options) = (id(&schema, "t.Book"), ReadOptions::default());
    assert_eq!(weave(&schema, book, &binding, &values, None, Some(b"{\"born\":1}"), &options, &mut wire), Ok(()));
    assert_eq!(wire, b"\x42\x05\x10\x01\x0a\x01n");
}

#[test]
fn a_body_field_may_be_of_any_form() {
    for (field, body, json) in [
        ("author", r#"{"name":"n"}"#, r#"{"author":{"name":"n"}}"#),
        ("tags", r#"["a","b"]"#, r#"{"tags":["a","b"]}"#),
        ("editors", r#"[{}]"#, r#"{"editors":[{}]}"#),
        ("people", r#"{"a":{}}"#, r#"{"people":{"a":{}}}"#),
        ("title", r#""x""#, r#"{"title":"x"}"#),
        ("extra", r#"{"a":1}"#, r#"{"extra":{"a":1}}"#),
        ("any_value", "null", r#"{"anyValue":null}"#),
        ("author", "null", "{}"),
        ("author", " ", "{}"),
    ] {
        assert_eq!(call(&[], "", field, body).as_deref(), Ok(json), "{field} {body}");
    }
    assert_eq!(violations(&[], "", "author", r#"{"nam":1}"#), ["author.nam: no such field (did you mean \"name\"?)"]);
    assert_eq!(
        violations(&[], "author.name=x", "author", "{}"),
        ["author.name: is filled by the request's body, not by the query"]
    );
}

#[test]
fn a_query_beside_a_whole_body_and_a_body_without_a_rule_are_refused() {
    let told = violations(&[], "title=x&key=1", "*", "{}");
    assert_eq!(told, ["title: is not read from the query: what the path leaves over comes from the body"]);
    let told = violations(&[("title", "y")], "title=x&nope=1", "*", "{}");
    let unknown = "nope: unknown query parameter: all fields come from the path and the body";
    assert_eq!(told, ["title: is set by the path already", unknown]);
    assert_eq!(call(&[], "key=1", "*", "").as_deref(), Ok("{}"));
    assert_eq!(violations(&[], "", "", r#"{"title":"x"}"#), [": this method takes no request body"]);
    assert_eq!(call(&[], "", "", " { } ").as_deref(), Ok("{}"));
}

#[test]
fn a_required_field_may_come_from_anywhere_but_must_come() {
    let schema = schema();
    let old = id(&schema, "u.Old");
    let name = schema.message(old).field_by_name("name").expect("name").0;
    let part = schema.message(old).field_by_name("part").expect("part").0;
    let call = |variable: Option<&'static str>, query: &str, body: Body, text: &str| {
        let mut binding = Binding { body, ..rule(&schema, &[], "") };
        binding.variables = variable.iter().map(|_| FieldPath([name].into())).collect();
        let values: Vec<_> = variable.iter().map(|value| (0, Cow::Borrowed(*value))).collect();
        let options = ReadOptions::default();
        let woven =
            weave(&schema, old, &binding, &values, Some(query), Some(text.as_bytes()), &options, &mut Vec::new());
        woven.map_err(|error| error.message)
    };
    let missing = |field: &str| Err(format!("{field}: is required"));
    assert_eq!(call(None, "name=x", Body::None, ""), Ok(()));
    assert_eq!(call(None, "closed=ONE", Body::None, ""), missing("name"));
    assert_eq!(call(None, "name=x&part.inner.closed=ONE", Body::None, ""), missing("part.inner.name"));
    assert_eq!(call(Some("x"), "", Body::All, "{}"), Ok(()));
    assert_eq!(call(None, "", Body::All, ""), missing("name"));
    assert_eq!(call(None, "", Body::All, "{}"), missing("line 1, column 1: name"));
    assert_eq!(call(None, "", Body::Field(name), r#""x""#), Ok(()));
    assert_eq!(call(None, "", Body::Field(name), ""), missing("name"));
    assert_eq!(call(None, "", Body::Field(name), "null"), missing("line 1, column 1: name"));
    assert_eq!(call(None, "", Body::Field(part), "{}"), missing("name"));
    assert_eq!(
        call(Some("x"), "", Body::Field(part), r#"{"inner":{}}"#),
        missing("line 1, column 10: part.inner.name")
    );
}

#[test]
fn hostile_queries_cost_little() {
    let deep = format!("author{}.name=x", ".teacher".repeat(10_000));
    assert_eq!(violations(&[], &deep, "", "").len(), 1);
    let many = "nope=1&".repeat(100_000);
    assert_eq!(violations(&[], &many, "", "").len(), 50);
    let twice = "copies=1&".repeat(20_000);
    assert_eq!(violations(&[], &twice, "", "").len(), 50);
    assert!(call(&[], &"tags=a&".repeat(20_000), "", "").is_ok());
}

#[test]
fn what_is_bound_once_is_woven_into_any_number_of_messages() {
    let schema = schema();
    let binding = rule(&schema, &["author.name"], "author");
    let (book, options) = (id(&schema, "t.Book"), ReadOptions::default());
    let values = [(0, Cow::Borrowed("n"))];
    let bound = bind(&schema, book, &binding, &values, Some("title=x&tags=a"), &options).expect("bound").into_owned();
    assert!(!bound.is_empty());
    for body in [None, Some(&b"{\"born\":1}"[..]), Some(b"{}")] {
        let (mut once, mut again) = (Vec::new(), Vec::new());
        let whole = weave(&schema, book, &binding, &values, Some("title=x&tags=a"), body, &options, &mut once);
        assert_eq!(whole, Ok(()));
        assert_eq!(bound.weave(&schema, book, binding.body, body, &options, &mut again), Ok(()));
        assert_eq!(once, again);
    }
    let told = bind(&schema, book, &binding, &values, Some("titel=x&key=1"), &options).expect_err("refused");
    assert_eq!(told.violations.len(), 2, "{told}");
    let ignored = ["key".into()];
    let options = ReadOptions { ignored_query: &ignored, ..options };
    assert!(bind(&schema, book, &rule(&schema, &[], ""), &[], Some("key=1&"), &options).expect("bound").is_empty());
}

#[test]
fn a_mistake_in_a_part_of_a_text_has_its_place_in_the_whole() {
    let told = call(&[], "", "*", "{\n \"titel\":1}").expect_err("refused");
    let message = told.message.clone();
    assert_eq!(told.clone().within(TextPlace::START), told);
    for (line, column, expected) in [(3, 7, (4, 2)), (1, 7, (2, 2)), (9, 1, (10, 2))] {
        let moved = told.clone().within(TextPlace { line, column });
        assert_eq!(moved.place, Some(expected));
        assert_eq!(
            moved.message,
            message.replace("line 2, column 2", &format!("line {}, column {}", expected.0, expected.1))
        );
        assert_eq!(moved.violations, told.violations);
    }
    let first = call(&[], "", "*", "{\"titel\":1}").expect_err("refused").within(TextPlace { line: 2, column: 5 });
    assert_eq!(first.place, Some((2, 6)));
    // what is wrong with the query is in no text
    let query = call(&[], "titel=x", "*", "{}").expect_err("refused");
    assert_eq!(query.clone().within(TextPlace { line: 2, column: 5 }), query);
}

/// What a query binds where brackets are read.
fn bracketed(query: &str) -> Result<serde_json::Value, Vec<String>> {
    let options = ReadOptions { query_brackets: true, ..ReadOptions::default() };
    match call_with(&[], query, "", "", options) {
        Ok(json) => Ok(serde_json::from_str(&json).expect("JSON")),
        Err(bad) => Err(bad.violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect()),
    }
}

#[test]
fn brackets_reach_into_maps_lists_and_messages() {
    use serde_json::json;
    let bound = |query: &str| bracketed(query).unwrap_or_else(|told| panic!("{query}: {told:?}"));
    let people = json!({"people": {"a": {"name": "x", "born": 1}, "b.c": {"name": "y"}, "": {"born": 2}}});
    assert_eq!(bound("people[a].name=x&people[b.c].name=y&people[a].born=1&people[].born=2"), people);
    assert_eq!(bound("people%5Ba%5D%5Bname%5D=x"), json!({"people": {"a": {"name": "x"}}}));
    let editors = json!({"editors": [{"name": "x"}, {"name": "y", "teacher": {"born": 3}}]});
    assert_eq!(bound("editors[1].name=y&editors[0].name=x&editors[1].teacher.born=3"), editors);
    assert_eq!(bound("editors[0][name]=x&editors[1][name]=y&editors[1][teacher][born]=3"), editors);
    assert_eq!(bound("author[teacher][name]=z&author.name=n"), bound("author.teacher.name=z&author.name=n"));
    assert_eq!(bound("tags[1]=b&tags[0]=a"), json!({"tags": ["a", "b"]}));
    assert_eq!(bound("tags[]=a&tags[]=b&tags=c"), json!({"tags": ["a", "b", "c"]}));
    assert_eq!(bound("marks[1]=-2&marks[0]=0"), json!({"marks": [0, -2]}), "packed");
    assert_eq!(bound("title=x&tags=a"), json!({"title": "x", "tags": ["a"]}));
}

#[test]
fn what_brackets_cannot_mean_is_told_by_parameter() {
    let told = |query: &str| bracketed(query).expect_err(query);
    assert_eq!(
        told("editors[1].name=x"),
        ["editors[1].name: places count from 0 without a gap: there is no editors[0]"]
    );
    assert_eq!(
        told("tags[0]=a&tags[2]=b&tags[3]=c"),
        ["tags[2]: places count from 0 without a gap: there is no tags[1]"]
    );
    assert_eq!(told("tags[0]=a&tags[0]=b").len(), 1);
    assert_eq!(told("tags=a&tags[0]=b"), ["tags[0]: is given both as a whole and in part"]);
    assert_eq!(told("people[a].name=x&people[a].name=y").len(), 1);
    assert_eq!(told("editors[x].name=a"), ["editors[x].name: an element needs its place, as in \"editors[0]\""]);
    assert_eq!(told("editors[].name=a"), ["editors[].name: an element needs its place, as in \"editors[0]\""]);
    assert_eq!(told("editors[-1].name=a&editors[+1].name=a").len(), 2);
    assert_eq!(told("editors[1000].name=a"), ["editors[1000].name: at most 1000 elements can be given in the query"]);
    assert_eq!(told("editors[99999999].name=a").len(), 1);
    let nme = "editors[0].nme: unknown query parameter (did you mean \"editors[0].name\"?)";
    assert_eq!(told("editors[0].nme=a"), [nme]);
    let nme = "people[k][nme]: unknown query parameter (did you mean \"people[k][name]\"?)";
    assert_eq!(told("people[k][nme]=a"), [nme]);
    assert_eq!(
        told("people[k]=a"),
        ["people[k]: a message cannot be given in the query, only its fields (as in \"a.b=1\")"]
    );
    assert_eq!(
        told("people=a"),
        ["people: a map cannot be given in the query, only what is in it (as in \"people[key]=1\")"]
    );
    assert_eq!(
        told("people.k.name=a"),
        ["people.k.name: \"people\" has no fields that a query parameter could set, only what is in it (as in \
         \"people[key]=1\")"]
    );
    assert_eq!(told("editors[0=a"), ["editors[0: a bracket in the parameter's name is not closed"]);
    assert_eq!(told("title[0]=a"), ["title[0]: \"title\" has no fields that a query parameter could set"]);
    assert_eq!(told("editors[0].born=x"), ["editors[0].born: not a number for int32"]);
    assert_eq!(
        violations(&[], "people[a].name=x&nope[a]=1", "", ""),
        [
            "people[a].name: brackets are read only if `query.brackets` is switched on for the method",
            "nope[a]: unknown query parameter"
        ]
    );
}

#[test]
fn hostile_brackets_cost_little() {
    let told = |query: &str| bracketed(query).expect_err("refused").len();
    assert_eq!(told(&format!("editors{}=1", "[0]".repeat(20_000))), 1);
    assert_eq!(told(&format!("author{}=1", "[teacher]".repeat(20_000))), 1);
    assert_eq!(told(&format!("a{}", "[".repeat(100_000))), 1);
    let gaps: String = (0..1000).map(|at| format!("tags[{}]=a&", 999 - at % 999)).collect();
    assert!(told(&gaps) <= 50);
    let keys: String = (0..5000).map(|key| format!("people[{key}].born=1&")).collect();
    assert_eq!(told(&keys), 50);
    let most: String = (0..1000).map(|at| format!("editors[{at}].name=a&")).collect();
    let editors = bracketed(&most).expect("bound");
    assert_eq!(editors["editors"].as_array().map(Vec::len), Some(1000));
}

#[test]
fn values_that_do_not_fit_are_told_what_would() {
    let short = ReadOptions { short_enums: true, ..ReadOptions::default() };
    let ranges = "page_count=9223372036854775808&marks=2147483648&serial=-1&author.born=1e10";
    assert_eq!(
        violations(&[], ranges, "", ""),
        [
            "page_count: out of range for int64 (-9223372036854775808 to 9223372036854775807)",
            "marks: out of range for int32 (-2147483648 to 2147483647)",
            "serial: out of range for uint64 (0 to 18446744073709551615)",
            "author.born: out of range for int32 (-2147483648 to 2147483647)",
        ]
    );
    let told = call_with(&[], "color=BLUE", "", "", short).expect_err("refused");
    assert!(told.message.contains("(allowed: NONE, RED, GREEN, "), "{told}");
}

/// The mask that a PATCH gets: paths in a row.
fn mask(query: &str, body_rule: &str, body: &str) -> String {
    let schema = schema();
    let binding = rule(&schema, &[], body_rule);
    let (options, book) = (ReadOptions::default(), id(&schema, "t.Book"));
    let (mut wire, mut json) = (Vec::new(), Vec::new());
    let bound = bind(&schema, book, &binding, &[], Some(query), &options).expect("binds");
    bound.weave(&schema, book, binding.body, Some(body.as_bytes()), &options, &mut wire).expect(body);
    bound.fill_mask(&schema, book, &binding, Some(body.as_bytes()), &mut wire).expect(body);
    wire_to_json(&schema, book, &wire, &PrintOptions::default(), &mut json).expect("prints");
    let printed: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    printed["mask"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn the_mask_of_a_patch_names_what_its_body_says_something_about() {
    for (body_rule, body, expected) in [
        ("author", r#"{"name": "n", "teacher": {"born": 7, "teacher": {}}}"#, "name,teacher.born,teacher.teacher"),
        ("author", r#"{"teacher": {"teacher": {"name": "x"}}, "name": null}"#, "teacher.teacher.name,name"),
        ("author", "{}", "none"),
        ("author", " ", "none"),
        (
            "*",
            r#"{"pageCount": "5", "tags": ["a"], "made": null, "author": {"name": ""}}"#,
            "pageCount,tags,made,author.name",
        ),
        ("*", r#"{"title": "t", "spent": "1s", "count": 3}"#, "title,spent,count"),
        ("*", r#"{"mask": "title", "tags": []}"#, "title"),
        ("*", r#"{"mask": null, "tags": []}"#, "none"),
        ("tags", r#"["a"]"#, "none"),
        ("title", r#""a""#, "none"),
    ] {
        assert_eq!(mask("", body_rule, body), expected, "{body_rule}: {body}");
    }
    assert_eq!(mask("mask=a,b", "author", r#"{"name": "n"}"#), "a,b");
}

#[test]
fn the_mask_of_a_deep_body_is_bounded() {
    let schema = schema();
    let (book, options) = (id(&schema, "t.Book"), ReadOptions::default());
    let binding = rule(&schema, &[], "*");
    let deep = |inner: &str| format!("{}{inner}{}", r#"{"teacher":"#.repeat(98), "}".repeat(98));
    let members = deep(r#"{"name":"","born":0}"#);
    let body = format!("{{\"author\":{members}}}");
    let bound = bind(&schema, book, &binding, &[], None, &options).expect("binds");
    let mut out = Vec::new();
    bound.fill_mask(&schema, book, &binding, Some(body.as_bytes()), &mut out).expect("short enough");
    assert!(out.len() < 2000);
    // as no message could have it, but a text can: the same member over and over, deep down
    let body = format!("{{\"author\":{}}}", deep(&format!("{{{}}}", vec![r#""name":"""#; 20_000].join(","))));
    let error = bound.fill_mask(&schema, book, &binding, Some(body.as_bytes()), &mut Vec::new()).unwrap_err();
    assert!(error.message.contains("too long for a field mask"), "{error}");
}

#[test]
fn content_is_woven_with_path_and_query_and_stands_at_the_end() {
    let schema = crate::transcode::tests::schema_of(
        r#"syntax = "proto2"; package t; import "google/api/httpbody.proto";
        message Put { required string path = 1; optional google.api.HttpBody body = 2; optional int32 mode = 3; }"#,
    );
    let input = schema.find("t.Put").unwrap();
    let raw = |leaf: &[(&[u16], &str)]| {
        let binding = Binding {
            variables: leaf.iter().map(|(path, _)| FieldPath((*path).into())).collect(),
            body: Body::Field(1),
            ..rule(&super::super::tests::schema(), &[], "")
        };
        let values: Vec<_> = leaf.iter().enumerate().map(|(i, (_, text))| (i, Cow::Borrowed(*text))).collect();
        let options = ReadOptions::default();
        let bound = bind(&schema, input, &binding, &values, Some("mode=3"), &options).map_err(|bad| bad.message)?;
        let slot = RawSlot::of_rule(&schema, input, crate::catalog::RawBody::Field(1)).unwrap();
        let mut out = Vec::new();
        bound.weave_raw(&schema, input, &slot, Some("t/x"), 4, &mut out).map_err(|bad| bad.message).map(|()| out)
    };
    assert_eq!(raw(&[(&[0], "p")]), Ok(b"\x0a\x01p\x18\x03\x12\x0b\x0a\x03t/x\x12\x04".to_vec()));
    // a content type that the path says counts
    let bound = raw(&[(&[0], "p"), (&[1, 0], "a")]);
    assert_eq!(bound, Ok(b"\x0a\x01p\x12\x03\x0a\x01a\x18\x03\x12\x06\x12\x04".to_vec()));
    assert!(raw(&[(&[0], "p"), (&[1, 1], "aa")]).unwrap_err().contains("is what the body holds"));
    assert_eq!(raw(&[]), Err("path: is required".into()));
}
