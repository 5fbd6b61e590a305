//! The configuration: YAML and flags, to settled values. In two stages, *written* (what the user said, with places) and
//! *settled* (checked and complete); every mistake is found in one run.
//!
//! ```text
//! file -> load (text to tree) -> written (typed, with places) <- flags
//!                                    -> settle (names, files, defaults) -> Settled
//! ```

mod certificate;
mod complete;
mod flags;
mod load;
mod node;
mod reference_table;
mod settle;
mod settle_routes;
mod settled;
mod upstream_value;
mod value;
mod written;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use complete::{Complete, complete};
pub use flags::{COMMAND_LINE, Flags};
pub use reference_table::reference;
pub use settled::Settled;

use crate::catalog::{Mistake, Place};

/// What a configuration is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To run: every catalog needs somebody who answers.
    Serve,
    /// To be looked at: catalogs alone are enough.
    Describe,
}

/// Where a configuration comes from. Kept for as long as the process runs: a reload reads it again.
#[derive(Clone, Debug)]
pub struct Origin {
    pub file: Option<PathBuf>,
    pub flags: Flags,
    pub purpose: Purpose,
}

/// A configuration as far as it could be read, and every mistake in it. Without mistakes it is whole.
#[derive(Debug)]
pub struct Checked {
    /// `None` where nothing could be read at all. Catalogs with a mistake are left out.
    pub settled: Option<Settled>,
    /// Sorted by place; those without one come first.
    pub mistakes: Vec<Mistake>,
}

// === impl Origin ===

impl Origin {
    /// Reads everything again. Errors: every mistake of file and flags, sorted by place; those without one come first.
    pub fn load(&self) -> Result<Settled, Vec<Mistake>> {
        match self.check() {
            Checked { settled: Some(settled), mistakes } if mistakes.is_empty() => Ok(settled),
            Checked { mistakes, .. } => Err(mistakes),
        }
    }

    /// As [`Origin::load`], keeping what could be read, so that its catalogs can be looked at in the same run.
    pub fn check(&self) -> Checked {
        let environment = |name: &str| std::env::var(name).ok();
        let Some(file) = &self.file else {
            if !self.flags.name_a_catalog() {
                let text = "there is nothing to serve: neither a CONFIG nor a catalog";
                let hint = "name a configuration file, or give --upstream URL with --proto-path DIR, --descriptor-set FILE or --reflect";
                return Checked { settled: None, mistakes: vec![Mistake::new(text).hint(hint)] };
            }
            return self.settle("", "command line", Path::new(""), &environment);
        };
        let text = match load::text_of(file) {
            Ok(text) => text,
            Err(mistake) => return Checked { settled: None, mistakes: vec![mistake] },
        };
        let base = file.parent().unwrap_or(Path::new(""));
        let mut checked = self.settle(&text, &file.display().to_string(), base, &environment);
        if let Some(settled) = &mut checked.settled {
            settled.files.insert(0, file.clone());
        }
        checked
    }

    /// Checks a text in place of the file. `name` stands in places, `base` is the folder that paths are relative to.
    fn settle(&self, text: &str, name: &str, base: &Path, environment: written::Environment<'_>) -> Checked {
        let name: Arc<str> = name.into();
        let root = match load::tree_of(text, &name) {
            Ok(root) => root,
            Err(mistake) => return Checked { settled: None, mistakes: vec![mistake] },
        };
        let (mut written, mut mistakes, mut told) = written::read(&root, &name, base, environment);
        mistakes.extend(self.flags.apply(&mut written));
        told.extend(mistakes.iter().filter_map(|mistake| mistake.key.clone()));
        let (settled, more) = settle::settle(&written, base, self.purpose, &told);
        mistakes.extend(more);
        if written.catalogs.is_empty() && mistakes.is_empty() {
            let mistake = Mistake::new("has no `catalogs`: there is nothing to serve").at(Place::new(name, 0, 0));
            mistakes.push(mistake.hint("see `transom check --keys`"));
        }
        Checked { settled: Some(settled), mistakes: sorted(mistakes) }
    }
}

/// By place, as a person goes through a file; each once.
pub fn sorted(mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    mistakes.sort_by(|a, b| (&a.place, &a.key, &a.text).cmp(&(&b.place, &b.key, &b.text)));
    mistakes.dedup();
    mistakes
}

#[cfg(test)]
mod tests;
