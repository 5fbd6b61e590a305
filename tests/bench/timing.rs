//! Ways of doing the same, timed in turn: what disturbs the machine disturbs all of them.

use std::time::Duration;

use crate::counting::allocations;

/// One way: what it is called, and what it does to all messages of a row.
pub struct Way<'a> {
    pub name: &'static str,
    run: Box<dyn FnMut() + 'a>,
}

/// What one way has cost, per message.
pub struct Cost {
    pub name: &'static str,
    /// Of processor time where the system tells it, else of time; of the round that was disturbed least.
    pub nanos: f64,
    pub allocations: f64,
}

const ROUNDS: usize = 40;

/// How long a way runs in one round.
const SLICE: Duration = Duration::from_millis(4);

// === impl Way ===

impl<'a> Way<'a> {
    pub fn new(name: &'static str, run: impl FnMut() + 'a) -> Way<'a> {
        Way { name, run: Box::new(run) }
    }

    /// How often it runs within a slice. Warms up, too.
    fn count(&mut self) -> u32 {
        let (mut count, start) = (0, processor_time());
        while processor_time() - start < SLICE {
            (self.run)();
            count += 1;
        }
        count
    }

    fn round(&mut self, count: u32) -> f64 {
        let start = processor_time();
        (0..count).for_each(|_| (self.run)());
        (processor_time() - start).as_nanos() as f64 / f64::from(count)
    }
}

/// Times all ways, round by round.
pub fn time(mut ways: Vec<Way<'_>>, messages: usize) -> Vec<Cost> {
    let counts: Vec<u32> = ways.iter_mut().map(Way::count).collect();
    let mut nanos = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for ((way, count), nanos) in ways.iter_mut().zip(&counts).zip(&mut nanos) {
            nanos.push(way.round(*count));
        }
    }
    let costs = ways.iter_mut().zip(nanos).map(|(way, nanos)| Cost {
        name: way.name,
        nanos: nanos.iter().copied().fold(f64::INFINITY, f64::min) / messages as f64,
        allocations: allocations(&mut way.run) as f64 / messages as f64,
    });
    costs.collect()
}

/// Of this thread; unlike what `/proc` tells, exact at any moment.
#[cfg(unix)]
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

#[cfg(not(unix))]
fn processor_time() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}
