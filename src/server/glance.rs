//! What a version of a file is told by, and how files were before they were read.
//!
//! Files are read first and watched afterwards, as only their reader learns which others they name. A [`Glance`] before
//! the reading tells later whether one was changed in between: of files that it knew, by what they looked like; of the
//! others, by their times.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Files by their paths. Of directories, all the files below.
pub(super) type Traces = BTreeMap<PathBuf, Trace>;

/// What tells one version of a file from the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace {
    modified: Option<SystemTime>,
    len: u64,
    number: u64,
    /// Changes that keep the other three have this one as well, but so have those of owner and mode.
    touched: Option<SystemTime>,
}

/// How files were before they were read.
#[derive(Debug)]
pub(super) struct Glance {
    at: SystemTime,
    paths: BTreeSet<PathBuf>,
    seen: Traces,
}

/// Directories below a watched one are followed this deep, and through this many files.
const DEPTH: usize = 32;
const FILES: usize = 100_000;

/// The files of these paths as they are.
pub(super) fn traces(paths: &BTreeSet<PathBuf>) -> Traces {
    let mut found = Traces::new();
    for path in paths {
        trace(path, DEPTH, &mut found);
    }
    found
}

fn trace(path: &Path, depth: usize, found: &mut Traces) {
    if found.len() >= FILES {
        return;
    }
    let Ok(metadata) = fs::metadata(path) else { return };
    if !metadata.is_dir() {
        found.insert(path.to_owned(), Trace::of(&metadata));
    } else if depth > 0
        && let Ok(entries) = fs::read_dir(path)
    {
        for entry in entries.flatten() {
            trace(&entry.path(), depth - 1, found);
        }
    }
}

/// Whether a path is one of these, or below one of them.
fn is_within(path: &Path, paths: &BTreeSet<PathBuf>) -> bool {
    path.ancestors().any(|place| paths.contains(place))
}

/// A time that all that was written up to now is older than, and nothing that will be written: by the clocks that files
/// on disks of this machine have their times from. A network's disk has a clock of its own.
#[cfg(target_os = "linux")]
fn between_writes() -> SystemTime {
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    // Most files have their times from a clock that goes by the kernel's tick, of 1 to 10 ms, and is up to two ticks
    // behind; since Linux 6.13 some have them from the exact one. What is written before this has a time of at most
    // `exact`, and what is written once the other clock is past that has a time of at least what it shows.
    const LONGEST: Duration = Duration::from_millis(100);
    let coarse = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        Duration::try_from(time).ok().and_then(|time| SystemTime::UNIX_EPOCH.checked_add(time))
    };
    let (begun, exact) = (Instant::now(), SystemTime::now());
    while begun.elapsed() < LONGEST {
        match coarse() {
            Some(time) if time > exact => return time,
            _ => sleep(Duration::from_micros(500)),
        }
    }
    coarse().unwrap_or(exact)
}

#[cfg(not(target_os = "linux"))]
fn between_writes() -> SystemTime {
    SystemTime::now()
}

// === impl Trace ===

impl Trace {
    fn of(metadata: &fs::Metadata) -> Trace {
        let (number, touched) = node(metadata);
        Trace { modified: metadata.modified().ok(), len: metadata.len(), number, touched }
    }

    fn is_older_than(&self, time: SystemTime) -> bool {
        [self.modified, self.touched].into_iter().flatten().all(|own| own < time)
    }
}

impl PartialEq for Trace {
    /// Owner and mode are no part of a version.
    fn eq(&self, other: &Trace) -> bool {
        (self.modified, self.len, self.number) == (other.modified, other.len, other.number)
    }
}

/// The file's number, another one after a replacement that keeps time and size; and when the file or its place was
/// changed last, which nobody can set back as `cp -p` and `mv` do with the time of the content.
#[cfg(unix)]
fn node(metadata: &fs::Metadata) -> (u64, Option<SystemTime>) {
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    let since_epoch = u64::try_from(metadata.ctime()).ok().zip(u32::try_from(metadata.ctime_nsec()).ok());
    let touched = since_epoch.and_then(|(seconds, nanos)| {
        let since_epoch = Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos.into()))?;
        SystemTime::UNIX_EPOCH.checked_add(since_epoch)
    });
    (metadata.ino(), touched)
}

#[cfg(not(unix))]
fn node(_: &fs::Metadata) -> (u64, Option<SystemTime>) {
    (0, None)
}

// === impl Glance ===

impl Glance {
    /// Looks at the files that are known beforehand. On Linux it takes a few milliseconds.
    pub(super) fn of(paths: BTreeSet<PathBuf>) -> Glance {
        // in this order a file that is written after the glance has another time than its trace, however soon
        let seen = traces(&paths);
        Glance { at: between_writes(), paths, seen }
    }

    /// The files that were known, as they were.
    pub(super) fn into_seen(self) -> Traces {
        self.seen
    }

    /// The files of `paths` as whoever read them after the glance saw them: those that were changed since, or came, are
    /// not among them, or with another trace than they have; those that went still are.
    pub(super) fn of_what_was_read(self, paths: &BTreeSet<PathBuf>) -> Traces {
        let Glance { at, paths: known, mut seen } = self;
        seen.retain(|path, _| is_within(path, paths));
        let others = traces(paths).into_iter().filter(|(path, _)| !is_within(path, &known));
        seen.extend(others.filter(|(_, trace)| trace.is_older_than(at)));
        seen
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_time_between_writes_parts_them_however_close_they_are() {
        let dir = TempDir::new().unwrap();
        let written = |name: String| {
            let path = dir.path().join(name);
            fs::write(&path, "").unwrap();
            fs::metadata(&path).unwrap().modified().unwrap()
        };
        for round in 0..20 {
            let before = written(format!("{round} before"));
            let time = between_writes();
            let after = written(format!("{round} after"));
            assert!(before < time && time <= after, "{before:?} {time:?} {after:?}");
        }
    }

    #[test]
    fn a_change_is_seen_by_content_replacement_arrival_and_departure() {
        let dir = TempDir::new().unwrap();
        let (inner, file) = (dir.path().join("protos"), dir.path().join("transom.yaml"));
        fs::create_dir(&inner).unwrap();
        fs::write(&file, "a").unwrap();
        let paths = BTreeSet::from([inner.clone(), file.clone()]);
        let mut before = traces(&paths);
        let mut changed = |what: &str| {
            let now = traces(&paths);
            assert_ne!(before, now, "{what}");
            before = now;
        };
        fs::write(&file, "ab").unwrap();
        changed("content");
        fs::write(dir.path().join("new"), "ab").unwrap();
        fs::rename(dir.path().join("new"), &file).unwrap();
        changed("replacement");
        fs::create_dir(inner.join("deep")).unwrap();
        fs::write(inner.join("deep/x.proto"), "").unwrap();
        changed("arrival");
        fs::remove_file(&file).unwrap();
        changed("departure");
        fs::write(dir.path().join("other"), "").unwrap();
        assert_eq!(before, traces(&paths), "a neighbour is none of ours");
    }

    /// Whether what is done after a glance shows: in a folder with `known/file`, which the glance is told of, and
    /// `found/file`, which it is not, both in use; and with the file `old` beside them.
    fn noticed(change: impl Fn(&Path)) -> bool {
        let dir = TempDir::new().unwrap();
        let paths = BTreeSet::from(["known", "found"].map(|name| dir.path().join(name)));
        for path in &paths {
            fs::create_dir(path).unwrap();
            fs::write(path.join("file"), "a").unwrap();
        }
        fs::write(dir.path().join("old"), "b").unwrap();
        let glance = Glance::of(BTreeSet::from([dir.path().join("known")]));
        change(dir.path());
        glance.of_what_was_read(&paths) != traces(&paths)
    }

    #[test]
    fn what_is_changed_after_a_glance_is_noticed_and_nothing_else() {
        assert!(!noticed(|_| {}), "nothing");
        assert!(!noticed(|dir| drop(fs::read(dir.join("found/file")))), "reading");
        for place in ["known", "found"] {
            let at = |dir: &Path| dir.join(place).join("file");
            assert!(noticed(|dir| fs::write(at(dir), "b").unwrap()), "{place}: content");
            assert!(noticed(|dir| fs::write(dir.join(place).join("more"), "b").unwrap()), "{place}: arrival");
        }
        assert!(noticed(|dir| fs::remove_file(dir.join("known/file")).unwrap()), "departure");
    }

    #[test]
    fn what_was_older_before_it_came_is_noticed_where_it_was_known() {
        assert!(noticed(|dir| fs::rename(dir.join("old"), dir.join("known/file")).unwrap()), "in place of another");
        assert!(noticed(|dir| fs::rename(dir.join("old"), dir.join("known/more")).unwrap()), "beside another");
    }

    #[cfg(unix)]
    #[test]
    fn what_was_older_before_it_came_is_noticed_where_it_was_not_known() {
        assert!(noticed(|dir| fs::rename(dir.join("old"), dir.join("found/file")).unwrap()), "in place of another");
        let dated = |dir: &Path| {
            fs::write(dir.join("found/file"), "b").unwrap();
            let file = fs::File::options().write(true).open(dir.join("found/file")).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        };
        assert!(noticed(dated), "with a time that was set back");
    }
}
