//! Reload: the next generation is built on a thread of its own and swapped whole, or refused with its mistakes.
//!
//! Reasons to reload: SIGHUP, a call of `Running::reload`, and a change of a watched file. Editors and mounted
//! volumes replace files rather than write them, so the directories around them are watched, and a look at the
//! files' times, sizes and numbers tells whether anything of ours has changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::oneshot;

use super::generation::{Generations, Load};
use super::glance::{Glance, Traces, traces};
use crate::catalog::{Mistake, Place};
use crate::listen::{self, Door};
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
    seen: Traces,
}

/// A change is looked at when nothing more has happened for this long: saves come in bursts.
const QUIET: Duration = Duration::from_millis(300);
/// Under changes without end, at the latest after this.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often old generations are looked at while calls use them.
const TIDY: Duration = Duration::from_secs(1);

/// The reload thread's life. `wishes` gives the watcher its way to ask; `glance`: from before the
/// load whose files `watch` are.
pub(super) fn attend<T>(
    mut reloader: Reloader<T>,
    watch: Vec<PathBuf>,
    glance: Glance,
    wishes: Sender<Wish>,
    inbox: &Receiver<Wish>,
) {
    let mut watched = Watched::new(wishes);
    watched.follow(watch.into_iter().chain(reloader.tls_files()), glance);
    let mut untidy = false;
    loop {
        let wish = if untidy { inbox.recv_timeout(TIDY) } else { inbox.recv().map_err(RecvTimeoutError::from) };
        match wish {
            Ok(Wish::Reload(answer)) => reloader.answer(answer, &mut watched),
            Ok(Wish::Changed) => match settle(inbox) {
                Settled::Stop => return,
                Settled::Asked(answer) => reloader.answer(answer, &mut watched),
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
    /// Somebody asked for a reload meanwhile, who knows that the files are whole.
    Asked(Answer),
    Stop,
}

fn settle(inbox: &Receiver<Wish>) -> Settled {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        match inbox.recv_timeout(QUIET) {
            Ok(Wish::Changed) => {}
            Ok(Wish::Reload(answer)) => return Settled::Asked(answer),
            Ok(Wish::Stop) | Err(RecvTimeoutError::Disconnected) => return Settled::Stop,
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    Settled::Quiet
}

/// The mistake that an unusable TLS file is.
pub(super) fn tls_mistake(error: TlsError) -> Mistake {
    Mistake::new(error.problem).at(Place::new(error.file.display().to_string(), 0, 0))
}

/// The files that a listener's TLS is made of.
pub(super) fn tls_files(settings: &listen::Settings) -> Vec<PathBuf> {
    let Some(tls) = &settings.tls else { return Vec::new() };
    let identities = std::iter::once(&tls.identity).chain(tls.sni.iter().map(|(_, identity)| identity));
    let pairs = identities.flat_map(|identity| [identity.certificate.clone(), identity.key.clone()]);
    pairs.chain(tls.client_ca.clone()).collect()
}

// === impl Reloader ===

impl<T> Reloader<T> {
    fn answer(&mut self, asked: Answer, watched: &mut Watched) {
        let outcome = self.reload(watched);
        if let Some(answer) = asked {
            // nobody listens any more if it fails
            let _ = answer.send(outcome);
        }
    }

    /// Builds tables and certificates; swaps both, or neither.
    fn reload(&mut self, watched: &mut Watched) -> Result<i64, Vec<Mistake>> {
        let started = Instant::now();
        let glance = Glance::of(watched.paths.clone());
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
            watched.seen = glance.into_seen();
            return Err(mistakes);
        };
        for (door, config) in certificates {
            door.renew(config);
        }
        let number = self.generations.swap(loaded.tables, loaded.about);
        self.meters.reloads.add(1);
        watched.follow(loaded.watch.into_iter().chain(self.tls_files()), glance);
        tracing::info!(generation = number, took = ?started.elapsed(), "reloaded");
        Ok(number)
    }

    fn tls_files(&self) -> impl Iterator<Item = PathBuf> {
        self.doors.iter().flat_map(|door| tls_files(&door.settings))
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
        Watched { watcher, wishes: own, paths: BTreeSet::new(), places: BTreeSet::new(), seen: Traces::new() }
    }

    /// Follows these paths from now on, and no others. What was changed since the glance, which was before they were
    /// read, asks for another load: nobody was told while they were not followed.
    fn follow(&mut self, paths: impl Iterator<Item = PathBuf>, glance: Glance) {
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
        self.seen = glance.of_what_was_read(&paths);
        (self.paths, self.places) = (paths, places);
        if self.changed() {
            let _ = self.wishes.send(Wish::Changed);
        }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_change_between_the_load_and_the_watch_asks_for_another_load() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("transom.yaml");
        fs::write(&file, "a").unwrap();
        let follow = |known: &[&PathBuf], change: &dyn Fn()| {
            let (wishes, inbox) = std::sync::mpsc::channel();
            let mut watched = Watched::new(wishes);
            let glance = Glance::of(known.iter().map(|path| (*path).clone()).collect());
            change();
            watched.follow(std::iter::once(file.clone()), glance);
            let asked = matches!(inbox.try_recv(), Ok(Wish::Changed));
            watched.follow(std::iter::once(file.clone()), Glance::of(BTreeSet::from([file.clone()])));
            (asked, watched.changed())
        };
        for known in [&[][..], &[&file]] {
            assert_eq!(follow(known, &|| {}), (false, false), "as it was read");
            assert_eq!(follow(known, &|| fs::write(&file, "b").unwrap()), (true, false), "while nobody watched");
        }
    }

    #[test]
    fn who_asks_for_a_reload_does_not_wait_for_quiet() {
        let (wishes, inbox) = std::sync::mpsc::channel();
        for wish in [Wish::Changed, Wish::Reload(None), Wish::Changed] {
            wishes.send(wish).unwrap();
        }
        assert!(matches!(settle(&inbox), Settled::Asked(None)));
        assert!(matches!(inbox.try_recv(), Ok(Wish::Changed)), "what changes later is looked at later");
    }
}
