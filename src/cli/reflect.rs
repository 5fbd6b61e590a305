//! `transom reflect`: what the instances of an upstream say of themselves, how they differ, and a file of it.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::flags::CatalogFlags;
use super::{FAILED, REFUSED, report};
use crate::catalog::{self, HeldSet, Mistake, Source};
use crate::config::Settled;
use crate::reflect::{Change, Differences, OnDrift, Set, Settings, Told, ask, choose, failures};

pub(super) const EXAMPLES: &str = "\
Examples:
  transom reflect --upstream h2c://127.0.0.1:50051                     what it has
  transom reflect --upstream h2c://127.0.0.1:50051 --out books.binpb   as a descriptor set, for --descriptor-set, protoc, buf
  transom reflect transom.yaml --pin                                   writes the `pin:` of each catalog
  transom reflect transom.yaml --deny-drift                            in CI: do the instances, and the pin, agree?

Exit codes: 0 done; 1 nobody could be asked; 2 bad usage, what is said is no catalog, or drift that is denied.";

#[derive(Debug, Args)]
pub(super) struct ReflectFlags {
    #[command(flatten)]
    catalog: CatalogFlags,

    /// Only this catalog of CONFIG
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Write the descriptor set of the one catalog there, whole: with all that it imports
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Write each catalog's descriptor set to the file that its `reflect: {pin: FILE}` names
    #[arg(long)]
    pin: bool,

    /// Differences between instances, or with the pin as it was, fail
    #[arg(long)]
    deny_drift: bool,
}

/// What came of asking.
#[derive(Default)]
struct Asked<'s> {
    /// What the instances said, for people.
    text: String,
    /// Parts that differ.
    drifts: usize,
    /// Catalogs of which nobody said anything.
    silent: usize,
    /// Who said nothing, and why.
    failures: Vec<Mistake>,
    /// Why what was said is not to be written.
    unfit: Vec<Mistake>,
    writings: Vec<Writing<'s>>,
}

/// What is to be written.
struct Writing<'s> {
    file: &'s Path,
    set: Arc<Set>,
}

pub(super) fn run(mut flags: ReflectFlags) -> ExitCode {
    // who asks for this verb and gives an upstream means its reflection
    flags.catalog.reflect |= !flags.catalog.upstream.is_empty();
    let catalog = std::mem::take(&mut flags.catalog);
    let settled = match catalog.origin().load() {
        Ok(settled) => settled,
        Err(mistakes) => return report::refused(&mistakes),
    };
    let wanted = match flags.wanted(&settled) {
        Ok(wanted) => wanted,
        Err(mistakes) => return report::refused(&mistakes),
    };
    let mut asked = Asked::default();
    for settings in wanted {
        asked.ask(settings, &settled, flags.file(settings));
    }
    report::print(&asked.text);
    flags.ended(asked)
}

/// Appends what the instances of a catalog said; how many differences there are.
fn tell(settings: &Settings, told: &[Told], out: &mut String) -> usize {
    let pin = settings.pin.as_ref().and_then(|pin| Set::read(pin, &settings.services).ok());
    let chosen = choose(told, None);
    let reference = pin.as_ref().map(|set| (set, "the pin")).or(chosen.as_deref().map(|set| (set, "most")));
    // writing to a String cannot fail
    let _ = writeln!(out, "catalog {}, reflection of cluster {}", settings.catalog, settings.cluster.name);
    let mut drifts = 0;
    for told in told {
        let (Some(set), Some(version)) = (told.set(), told.version()) else {
            let why = told.failure().unwrap_or_default();
            let _ = writeln!(out, "  {}: {}", told.endpoint, report::one_line(&why));
            continue;
        };
        let outline = set.outline();
        let counts = [(set.services().len(), "service"), (outline.count("method"), "method"), (set.files(), "file")];
        let counts = counts.map(|(count, what)| format!("{count} {what}{}", if count == 1 { "" } else { "s" }));
        let differences = reference.map(|(reference, _)| reference.outline().differences(outline)).unwrap_or_default();
        let than = reference.filter(|_| !differences.is_empty()).map(|(_, than)| than);
        let drift = than.map_or(String::new(), |than| format!("; {} otherwise than {than}", differences.count));
        let _ = writeln!(out, "  {} ({version}): {}{drift}", told.endpoint, counts.join(", "));
        list(&differences, out);
        drifts += differences.count;
    }
    if let Some(set) = &chosen {
        for service in set.services() {
            let _ = writeln!(out, "  {service}");
        }
    }
    drifts
}

fn list(differences: &Differences, out: &mut String) {
    for change in &differences.first {
        let line = Change::to_string(change);
        let _ = writeln!(out, "    {}", report::one_line(&line));
    }
    let more = differences.count.saturating_sub(differences.first.len());
    if more > 0 {
        let _ = writeln!(out, "    and {more} more");
    }
}

/// Whether a set may be written: it makes a catalog, and the instances agree where they have to.
fn fit(settings: &Settings, settled: &Settled, told: &[Told], set: &Arc<Set>) -> Result<(), Vec<Mistake>> {
    let other = told.iter().find(|told| told.set().is_some_and(|other| other.outline() != set.outline()));
    if let (OnDrift::Refuse, Some(other)) = (settings.drift, other) {
        let text =
            format!("{} says otherwise than the others, and `drift: refuse` allows none of that", other.endpoint);
        return Err(vec![Mistake::new(text)]);
    }
    let source = settled.catalogs.iter().find(|source| *source.name == *settings.catalog);
    let source = source.cloned().unwrap_or_else(|| Source::new(&*settings.catalog, ""));
    let held = HeldSet { name: format!("reflection of {}", settings.cluster.name).into(), bytes: set.bytes().clone() };
    catalog::load(&Source { held_sets: vec![held], ..source }).map(drop)
}

// === impl Asked ===

impl<'s> Asked<'s> {
    fn ask(&mut self, settings: &Settings, settled: &Settled, file: Option<&'s Path>) {
        let told = ask(settings, 0);
        self.drifts += tell(settings, &told, &mut self.text);
        self.failures.extend(failures(settings, &told));
        let Some(set) = choose(&told, None) else {
            self.silent += 1;
            return;
        };
        if let Some(file) = file {
            match fit(settings, settled, &told, &set) {
                Ok(()) => self.writings.push(Writing { file, set }),
                Err(more) => self.unfit.extend(more),
            }
        }
    }
}

// === impl ReflectFlags ===

impl ReflectFlags {
    /// Writes what is to be written, if all of it may be, and says how it went.
    fn ended(&self, asked: Asked<'_>) -> ExitCode {
        if asked.silent > 0 {
            report::refused(&asked.failures);
            return ExitCode::from(FAILED);
        }
        report::warn(&asked.failures);
        if !asked.unfit.is_empty() {
            return report::refused(&asked.unfit);
        }
        for writing in &asked.writings {
            if let Err(error) = writing.write() {
                return report::failed(format!("{}: {error}", writing.file.display()));
            }
        }
        if self.deny_drift && asked.drifts > 0 {
            eprintln!("{} differences, and drift is denied", asked.drifts);
            return ExitCode::from(REFUSED);
        }
        ExitCode::SUCCESS
    }

    /// The catalogs to ask for. Errors: there are none, or the flags do not fit them.
    fn wanted<'s>(&self, settled: &'s Settled) -> Result<Vec<&'s Settings>, Vec<Mistake>> {
        let of_name = |settings: &&Settings| self.name.as_ref().is_none_or(|name| **name == *settings.catalog);
        let wanted: Vec<&Settings> = settled.reflections.iter().filter(of_name).collect();
        let mistake = match (wanted.as_slice(), &self.name) {
            ([], Some(name)) => Mistake::new(format!("no catalog \"{name}\" comes from reflection")),
            ([], None) => Mistake::new("no catalog comes from reflection")
                .hint("give --upstream URL, or a CONFIG in which a catalog says `reflect: true`"),
            ([_, _, ..], _) if self.out.is_some() => {
                Mistake::new("--out is one file, and several catalogs come from reflection").hint("say which by --name")
            }
            _ => match wanted.iter().find(|settings| self.pin && settings.pin.is_none()) {
                Some(settings) => Mistake::new(format!("catalog {} has no `pin` to write", settings.catalog))
                    .hint("reflect: {pin: FILE} in CONFIG, or --out FILE"),
                None => return Ok(wanted),
            },
        };
        Err(vec![mistake])
    }

    /// Where a catalog's set goes.
    fn file<'s>(&'s self, settings: &'s Settings) -> Option<&'s Path> {
        self.out.as_deref().or(settings.pin.as_deref().filter(|_| self.pin))
    }
}

// === impl Writing ===

impl Writing<'_> {
    /// Puts the file in its place whole: whoever watches it never reads half of it.
    fn write(&self) -> io::Result<()> {
        let bytes = self.set.whole();
        if self.file == Path::new("-") {
            return io::Write::write_all(&mut io::stdout().lock(), &bytes);
        }
        let mut name = self.file.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let beside = self.file.with_file_name(name);
        std::fs::write(&beside, &bytes)?;
        if let Err(error) = std::fs::rename(&beside, self.file) {
            let _ = std::fs::remove_file(&beside);
            return Err(error);
        }
        eprintln!("wrote {}: {} files, {} bytes", self.file.display(), self.set.files(), bytes.len());
        Ok(())
    }
}
