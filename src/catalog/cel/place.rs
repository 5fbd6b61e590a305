//! Where a broken rule stands in its file. Places of options are not kept when a file is read; it is read once more.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, UninterpretedOption};

use super::super::gather::read_text;
use super::super::mistake::Mistake;
use super::super::unit::{Origin, Spot, Unit, parse_text, spot_of};
use super::rewrite::{Broken, Rule, Site};

const UNINTERPRETED: i32 = 999;

/// All broken rules as mistakes, each with the place of its option, as far as the file tells it.
pub(super) fn mistakes(units: &[Unit], rules: &[Rule], broken: &[Broken]) -> Vec<Mistake> {
    let mut files: HashMap<usize, Option<FileDescriptorProto>> = HashMap::new();
    let nameless = Rule::default();
    let mut mistakes = Vec::with_capacity(broken.len());
    for Broken { rule, site } in broken {
        let rule = rules.get(*rule).unwrap_or(&nameless);
        let Some(unit) = units.get(site.unit) else { continue };
        let file = files.entry(site.unit).or_insert_with(|| read_again(unit));
        let spot = file.as_ref().map_or((0, 0), |file| spot(file, site, rule));
        mistakes.push(Mistake::new(rule.shown()).at(unit.place(spot)));
    }
    mistakes
}

fn read_again(unit: &Unit) -> Option<FileDescriptorProto> {
    let parsed = |text: &str| parse_text(&unit.name, &unit.shown, text).ok().map(|parsed| parsed.file);
    match &unit.origin {
        Origin::Disk(path) => parsed(&read_text(path, &unit.shown).ok()?),
        Origin::Bundled(text) => parsed(text),
        Origin::Set(bytes) => FileDescriptorProto::decode(&bytes[..]).ok(),
        Origin::Protobuf => None,
    }
}

/// The nearest place that source info tells: of the option's part, of the option, of what holds it.
fn spot(file: &FileDescriptorProto, site: &Site, rule: &Rule) -> Spot {
    let info = file.source_code_info.as_ref();
    // options = 8 of FieldDescriptorProto, 7 of DescriptorProto
    let holder = Holder::find(file, &site.element);
    let options = [&site.element[..], &[if matches!(holder, Some(Holder::Message(_))) { 7 } else { 8 }]].concat();
    if let Some(at) = holder.and_then(|holder| holder.written(site, rule)) {
        let spot = spot_of(info, &[&options[..], &[UNINTERPRETED, at]].concat());
        if spot != (0, 0) {
            return spot;
        }
    }
    let exact = [&options[..], &[site.option], &site.steps[..]].concat();
    let lengths = (options.len() + 1..=exact.len()).rev().chain([site.element.len()]);
    lengths
        .map(|length| spot_of(info, exact.get(..length).unwrap_or_default()))
        .find(|spot| *spot != (0, 0))
        .unwrap_or_default()
}

/// What holds the rule.
enum Holder<'a> {
    Message(&'a DescriptorProto),
    Field(&'a FieldDescriptorProto),
}

// === impl Holder ===

impl<'a> Holder<'a> {
    /// By a path of `SourceCodeInfo`: FileDescriptorProto has message_type = 4, extension = 7; DescriptorProto field = 2,
    /// nested_type = 3, extension = 6.
    fn find(file: &'a FileDescriptorProto, path: &[i32]) -> Option<Holder<'a>> {
        let at = |index: i32| usize::try_from(index).unwrap_or(usize::MAX);
        let mut rest = match *path {
            [7, i] => return file.extension.get(at(i)).map(Holder::Field),
            [4, i, ref rest @ ..] => (file.message_type.get(at(i))?, rest),
            _ => return None,
        };
        loop {
            let message = rest.0;
            rest = match *rest.1 {
                [] => return Some(Holder::Message(message)),
                [2, i] => return message.field.get(at(i)).map(Holder::Field),
                [6, i] => return message.extension.get(at(i)).map(Holder::Field),
                [3, i, ref rest @ ..] => (message.nested_type.get(at(i))?, rest),
                _ => return None,
            };
        }
    }

    /// Which of the options that a parser left as they were written holds the rule.
    fn written(&self, site: &Site, rule: &Rule) -> Option<i32> {
        let options = match self {
            Holder::Message(message) => &message.options.as_ref()?.uninterpreted_option,
            Holder::Field(field) => &field.options.as_ref()?.uninterpreted_option,
        };
        let name = match (self, site.option) {
            (_, 1160) => "predefined",
            (Holder::Message(_), _) => "message",
            (Holder::Field(_), _) => "field",
        };
        let ours = |option: &UninterpretedOption| {
            let first = option.name.first().filter(|part| part.is_extension);
            first.is_some_and(|part| part.name_part.rsplit('.').next() == Some(name))
        };
        let text = |option: &UninterpretedOption| {
            let string = option.string_value.as_deref().map(String::from_utf8_lossy);
            format!("{}{}", string.unwrap_or_default(), option.aggregate_value())
        };
        let holds = |option: &UninterpretedOption, what: &str| !what.is_empty() && text(option).contains(what);
        let mut candidates: Vec<(usize, &UninterpretedOption)> =
            options.iter().enumerate().filter(|(_, option)| ours(option)).collect();
        for sign in [&*rule.expression, &*rule.id] {
            let with: Vec<_> = candidates.iter().copied().filter(|(_, option)| holds(option, sign)).collect();
            candidates = if with.is_empty() { candidates } else { with };
        }
        candidates.first().and_then(|(at, _)| i32::try_from(*at).ok())
    }
}
