//! Faults that a route injects, so that callers can be tested: a delay, and then a refusal in the caller's own dialect.

use super::target::{RouteMeters, random};
use crate::call::{Kind, Refusal};
use crate::route::FaultRule;

/// Lets the fault happen. The delay passes within the call's deadline, which is watched by whoever waits for this.
pub(super) async fn inject(fault: &FaultRule, meters: &RouteMeters) -> Result<(), Refusal> {
    if let Some((least, most)) = fault.delay {
        meters.delays.add(1);
        let spread = u64::try_from((most - least).as_micros()).unwrap_or(u64::MAX);
        let more = random().checked_rem(spread.saturating_add(1)).unwrap_or(0);
        tokio::time::sleep(least + std::time::Duration::from_micros(more)).await;
    }
    let Some(code) = fault.status else { return Ok(()) };
    meters.refusals.add(1);
    let message = fault.message.as_deref().unwrap_or("a fault was injected").to_owned();
    Err(Refusal::new(Kind::Injected(code, fault.http.unwrap_or_else(|| code.http())), message))
}
