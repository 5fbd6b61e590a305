//! Endpoints by the EndpointSlices of a service (`discovery.k8s.io/v1`): listed once, then watched.
//!
//! A client of two requests over our own HTTP/2 and TLS: the `kube` crate would bring a second HTTP stack, a hundred
//! further crates and the types of the whole API for them. What the service account must be allowed: `list` and `watch` of
//! `endpointslices` in the service's namespace.

mod api;
mod slices;

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, sleep};

use self::api::{Api, Connection, Failure, Lines};
use self::slices::{Change, List, Slices};
use super::{KubernetesSettings, Outlet};

/// What is followed, and how far.
struct Follower<'s> {
    api: Api,
    settings: &'s KubernetesSettings,
    slices: Slices,
    /// Of the last list or line; empty: all has to be listed.
    version: String,
}

/// Slices per page of a list.
const PAGE: usize = 250;
/// Pages of one list.
const PAGES: usize = 64;
/// The server ends a watch by itself after so long, seconds; the next one goes on where it ended, with a token as it is
/// then.
const WATCH_SECONDS: u32 = 290;
/// After a failure, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Between two lists at least, when versions are forgotten as fast as they are told.
const BETWEEN_LISTS: Duration = Duration::from_secs(1);

/// A source's life.
pub(super) async fn run(settings: KubernetesSettings, mut outlet: Outlet) {
    let mut failures: u32 = 0;
    loop {
        let began = Instant::now();
        let why = match Api::find(&settings) {
            Ok(api) => {
                let mut follower =
                    Follower { api, settings: &settings, slices: Slices::default(), version: String::new() };
                follower.follow(&mut outlet).await
            }
            Err(why) => why,
        };
        outlet.failed(&format!("EndpointSlices of {}: {why}", settings.service));
        // what ran for long has not failed in a row
        failures = if began.elapsed() > LONGEST_PAUSE { 1 } else { failures.saturating_add(1) };
        let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        sleep(FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)).await;
    }
}

// === impl Follower ===

impl Follower<'_> {
    /// Lists and watches until something fails; returns what.
    async fn follow(&mut self, outlet: &mut Outlet) -> String {
        let connection = match self.api.connect().await {
            Ok(connection) => connection,
            Err(why) => return why,
        };
        loop {
            let listed = Instant::now();
            if self.version.is_empty() {
                if let Err(failure) = self.list(&connection).await {
                    return failure.told();
                }
                if let Err(why) = self.give(outlet) {
                    return why;
                }
            }
            match self.watch(&connection, outlet).await {
                Ok(()) => {}
                Err(Failure::Gone) => {
                    self.version.clear();
                    tokio::time::sleep_until(listed + BETWEEN_LISTS).await;
                }
                Err(Failure::Other(why)) => return why,
            }
        }
    }

    async fn list(&mut self, connection: &Connection) -> Result<(), Failure> {
        let (mut slices, mut next) = (Slices::default(), String::new());
        for _ in 0..PAGES {
            let mut query = format!("limit={PAGE}");
            if !next.is_empty() {
                query.push_str(&format!("&continue={}", utf8_percent_encode(&next, NON_ALPHANUMERIC)));
            }
            let page = self.api.get(connection, &self.path(&query)).await?.whole().await?;
            let page: List = serde_json::from_slice(&page).map_err(|error| format!("the list is garbled: {error}"))?;
            (self.version, next) = (page.metadata.resource_version.clone(), page.metadata.r#continue.clone());
            slices.add(page);
            if next.is_empty() {
                break;
            }
        }
        if self.version.is_empty() {
            return Err(Failure::Other("the list has no version".into()));
        }
        self.slices = slices;
        Ok(())
    }

    /// Follows one watch to its end, which is no failure.
    async fn watch(&mut self, connection: &Connection, outlet: &mut Outlet) -> Result<(), Failure> {
        let version = utf8_percent_encode(&self.version, NON_ALPHANUMERIC);
        let query =
            format!("watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}");
        let began = Instant::now();
        let mut lines = self.api.get(connection, &self.path(&query)).await?;
        self.lines(&mut lines, outlet).await?;
        // a server that ends watches at once is not asked without pause
        tokio::time::sleep_until(began + BETWEEN_LISTS).await;
        Ok(())
    }

    async fn lines(&mut self, lines: &mut Lines, outlet: &mut Outlet) -> Result<(), Failure> {
        let mut changed = false;
        while let Some(line) = lines.next().await? {
            match self.slices.take(&line)? {
                Change::Changed(version) => {
                    changed = true;
                    self.go_on_from(version);
                }
                Change::Bookmark(version) => self.go_on_from(version),
                Change::Gone => return Err(Failure::Gone),
            }
            // what comes in one go is told in one go
            if changed && !lines.has_line() {
                self.give(outlet)?;
                changed = false;
            }
        }
        Ok(())
    }

    fn go_on_from(&mut self, version: String) {
        if !version.is_empty() {
            self.version = version;
        }
    }

    fn give(&self, outlet: &mut Outlet) -> Result<(), String> {
        let endpoints = self.slices.endpoints(self.settings.port.as_ref(), self.settings.tls)?;
        // an empty service is empty: addresses of pods that are gone belong to others soon
        outlet.exactly(endpoints);
        Ok(())
    }

    fn path(&self, query: &str) -> String {
        let selector = format!("kubernetes.io/service-name={}", self.settings.service);
        format!(
            "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices?labelSelector={}&{query}",
            utf8_percent_encode(&self.api.namespace, NON_ALPHANUMERIC),
            utf8_percent_encode(&selector, NON_ALPHANUMERIC)
        )
    }
}

// === impl Failure ===

impl Failure {
    fn told(self) -> String {
        match self {
            Failure::Gone => "410 the version is forgotten".into(),
            Failure::Other(why) => why,
        }
    }
}

#[cfg(test)]
mod tests;
