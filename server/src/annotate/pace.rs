//! When the next request may leave: so many a minute, none before the expert wants it. Sends nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The longest wait that an expert can ask for; what wants more is asked again after it.
const LONGEST: Duration = Duration::from_mins(10);

/// Gives out moments.
#[derive(Debug)]
pub struct Pace {
    gap: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    /// Evenly so many a minute; 0 is no limit.
    pub fn new(per_minute: u32) -> Self {
        let gap = Duration::from_mins(1).checked_div(per_minute);
        Self {
            gap: gap.unwrap_or_default(),
            next: Mutex::new(Instant::now()),
        }
    }

    /// When the caller may send; nobody else gets this moment.
    pub fn turn(&self) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = Instant::now().max(*next);
        *next = turn + self.gap;
        turn
    }

    /// No further turns within `wait`, or what is granted of it.
    pub fn hold(&self, wait: Duration) -> Duration {
        let granted = wait.min(LONGEST);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = next.max(Instant::now() + granted);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_evenly_spaced_and_held() {
        let pace = Pace::new(600);
        let first = pace.turn();
        assert_eq!(pace.turn() - first, Duration::from_millis(100));
        pace.hold(Duration::from_secs(5));
        assert!(pace.turn() - first >= Duration::from_secs(5));
        let free = Pace::new(0);
        assert!(free.turn() <= Instant::now() && free.turn() <= Instant::now());
        assert_eq!(free.hold(Duration::MAX), LONGEST);
        assert!(free.turn() <= Instant::now() + LONGEST);
    }
}
