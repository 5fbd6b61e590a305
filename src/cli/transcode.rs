//! `transom transcode`: one message from one form to another, by the code that the edge runs.

use std::io::{Read, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::flags::CatalogFlags;
use super::{catalogs, report};
use crate::catalog::{Catalog, MessageId, Mistake};
use crate::transcode::{GuardOptions, MAX_BROKEN, PrintOptions, ReadOptions, guard, json_to_wire, wire_to_json};
use crate::wire::closest;

pub(super) const EXAMPLES: &str = "\
Examples:
  echo '{\"name\": \"joe\"}' | transom transcode --proto-path protos --type helloworld.HelloRequest --to binary >joe.bin
  transom transcode --proto-path protos --type helloworld.HelloRequest --from binary <joe.bin
  transom transcode --proto-path protos --type helloworld.HelloRequest --from text --to json <joe.txt
  transom transcode --proto-path protos --type shop.Order --validate <order.json >/dev/null

Exit codes: 0 done; 1 the input is no such message, or breaks its rules; 2 bad usage or catalog";

#[derive(Debug, Args)]
pub(super) struct TranscodeFlags {
    #[command(flatten)]
    catalog: CatalogFlags,

    /// Full name of the message type, as pkg.Message
    #[arg(long = "type", value_name = "TYPE")]
    name: String,

    #[command(flatten)]
    wanted: Wanted,
}

/// What is to be made of the input.
#[derive(Debug, Args)]
struct Wanted {
    /// Form of the standard input
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Form::Json)]
    from: Form,

    /// Form of the standard output
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Form::Json)]
    to: Form,

    /// Blanks per level of JSON; 0: all in one line
    #[arg(long, value_name = "0-8", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=8))]
    indent: u8,

    /// Judge the message by the rules of buf.validate that its type carries, as the edge does; those that it breaks are
    /// told a line each on standard error, and nothing is printed
    #[arg(long)]
    validate: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Protobuf's JSON mapping
    Json,
    /// Protobuf's encoding
    Binary,
    /// Protobuf's text format
    Text,
}

pub(super) fn run(flags: TranscodeFlags) -> ExitCode {
    let TranscodeFlags { catalog, name, wanted } = flags;
    let complete = match catalogs::load(&catalog.origin()) {
        Ok((_, complete)) => complete,
        Err(mistakes) => return report::refused(&mistakes),
    };
    let found = complete.catalogs.iter().find_map(|catalog| Some((catalog, catalog.schema.find(&name)?)));
    let Some((catalog, id)) = found else {
        let names = complete.catalogs.iter().flat_map(|catalog| &catalog.schema.messages).map(|message| &*message.name);
        let mut mistake = Mistake::new(format!("no catalog has a message type {name:?}"));
        mistake.hint = closest(&name, names).map(|near| format!("did you mean {near:?}?"));
        return report::refused(&[mistake]);
    };
    let mut input = Vec::new();
    if let Err(error) = std::io::stdin().lock().read_to_end(&mut input) {
        return report::failed(format!("the standard input cannot be read: {error}"));
    }
    match wanted.made_of(catalog, id, input).map(|bytes| std::io::stdout().lock().write_all(&bytes)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Ok(Err(error)) => report::failed(format!("the standard output cannot be written: {error}")),
        Err(why) => report::failed(report::one_line(&why)),
    }
}

// === impl Wanted ===

impl Wanted {
    fn made_of(&self, catalog: &Catalog, id: MessageId, input: Vec<u8>) -> Result<Vec<u8>, String> {
        let wire = to_wire(catalog, id, self.from, input)?;
        if self.validate {
            judge(catalog, id, &wire)?;
        }
        match (self.from, self.to) {
            // printed for the check alone
            (Form::Binary, Form::Binary) => to_text(catalog, id, &wire).map(|_| wire),
            (_, Form::Binary) => Ok(wire),
            (_, Form::Json) => to_json(catalog, id, self.indent, &wire),
            (_, Form::Text) => to_text(catalog, id, &wire),
        }
    }
}

/// Tells the rules that the message breaks, all of them, and ends with how many they are.
fn judge(catalog: &Catalog, id: MessageId, wire: &[u8]) -> Result<(), String> {
    let name = &catalog.schema.message(id).name;
    let options = GuardOptions { rules: true, ..GuardOptions::default() };
    let judged =
        guard(&catalog.schema, id, wire, &options).map_err(|violation| match violation.rule.is_about_rules() {
            true => format!("a rule of {name} cannot be applied: {violation}"),
            false => format!("not an encoded {name}: {violation}"),
        });
    let broken = judged?.broken;
    for violation in &broken {
        let at = violation.field_path();
        let colon = if at.is_empty() { "" } else { ": " };
        let line = format!("{at}{colon}{} [{}]", violation.description(), violation.rule_id);
        eprintln!("{}", report::one_line(&line));
    }
    match broken.len() {
        0 => Ok(()),
        1 => Err(format!("1 rule of {name} is broken")),
        MAX_BROKEN.. => Err(format!("{MAX_BROKEN} rules of {name} are broken, or more")),
        count => Err(format!("{count} rules of {name} are broken")),
    }
}

fn to_wire(catalog: &Catalog, id: MessageId, from: Form, input: Vec<u8>) -> Result<Vec<u8>, String> {
    match from {
        Form::Binary => Ok(input),
        Form::Json => {
            let mut wire = Vec::new();
            let read = json_to_wire(&catalog.schema, id, &input, &ReadOptions::default(), &mut wire);
            read.map(|()| wire).map_err(|bad| bad.to_string())
        }
        Form::Text => {
            let text = std::str::from_utf8(&input).map_err(|_| "the text is not UTF-8".to_owned())?;
            let read = catalog.text_to_wire(&catalog.schema.message(id).name, text, "<stdin>");
            read.map_err(|mistake| mistake.to_string())
        }
    }
}

fn to_json(catalog: &Catalog, id: MessageId, indent: u8, wire: &[u8]) -> Result<Vec<u8>, String> {
    let mut json = Vec::new();
    let options = PrintOptions { indent, ..PrintOptions::default() };
    let printed = wire_to_json(&catalog.schema, id, wire, &options, &mut json);
    printed.map_err(|bad| format!("not an encoded {}: {bad}", catalog.schema.message(id).name))?;
    json.push(b'\n');
    Ok(json)
}

fn to_text(catalog: &Catalog, id: MessageId, wire: &[u8]) -> Result<Vec<u8>, String> {
    let text = catalog.wire_to_text(&catalog.schema.message(id).name, wire);
    text.map(String::into_bytes).map_err(|mistake| mistake.to_string())
}
