//! Where in a file a rule stands: looked up only when something is wrong with it, by reading the file once more.

use prost::Message as _;
use prost_types::{FileDescriptorProto, UninterpretedOption};

use super::written::{EXTENSION, Spot};
use crate::catalog::gather::read_text;
use crate::catalog::mistake::Mistake;
use crate::catalog::unit::{self, Origin, Unit, parse_text, spot_of};

/// `UninterpretedOption`s have this number in every kind of options.
const UNINTERPRETED: i32 = 999;

/// A mistake about what stands at `spot`: by file, line and column where there is a text or source info, else by file.
pub(in crate::catalog) fn mistake(units: &[Unit], spot: &Spot, text: &str) -> Mistake {
    let mistake = Mistake::new(text);
    match units.get(spot.unit) {
        Some(unit) => mistake.at(unit.place(line_and_column(unit, &spot.path).unwrap_or_default())),
        None => mistake,
    }
}

fn line_and_column(unit: &Unit, path: &[i32]) -> Option<unit::Spot> {
    let text = |text: &str| parse_text(&unit.name, &unit.shown, text).ok().map(|parsed| parsed.file);
    let file = match &unit.origin {
        Origin::Disk(path) => text(&read_text(path, &unit.shown).ok()?)?,
        Origin::Bundled(bundled) => text(bundled)?,
        Origin::Set(bytes) => FileDescriptorProto::decode(&bytes[..]).ok()?,
        Origin::Protobuf => return None,
    };
    let info = file.source_code_info.as_ref()?;
    let option = options(path).and_then(|options| {
        let below = |path: &[i32]| {
            path.strip_prefix(&options[..]).is_some_and(|rest| match rest {
                [UNINTERPRETED, at, ..] => is_rule(&file, path, *at),
                [number, ..] => *number == EXTENSION.cast_signed(),
                [] => false,
            })
        };
        info.location.iter().find(|location| below(&location.path))
    });
    let path = option.map_or(path, |option| &option.path);
    Some(spot_of(Some(info), path)).filter(|spot| *spot != (0, 0))
}

/// The path of the options of what stands at a path: of a message (7), a field (8), a oneof (2).
fn options(path: &[i32]) -> Option<Vec<i32>> {
    let number = match path {
        [4, _] | [.., 3, _] => 7,
        [.., 8, _] => 2,
        [.., 2, _] => 8,
        _ => return None,
    };
    Some([path, &[number]].concat())
}

/// Whether the `at`th option of those at this path is one of `buf.validate`.
fn is_rule(file: &FileDescriptorProto, path: &[i32], at: i32) -> bool {
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    uninterpreted(file, path).and_then(|options| options.get(at)).is_some_and(|option| {
        let first = option.name.first().filter(|first| first.is_extension);
        first.is_some_and(|first| {
            let name = first.name_part.trim_start_matches('.');
            matches!(name.rsplit('.').next(), Some("field" | "message" | "oneof")) && name.contains("validate")
        })
    })
}

fn uninterpreted<'f>(file: &'f FileDescriptorProto, path: &[i32]) -> Option<&'f [UninterpretedOption]> {
    let index = |at: i32| usize::try_from(at).ok();
    let [4, first, rest @ ..] = path else { return None };
    let (mut message, mut rest) = (file.message_type.get(index(*first)?)?, rest);
    while let [3, at, further @ ..] = rest {
        (message, rest) = (message.nested_type.get(index(*at)?)?, further);
    }
    Some(match rest {
        [7, ..] => &message.options.as_ref()?.uninterpreted_option,
        [2, at, 8, ..] => &message.field.get(index(*at)?)?.options.as_ref()?.uninterpreted_option,
        [8, at, 2, ..] => &message.oneof_decl.get(index(*at)?)?.options.as_ref()?.uninterpreted_option,
        _ => return None,
    })
}
