//! Every rule of a catalog as large as googleapis: loaded, routed, and reached by a request that was made backwards of a
//! random message for it. `run.sh` has the catalog.
//!
//!     googleapis_bindings ROOT [--seed N] [--socket N] [--expected FILE]
//!
//! ROOT is a folder of `.proto` files. A sample of `--socket` rules is called over sockets as well. FILE has a line for each
//! rule that may fail, as it is told here; `#` begins a reason. Prints what it found, and closes with
//! `googleapis: N passed, M failed`; exits with 1 if a rule is missed or makes another message, or if one that is expected
//! to fail does not.

mod socket;
mod synthesis;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage};
use synthesis::{Dice, Request};
use transom::catalog::{
    Binding, BrokenRules, Catalog, Conflicts, Method, Mistake, PartialRest, PartialSettings, SettingRule, Source, load,
};
use transom::route::{Match, MethodRef, Table};
use transom::transcode::{ReadOptions, weave};

/// A rule whose `**` leaves room for closer ones is given so many chances.
const TRIES: usize = 24;

/// So many failures are told in full.
const TOLD: usize = 20;

struct Arguments {
    root: PathBuf,
    seed: u64,
    socket: usize,
    expected: Vec<String>,
}

/// How many bindings ended how.
#[derive(Default)]
struct Counts {
    bindings: usize,
    same: usize,
    /// Another service claims the shape as well, under the same host: nobody is routed there, and it was said so.
    reported: usize,
    /// The same rule of the same method, written twice.
    twice: usize,
    /// Which binding, and why.
    failed: Vec<(String, String)>,
}

/// What became of a request.
enum Outcome {
    Same,
    Twice,
    /// A closer rule took it.
    Elsewhere(String),
    Wrong(String),
}

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let start = Instant::now();
    let catalog = match load(&source(&arguments.root)) {
        Ok(loaded) => Arc::new(loaded.catalog),
        Err(mistakes) => return refused(&mistakes),
    };
    let catalogs = [catalog];
    let (table, warnings) = match Table::build(&catalogs) {
        Ok(built) => built,
        Err(mistakes) => return refused(&mistakes),
    };
    let [catalog] = &catalogs;
    let pool = DescriptorPool::decode(catalog.descriptor_set.clone()).expect("a descriptor set");
    println!(
        "{} services, {} methods, loaded in {:.1} s; {} conflicts reported",
        catalog.services.len(),
        catalog.methods.len(),
        start.elapsed().as_secs_f64(),
        warnings.iter().filter(|warning| warning.text.contains("has the shape of")).count(),
    );
    let mut counts = Counts::default();
    let mut reached = Vec::new();
    for (m, method) in (0..).zip(&catalog.methods) {
        let at = MethodRef { catalog: 0, method: m };
        for index in 0..method.bindings.len() {
            counts.bindings += 1;
            let mut dice = Dice::new(arguments.seed.wrapping_add(counts.bindings as u64));
            reached.extend(examine(&mut counts, &mut dice, &table, &pool, catalog, at, index));
        }
    }
    println!("{}", shapes(&table, catalog));
    let mut failed = counts.tell(start, &arguments.expected);
    let mut passed = counts.bindings - counts.failed.len();
    if arguments.socket > 0 {
        let step = reached.len().div_ceil(arguments.socket).max(1);
        let sample: Vec<_> = reached.into_iter().step_by(step).collect();
        let (asked, wrong) = (sample.len(), socket::ask_all(&catalogs, sample));
        wrong.iter().take(TOLD).for_each(|text| println!("FAILED over a socket: {text}"));
        println!("over a socket: {} of {asked} reached with the same message", asked - wrong.len());
        failed += wrong.len();
        passed += asked - wrong.len();
    }
    println!("googleapis: {passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How many shapes are claimed by more than one service, and what becomes of them.
fn shapes(table: &Table, catalog: &Catalog) -> String {
    let mut claims: HashMap<_, (BTreeSet<usize>, bool)> = HashMap::new();
    for (m, method) in (0..).zip(&catalog.methods) {
        for (index, binding) in method.bindings.iter().enumerate() {
            let segments: Vec<String> = binding.template.segments.iter().map(|one| format!("{one:?}")).collect();
            let claim = claims.entry((binding.verb.clone(), segments, binding.template.verb.clone())).or_default();
            claim.0.insert(method.service);
            claim.1 |= table.is_disputed(MethodRef { catalog: 0, method: m }, index);
        }
    }
    let several = claims.values().filter(|(services, _)| services.len() > 1);
    let (all, reported) = several.fold((0, 0), |(all, told), (_, disputed)| (all + 1, told + usize::from(*disputed)));
    format!("{all} shapes are of several services: {} told apart by host, {reported} reported", all - reported)
}

// === impl Arguments ===

impl Arguments {
    fn read() -> Arguments {
        let mut read = Arguments { root: PathBuf::new(), seed: 1, socket: 0, expected: Vec::new() };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut next = || words.next().expect("a value");
            match word.as_str() {
                "--seed" => read.seed = next().parse().expect("a number"),
                "--socket" => read.socket = next().parse().expect("a number"),
                "--expected" => {
                    let text = std::fs::read_to_string(next()).expect("a file");
                    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
                    read.expected = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
                }
                root => read.root = root.into(),
            }
        }
        read
    }
}

fn source(root: &std::path::Path) -> Source {
    let rest = PartialRest { query_brackets: Some(true), ..PartialRest::default() };
    let settings = PartialSettings { rest, ..PartialSettings::default() };
    Source {
        settings: vec![SettingRule { pattern: "*".into(), settings, place: None }],
        proto_paths: vec![root.to_path_buf()],
        conflicts: Conflicts::Report,
        default_hosts: true,
        broken_rules: BrokenRules::Keep,
        ..Source::new("googleapis", "upstream")
    }
}

fn refused(mistakes: &[Mistake]) -> ExitCode {
    mistakes.iter().take(TOLD).for_each(|mistake| println!("FAILED to load: {mistake}"));
    println!("{} mistakes", mistakes.len());
    ExitCode::FAILURE
}

/// Makes requests for a binding until one reaches it, or none is left to try. Returns that one.
fn examine(
    counts: &mut Counts,
    dice: &mut Dice,
    table: &Table,
    pool: &DescriptorPool,
    catalog: &Catalog,
    at: MethodRef,
    index: usize,
) -> Option<socket::Case> {
    let method = &catalog.methods[at.method as usize];
    let binding = &method.bindings[index];
    let name = format!("{} {} of {}", binding.verb, binding.template.text, method.path);
    let Some(input) = pool.get_message_by_name(&catalog.schema.message(method.input).name) else {
        counts.failed.push((name, "its request is in no descriptor".to_owned()));
        return None;
    };
    let host = catalog.services[method.service].hosts.first().map(|host| &**host);
    let mut last = String::new();
    for _ in 0..TRIES {
        let brackets = dice.roll(2) == 0;
        let request = Request::made(dice, (catalog, method, binding), &input, brackets);
        if table.is_disputed(at, index) {
            match table.template(&request.verb, host, &request.path) {
                Match::None => counts.reported += 1,
                found => counts.failed.push((name, format!("disputed, but {} is {found:?}", request.path))),
            }
            return None;
        }
        match outcome(table, catalog, at, index, host, &request, brackets) {
            Outcome::Same => {
                counts.same += 1;
                let host = host.map(str::to_owned);
                return Some(socket::Case { name, host, request, called: method.path.to_string() });
            }
            Outcome::Twice => {
                counts.twice += 1;
                return None;
            }
            Outcome::Wrong(text) => {
                counts.failed.push((name, text));
                return None;
            }
            Outcome::Elsewhere(text) => last = text,
        }
    }
    counts.failed.push((name, format!("nothing reaches it: {last}")));
    None
}

fn outcome(
    table: &Table,
    catalog: &Catalog,
    at: MethodRef,
    index: usize,
    host: Option<&str>,
    request: &Request,
    brackets: bool,
) -> Outcome {
    let method = &catalog.methods[at.method as usize];
    let variables = match table.template(&request.verb, host, &request.path) {
        Match::Found { method, binding, variables } if (method, binding) == (at, index) => variables,
        Match::Found { method: other, binding, .. } if other == at && is_same(method, binding, index) => {
            return Outcome::Twice;
        }
        other => return Outcome::Elsewhere(format!("{} is {other:?}", request.path)),
    };
    let values: Vec<(usize, Cow<'_, str>)> = variables.iter().cloned().enumerate().collect();
    let options = ReadOptions { query_brackets: brackets, ..ReadOptions::from(&method.settings) };
    let (query, body) = (request.query.as_deref(), request.body.as_deref());
    let mut wire = Vec::new();
    let binding = &method.bindings[index];
    let woven = weave(&catalog.schema, method.input, binding, &values, query, body, &options, &mut wire);
    if let Err(bad) = woven {
        return Outcome::Wrong(format!("{} refused: {bad}", told(request)));
    }
    match DynamicMessage::decode(request.message.descriptor(), &wire[..]) {
        Ok(message) if message == request.message => Outcome::Same,
        Ok(message) => Outcome::Wrong(format!("{} is {message}, not {}", told(request), request.message)),
        Err(error) => Outcome::Wrong(format!("{} is no message: {error}", told(request))),
    }
}

fn is_same(method: &Method, one: usize, other: usize) -> bool {
    let shape = |binding: &Binding| {
        (binding.verb.clone(), binding.template.clone(), binding.variables.clone(), binding.body, binding.response_body)
    };
    shape(&method.bindings[one]) == shape(&method.bindings[other])
}

fn told(request: &Request) -> String {
    let body = request.body.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    format!("{} {}?{} {body}", request.verb, request.path, request.query.as_deref().unwrap_or_default())
}

// === impl Counts ===

impl Counts {
    /// Returns how many failed that should not have, or passed that should not have.
    fn tell(&self, start: Instant, expected: &[String]) -> usize {
        let mut unforeseen = 0;
        for (name, why) in &self.failed {
            let foreseen = expected.contains(name);
            unforeseen += usize::from(!foreseen);
            if foreseen || unforeseen <= TOLD {
                println!("{} {name}: {why}", if foreseen { "as expected:" } else { "FAILED" });
            }
        }
        for name in expected.iter().filter(|name| self.failed.iter().all(|(failed, _)| failed != *name)) {
            println!("FAILED {name}: is expected to fail, and does not");
            unforeseen += 1;
        }
        println!(
            "{} bindings: {} reached with the same message, {} reported as claimed twice, {} written twice, {} missed; \
             {:.1} s",
            self.bindings,
            self.same,
            self.reported,
            self.twice,
            self.failed.len(),
            start.elapsed().as_secs_f64(),
        );
        unforeseen
    }
}
