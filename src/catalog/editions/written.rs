//! `.proto` texts of editions, for a parser that knows none: rewritten as proto3 at equal places, so that what the
//! parser complains of stands where its author sees it. What cannot be said in proto3 is taken out and put back
//! afterwards, or refused by its place; nothing is passed over.

use std::sync::Arc;

use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, SourceCodeInfo};

use super::super::diagnose;
use super::super::mistake::Mistake;
use super::super::sound::{Fault, complaints};
use super::super::unit::file_tag;
use super::defaults::{self, DEFAULT, NEGATIVE_DEFAULT};
use super::features::Edition;
use super::tokens::{Kind, Token, tokens};
use super::{Parsed, lower};

/// Stands on a line of its own above the text; places are counted without it.
const HEAD: &str = "syntax=\"proto3\";\n";

/// A text that the parser takes.
#[derive(Debug)]
struct Rewritten {
    edition: Edition,
    /// [`HEAD`], then as many bytes and lines as the original has.
    text: Vec<u8>,
    reserved: Vec<Reserved>,
    mistakes: Vec<Mistake>,
}

/// Names that a message or an enum reserves, written as identifiers.
#[derive(Debug, PartialEq, Eq)]
struct Reserved {
    /// The names of the messages around it, and its own.
    within: Vec<String>,
    names: Vec<String>,
}

/// A block in braces.
enum Block {
    Message(String),
    Enum(String),
    Other,
}

struct Rewriter<'a> {
    source: &'a str,
    shown: &'a Arc<str>,
    blocks: Vec<Block>,
    out: Rewritten,
}

/// The offset of the word `edition`, if a text begins with an edition statement.
pub(in crate::catalog) fn statement(text: &str) -> Option<usize> {
    let mut rest = text.trim_start_matches('\u{feff}');
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.split_once('\n')?.1;
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/")?.1;
        } else {
            break;
        }
    }
    let tail = rest.strip_prefix("edition")?;
    let more = tail.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (!more).then_some(text.len() - rest.len())
}

/// Parses a text that begins with an edition statement, and lowers it. All its mistakes come back with their places.
pub(in crate::catalog) fn parse(name: &str, shown: &Arc<str>, text: &str) -> Result<Parsed, Vec<Mistake>> {
    let rewritten = rewrite(shown, text).map_err(|mistake| vec![*mistake])?;
    let edition = rewritten.edition;
    let mut mistakes = rewritten.mistakes;
    // what was taken out was ASCII, and blanks took its place
    let taken = String::from_utf8(rewritten.text).unwrap_or_default();
    let mut file: FileDescriptorProto = match protox::file::File::from_source(name, &taken) {
        Ok(file) => file.into(),
        Err(error) => {
            let found = diagnose::mistakes(&error, shown, &taken).into_iter().map(back_in_place);
            // one that is reported already, in better words
            mistakes.extend(found.filter(|mistake| !mistake.text.contains("groups are not allowed")));
            return Err(mistakes);
        }
    };
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    if let Some(info) = &mut file.source_code_info {
        lift(info);
    }
    for reserved in rewritten.reserved {
        put_back(&mut file, reserved);
    }
    copy_to_entries(&mut file.message_type);
    let faults = defaults::put_back(&mut file);
    if !faults.is_empty() {
        return Err(complaints(faults, file.source_code_info.as_ref(), shown));
    }
    lowered(edition, &file).map_err(|faults| complaints(faults, file.source_code_info.as_ref(), shown))
}

fn lowered(edition: Edition, file: &FileDescriptorProto) -> Result<Parsed, Vec<Fault>> {
    let lowered = lower(edition, file, &file.encode_to_vec())?;
    let damaged = |error: prost::DecodeError| vec![Fault { path: Vec::new(), text: error.to_string(), hint: None }];
    let file = FileDescriptorProto::decode(&lowered.bytes[..]).map_err(damaged)?; // cannot fail: encoded just now
    Ok(Parsed { file, overrides: lowered.overrides, unsettled: lowered.unsettled })
}

/// What the parser says of the rewritten text, as of the original: one line less.
fn back_in_place(mut mistake: Mistake) -> Mistake {
    if let Some(place) = &mut mistake.place {
        place.line = place.line.saturating_sub(1);
    }
    mistake
}

/// Takes the line of [`HEAD`] out of all places.
fn lift(info: &mut SourceCodeInfo) {
    info.location.retain(|location| location.path != [file_tag::SYNTAX as i32]);
    for location in &mut info.location {
        let lines: &[usize] = if location.span.len() == 4 { &[0, 2] } else { &[0] };
        for line in lines {
            if let Some(line) = location.span.get_mut(*line) {
                *line = line.saturating_sub(1).max(0);
            }
        }
    }
}

/// The features of a map are those of its keys and values too: the compiler copies them to the entry (protoc does).
fn copy_to_entries(messages: &mut [DescriptorProto]) {
    for message in messages {
        for field in &message.field {
            let about_features = |option: &&prost_types::UninterpretedOption| {
                option.name.first().is_some_and(|name| !name.is_extension && name.name_part == "features")
            };
            let options = field.options.iter().flat_map(|options| &options.uninterpreted_option);
            let features: Vec<_> = options.filter(about_features).cloned().collect();
            let entry = message.nested_type.iter_mut().find(|nested| {
                nested.options.as_ref().is_some_and(|o| o.map_entry()) && nested.name() == field.type_name()
            });
            for inner in entry.into_iter().filter(|_| !features.is_empty()).flat_map(|entry| &mut entry.field) {
                inner.options.get_or_insert_default().uninterpreted_option.extend(features.iter().cloned());
            }
        }
        copy_to_entries(&mut message.nested_type);
    }
}

/// Gives reserved names back to the message or enum that they were taken from.
fn put_back(file: &mut FileDescriptorProto, reserved: Reserved) {
    let mut messages = &mut file.message_type;
    let mut enums = &mut file.enum_type;
    let Some((last, outer)) = reserved.within.split_last() else { return };
    for name in outer {
        let Some(message) = messages.iter_mut().find(|message| message.name() == name) else { return };
        (messages, enums) = (&mut message.nested_type, &mut message.enum_type);
    }
    if let Some(message) = messages.iter_mut().find(|message| message.name() == last) {
        message.reserved_name.extend(reserved.names);
    } else if let Some(declared) = enums.iter_mut().find(|declared: &&mut EnumDescriptorProto| declared.name() == last)
    {
        declared.reserved_name.extend(reserved.names);
    }
}

fn rewrite(shown: &Arc<str>, source: &str) -> Result<Rewritten, Box<Mistake>> {
    let found = tokens(source);
    let start = found.iter().position(|token| token.of(source) == "edition").unwrap_or(0);
    let place = |token: Option<&Token>| diagnose::place(shown, source, token.map_or(source.len(), |token| token.start));
    let complain = |at: usize| {
        let mistake = Mistake::new("no edition statement").at(place(found.get(at)));
        Box::new(mistake.hint("write `edition = \"2023\";`"))
    };
    if !found.get(start + 1).is_some_and(|token| token.is(b'=')) {
        return Err(complain(start + 1));
    }
    let words = found.iter().skip(start + 2).take_while(|token| token.kind == Kind::Text).count();
    let end = start + 2 + words;
    if words == 0 || !found.get(end).is_some_and(|token| token.is(b';')) {
        return Err(complain(end));
    }
    let name: String =
        found.iter().skip(start + 2).take(words).map(|token| token.of(source).trim_matches(['"', '\''])).collect();
    let Some(edition) = Edition::from_name(&name) else {
        return Err(Box::new(unknown_edition(&name).at(place(found.get(start)))));
    };
    let mut text = Vec::with_capacity(HEAD.len() + source.len());
    text.extend_from_slice(HEAD.as_bytes());
    text.extend_from_slice(source.as_bytes());
    let out = Rewritten { edition, text, reserved: Vec::new(), mistakes: Vec::new() };
    let mut rewriter = Rewriter { source, shown, blocks: Vec::new(), out };
    // a byte order mark goes with what stands before the statement
    found.iter().take(end + 1).for_each(|token| rewriter.blank(token));
    rewriter.statements(found.get(end + 1..).unwrap_or_default());
    Ok(rewriter.out)
}

/// What is said of a file in an edition that is not known.
pub(in crate::catalog) fn unknown_edition(edition: &str) -> Mistake {
    Mistake::new(format!("edition {edition:?} is not known")).hint(format!("known editions are {}", Edition::KNOWN))
}

// === impl Rewriter ===

impl Rewriter<'_> {
    /// Goes through all statements. Blocks are not balanced where the text is not; the parser will say so.
    fn statements(&mut self, mut rest: &[Token]) {
        while let Some(first) = rest.first() {
            if first.is(b';') || first.is(b'}') {
                if first.is(b'}') {
                    self.blocks.pop();
                }
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let ends = |token: &Token| matches!(token.kind, Kind::Mark(b';' | b'{' | b'}'));
            let end = rest.iter().position(ends).unwrap_or(rest.len());
            let opens = rest.get(end).is_some_and(|token| token.is(b'{'));
            let block = self.statement(rest.get(..end).unwrap_or_default(), opens);
            if opens {
                self.blocks.push(block);
            }
            let passed = if rest.get(end).is_some_and(|token| token.is(b'}')) { end } else { end + 1 };
            rest = rest.get(passed..).unwrap_or_default();
        }
    }

    /// Looks at one statement, up to its semicolon or brace; says what block the brace opens.
    fn statement(&mut self, tokens: &[Token], opens: bool) -> Block {
        let word = |at: usize| tokens.get(at).filter(|t| t.kind == Kind::Word).map_or("", |t| t.of(self.source));
        let is_text = |at: usize| tokens.get(at).is_some_and(|token| token.kind == Kind::Text);
        match (word(0), word(1)) {
            ("export" | "local", "message" | "enum") if opens && !word(2).is_empty() => {
                self.keyword_of_2024(tokens.first());
                return self.statement(tokens.get(1..).unwrap_or_default(), opens);
            }
            ("import", "option") if self.blocks.is_empty() => self.keyword_of_2024(tokens.get(1)),
            ("message", name) => return Block::Message(name.to_owned()),
            ("enum", name) => return Block::Enum(name.to_owned()),
            ("reserved", name) if !name.is_empty() => self.reserved(tokens),
            ("reserved", _) if is_text(1) => {
                let hint = "write them without quotes";
                self.complain(tokens.get(1), "reserved names are identifiers in editions", hint);
            }
            ("extensions", _) => self.options_of_one_number(tokens),
            ("group", _) => self.group(tokens.first()),
            ("repeated", "group") => self.group(tokens.get(1)),
            ("optional", _) if self.in_fields() && tokens.len() > 1 => {
                let hint = "leave it out: fields have presence unless features.field_presence is IMPLICIT";
                self.label(tokens, hint);
            }
            ("required", _) if self.in_fields() && tokens.len() > 1 => {
                self.label(tokens, "write [features.field_presence = LEGACY_REQUIRED] after the number");
            }
            _ => self.default_value(tokens),
        }
        Block::Other
    }

    fn in_fields(&self) -> bool {
        matches!(self.blocks.last(), Some(Block::Message(_) | Block::Other))
    }

    fn keyword_of_2024(&mut self, token: Option<&Token>) {
        let Some(token) = token else { return };
        if self.out.edition < Edition::E2024 {
            let text = format!("{:?} is not a keyword of edition {:?}", token.of(self.source), self.out.edition.name());
            self.complain(Some(token), &text, "it came with edition \"2024\"");
        }
        self.blank(token);
    }

    fn label(&mut self, tokens: &[Token], hint: &str) {
        let Some(label) = tokens.first() else { return };
        let text = format!("label {:?} is not for editions", label.of(self.source));
        self.complain(Some(label), &text, hint);
        self.blank(label);
        if tokens.get(1).is_some_and(|token| token.of(self.source) == "group") {
            self.group(tokens.get(1));
        }
        self.default_value(tokens);
    }

    fn group(&mut self, token: Option<&Token>) {
        let hint = "write a message and a field with [features.message_encoding = DELIMITED]";
        self.complain(token, "groups are not for editions", hint);
    }

    /// `reserved foo, bar;`
    fn reserved(&mut self, tokens: &[Token]) {
        let mut names = Vec::new();
        for (at, token) in tokens.iter().enumerate().skip(1) {
            match token.kind {
                Kind::Word if at % 2 == 1 => names.push(token.of(self.source).to_owned()),
                Kind::Mark(b',') if at % 2 == 0 => (),
                _ => return, // the parser says what is wrong with it
            }
        }
        if tokens.len() % 2 == 1 {
            return; // ends with a comma
        }
        tokens.iter().for_each(|token| self.blank(token));
        let named = self.blocks.iter().filter_map(|block| match block {
            Block::Message(name) | Block::Enum(name) => Some(name.clone()),
            Block::Other => None,
        });
        self.out.reserved.push(Reserved { within: named.collect(), names });
    }

    /// The parser takes no options behind a single number, as in `extensions 4 [...]`. They are for compilers alone.
    fn options_of_one_number(&mut self, tokens: &[Token]) {
        let open = tokens.iter().position(|token| token.is(b'[')).unwrap_or(tokens.len());
        let (ranges, options) = tokens.split_at(open);
        if let [.., before, number] = ranges
            && number.kind == Kind::Number
            && before.of(self.source) != "to"
            && options.last().is_some_and(|last| last.is(b']'))
        {
            options.iter().for_each(|token| self.blank(token));
        }
    }

    /// `[default = ...]` goes by another name, see [`defaults`].
    fn default_value(&mut self, tokens: &[Token]) {
        let mut depth = 0usize;
        for (at, token) in tokens.iter().enumerate() {
            match token.kind {
                Kind::Mark(b'[') => depth += 1,
                Kind::Mark(b']') => depth = depth.saturating_sub(1),
                Kind::Word if depth == 1 && token.of(self.source) == "default" => {
                    let next = |ahead: usize| tokens.get(at + ahead);
                    let begins = at.checked_sub(1).and_then(|at| tokens.get(at));
                    let is_option = begins.is_some_and(|before| before.is(b'[') || before.is(b','))
                        && next(1).is_some_and(|token| token.is(b'='));
                    let minus = next(2).filter(|token| token.is(b'-'));
                    let minus = minus.filter(|_| next(3).is_some_and(|token| token.kind == Kind::Word));
                    if is_option {
                        self.write(token, if minus.is_some() { NEGATIVE_DEFAULT } else { DEFAULT });
                        minus.into_iter().for_each(|minus| self.blank(minus));
                    }
                }
                _ => (),
            }
        }
    }

    /// Writes blanks over a token, but keeps its lines.
    fn blank(&mut self, token: &Token) {
        let keep = |byte: u8| if matches!(byte, b'\n' | b'\r') { char::from(byte) } else { ' ' };
        let written = self.source.as_bytes().get(token.start..token.end).unwrap_or_default();
        let blanks: String = written.iter().copied().map(keep).collect();
        self.write(token, &blanks);
    }

    fn write(&mut self, token: &Token, instead: &str) {
        let spot = self.out.text.get_mut(HEAD.len() + token.start..HEAD.len() + token.end);
        if let Some(spot) = spot.filter(|spot| spot.len() == instead.len()) {
            spot.copy_from_slice(instead.as_bytes());
        }
    }

    fn complain(&mut self, token: Option<&Token>, text: &str, hint: &str) {
        let offset = token.map_or(self.source.len(), |token| token.start);
        self.out.mistakes.push(Mistake::new(text).at(diagnose::place(self.shown, self.source, offset)).hint(hint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> Rewritten {
        rewrite(&"a.proto".into(), text).expect("an edition statement")
    }

    fn mistakes(text: &str) -> Vec<String> {
        match parse("a.proto", &"a.proto".into(), text) {
            Ok(_) => Vec::new(),
            Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_edition_statement_is_found_behind_comments_alone() {
        assert_eq!(statement("// a\n/* edition */ \n edition=\"2023\";"), Some(21));
        assert_eq!(mistakes("\u{feff}edition = \"2023\"; message M {}"), [""; 0]);
        assert_eq!(statement("\u{feff}edition = \"2023\";"), Some(3));
        for text in ["edition_x = 1", "message edition {}", "/* open", "syntax = \"proto3\";", ""] {
            assert_eq!(statement(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_rewritten_text_has_the_lines_and_columns_of_the_original() {
        let text = "// é\nedition\n = \"20\" '24';\nimport option \"x\";\nexport message M {\n  reserved a, /* é */ b;\n  \
                    float f = 1 [default = -inf, deprecated = true];\n  local enum E { Z = 0 [(default) = 1]; reserved C; }\n}";
        let Rewritten { text: found, reserved, mistakes, edition } = rewritten(text);
        let found = String::from_utf8(found).unwrap();
        let body = found.strip_prefix(HEAD).unwrap();
        assert_eq!((body.len(), body.lines().count()), (text.len(), text.lines().count()));
        assert!(mistakes.is_empty() && edition == Edition::E2024, "{mistakes:?}");
        let within = |names: &[&str], reserved: &[&str]| Reserved {
            within: names.iter().map(|name| (*name).to_owned()).collect(),
            names: reserved.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(reserved, [within(&["M"], &["a", "b"]), within(&["M", "E"], &["C"])]);
        assert!(body.contains("[defauLT =  inf, deprecated"), "{body}");
        assert!(body.contains("(default) = 1") && !body.contains("export") && !body.contains("option"));
    }

    #[test]
    fn mistakes_of_editions_stand_where_they_are_written() {
        let text = "edition = \"2023\";\nmessage M {\n  optional int32 a = 1;\n  required string b = 2;\n  \
                    repeated group G = 3 { int32 x = 1; }\n  reserved \"c\";\n}\nexport message N {}\nimport option \"x.proto\";\n";
        let found = mistakes(text);
        for (start, said) in [
            ("a.proto:3:3: ", "label \"optional\" is not for editions (leave it out"),
            ("a.proto:4:3: ", "label \"required\" is not for editions"),
            ("a.proto:5:12: ", "groups are not for editions"),
            ("a.proto:6:12: ", "reserved names are identifiers"),
            ("a.proto:8:1: ", "\"export\" is not a keyword of edition \"2023\""),
            ("a.proto:9:8: ", "\"option\" is not a keyword"),
        ] {
            let there: Vec<_> = found.iter().filter(|mistake| mistake.starts_with(start)).collect();
            assert!(there.len() == 1 && there[0].contains(said), "{start}{said}: {found:#?}");
        }
        assert_eq!(found.len(), 6, "{found:#?}");
    }

    #[test]
    fn what_the_parser_refuses_is_told_by_the_original_line() {
        let found = mistakes("edition = \"2023\";\n\nmessage M {\n  strin = 1;\n  int32 é = 2;\n}");
        assert!(found[0].starts_with("a.proto:4:9: "), "{found:?}");
        for (text, place) in
            [("edition;", "a.proto:1:8: "), ("edition = 2023;", "a.proto:1:11: "), ("edition", "a.proto:1:8: ")]
        {
            assert!(mistakes(text)[0].starts_with(place), "{:?}", mistakes(text));
        }
        let found = mistakes("// x\nedition = \"2026\";");
        assert_eq!(found, ["a.proto:2:1: edition \"2026\" is not known (known editions are \"2023\" and \"2024\")"]);
    }

    #[test]
    fn features_that_cannot_be_are_refused_by_their_places() {
        let text = "edition = \"2023\";\noption features.enum_typ = OPEN;\nmessage M {\n  option features.field_presence = IMPLICIT;\n  \
                    repeated int32 a = 1 [deprecated = true, features.field_presence = IMPLICIT];\n  \
                    int32 b = 2 [\n    packed = true];\n  int32 c = 3 [default = 1.5];\n}\nenum E { A = 1; }\n";
        let found = mistakes(text);
        assert_eq!(found, ["a.proto:8:16: field \"c\": the default value is not an integer"]);
        let found = mistakes(&text.replace("1.5", "1"));
        for (mistake, said) in found.iter().zip([
            "a.proto:2:1: unknown feature \"enum_typ\" (did you mean \"enum_type\"?)",
            "a.proto:4:3: feature field_presence is not for messages (it is for fields and the file)",
            "a.proto:5:24: field \"a\": repeated fields have no field_presence",
            "a.proto:7:5: option packed is not for editions (use features.repeated_field_encoding)",
            "a.proto:10:10: the first value of enum \"E\" must be zero, since it is open (or set",
        ]) {
            assert!(mistake.starts_with(said), "{mistake}\n{said}");
        }
        assert_eq!(found.len(), 5, "{found:#?}");
    }

    #[test]
    fn broken_texts_are_refused_and_panic_nowhere() {
        let text = "edition = \"2024\";\nexport message M { reserved a, b; int32 c = 1 [default = -1, features.field_presence = EXPLICIT]; \
                    map<int32, string> d = 2 [features = { utf8_validation: NONE [pb.x] { y: 1 } }]; local enum E { Z = 0; } oneof o { M m = 4; } \
                    extensions 8, 9 [declaration = {\n number: 8 # é\n }]; }\n";
        assert_eq!(mistakes(text), [""; 0]);
        let statement = text.find('\n').unwrap();
        for cut in (statement..text.len()).filter(|at| text.is_char_boundary(*at)) {
            let _ = parse("a.proto", &"a.proto".into(), &text[..cut]);
            for instead in ["}", "{", ";", "\"", "é", "[", "/*", "= {"] {
                let changed = format!("{}{instead}{}", &text[..cut], text.get(cut + 1..).unwrap_or_default());
                let _ = parse("a.proto", &"a.proto".into(), &changed);
            }
        }
        for odd in
            ["reserved a b;", "reserved a,;", "reserved ,;", "optional", "optional;", "export", "export message;"]
        {
            assert!(!mistakes(&format!("edition = \"2024\"; message M {{ {odd} }}")).is_empty(), "{odd}");
        }
    }
}
