//! When the next request may leave: so many a minute, none before the expert wants it. Sends nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The longest wait that an expert can ask for; what wants more is asked again after it.
const LONGEST: Duration = Duration::from_mins(10);

/// Gives out moments.
#[derive(Debug)]
pub struct Pace {
    gap: Duration,
    moments: Mutex<Moments>,
}

/// What is given out, and what is not.
#[derive(Debug)]
struct Moments {
    /// The first that is free.
    next: Instant,
    /// Nobody sends before.
    held: Instant,
}

impl Pace {
    /// Evenly so many a minute; 0 is no limit.
    pub fn new(per_minute: u32) -> Self {
        let gap = Duration::from_mins(1).checked_div(per_minute);
        let now = Instant::now();
        Self {
            gap: gap.unwrap_or_default(),
            moments: Mutex::new(Moments {
                next: now,
                held: now,
            }),
        }
    }

    /// When the caller may send, if it still [`Pace::stands`] then; nobody else gets this moment.
    pub fn turn(&self) -> Instant {
        let mut moments = self.moments();
        let turn = Instant::now().max(moments.next);
        moments.next = turn + self.gap;
        turn
    }

    /// Whether `turn` is still one: the expert may have wanted to be left alone since it was given out.
    pub fn stands(&self, turn: Instant) -> bool {
        turn >= self.moments().held
    }

    /// No turns within `wait`, or what is granted of it, not even those given out.
    pub fn hold(&self, wait: Duration) -> Duration {
        let granted = wait.min(LONGEST);
        let until = Instant::now() + granted;
        let mut moments = self.moments();
        moments.held = moments.held.max(until);
        moments.next = moments.next.max(until);
        granted
    }

    fn moments(&self) -> MutexGuard<'_, Moments> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_evenly_spaced_and_held() {
        let pace = Pace::new(600);
        let first = pace.turn();
        let second = pace.turn();
        assert_eq!(second - first, Duration::from_millis(100));
        assert!(pace.stands(first) && pace.stands(second));
        pace.hold(Duration::from_secs(5));
        assert!(!pace.stands(second), "it was given out before");
        let third = pace.turn();
        assert!(third - first >= Duration::from_secs(5) && pace.stands(third));
        let free = Pace::new(0);
        assert!(free.turn() <= Instant::now() && free.turn() <= Instant::now());
        assert_eq!(free.hold(Duration::MAX), LONGEST);
        assert!(free.turn() <= Instant::now() + LONGEST);
    }
}
