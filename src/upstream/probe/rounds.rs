//! The life of one endpoint's checks: which way to ask, how often, and what comes of the answers.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::health_wire::{CHECK, Health, WATCH};
use super::opinion::Opinion;
use super::session::{Answers, Failure, Io, Session, Target, keep_asking};
use super::{Finding, ProbeMode, ProbeSettings};
use crate::status::Code;
use crate::upstream::Probed;
use crate::upstream::balance::random;

/// An endpoint, as far as its checks need it.
pub(super) trait Patient: Send {
    /// A connection for checks alone.
    fn dial(&self, within: Duration) -> impl Future<Output = Result<Box<dyn Io>, String>> + Send;
    fn target(&self) -> Target;
    /// Takes what was found.
    fn probed(&self, found: Probed);
    /// Calls that its cluster got so far.
    fn calls(&self) -> u64;
}

/// The checks of one endpoint.
pub(super) struct Rounds<P> {
    patient: P,
    settings: ProbeSettings,
    opinion: Opinion,
    way: Way,
    /// Rounds since a server was last asked for more than it could.
    since_relearned: u32,
    /// For `Check`, from one round to the next.
    session: Option<Session>,
    calls: u64,
}

/// How an endpoint is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Watch,
    Check,
    Connect,
}

/// How a round ended.
enum Round {
    /// With a finding, that is to be taken as what we found.
    Found(Finding),
    /// With a stream that broke off after it had lasted: the endpoint may be restarting, and is asked again soon.
    BrokeOff(Finding),
    /// The server cannot be asked this way.
    Unimplemented,
}

/// A server that could only be asked in a lesser way is asked in the best one again after so many rounds: it may have
/// been replaced meanwhile.
const RELEARN: u32 = 32;
/// Before an endpoint is asked again whose stream broke off.
const SOON: Duration = Duration::from_millis(100);
/// Answers of `Watch` within one interval; a server whose health changes more often than that has none.
const MOST_CHANGES: u32 = 100;

// === impl Rounds ===

impl<P: Patient> Rounds<P> {
    pub(super) fn new(patient: P, settings: ProbeSettings) -> Rounds<P> {
        let opinion = Opinion::new(settings.healthy_threshold, settings.unhealthy_threshold);
        let way = Way::best(settings.mode);
        Rounds { patient, settings, opinion, way, since_relearned: 0, session: None, calls: 0 }
    }

    /// Checks until it is dropped.
    pub(super) async fn run(mut self) {
        // so that the endpoints of a cluster, and the edges before it, do not ask all at once
        sleep(self.settings.interval.min(Duration::from_secs(1)).mul_f64(self.jitter())).await;
        loop {
            let round = match self.way {
                Way::Watch => self.watch().await,
                Way::Check => self.check().await,
                Way::Connect => self.connect().await,
            };
            match round {
                // each time a lesser way, to the least
                Round::Unimplemented => self.way = self.way.lesser(),
                Round::Found(finding) => {
                    self.relearn(&finding);
                    self.tell(&finding, false);
                    sleep(self.pause(&finding)).await;
                }
                Round::BrokeOff(finding) => {
                    self.tell(&finding, false);
                    sleep(SOON.min(self.settings.interval).mul_f64(1.0 + self.jitter())).await;
                }
            }
        }
    }

    /// Goes back to the best way now and then, and after a failure, as another server may answer there now.
    fn relearn(&mut self, finding: &Finding) {
        self.since_relearned = self.since_relearned.saturating_add(1);
        if self.since_relearned >= RELEARN || matches!(finding, Finding::Unhealthy(_)) {
            self.since_relearned = 0;
            self.way = Way::best(self.settings.mode);
        }
    }

    fn tell(&mut self, finding: &Finding, unasked: bool) {
        if let Some(found) = self.opinion.found(finding, unasked) {
            self.patient.probed(found);
        }
    }

    /// Until the next round: longer while all is well and nobody calls the cluster.
    fn pause(&mut self, finding: &Finding) -> Duration {
        let calls = self.patient.calls();
        let idle = std::mem::replace(&mut self.calls, calls) == calls && *finding == Finding::Healthy;
        let settings = &self.settings;
        let interval = if idle { settings.no_traffic_interval.max(settings.interval) } else { settings.interval };
        interval.mul_f64(1.0 + self.jitter())
    }

    /// A share of an interval, up to the one that was set.
    fn jitter(&self) -> f64 {
        f64::from(self.settings.jitter.min(100)) / 100.0 * ((random() % 1024) as f64 / 1024.0)
    }

    fn late(&self) -> String {
        format!("no answer within {:?}", self.settings.timeout)
    }

    // === ways ===

    /// TCP, and TLS for endpoints that have it.
    async fn connect(&mut self) -> Round {
        match timeout(self.settings.timeout, self.patient.dial(self.settings.timeout)).await {
            Ok(Ok(_)) => Round::Found(Finding::Healthy),
            Ok(Err(why)) => Round::Found(Finding::unhealthy(&why)),
            Err(_) => Round::Found(Finding::unhealthy(&self.late())),
        }
    }

    async fn session(&self) -> Result<Session, String> {
        Session::open(self.patient.dial(self.settings.timeout).await?).await
    }

    /// One question, one answer. A connection that was kept may have been closed meanwhile, so that it breaks means
    /// nothing; one that is new speaks for the endpoint.
    async fn check(&mut self) -> Round {
        let (kept, limit) = (self.session.take(), self.settings.timeout);
        if let Some(session) = kept
            && let Ok(Ok(round)) = timeout(limit, self.check_on(session)).await
        {
            return round;
        }
        let fresh = async {
            let session = self.session().await.map_err(Failure::Broken)?;
            self.check_on(session).await
        };
        match timeout(limit, fresh).await {
            Ok(Ok(round)) => round,
            Ok(Err(failure)) => Round::Found(Finding::unhealthy(&failure.to_string())),
            Err(_) => Round::Found(Finding::unhealthy(&self.late())),
        }
    }

    /// Errors: the connection or the stream broke.
    async fn check_on(&mut self, mut session: Session) -> Result<Round, Failure> {
        let (target, limit) = (self.patient.target(), Some(self.settings.timeout));
        let asked = async {
            let mut answers = session.ask(&target, CHECK, &self.settings.service, limit).await?;
            let serving = answers.next().await?;
            match answers.end().await {
                Failure::Status(Code::Ok, _) => Ok(serving),
                failure => Err(failure),
            }
        };
        let asked = asked.await;
        if !matches!(asked, Err(Failure::Broken(_))) {
            self.session = Some(session);
        }
        match asked {
            Ok(serving) => Ok(Round::Found(Finding::of(serving))),
            Err(failure) if failure.is_unimplemented() => Ok(self.unimplemented(failure)),
            Err(Failure::Status(Code::NotFound, _)) => Ok(Round::Found(Finding::of(Health::ServiceUnknown))),
            Err(Failure::Status(code, text)) => {
                Ok(Round::Found(Finding::unhealthy(&Failure::Status(code, text).to_string())))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Listens for as long as the stream lasts. Pings tell when the endpoint is gone without a word.
    async fn watch(&mut self) -> Round {
        let target = self.patient.target();
        let begin = async {
            let mut session = self.session().await.map_err(Failure::Broken)?;
            let mut answers = session.ask(&target, WATCH, &self.settings.service, None).await?;
            let first = answers.next().await?;
            Ok::<_, Failure>((session, answers, first))
        };
        let (mut session, answers, first) = match timeout(self.settings.timeout, begin).await {
            Ok(Ok(begun)) => begun,
            Ok(Err(failure)) if failure.is_unimplemented() => return self.unimplemented(failure),
            Ok(Err(failure)) => return Round::Found(Finding::unhealthy(&failure.to_string())),
            Err(_) => return Round::Found(Finding::unhealthy(&self.late())),
        };
        self.tell(&Finding::of(first), true);
        let begun = Instant::now();
        let pings = keep_asking(session.take_pings(), self.settings.interval, self.settings.timeout);
        let why = tokio::select! {
            why = pings => why,
            why = self.listen(answers) => why,
        };
        drop(session);
        let finding = Finding::unhealthy(&why);
        if begun.elapsed() >= self.settings.interval { Round::BrokeOff(finding) } else { Round::Found(finding) }
    }

    /// A server without health checks is not unhealthy for that, unless they were asked for by name.
    fn unimplemented(&self, failure: Failure) -> Round {
        match self.settings.mode {
            ProbeMode::Auto => Round::Unimplemented,
            _ => Round::Found(Finding::unhealthy(&failure.to_string())),
        }
    }

    /// Tells each change. Returns why no more will come.
    async fn listen(&mut self, mut answers: Answers) -> String {
        let (mut since, mut changes) = (Instant::now(), 0_u32);
        loop {
            match answers.next().await {
                Ok(serving) => self.tell(&Finding::of(serving), true),
                Err(Failure::Status(Code::Ok, _)) => return "the server ended the watch".into(),
                Err(failure) => return failure.to_string(),
            }
            changes = changes.saturating_add(1);
            if since.elapsed() > self.settings.interval {
                (since, changes) = (Instant::now(), 0);
            }
            if changes > MOST_CHANGES {
                return "the server's health changes without end".into();
            }
        }
    }
}

// === impl Way ===

impl Way {
    fn best(mode: ProbeMode) -> Way {
        match mode {
            ProbeMode::Auto | ProbeMode::Watch => Way::Watch,
            ProbeMode::Check => Way::Check,
            ProbeMode::Tcp => Way::Connect,
        }
    }

    /// What is left when the server does not know this way.
    fn lesser(self) -> Way {
        match self {
            Way::Watch => Way::Check,
            Way::Check | Way::Connect => Way::Connect,
        }
    }
}
