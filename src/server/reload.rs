//! Reload: the next generation is built on a thread of its own and swapped whole, or refused with its mistakes.
//!
//! Reasons to reload: SIGHUP, a call of `Running::reload`, and a change of a watched file. Editors and mounted
//! volumes replace files rather than write them, so the directories around them are watched, and a look at the
//! files' times, sizes and numbers tells whether anything of ours has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::oneshot;

use super::generation::{Generations, Load};
use crate::catalog::{Mistake, Place};
use crate::listen::Door;
use crate::net::tls::TlsError;
use crate::observe::Meters;

/// What the reload thread is asked.
#[derive(Debug)]
pub(super) enum Wish {
    /// Reload now; the answer goes to whoever wants it.
    Reload(Answer),
    /// Something happened around a watched file.
    Changed,
    Stop,
}

/// Where the outcome of a reload goes, if anybody waits for it: the new generation's number, or all mistakes.
pub(super) type Answer = Option<oneshot::Sender<Result<i64, Vec<Mistake>>>>;

/// All that the reload thread works with.
pub(super) struct Reloader<T> {
    pub(super) load: Load<T>,
    pub(super) generations: Generations<T>,
    pub(super) doors: Vec<Arc<Door>>,
    pub(super) meters: Arc<Meters>,
}

/// The files that a generation was made of.
struct Watched {
    watcher: Option<RecommendedWatcher>,
    wishes: Sender<Wish>,
    paths: BTreeSet<PathBuf>,
    /// What the watcher was told.
    places: BTreeSet<PathBuf>,
    seen: BTreeMap<PathBuf, Trace>,
}

/// What tells one version of a file from the next.
type Trace = (Option<SystemTime>, u64, u64);

/// A change is looked at when nothing more has happened for this long: saves come in bursts.
const QUIET: Duration = Duration::from_millis(300);
/// Under changes without end, at the latest after this.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often old generations are looked at while calls use them.
const TIDY: Duration = Duration::from_secs(1);
/// Directories below a watched one are followed this deep, and through this many files.
const DEPTH: usize = 32;
const FILES: usize = 100_000;

/// The reload thread's life. `wishes` gives the watcher its way to ask; `since`: when the load began whose files
/// `watch` are.
pub(super) fn attend<T>(
    mut reloader: Reloader<T>,
    watch: Vec<PathBuf>,
    since: SystemTime,
    wishes: Sender<Wish>,
    inbox: &Receiver<Wish>,
) {
    let mut watched = Watched::new(wishes);
    watched.follow(watch.into_iter().chain(reloader.tls_files()), since);
    let mut untidy = false;
    loop {
        let wish = if untidy { inbox.recv_timeout(TIDY) } else { inbox.recv().map_err(RecvTimeoutError::from) };
        match wish {
            Ok(Wish::Reload(answer)) => {
                let outcome = reloader.reload(&mut watched);
                if let Some(answer) = answer {
                    let _ = answer.send(outcome);
                }
            }
            Ok(Wish::Changed) => match settle(inbox) {
                Settled::Stop => return,
                Settled::Asked(answers) => {
                    let outcome = reloader.reload(&mut watched);
                    for answer in answers.into_iter().flatten() {
                        let _ = answer.send(outcome.clone());
                    }
                }
                Settled::Quiet if watched.changed() => drop(reloader.reload(&mut watched)),
                Settled::Quiet => {}
            },
            Ok(Wish::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        untidy = reloader.generations.tidy();
    }
}

/// How a burst of changes ends.
enum Settled {
    Quiet,
    /// Somebody asked for a reload meanwhile.
    Asked(Vec<Answer>),
    Stop,
}

fn settle(inbox: &Receiver<Wish>) -> Settled {
    let started = Instant::now();
    let mut asked = Vec::new();
    while started.elapsed() < PATIENCE {
        match inbox.recv_timeout(QUIET) {
            Ok(Wish::Changed) => {}
            Ok(Wish::Reload(answer)) => asked.push(answer),
            Ok(Wish::Stop) | Err(RecvTimeoutError::Disconnected) => return Settled::Stop,
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    if asked.is_empty() { Settled::Quiet } else { Settled::Asked(asked) }
}

/// The mistake that an unusable TLS file is.
pub(super) fn tls_mistake(error: TlsError) -> Mistake {
    Mistake::new(error.problem).at(Place::new(error.file.display().to_string(), 0, 0))
}

// === impl Reloader ===

impl<T> Reloader<T> {
    /// Builds tables and certificates; swaps both, or neither.
    fn reload(&mut self, watched: &mut Watched) -> Result<i64, Vec<Mistake>> {
        let (started, since) = (Instant::now(), SystemTime::now());
        watched.look();
        let mut mistakes = Vec::new();
        let loaded = (self.load)().map_err(|found| mistakes.extend(found));
        let mut certificates = Vec::new();
        for door in &self.doors {
            match door.read_tls() {
                Ok(config) => certificates.extend(config.map(|config| (door, config))),
                Err(error) => mistakes.push(tls_mistake(error)),
            }
        }
        let (Ok(loaded), true) = (loaded, mistakes.is_empty()) else {
            self.meters.reload_failures.add(1);
            for mistake in &mistakes {
                tracing::error!("{mistake}");
            }
            tracing::error!(mistakes = mistakes.len(), "reload refused, the old generation stays");
            return Err(mistakes);
        };
        for (door, config) in certificates {
            door.renew(config);
        }
        let number = self.generations.swap(loaded.tables);
        self.meters.reloads.add(1);
        watched.follow(loaded.watch.into_iter().chain(self.tls_files()), since);
        tracing::info!(generation = number, took = ?started.elapsed(), "reloaded");
        Ok(number)
    }

    fn tls_files(&self) -> Vec<PathBuf> {
        let settings = self.doors.iter().filter_map(|door| door.settings.tls.as_ref());
        settings
            .flat_map(|tls| {
                let identities = std::iter::once(&tls.identity).chain(tls.sni.iter().map(|(_, identity)| identity));
                let pairs = identities.flat_map(|identity| [identity.certificate.clone(), identity.key.clone()]);
                pairs.chain(tls.client_ca.clone()).collect::<Vec<_>>()
            })
            .collect()
    }
}

// === impl Watched ===

impl Watched {
    fn new(wishes: Sender<Wish>) -> Watched {
        let own = wishes.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let quiet = matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(_)));
            if !quiet {
                let _ = wishes.send(Wish::Changed);
            }
        });
        let watcher =
            watcher.inspect_err(|error| tracing::warn!(%error, "files are not watched; SIGHUP still reloads")).ok();
        Watched { watcher, wishes: own, paths: BTreeSet::new(), places: BTreeSet::new(), seen: BTreeMap::new() }
    }

    /// Follows these paths from now on, and no others. What was changed since the load began that read them asks for
    /// another one: nobody was told while they were not followed.
    fn follow(&mut self, paths: impl Iterator<Item = PathBuf>, since: SystemTime) {
        let paths: BTreeSet<_> = paths.collect();
        let places: BTreeSet<_> = paths.iter().map(|path| place_of(path)).collect();
        if let Some(watcher) = &mut self.watcher {
            for gone in self.places.difference(&places) {
                let _ = watcher.unwatch(gone);
            }
            for new in places.difference(&self.places) {
                let mode = if paths.contains(new) { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
                if let Err(error) = watcher.watch(new, mode) {
                    tracing::warn!(%error, path = %new.display(), "not watched; SIGHUP still reloads");
                }
            }
        }
        if self.paths != paths {
            let before = std::mem::replace(&mut self.seen, traces(&paths));
            self.seen.retain(|path, trace| match before.get(path) {
                Some(noted) => {
                    *trace = *noted;
                    true
                }
                None => trace.0.is_none_or(|modified| modified < since),
            });
        }
        (self.paths, self.places) = (paths, places);
        if self.changed() {
            let _ = self.wishes.send(Wish::Changed);
        }
    }

    /// Notes the files as they are, before they are read.
    fn look(&mut self) {
        self.seen = traces(&self.paths);
    }

    fn changed(&self) -> bool {
        self.seen != traces(&self.paths)
    }
}

/// What to watch for a path: a directory itself, a file's directory.
fn place_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.to_owned();
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn traces(paths: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Trace> {
    let mut found = BTreeMap::new();
    for path in paths {
        trace(path, DEPTH, &mut found);
    }
    found
}

fn trace(path: &Path, depth: usize, found: &mut BTreeMap<PathBuf, Trace>) {
    if found.len() >= FILES {
        return;
    }
    let Ok(metadata) = fs::metadata(path) else { return };
    if !metadata.is_dir() {
        found.insert(path.to_owned(), (metadata.modified().ok(), metadata.len(), number(&metadata)));
    } else if depth > 0
        && let Ok(entries) = fs::read_dir(path)
    {
        for entry in entries.flatten() {
            trace(&entry.path(), depth - 1, found);
        }
    }
}

/// The file's number: another one after a replacement that keeps time and size.
#[cfg(unix)]
fn number(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_: &fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_change_between_the_load_and_the_watch_asks_for_another_load() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("transom.yaml");
        fs::write(&file, "a").unwrap();
        let written = fs::metadata(&file).unwrap().modified().unwrap();
        let follow = |since| {
            let (wishes, inbox) = std::sync::mpsc::channel();
            let mut watched = Watched::new(wishes);
            watched.follow(std::iter::once(file.clone()), since);
            let asked = matches!(inbox.try_recv(), Ok(Wish::Changed));
            watched.look();
            watched.follow(std::iter::once(file.clone()), since);
            (asked, watched.changed())
        };
        assert_eq!(follow(written - Duration::from_secs(1)), (true, false), "changed while nobody watched");
        assert_eq!(follow(written + Duration::from_secs(1)), (false, false), "as it was read");
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
}
