//! The rules of `buf.validate` as the guard judges them beside prost-protovalidate, for the property test
//! (`tests/transcode/rules.rs`) and the fuzz target.
//!
//! Where the two differ on purpose, the difference is named here, in [`Judges::theirs`] and [`is_odd`], and nowhere else.
#![allow(dead_code)] // each user has its own needs

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use prost_protovalidate::{Error, Validator};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage, Value};
use transom::catalog::{Label, Schema, Source, load};
use transom::status::{PathElement, Subscript};
use transom::transcode::{GuardOptions, MAX_BROKEN, Violation, guard};
use transom::wire::Cursor;

/// A catalog, both ways.
pub struct Judges {
    pub schema: Schema,
    pool: DescriptorPool,
    validator: Validator,
}

/// The broken rules of a message: field, rule id, rule, whether it is about a key.
pub type Broken = BTreeSet<String>;

/// The types of `rules.proto` that have rules.
pub const TYPES: [&str; 6] = ["r.Numbers", "r.Texts", "r.Known", "r.Lists", "r.Root", "r.Told"];

/// The guard with rules, and nothing refused that need not be.
pub const RULES: GuardOptions = GuardOptions {
    unknown: transom::catalog::UnknownNumbers::Pass,
    max_repeated: 0,
    max_string: 0,
    max_bytes: 0,
    max_depth: 100,
    rules: true,
};

/// Those of `rules.proto`.
pub static JUDGES: LazyLock<Judges> = LazyLock::new(|| {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = package.join("rules.proto");
    Judges::of(if own.exists() { own } else { package.join("tests/fuzz/rules.proto") })
});

/// What the guard says of a message's rules is what prost-protovalidate says, and nothing beside them depends on whether
/// rules are asked for. The first byte is the type: `'0'` to `'5'`.
pub fn rules(data: &[u8]) {
    let Some((&first, wire)) = data.split_first() else { return };
    let (judges, name) = (&*JUDGES, TYPES[usize::from(first & 7) % TYPES.len()]);
    let id = judges.schema.find(name).expect(name);
    let blind = guard(&judges.schema, id, wire, &GuardOptions { rules: false, ..RULES });
    let ours = match judges.ours(name, wire) {
        Err(violation) if !violation.rule.is_about_rules() => return assert_eq!(blind, Err(violation)),
        ours => ours,
    };
    assert!(blind.is_ok(), "{blind:?}");
    // the walk is not certain of a field that comes twice, so the exact look says what the walk has said
    if let Some(doubtful) = judges.doubtful(name, wire) {
        assert_eq!(judges.ours(name, &doubtful), ours, "{name} {wire:02x?}");
    }
    let Ok(message) = DynamicMessage::decode(judges.descriptor(name), wire) else { return };
    if is_odd(&message) || wire.windows(4).any(|bytes| bytes == MINUS_ZERO) {
        return;
    }
    match (ours, judges.theirs(&message)) {
        (Ok(None), _) => {}
        (Ok(Some(ours)), Ok(theirs)) => assert_eq!(ours, theirs, "{name} {wire:02x?}"),
        (Err(_), Err(_)) => {}
        (ours, theirs) => panic!("{ours:?}\n{theirs:?}\n{name} {wire:02x?}"),
    }
}

/// How minus zero ends, as a float and as a double: to prost-reflect that is a field that is not set.
const MINUS_ZERO: [u8; 4] = [0, 0, 0, 0x80];

/// Whether a message holds what the two think differently of: of what is no number the other stops at the first rule;
/// nanoseconds that are seconds are carried over by us alone; the pattern of validate.proto for names of header fields has
/// a comma in it, by a range that hardly meant it; and a key with a bracket leads the other's paths astray.
fn is_odd(message: &DynamicMessage) -> bool {
    let name = message.descriptor().full_name().to_owned();
    let text = |name: &str| message.get_field_by_name(name)?.as_str().map(str::to_owned);
    if name == "r.Texts" && text("header").is_some_and(|header| header.contains(',')) {
        return true;
    }
    if matches!(&*name, "google.protobuf.Duration" | "google.protobuf.Timestamp") {
        let number = |name: &str| {
            let value = message.get_field_by_name(name);
            value.as_deref().and_then(|value| value.as_i64().or(value.as_i32().map(i64::from))).unwrap_or_default()
        };
        let (seconds, nanos) = (number("seconds"), number("nanos"));
        let fits = nanos.abs() < 1_000_000_000 && (seconds.signum() * nanos.signum() >= 0);
        return !fits || (name.ends_with("Timestamp") && nanos < 0);
    }
    message.fields().any(|(_, value)| is_odd_value(value))
}

fn is_odd_value(value: &Value) -> bool {
    match value {
        Value::F32(number) => number.is_nan(),
        Value::F64(number) => number.is_nan(),
        Value::Message(message) => is_odd(message),
        Value::List(list) => list.iter().any(is_odd_value),
        Value::Map(map) => {
            map.keys().any(|key| key.as_str().is_some_and(|key| key.contains(']'))) || map.values().any(is_odd_value)
        }
        _ => false,
    }
}

// === impl Judges ===

impl Judges {
    /// Those of a file, which imports what lies beside it.
    pub fn of(file: PathBuf) -> Judges {
        let source = Source {
            proto_paths: vec![file.parent().expect("a folder").to_owned()],
            protos: vec![file],
            pass_unknown_methods: true,
            ..Source::new("r", "none")
        };
        let catalog = load(&source).unwrap_or_else(|mistakes| panic!("{mistakes:?}")).catalog;
        let pool = DescriptorPool::decode(catalog.descriptor_set).expect("a set");
        Judges { schema: catalog.schema, pool, validator: Validator::new() }
    }

    pub fn descriptor(&self, name: &str) -> MessageDescriptor {
        self.pool.get_message_by_name(name).expect(name)
    }

    /// `None`: there may be more.
    pub fn ours(&self, name: &str, wire: &[u8]) -> Result<Option<Broken>, Violation> {
        let id = self.schema.find(name).expect(name);
        let guarded = guard(&self.schema, id, wire, &RULES)?;
        assert!(guarded.broken.len() <= MAX_BROKEN);
        let told = guarded.broken.iter().map(|broken| {
            format!("{} {} {} {}", path(&broken.field), broken.rule_id, path(&broken.rule), broken.for_key)
        });
        Ok(Some(told.collect()).filter(|_| guarded.broken.len() < MAX_BROKEN))
    }

    /// Errors: a rule cannot be applied.
    pub fn theirs(&self, message: &DynamicMessage) -> Result<Broken, String> {
        match self.validator.validate(message) {
            Ok(()) => Ok(BTreeSet::new()),
            Err(Error::Validation(error)) => {
                // it wants references to be more than nothing, which validate.proto does not
                let meant = error.violations().iter().filter(|broken| broken.rule_id() != "string.uri_ref_empty");
                let told = meant.map(|broken| {
                    let key = broken.for_key().unwrap_or_default();
                    let rule = broken.rule_path();
                    let rule = rule.strip_suffix("_empty").unwrap_or(&rule);
                    format!("{} {} {rule} {key}", plain(&broken.field_path()), broken.rule_id())
                });
                Ok(told.collect())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// The same message in bytes that have one field twice; `None` if it has none that can be.
    fn doubtful(&self, name: &str, wire: &[u8]) -> Option<Vec<u8>> {
        let table = self.schema.message(self.schema.find(name)?);
        let mut cursor = Cursor::new(wire);
        while !cursor.is_empty() {
            let from = wire.len() - cursor.remaining();
            let tag = cursor.tag().ok()?;
            cursor.piece(tag).ok()?;
            let field = table.field_by_number(tag >> 3).map(|(_, field)| field);
            let scalar = |field: &transom::catalog::Field| {
                field.label == Label::Singular && field.oneof.is_none() && field.kind.message().is_none()
            };
            if field.is_some_and(scalar) {
                let again = wire.get(from..wire.len() - cursor.remaining())?;
                return Some([again, wire].concat());
            }
        }
        None
    }
}

/// As prost-protovalidate writes it: keys are JSON.
fn path(steps: &[PathElement]) -> String {
    let step = |step: &PathElement| {
        let subscript = match &step.subscript {
            None => return step.name.clone(),
            Some(Subscript::Index(index)) => index.to_string(),
            Some(Subscript::Bool(key)) => key.to_string(),
            Some(Subscript::Int(key)) => key.to_string(),
            Some(Subscript::Uint(key)) => key.to_string(),
            Some(Subscript::String(key)) => serde_json::Value::from(&**key).to_string(),
        };
        format!("{}[{subscript}]", step.name)
    };
    plain(&steps.iter().map(step).collect::<Vec<_>>().join("."))
}

/// Keys with brackets lead the other's paths astray.
fn plain(path: &str) -> String {
    path.replace(".[", "[")
}
