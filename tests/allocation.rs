//! How much the transcoder and the guard allocate for what a peer sends: never more than the multiples that their
//! documentation states, whatever the input. Counted, not timed: for the fuzz targets' corpora, and for inputs made to be as
//! bad as we know how.
//!
//!     cargo test --test allocation -- --nocapture        # prints the worst of each kind

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use transom::catalog::{MessageId, Schema, Source, UnknownFields, UnknownNumbers, load};
use transom::transcode::{
    GuardOptions, PrintOptions, ReadOptions, UnknownAny, guard, json_to_wire, wire_to_json, wire_to_json_field,
};

/// Counts what the thread that runs a test allocates.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One input, and what is bad about it.
struct Input {
    id: MessageId,
    bytes: Vec<u8>,
    of: String,
}

/// The worst ratio so far, and what led to it.
#[derive(Default)]
struct Worst {
    ratio: f64,
    of: String,
}

// === impl Counting ===

// SAFETY: every call goes to the system's allocator as it came; counting is all that is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's promises are those that it needs
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let _ = HELD.try_with(|held| held.set(held.get().saturating_sub(layout.size())));
        // SAFETY: as above
        unsafe { System.dealloc(block, layout) }
    }

    // `realloc` is the trait's own: a new block, and the old one freed, which is the worst that it can be
}

fn grown(size: usize) {
    let _ = HELD.try_with(|held| {
        held.set(held.get() + size);
        PEAK.with(|peak| peak.set(peak.get().max(held.get())));
    });
}

/// The most bytes that a call held at a time.
fn measure<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let held = HELD.get();
    PEAK.set(held);
    let result = run();
    (result, PEAK.get().saturating_sub(held))
}

// === impl Worst ===

impl Worst {
    fn note(&mut self, taken: usize, len: usize, of: &str) {
        let ratio = taken as f64 / len.max(1) as f64;
        if ratio > self.ratio {
            *self = Worst { ratio, of: of.to_owned() };
        }
    }
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} bytes a byte ({})", self.ratio, self.of)
    }
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let protos = ["everything.proto", "legacy.proto", "edition.proto"].map(|name| folder.join(name)).into();
    let source = Source { protos, proto_paths: vec![folder], ..Source::new("allocation", "none") };
    load(&source).expect("the files load").catalog.schema
});

/// The types that the first byte of a corpus' file names (`tests/fuzz/transcode.rs`).
const TYPES: [&str; 8] = [
    "t.Book",
    "u.Old",
    "e.Modern",
    "google.protobuf.Value",
    "google.protobuf.Any",
    "google.protobuf.Struct",
    "e.Mixed",
    "u.Sets",
];

/// Bytes that a call may take whatever the length of its input: an error's texts, the first step of each collection.
const BESIDE: usize = 16 << 10;

fn corpus(name: &str) -> Vec<(String, Vec<u8>, String)> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let files = std::fs::read_dir(folder).expect("the corpus is there");
    let read = files.filter_map(|entry| {
        let path = entry.expect("an entry").path();
        let data = std::fs::read(&path).expect("a file");
        let (first, rest) = data.split_first()?;
        Some((TYPES[usize::from(first & 7)].to_owned(), rest.to_vec(), path.display().to_string()))
    });
    read.collect()
}

fn many(open: &str, each: impl Fn(usize) -> String, close: &str, len: usize) -> Vec<u8> {
    let mut text = open.to_owned();
    for at in 0.. {
        if text.len() >= len {
            break;
        }
        if at > 0 {
            text.push(',');
        }
        text += &each(at);
    }
    (text + close).into_bytes()
}

/// JSON that costs more than other JSON.
fn costly_json(len: usize) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let list = |field: &str, each: &str| many(&format!("{{\"{field}\":["), |_| each.to_owned(), "]}", len);
    let map =
        |field: &str, value: &str| many(&format!("{{\"{field}\":{{"), |at| format!("\"{at}\":{value}"), "}}", len);
    let key = "k".repeat(len / 90);
    let nested_keys = format!("{}1e999{}", format!("{{\"{key}\":").repeat(48), "}".repeat(48));
    let control = "\\u0001".repeat(len / 6);
    let deep_set = format!("{}{}", "{\"[u.Member.member]\":{\"inner\":".repeat(48), "{}") + &"}}".repeat(48);
    let wide_set = deep_set.replace("{}", &format!("{{\"[u.Member.member]\":{{\"size\":1{}}}}}", " ".repeat(len)));
    let deep_any = format!("{}{{}}{}", "{\"value\":".repeat(90), ",\"@type\":\"x/google.protobuf.Any\"}".repeat(90));
    vec![
        ("t.Book", list("tags", "\"\""), "empty strings"),
        ("t.Book", list("editors", "{}"), "empty messages"),
        ("t.Book", list("marks", "1"), "packed numbers"),
        ("t.Book", list("colors", "\"RED\""), "enums"),
        ("t.Book", map("notes", "\"\""), "a map by number"),
        ("t.Book", map("people", "{}"), "a map of messages"),
        ("t.Book", map("people", "{\"born\":0}"), "a map of messages with fields"),
        (
            "t.Book",
            many("{\"notes\":{\"0\":\"\",", |at| format!("\"{at}\":\"\""), "}}", len),
            "a key that comes twice, first",
        ),
        (
            "t.Book",
            many("{\"people\":{\"0\":{},", |at| format!("\"\\u00{:02x}{at}\":{{}}", 32 + at % 90), "}}", len),
            "escaped keys",
        ),
        ("t.Book", format!("{{\"title\":\"{}\"}}", "\\n".repeat(len / 2)).into(), "escapes"),
        ("t.Book", format!("{{\"title\":\"{}\"}}", "é".repeat(len / 2)).into(), "letters of two bytes"),
        ("t.Book", format!("{{\"cover\":\"{}\"}}", "AAAA".repeat(len / 4)).into(), "base64"),
        ("t.Book", format!("{{\"cover\":\"{}!\"}}", "AAAA".repeat(len / 4)).into(), "not base64"),
        ("t.Book", format!("{{\"mask\":\"{}\"}}", "a,".repeat(len / 2)).into(), "a field mask"),
        ("t.Book", format!("{{\"mask\":\"{}\"}}", "A".repeat(len)).into(), "a field mask of capitals"),
        ("t.Book", format!("{{\"{}\":1}}", "x".repeat(len)).into(), "a long unknown name"),
        ("t.Book", format!("{{\"{control}\":1}}").into(), "a long unknown name, escaped"),
        ("t.Book", format!("{{\"color\":\"{control}\"}}").into(), "a long name of no enum value"),
        ("t.Book", format!("{{\"notes\":{{\"{control}\":1}}}}").into(), "a long key that is no number"),
        ("t.Book", format!("{{\"people\":{{\"{control}\":1}}}}").into(), "a long key of a bad value"),
        ("t.Book", format!("{{\"detail\":{{\"@type\":\"x/{control}\"}}}}").into(), "a long unknown type"),
        ("t.Book", format!("{{\"made\":\"{control}\"}}").into(), "a long timestamp"),
        ("t.Book", format!("{{\"price\":{}}}", "1".repeat(len)).into(), "a long number"),
        ("t.Book", format!("{{\"price\":\"{control}\"}}").into(), "a long text that is no number"),
        ("t.Book", format!("{{\"title\":\"{}", "\n".repeat(len)).into(), "many lines and no end"),
        ("google.protobuf.Value", nested_keys.into(), "a bad value behind many long keys"),
        ("google.protobuf.Value", many("[", |_| "0".into(), "]", len), "free numbers"),
        ("google.protobuf.Value", many("[", |_| "[]".into(), "]", len), "free lists"),
        ("google.protobuf.Value", many("[", |_| "{\"\":0}".into(), "]", len), "free objects"),
        ("google.protobuf.Value", many("{", |at| format!("\"{at}\":0"), "}", len), "one free object"),
        ("google.protobuf.Value", vec![b'['; len], "brackets alone"),
        ("google.protobuf.Any", deep_any.into(), "an Any in an Any"),
        (
            "google.protobuf.Any",
            many("{\"@type\":\"x/t.Book\",\"tags\":[", |_| "\"\"".into(), "]}", len),
            "a list in an Any",
        ),
        ("u.Sets", format!("{{\"set\":{wide_set}}}").into(), "message sets in message sets"),
        ("u.Old", many("{\"name\":\"\",\"piece\":[", |_| "{}".into(), "]}", len), "groups"),
        ("e.Modern", many("{\"floats\":[", |_| "1".into(), "]}", len), "floats that are not packed"),
        ("e.Modern", many("{\"doubles\":[", |_| "1".into(), "]}", len), "packed doubles"),
        ("e.Modern", many("{\"byFixed64\":{", |at| format!("\"{at}\":0"), "}}", len), "a map of doubles"),
    ]
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 127 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn field(tag: usize, content: &[u8]) -> Vec<u8> {
    [varint(tag), varint(content.len()), content.to_vec()].concat()
}

/// Wire bytes that cost more than others.
fn costly_wire(len: usize) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let fill = |bytes: &[u8]| bytes.repeat(len / bytes.len());
    let mut split = fill(b"\x0a\x00");
    let mut deep = fill(b"\x10\x01");
    for _ in 0..90 {
        split = [field(0x1a, &split), b"\x1a\x00".to_vec()].concat();
        deep = field(0x1a, &deep);
    }
    let keys =
        (0..len / 8).flat_map(|at| field(0x3a, &[&[8][..], &varint(at), b"\x12\x00"].concat())).collect::<Vec<_>>();
    let mut set = field(0x1a, b"");
    for _ in 0..30 {
        let member = [&[0x0b, 0x10, 0xe8, 0x07][..], &field(0x1a, &field(0x12, &set)), &[0x0c]].concat();
        set = [member, if set.len() == 2 { fill(b"\x0b\x0c") } else { Vec::new() }].concat();
    }
    let any = [field(0x0a, b"x/t.Book"), field(0x12, &fill(b"\x22\x00\x28\x00"))].concat();
    vec![
        ("t.Book", fill(b"\x22\x00"), "empty strings"),
        ("t.Book", fill(b"\x4a\x00"), "empty messages"),
        ("t.Book", fill(b"\x28\x00"), "numbers that are not packed"),
        ("t.Book", field(0x2a, &vec![0; len]), "packed numbers"),
        ("t.Book", [varint(0xfa << 1 | 2), varint(len), vec![5; len]].concat(), "unknown bytes"),
        ("t.Book", field(31 << 3 | 2, &vec![5; len]), "packed enums with a long name"),
        ("t.Book", fill(b"\x22\x00\x28\x00"), "fields in turns"),
        ("t.Book", fill(b"\x4a\x00\x28\x00"), "messages in turns"),
        ("t.Book", fill(b"\x08\x00"), "a known field of another type"),
        ("t.Book", fill(b"\x10\x01"), "one number many times"),
        ("t.Book", fill(b"\x42\x00"), "one message many times"),
        ("t.Book", fill(b"\x52\x00\x5a\x00"), "a oneof's members in turns"),
        ("t.Book", fill(b"\xf8\x3f\x00"), "unknown fields"),
        ("t.Book", [keys.clone(), b"\x3a\x00\x3a\x00".to_vec()].concat(), "a map by number, and one key twice"),
        ("t.Book", keys, "a map by number"),
        ("t.Book", fill(b"\x3a\x00"), "one key many times"),
        ("t.Book", field(0x42, &split), "messages in two parts in messages in two parts"),
        ("t.Book", field(0x42, &deep), "one number many times, deep down"),
        ("t.Book", field(0x6a, &vec![0; len]), "bytes"),
        ("t.Book", field(0x0a, &vec![1; len]), "characters to escape"),
        ("t.Book", field(22 << 3 | 2, &fill(b"\x0a\x01a")), "a field mask"),
        ("t.Book", field(26 << 3 | 2, &any), "fields in turns in an Any"),
        ("t.Book", field(26 << 3 | 2, &[field(0x0a, b"x/y"), field(0x12, &vec![0; len])].concat()), "an unknown Any"),
        ("t.Book", field(26 << 3 | 2, &field(0x0a, &vec![b'x'; len])), "a long unknown type"),
        (
            "t.Book",
            field(0x32, &[field(0x0a, &vec![1; len]), field(0x12, b"\x08")].concat()),
            "a long key of a bad value",
        ),
        ("google.protobuf.Struct", fill(b"\x0a\x00"), "one free key many times"),
        ("google.protobuf.Value", field(0x32, &fill(b"\x0a\x00")), "free nulls"),
        ("google.protobuf.Value", fill(b"\x20\x01"), "one free value many times"),
        ("e.Modern", field(12 << 3 | 2, &vec![0; len]), "packed bools"),
        ("e.Modern", field(14 << 3 | 2, &vec![255; len & !7]), "packed numbers of 64 bits"),
        ("e.Modern", field(16 << 3 | 2, &vec![0; len]), "packed varints of 64 bits"),
        (
            "e.Modern",
            field(10 << 3 | 2, &[0x9c, 0x75, 0x00, 0x88, 0x3c, 0xe4, 0x37, 0xfe].repeat(len / 8)),
            "packed doubles",
        ),
        ("e.Modern", field(18 << 3 | 2, &vec![77; len]), "numbers that a closed enum does not have"),
        ("u.Old", [field(0x0a, b""), fill(b"\x33\x34")].concat(), "groups"),
        ("u.Old", [field(0x0a, b""), fill(b"\x33\x34\x2b\x2c")].concat(), "groups in turns"),
        ("u.Sets", field(0x0a, &set), "message sets in message sets"),
        ("u.Sets", fill(b"\x12\x00"), "messages without what is required"),
    ]
}

const LEN: usize = 60_000;

/// All inputs of one kind: those that are made to be bad, and the corpus.
fn inputs(costly: Vec<(&'static str, Vec<u8>, &'static str)>, name: &str) -> impl Iterator<Item = Input> {
    let costly = costly.into_iter().map(|(name, bytes, of)| (name.to_owned(), bytes, of.to_owned()));
    let all = costly.chain(corpus(name));
    all.map(|(name, bytes, of)| Input { id: SCHEMA.find(&name).expect("the type is there"), bytes, of })
}

#[test]
fn json_to_wire_takes_no_more_than_its_documentation_says() {
    let (mut peak, mut output) = (Worst::default(), Worst::default());
    for Input { id, bytes: json, of } in inputs(costly_json(LEN), "json_to_wire") {
        for unknown in [UnknownFields::Refuse, UnknownFields::Ignore] {
            let options = ReadOptions { unknown, ..ReadOptions::default() };
            let (len, taken) = measure(|| {
                let mut out = Vec::new();
                let _ = json_to_wire(&SCHEMA, id, &json, &options, &mut out);
                out.len()
            });
            peak.note(taken.saturating_sub(BESIDE), json.len(), &of);
            output.note(len.saturating_sub(64), json.len(), &of);
        }
    }
    println!("json_to_wire: holds {peak}, makes {output}");
    assert!(peak.ratio <= 16.0 && output.ratio <= 7.0, "{peak}, {output}");
}

#[test]
fn wire_to_json_takes_no_more_than_its_documentation_says() {
    let (mut peak, mut output) = (Worst::default(), Worst::default());
    for Input { id, bytes: wire, of } in inputs(costly_wire(LEN), "wire_to_json") {
        for print_unset in [false, true] {
            let options = PrintOptions { print_unset, unknown_any: UnknownAny::Raw, ..PrintOptions::default() };
            let (len, taken) = measure(|| {
                let mut out = Vec::new();
                let _ = wire_to_json(&SCHEMA, id, &wire, &options, &mut out);
                out.len()
            });
            peak.note(taken.saturating_sub(3 * len + BESIDE), wire.len(), &of);
            if !print_unset {
                output.note(len.saturating_sub(64), wire.len(), &of);
            }
        }
    }
    println!("wire_to_json: holds beside its output {peak}, makes {output}");
    // the longest name of an enum value has twelve letters
    assert!(peak.ratio <= 20.0 && output.ratio <= 12.0 + 4.0, "{peak}, {output}");
}

#[test]
fn a_field_alone_takes_no_more_than_the_whole_message() {
    let mut peak = Worst::default();
    for Input { id, bytes: wire, of } in inputs(costly_wire(LEN / 10), "wire_to_json") {
        for field in 0..SCHEMA.message(id).fields.len() as u16 {
            let (len, taken) = measure(|| {
                let mut out = Vec::new();
                let _ = wire_to_json_field(&SCHEMA, id, field, &wire, &PrintOptions::default(), &mut out);
                out.len()
            });
            peak.note(taken.saturating_sub(3 * len + BESIDE), wire.len(), &of);
        }
    }
    println!("wire_to_json_field: holds beside its output {peak}");
    assert!(peak.ratio <= 36.0, "{peak}");
}

#[test]
fn the_guard_takes_nothing_but_where_required_fields_are_looked_for_in_parts() {
    let (mut peak, mut of_parts) = (Worst::default(), Worst::default());
    for Input { id, bytes: wire, of } in inputs(costly_wire(LEN), "guard") {
        for (unknown, max_repeated) in
            [(UnknownNumbers::Pass, 0), (UnknownNumbers::Refuse, 100_000), (UnknownNumbers::Pass, 9)]
        {
            let options = GuardOptions { unknown, max_repeated, ..GuardOptions::default() };
            let (judged, taken) = measure(|| guard(&SCHEMA, id, &wire, &options));
            if ["u.Old", "u.Sets", "e.Mixed"].contains(&&*SCHEMA.message(id).name) {
                of_parts.note(taken.saturating_sub(BESIDE), wire.len(), &of);
            } else {
                let allowed = if judged.is_ok() && max_repeated == 0 { 0 } else { BESIDE };
                peak.note(taken.saturating_sub(allowed), 1, &of);
            }
        }
    }
    println!("guard: holds {} bytes, {of_parts} with required fields", peak.ratio);
    assert!(peak.ratio == 0.0 && of_parts.ratio <= 16.0, "{peak}, {of_parts}");
}
