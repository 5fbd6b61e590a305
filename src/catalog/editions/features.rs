//! The features of editions: what they are called, where they may stand, and what holds where nothing is said
//! (`google/protobuf/descriptor.proto`, `FeatureSet` and its `edition_defaults`).

use prost::Message as _;
use prost_types::UninterpretedOption;

use super::super::records::{Records, Value};
use super::tokens::{Kind, Token, tokens};
use crate::wire::closest;

/// An edition whose files can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::catalog) enum Edition {
    E2023,
    E2024,
}

/// What an option may stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    File,
    Message,
    Field,
    Oneof,
    Enum,
    EnumValue,
    ExtensionRange,
    Service,
    Method,
}

/// How many features change what is read or written. They are the first ones, numbered from 1.
const TELLING: usize = 6;

/// Features of languages and of other people's compilers start here: they change generated code alone.
const FIRST_EXTENSION: u32 = 1000;

/// One feature.
struct Feature {
    name: &'static str,
    values: &'static [(&'static str, u8)],
    targets: &'static [Element],
    since: Edition,
}

/// All features of the editions that are read, by number from 1.
const FEATURES: [Feature; 8] = [
    Feature {
        name: "field_presence",
        values: &[("EXPLICIT", 1), ("IMPLICIT", 2), ("LEGACY_REQUIRED", 3)],
        targets: &[Element::Field, Element::File],
        since: Edition::E2023,
    },
    Feature {
        name: "enum_type",
        values: &[("OPEN", 1), ("CLOSED", 2)],
        targets: &[Element::Enum, Element::File],
        since: Edition::E2023,
    },
    Feature {
        name: "repeated_field_encoding",
        values: &[("PACKED", 1), ("EXPANDED", 2)],
        targets: &[Element::Field, Element::File],
        since: Edition::E2023,
    },
    Feature {
        name: "utf8_validation",
        values: &[("VERIFY", 2), ("NONE", 3)],
        targets: &[Element::Field, Element::File],
        since: Edition::E2023,
    },
    Feature {
        name: "message_encoding",
        values: &[("LENGTH_PREFIXED", 1), ("DELIMITED", 2)],
        targets: &[Element::Field, Element::File],
        since: Edition::E2023,
    },
    Feature {
        name: "json_format",
        values: &[("ALLOW", 1), ("LEGACY_BEST_EFFORT", 2)],
        targets: &[Element::Message, Element::Enum, Element::File],
        since: Edition::E2023,
    },
    Feature {
        name: "enforce_naming_style",
        values: &[("STYLE2024", 1), ("STYLE_LEGACY", 2)],
        targets: &[
            Element::File,
            Element::ExtensionRange,
            Element::Message,
            Element::Field,
            Element::Oneof,
            Element::Enum,
            Element::EnumValue,
            Element::Service,
            Element::Method,
        ],
        since: Edition::E2024,
    },
    Feature {
        name: "default_symbol_visibility",
        values: &[("EXPORT_ALL", 1), ("EXPORT_TOP_LEVEL", 2), ("LOCAL_ALL", 3), ("STRICT", 4)],
        targets: &[Element::File],
        since: Edition::E2024,
    },
];

/// What one element says of the features that matter, by number from 1; 0: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said([u8; TELLING]);

/// What holds for an element: its own word, or that of what it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features([u8; TELLING]);

/// What is wrong with a feature, and what was probably meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misuse {
    pub text: String,
    pub hint: Option<String>,
}

/// Reads what the options of one element say of features.
pub(super) struct Reader {
    pub edition: Edition,
    pub element: Element,
    pub said: Said,
}

// === impl Edition ===

impl Edition {
    /// What users may write.
    pub const KNOWN: &'static str = "\"2023\" and \"2024\"";

    /// By the number in `FileDescriptorProto.edition`.
    pub fn from_number(number: u64) -> Option<Edition> {
        match number {
            1000 => Some(Edition::E2023),
            1001 => Some(Edition::E2024),
            _ => None,
        }
    }

    /// By the word in the `edition` statement.
    pub fn from_name(name: &str) -> Option<Edition> {
        match name {
            "2023" => Some(Edition::E2023),
            "2024" => Some(Edition::E2024),
            _ => None,
        }
    }

    /// Its word in the `edition` statement.
    pub fn name(self) -> &'static str {
        match self {
            Edition::E2023 => "2023",
            Edition::E2024 => "2024",
        }
    }
}

// === impl Element ===

impl Element {
    /// The field number of the options in the element's descriptor.
    pub const fn options_tag(self) -> u32 {
        match self {
            Element::File | Element::Field => 8,
            Element::Message => 7,
            Element::Oneof => 2,
            Element::Enum | Element::EnumValue | Element::ExtensionRange | Element::Service => 3,
            Element::Method => 4,
        }
    }

    /// The field number of `features` in the element's options.
    pub const fn features_tag(self) -> u32 {
        match self {
            Element::File | Element::ExtensionRange => 50,
            Element::Message => 12,
            Element::Field => 21,
            Element::Oneof => 1,
            Element::Enum => 7,
            Element::EnumValue => 2,
            Element::Service => 34,
            Element::Method => 35,
        }
    }

    const fn called(self) -> &'static str {
        match self {
            Element::File => "the file",
            Element::Message => "messages",
            Element::Field => "fields",
            Element::Oneof => "oneofs",
            Element::Enum => "enums",
            Element::EnumValue => "enum values",
            Element::ExtensionRange => "extension ranges",
            Element::Service => "services",
            Element::Method => "methods",
        }
    }
}

// === impl Said ===

impl Said {
    pub fn presence(self) -> bool {
        self.0[0] != 0
    }

    pub fn required(self) -> bool {
        self.0[0] == 3
    }

    pub fn implicit(self) -> bool {
        self.0[0] == 2
    }

    pub fn repeated_encoding(self) -> bool {
        self.0[2] != 0
    }

    pub fn packed(self) -> bool {
        self.0[2] == 1
    }

    pub fn utf8(self) -> bool {
        self.0[3] != 0
    }

    pub fn message_encoding(self) -> bool {
        self.0[4] != 0
    }
}

// === impl Features ===

impl Features {
    /// What holds in a file that says nothing. The editions do not differ in what matters here.
    pub const fn of(_: Edition) -> Features {
        Features([1, 1, 1, 2, 1, 1])
    }

    pub fn with(mut self, said: Said) -> Features {
        for (mine, said) in self.0.iter_mut().zip(said.0).filter(|(_, said)| *said != 0) {
            *mine = said;
        }
        self
    }

    pub fn implicit(self) -> bool {
        self.0[0] == 2
    }

    pub fn required(self) -> bool {
        self.0[0] == 3
    }

    pub fn closed(self) -> bool {
        self.0[1] == 2
    }

    pub fn packed(self) -> bool {
        self.0[2] == 1
    }

    pub fn check_utf8(self) -> bool {
        self.0[3] == 2
    }

    pub fn delimited(self) -> bool {
        self.0[4] == 2
    }

    /// Whether JSON names may collide.
    pub fn lax_json(self) -> bool {
        self.0[5] == 2
    }
}

// === impl Misuse ===

impl Misuse {
    fn new(text: String) -> Misuse {
        Misuse { text, hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Misuse {
        self.hint = Some(hint.into());
        self
    }
}

// === impl Reader ===

impl Reader {
    /// Takes in an encoded `FeatureSet`, as descriptor sets have it.
    pub fn read_set(&mut self, bytes: &[u8]) -> Result<(), Misuse> {
        for record in Records::new(bytes) {
            let record = record.map_err(|_| Misuse::new("its features are damaged: no protobuf".to_owned()))?;
            if record.number >= FIRST_EXTENSION {
                continue;
            }
            let at = record.number as usize - 1; // numbers start with 1
            let (Some(feature), Value::Varint(value)) = (FEATURES.get(at), record.value) else {
                return Err(Misuse::new(format!("unknown feature number {}", record.number)));
            };
            let known = feature.values.iter().find(|(_, number)| u64::from(*number) == value);
            let Some((_, value)) = known.copied() else {
                if at >= TELLING {
                    continue; // matters to compilers alone
                }
                return Err(Misuse::new(format!("feature {} has the unknown value {value}", feature.name)));
            };
            self.set(at, value)?;
        }
        Ok(())
    }

    /// Takes in an option as it is written in a `.proto` file. `None` if it is not about features.
    pub fn read_written(&mut self, bytes: &[u8]) -> Option<Result<(), Misuse>> {
        let option = UninterpretedOption::decode(bytes).ok()?;
        let (first, rest) = option.name.split_first()?;
        if first.is_extension || first.name_part != "features" {
            return None;
        }
        Some(match rest {
            [] => self.aggregate(&option),
            [language, ..] if language.is_extension => Ok(()),
            [feature] => match &option.identifier_value {
                Some(value) => self.say(&feature.name_part, value),
                None => Err(Misuse::new(format!("the value of feature {} is not a name", feature.name_part))),
            },
            [feature, ..] => Err(Misuse::new(format!("feature {} has no parts", feature.name_part))),
        })
    }

    /// `option features = { field_presence: IMPLICIT }`.
    fn aggregate(&mut self, option: &UninterpretedOption) -> Result<(), Misuse> {
        let unreadable = || Misuse::new("the value of option features is not a list of features".to_owned());
        let text = option.aggregate_value.as_deref().ok_or_else(unreadable)?;
        let found = tokens(text);
        let mut rest = &found[..];
        while let Some(first) = rest.first() {
            rest = match (first.kind, rest) {
                (Kind::Mark(b',' | b';'), [_, rest @ ..]) => rest,
                (Kind::Mark(b'['), _) => after_extension(rest).ok_or_else(unreadable)?,
                (Kind::Word, [name, colon, value, rest @ ..]) if colon.is(b':') && value.kind == Kind::Word => {
                    self.say(name.of(text), value.of(text))?;
                    rest
                }
                _ => return Err(unreadable()),
            };
        }
        Ok(())
    }

    fn say(&mut self, name: &str, value: &str) -> Result<(), Misuse> {
        let Some(at) = FEATURES.iter().position(|feature| feature.name == name) else {
            let complaint = Misuse::new(format!("unknown feature {name:?}"));
            return Err(match closest(name, FEATURES.iter().map(|feature| feature.name)) {
                Some(meant) => complaint.hint(format!("did you mean {meant:?}?")),
                None => complaint,
            });
        };
        let feature = &FEATURES[at];
        if self.edition < feature.since {
            let text = format!("feature {name} is not one of edition {:?}", self.edition.name());
            return Err(Misuse::new(text).hint(format!("it came with edition {:?}", feature.since.name())));
        }
        let Some((_, number)) = feature.values.iter().find(|(known, _)| *known == value) else {
            let values: Vec<&str> = feature.values.iter().map(|(known, _)| *known).collect();
            let text = format!("feature {name} cannot be {value}");
            return Err(Misuse::new(text).hint(format!("it is one of {}", values.join(", "))));
        };
        if self.said.0.get(at).is_some_and(|said| *said != 0) {
            return Err(Misuse::new(format!("feature {name} is set twice")));
        }
        self.set(at, *number)
    }

    fn set(&mut self, at: usize, value: u8) -> Result<(), Misuse> {
        let feature = &FEATURES[at];
        if !feature.targets.contains(&self.element) {
            let targets: Vec<&str> = feature.targets.iter().map(|target| target.called()).collect();
            let text = format!("feature {} is not for {}", feature.name, self.element.called());
            return Err(Misuse::new(text).hint(format!("it is for {}", targets.join(" and "))));
        }
        if let Some(said) = self.said.0.get_mut(at) {
            *said = value;
        }
        Ok(())
    }
}

/// What follows `[pb.cpp] { ... }`.
fn after_extension(tokens: &[Token]) -> Option<&[Token]> {
    let close = tokens.iter().position(|token| token.is(b']'))?;
    let mut rest = tokens.get(close + 1..)?;
    if rest.first()?.is(b':') {
        rest = rest.get(1..)?;
    }
    rest.first().filter(|token| token.is(b'{'))?;
    let mut depth = 0usize;
    let end = rest.iter().position(|token| {
        match token.kind {
            Kind::Mark(b'{') => depth += 1,
            Kind::Mark(b'}') => depth = depth.saturating_sub(1),
            _ => (),
        }
        depth == 0
    })?;
    rest.get(end + 1..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::put_uint;
    use prost_types::uninterpreted_option::NamePart;

    fn reader(element: Element) -> Reader {
        Reader { edition: Edition::E2023, element, said: Said::default() }
    }

    fn written(name: &[&str], value: &str) -> Vec<u8> {
        let name = name
            .iter()
            .map(|part| NamePart {
                name_part: part.trim_matches(['(', ')']).into(),
                is_extension: part.starts_with('('),
            })
            .collect();
        let (identifier_value, aggregate_value) =
            if value.contains(':') { (None, Some(value.to_owned())) } else { (Some(value.to_owned()), None) };
        UninterpretedOption { name, identifier_value, aggregate_value, ..Default::default() }.encode_to_vec()
    }

    fn said(element: Element, name: &[&str], value: &str) -> Result<Said, Misuse> {
        let mut reader = reader(element);
        reader.read_written(&written(name, value)).expect("about features")?;
        Ok(reader.said)
    }

    #[test]
    fn features_are_read_by_name_alone_or_in_braces() {
        let implicit = said(Element::File, &["features", "field_presence"], "IMPLICIT").unwrap();
        assert_eq!(implicit, Said([2, 0, 0, 0, 0, 0]));
        let both = "field_presence : IMPLICIT , [ pb . cpp ] { string_type : VIEW x { } } [ pb . go ] : { } enum_type : CLOSED";
        assert_eq!(said(Element::File, &["features"], both).unwrap(), Said([2, 2, 0, 0, 0, 0]));
        assert_eq!(said(Element::File, &["features", "(pb.cpp)", "string_type"], "VIEW").unwrap(), Said::default());
        let mut other = reader(Element::File);
        assert!(other.read_written(&written(&["java_package"], "x")).is_none());
        assert!(other.read_written(&written(&["(features)", "x"], "x")).is_none());
        let all = Features::of(Edition::E2023);
        assert!(!all.implicit() && !all.closed() && all.packed() && all.check_utf8() && !all.delimited());
        assert!(all.with(implicit).implicit() && all.with(implicit).with(Said::default()).implicit());
    }

    #[test]
    fn what_no_compiler_takes_is_refused_with_a_hint() {
        for (element, name, value, text, hint) in [
            (Element::File, "field_presense", "IMPLICIT", "unknown feature", "did you mean \"field_presence\"?"),
            (Element::File, "enum_type", "SHUT", "cannot be SHUT", "it is one of OPEN, CLOSED"),
            (Element::Message, "enum_type", "OPEN", "is not for messages", "it is for enums and the file"),
            (Element::File, "enforce_naming_style", "STYLE2024", "edition \"2023\"", "it came with edition \"2024\""),
        ] {
            let misuse = said(element, &["features", name], value).unwrap_err();
            assert!(misuse.text.contains(text), "{misuse:?}");
            assert_eq!(misuse.hint.as_deref(), Some(hint));
        }
        for damaged in ["field_presence : {", "field_presence : :", ": :", "[ a : 1", "[ a ] : 1"] {
            assert!(said(Element::File, &["features"], damaged).is_err(), "{damaged}");
        }
        assert!(said(Element::File, &["features", "json_format", "x"], "ALLOW").is_err());
        let mut twice = reader(Element::File);
        let option = written(&["features", "json_format"], "ALLOW");
        assert_eq!(twice.read_written(&option), Some(Ok(())));
        assert!(twice.read_written(&option).is_some_and(|read| read.is_err_and(|m| m.text.contains("twice"))));
    }

    #[test]
    fn encoded_features_are_read_and_unknown_ones_never_passed_over() {
        let encoded = |number, value| {
            let mut bytes = Vec::new();
            put_uint(&mut bytes, number, value);
            bytes
        };
        let mut field = reader(Element::Field);
        assert_eq!(field.read_set(&encoded(3, 2)), Ok(()));
        assert_eq!(field.read_set(&encoded(1000, 7)), Ok(()));
        assert_eq!(field.read_set(&encoded(7, 99)), Ok(()));
        assert_eq!(field.said, Said([0, 0, 2, 0, 0, 0]));
        for (number, value) in [(3, 9), (4, 1), (10, 1), (999, 1), (6, 1)] {
            assert!(field.read_set(&encoded(number, value)).is_err(), "{number}: {value}");
        }
        assert!(field.read_set(b"\x0a\x01a").is_err());
        assert!(field.read_set(b"\x08").is_err());
    }
}
