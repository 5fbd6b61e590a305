//! What the process knows of its reflected catalogs: the sets in force, what instances said last, what was refused.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::choice::choose;
use super::instances::{Told, ask};
use super::outline::Differences;
use super::set::Set;
use super::settings::{OnDrift, Settings};
use crate::catalog::{self, HeldSet, Mistake, Source};
use crate::observe::{DriftGauge, Meters};

/// The reflected catalogs of a process, or of a verb that looks at them.
#[derive(Debug)]
pub struct Book {
    meters: Arc<Meters>,
    /// Of the generation in force.
    entries: Mutex<Entries>,
    /// Of a generation that is being made.
    staged: Mutex<Option<Entries>>,
    /// One asks at a time: a reload, or the thread that asks again.
    asking: Mutex<()>,
    /// To the thread that asks again; it ends when this falls.
    pub(super) wake: Mutex<Option<Sender<()>>>,
}

/// By the names of the catalogs.
type Entries = BTreeMap<Box<str>, Entry>;

/// What a set is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// To serve: an upstream that is not there yet is waited for, and one that has gone is done without.
    Serve,
    /// To be described: a pin is taken as it is, all else is asked for once.
    Describe,
}

/// One catalog.
#[derive(Clone, Debug)]
struct Entry {
    settings: Settings,
    /// What the catalog is made of besides, to try new sets.
    source: Source,
    /// The set in force.
    current: Option<Arc<Set>>,
    /// What the generation that is being made has.
    given: Option<Arc<Set>>,
    /// The last one that was found to be no catalog, or handed to a reload: it is not tried again.
    tried: Option<Arc<Set>>,
    /// What a reload takes without asking, as it was just asked for.
    fresh: Option<Arc<Set>>,
    round: usize,
    asked_at: Instant,
    drift: Drift,
}

/// How the instances of a catalog's cluster stand to what is in force.
#[derive(Clone, Debug, Default)]
pub(super) struct Drift {
    pub instances: Vec<Instance>,
    /// A set that was refused, and why.
    pub refused: Option<String>,
    pub asked: Option<SystemTime>,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    pub endpoint: Box<str>,
    pub version: Option<&'static str>,
    pub state: State,
}

/// What an instance said, beside what is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Agrees,
    Differs(Differences),
    /// It could not be asked.
    Unknown(String),
}

/// What the drift pages show of a catalog.
pub(super) struct Shown {
    pub catalog: Box<str>,
    pub cluster: Box<str>,
    pub pin: Option<String>,
    pub services: usize,
    pub methods: usize,
    pub drift: Drift,
}

/// Between two tries to reach an upstream that a start waits for.
const PAUSE: Duration = Duration::from_millis(500);
/// Mistakes of a refused set that are logged.
const FEW: usize = 10;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Book ===

impl Book {
    pub fn new(meters: Arc<Meters>) -> Arc<Book> {
        let (entries, staged, asking, wake) = Default::default();
        Arc::new(Book { meters, entries, staged, asking, wake })
    }

    /// Gives each reflected catalog among `sources` what its upstream, or its pin, says. Comes with what deserves a word.
    /// Blocks: on files, and on upstreams for as long as the settings allow.
    ///
    /// Errors: of each catalog that has no set why it has none; the others are not told apart from it.
    pub fn fill(&self, all: &[Settings], sources: &mut [Source], look: Look) -> Result<Vec<Mistake>, Vec<Mistake>> {
        let _asking = lock(&self.asking);
        let (mut warnings, mut mistakes) = (Vec::new(), Vec::new());
        let mut staged = Entries::new();
        for settings in all {
            let Some(source) = sources.iter_mut().find(|source| *source.name == *settings.catalog) else { continue };
            let known = lock(&self.entries).get_mut(&settings.catalog).map(Entry::hand_over);
            let mut entry = Entry::over(known, settings, source);
            let filled = match &settings.pin {
                Some(_) => entry.fill_by_pin(look, &mut warnings),
                None => entry.fill_by_asking(look, &self.meters, &mut warnings),
            };
            match filled {
                Ok(set) => {
                    source.held_sets.push(entry.held(&set));
                    entry.given = Some(set);
                    staged.insert(settings.catalog.clone(), entry);
                }
                Err(more) => mistakes.extend(more),
            }
        }
        *lock(&self.staged) = Some(staged).filter(|_| mistakes.is_empty());
        if mistakes.is_empty() { Ok(warnings) } else { Err(mistakes) }
    }

    /// To be called when what [`Book::fill`] gave has become a generation.
    pub fn accept(&self) {
        let Some(mut staged) = lock(&self.staged).take() else { return };
        for entry in staged.values_mut() {
            entry.current = entry.given.take().or_else(|| entry.current.take());
            if entry.tried == entry.current {
                entry.tried = None;
            }
            self.count(entry);
        }
        let before = std::mem::replace(&mut *lock(&self.entries), staged);
        for gone in before.keys().filter(|name| !lock(&self.entries).contains_key(*name)) {
            self.meters.reflection.drifted(gone, Vec::new());
        }
        if let Some(wake) = &*lock(&self.wake) {
            // nobody listens when there is no such thread yet, or no more
            let _ = wake.send(());
        }
    }

    /// Until when nobody need be asked again; `None`: nobody ever.
    pub(super) fn due(&self) -> Option<Instant> {
        lock(&self.entries).values().filter_map(Entry::due).min()
    }

    /// Asks the upstreams that are due again. `true`: a set has changed, and loads; a reload would take it.
    pub(super) fn refresh(&self, now: Instant) -> bool {
        let _asking = lock(&self.asking);
        let due: Vec<(Settings, usize)> = {
            let mut entries = lock(&self.entries);
            let due = entries.values_mut().filter(|entry| entry.due().is_some_and(|due| due <= now));
            due.map(|entry| (entry.settings.clone(), entry.next_round())).collect()
        };
        let mut changed = false;
        for (settings, round) in due {
            // without a lock on the entries: the pages about them are not to wait
            let told = ask(&settings, round);
            self.count_asked(&told);
            let Some(entry) = lock(&self.entries).get(&settings.catalog).map(Entry::to_try) else { continue };
            let verdict = entry.judge(&told);
            if let Some(entry) = lock(&self.entries).get_mut(&settings.catalog) {
                changed |= entry.apply(verdict, &told, &self.meters);
                self.count(entry);
            }
        }
        changed
    }

    pub(super) fn shown(&self) -> Vec<Shown> {
        lock(&self.entries).values().map(Entry::shown).collect()
    }

    fn count_asked(&self, told: &[Told]) {
        self.meters.reflection.asked.add(told.len() as u64);
        let failed = told.iter().filter(|told| told.set().is_none()).count();
        self.meters.reflection.failures.add(failed as u64);
    }

    /// Shows an entry's drift to those who count.
    fn count(&self, entry: &Entry) {
        let gauge = |instance: &Instance| {
            let differences = match &instance.state {
                State::Agrees => 0,
                State::Differs(differences) => differences.count,
                State::Unknown(_) => return None,
            };
            Some(DriftGauge {
                catalog: entry.settings.catalog.clone(),
                cluster: entry.settings.cluster.name.clone(),
                endpoint: instance.endpoint.clone(),
                differences: i64::try_from(differences).unwrap_or(i64::MAX),
            })
        };
        let gauges = entry.drift.instances.iter().filter_map(gauge).collect();
        self.meters.reflection.drifted(&entry.settings.catalog, gauges);
    }
}

/// What a round came to, before anything of it is noted.
enum Verdict {
    /// None could be asked, or what they say is in force.
    Stay,
    /// A set that is tried already, and did not take.
    Known,
    /// Another set, which loads.
    New(Arc<Set>),
    /// Another set, which does not.
    Refused(Arc<Set>, String),
    /// Instances disagree, and that is not allowed.
    Disagree(String),
}

/// What a set is judged by.
struct Trial {
    settings: Settings,
    source: Source,
    current: Option<Arc<Set>>,
    tried: Option<Arc<Set>>,
}

// === impl Entry ===

impl Entry {
    /// An entry by these settings. What was learnt by other ones is forgotten: it may be about another upstream.
    fn over(known: Option<Entry>, settings: &Settings, source: &Source) -> Entry {
        let (settings, source) = (settings.clone(), source.clone());
        match known.filter(|known| known.settings.asks_the_same(&settings)) {
            Some(known) => Entry { settings, source, ..known },
            None => Entry {
                settings,
                source,
                current: None,
                given: None,
                tried: None,
                fresh: None,
                round: 0,
                asked_at: Instant::now(),
                drift: Drift::default(),
            },
        }
    }

    fn fill_by_pin(&mut self, look: Look, warnings: &mut Vec<Mistake>) -> Result<Arc<Set>, Vec<Mistake>> {
        let Some(pin) = self.settings.pin.clone() else { return Err(Vec::new()) };
        let set = Set::read(&pin, &self.settings.services).map_err(|mistake| {
            let hint = format!("write it by `transom reflect ... --pin`; or leave `{}.pin` out", self.settings.key);
            vec![if pin.exists() { mistake } else { mistake.hint(hint) }]
        })?;
        let set = Arc::new(set);
        let is_new = self.current.as_ref() != Some(&set);
        if is_new && look == Look::Serve && self.settings.drift == OnDrift::Refuse {
            let told = self.ask_now();
            self.note(&told, Some(&set));
            self.refuse_drift(&told, &set)?;
            warnings.extend(told.iter().filter_map(|told| told.mistake(&self.settings)));
        } else if is_new {
            // what was said of the old pin is not true of the new one
            self.drift = Drift::default();
        }
        Ok(set)
    }

    fn fill_by_asking(
        &mut self,
        look: Look,
        meters: &Meters,
        warnings: &mut Vec<Mistake>,
    ) -> Result<Arc<Set>, Vec<Mistake>> {
        if let Some(fresh) = self.fresh.take() {
            return Ok(fresh);
        }
        let told = match (look, &self.current) {
            (Look::Serve, None) => self.ask_until_told(),
            _ => self.ask_now(),
        };
        let failed: Vec<Mistake> = told.iter().filter_map(|told| told.mistake(&self.settings)).collect();
        let chosen = choose(&told, self.current.as_ref());
        meters.reflection.asked.add(told.len() as u64);
        meters.reflection.failures.add(failed.len() as u64);
        let chosen = match (chosen, self.current.clone()) {
            (Some(chosen), _) => chosen,
            (None, Some(current)) => {
                warnings.extend(failed);
                self.note(&told, Some(&current));
                tracing::warn!(catalog = %self.settings.catalog, "no upstream answers; what it said last stays");
                return Ok(current);
            }
            (None, None) => return Err(failed),
        };
        warnings.extend(failed);
        if let Some(current) = self.current.clone()
            && let Some(why) = self.unfit(&told, &chosen)
        {
            meters.reflection.refused.add(1);
            warnings.push(self.settings.mistake(format!("what the upstream says now is not taken: {why}")));
            self.note(&told, Some(&current));
            (self.tried, self.drift.refused) = (Some(chosen), Some(why));
            return Ok(current);
        }
        self.note(&told, Some(&chosen));
        self.drift.refused = None;
        if self.settings.drift == OnDrift::Refuse {
            self.refuse_drift(&told, &chosen)?;
        }
        warnings.extend(self.disagreements(&told, &chosen));
        let remarks = told.iter().filter(|told| told.set() == Some(&chosen)).take(1).flat_map(Told::remarks);
        warnings.extend(remarks.map(|remark| self.settings.mistake(format!("reflection: {remark}"))));
        Ok(chosen)
    }

    /// Why a set does not take the place of the one in force.
    fn unfit(&self, told: &[Told], chosen: &Arc<Set>) -> Option<String> {
        let trial = self.to_try();
        match trial.judge_choice(told, Arc::clone(chosen)) {
            Verdict::Refused(_, why) | Verdict::Disagree(why) => Some(why),
            Verdict::Known => self.drift.refused.clone(),
            Verdict::Stay | Verdict::New(_) => None,
        }
    }

    fn ask_now(&mut self) -> Vec<Told> {
        let round = self.next_round();
        ask(&self.settings, round)
    }

    /// Asks until one answers, something is wrong that does not pass by itself, or the time is over.
    fn ask_until_told(&mut self) -> Vec<Told> {
        let until = Instant::now().checked_add(self.settings.wait);
        let mut waits = false;
        loop {
            let told = self.ask_now();
            let hopeless = told.iter().all(|told| told.set().is_none() && !told.may_pass());
            let over = until.is_none_or(|until| Instant::now() + PAUSE >= until);
            if hopeless || over || told.iter().any(|told| told.set().is_some()) {
                return told;
            }
            if !std::mem::replace(&mut waits, true) {
                let wait = self.settings.wait;
                tracing::info!(catalog = %self.settings.catalog, ?wait, "the upstream does not answer yet; waiting for it");
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Mistakes for instances that differ from the set.
    fn refuse_drift(&self, told: &[Told], set: &Set) -> Result<(), Vec<Mistake>> {
        let mistakes = self.disagreements(told, set);
        let hint = "`drift: refuse` says so; `drift: report` would go on with what most say, or with the pin";
        let mistakes: Vec<Mistake> = mistakes.into_iter().map(|mistake| mistake.hint(hint)).collect();
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    fn disagreements(&self, told: &[Told], set: &Set) -> Vec<Mistake> {
        let than = if self.settings.pin.is_some() { "the pin" } else { "the others" };
        let differing = told.iter().filter_map(|told| {
            let differences = set.outline().differences(told.set()?.outline());
            (!differences.is_empty())
                .then(|| format!("{} says otherwise than {than}: {}", told.endpoint, differences.summary()))
        });
        differing.map(|text| self.settings.mistake(format!("reflection: {text}"))).collect()
    }

    fn held(&self, set: &Set) -> HeldSet {
        let name = match &self.settings.pin {
            Some(pin) => pin.display().to_string(),
            None => format!("reflection of {}", self.settings.cluster.name),
        };
        HeldSet { name: name.into(), bytes: set.bytes().clone() }
    }

    fn due(&self) -> Option<Instant> {
        // a pin that was never compared is compared at once
        let refresh = self.settings.refresh?;
        match self.drift.asked {
            Some(_) => self.asked_at.checked_add(refresh),
            None => Some(self.asked_at),
        }
    }

    fn next_round(&mut self) -> usize {
        self.round = self.round.wrapping_add(1);
        self.asked_at = Instant::now();
        self.round
    }

    /// A copy for the generation that is being made. What was asked for on its behalf goes with it.
    fn hand_over(&mut self) -> Entry {
        let copy = self.clone();
        self.fresh = None;
        copy
    }

    fn to_try(&self) -> Trial {
        Trial {
            settings: self.settings.clone(),
            source: self.source.clone(),
            current: self.current.clone(),
            tried: self.tried.clone(),
        }
    }

    /// Notes what a round came to; whether a reload would change anything.
    fn apply(&mut self, verdict: Verdict, told: &[Told], meters: &Meters) -> bool {
        let catalog = &self.settings.catalog;
        let mut refused = None;
        let reference = match &verdict {
            Verdict::New(set) => Some(Arc::clone(set)),
            _ => self.current.clone(),
        };
        let changed = matches!(verdict, Verdict::New(_));
        match verdict {
            // who could not be asked has taken nothing back
            Verdict::Stay if told.iter().all(|told| told.set().is_none()) => refused = self.drift.refused.take(),
            Verdict::Stay => self.tried = None,
            Verdict::Known => refused = self.drift.refused.take(),
            Verdict::New(set) => {
                let was = self.current.as_ref().map(|current| current.outline().differences(set.outline()));
                let what = was.filter(|was| !was.is_empty()).map_or("comments only".to_owned(), |was| was.summary());
                tracing::info!(%catalog, "the upstream's services have changed: {what}");
                meters.reflection.changes.add(1);
                (self.fresh, self.tried) = (Some(Arc::clone(&set)), Some(set));
            }
            Verdict::Refused(set, why) => {
                meters.reflection.refused.add(1);
                tracing::error!(%catalog, "what the upstream says now is no catalog; the old one stays: {why}");
                self.tried = Some(set);
                refused = Some(why);
            }
            Verdict::Disagree(why) => {
                if self.drift.refused.as_deref() != Some(&why) {
                    meters.reflection.refused.add(1);
                    tracing::error!(%catalog, "instances disagree, and `drift: refuse` keeps the old catalog: {why}");
                }
                refused = Some(why);
            }
        }
        self.note(told, reference.as_ref());
        self.drift.refused = refused;
        changed
    }

    /// Notes how the instances stand to what is, or is about to be, in force. What is new is logged once.
    fn note(&mut self, told: &[Told], reference: Option<&Arc<Set>>) {
        let state = |told: &Told| match (told.set(), reference) {
            (Some(set), Some(reference)) => {
                let differences = reference.outline().differences(set.outline());
                if differences.is_empty() { State::Agrees } else { State::Differs(differences) }
            }
            (Some(_), None) => State::Agrees,
            (None, _) => State::Unknown(told.failure().unwrap_or_default()),
        };
        let instances: Vec<Instance> = told
            .iter()
            .map(|told| Instance { endpoint: told.endpoint.clone(), version: told.version(), state: state(told) })
            .collect();
        for instance in &instances {
            let before = self.drift.instances.iter().find(|before| before.endpoint == instance.endpoint);
            if before.map(|before| &before.state) != Some(&instance.state) {
                self.log(instance, before.is_some());
            }
        }
        // of those that were not asked in this round, what they said last
        let others = std::mem::take(&mut self.drift.instances).into_iter().filter(|before| {
            let endpoints = &self.settings.cluster.endpoints;
            instances.iter().all(|now| now.endpoint != before.endpoint)
                && endpoints.iter().any(|endpoint| *endpoint.label() == *before.endpoint)
        });
        self.drift.instances = others.chain(instances.iter().cloned()).collect();
        self.drift.asked = Some(SystemTime::now());
    }

    fn log(&self, instance: &Instance, was_known: bool) {
        let (catalog, endpoint) = (&self.settings.catalog, &instance.endpoint);
        let than = if self.settings.pin.is_some() { "the pin" } else { "the catalog in force" };
        match &instance.state {
            State::Agrees if was_known => tracing::info!(%catalog, %endpoint, "it says the same as {than} again"),
            State::Agrees => {}
            State::Differs(differences) => {
                tracing::warn!(%catalog, %endpoint, "it says otherwise than {than}: {}", differences.summary());
            }
            State::Unknown(why) => tracing::warn!(%catalog, %endpoint, "its reflection cannot be asked: {why}"),
        }
    }

    fn shown(&self) -> Shown {
        let outline = self.current.as_ref().map(|set| set.outline());
        Shown {
            catalog: self.settings.catalog.clone(),
            cluster: self.settings.cluster.name.clone(),
            pin: self.settings.pin.as_ref().map(|pin| pin.display().to_string()),
            services: outline.map_or(0, |outline| outline.count("service")),
            methods: outline.map_or(0, |outline| outline.count("method")),
            drift: self.drift.clone(),
        }
    }
}

// === impl Trial ===

impl Trial {
    /// What is to become of these answers. Loads what is new, which may take seconds.
    fn judge(&self, told: &[Told]) -> Verdict {
        match choose(told, self.current.as_ref()).filter(|_| self.settings.pin.is_none()) {
            Some(chosen) => self.judge_choice(told, chosen),
            None => Verdict::Stay,
        }
    }

    fn judge_choice(&self, told: &[Told], chosen: Arc<Set>) -> Verdict {
        if self.settings.drift == OnDrift::Refuse {
            let differs = told.iter().filter_map(Told::set).find(|set| set.outline() != chosen.outline());
            if let Some(other) = differs {
                return Verdict::Disagree(chosen.outline().differences(other.outline()).summary());
            }
        }
        if self.current.as_ref() == Some(&chosen) {
            return Verdict::Stay;
        }
        if self.tried.as_ref() == Some(&chosen) {
            return Verdict::Known;
        }
        let held = HeldSet {
            name: format!("reflection of {}", self.settings.cluster.name).into(),
            bytes: chosen.bytes().clone(),
        };
        let mut source = self.source.clone();
        source.held_sets = vec![held];
        match catalog::load(&source) {
            Ok(_) => Verdict::New(chosen),
            Err(mistakes) => {
                let first: Vec<String> = mistakes.iter().take(FEW).map(ToString::to_string).collect();
                Verdict::Refused(chosen, first.join("; "))
            }
        }
    }
}
