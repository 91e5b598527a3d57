//! Time: how long something takes when it is done again and again, and how much of it there is. Knows no network.

use std::time::{Duration, Instant};

use burn::tensor::Device;

use crate::Error;

/// A repeat of short work is at least so long: the clock and the waiting for the device then do not show.
const REPEAT: Duration = Duration::from_millis(20);

/// More repeats tell nothing more.
const MOST: usize = 50;

/// What one piece of work took, repeat by repeat, in seconds.
#[derive(Clone, Debug, Default)]
pub struct Times {
    seconds: Vec<f64>,
}

impl Times {
    /// The middle one; of two the later.
    ///
    /// # Panics
    /// If there is none.
    pub fn median(&self) -> f64 {
        self.sorted()[self.seconds.len() / 2]
    }

    /// The shortest.
    ///
    /// # Panics
    /// If there is none.
    pub fn min(&self) -> f64 {
        self.sorted()[0]
    }

    /// The longest.
    ///
    /// # Panics
    /// If there is none.
    pub fn max(&self) -> f64 {
        self.sorted()[self.seconds.len() - 1]
    }

    /// How often it was done.
    pub fn repeats(&self) -> usize {
        self.seconds.len()
    }

    /// Notes one more.
    pub fn push(&mut self, time: Duration) {
        self.seconds.push(time.as_secs_f64());
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// What a part may take.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    end: Instant,
    whole: Duration,
}

impl Budget {
    /// Begins now.
    pub fn new(whole: Duration) -> Self {
        Self {
            end: Instant::now() + whole,
            whole,
        }
    }

    /// Whether it is used up.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// What is left.
    pub fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// A fair time for one of `count` measurements, two seconds at most.
    pub fn share(&self, count: usize) -> Duration {
        let fair = self.whole / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        fair.min(Duration::from_secs(2)).min(self.left())
    }
}

/// Times `work` for about `limit`, after two rounds that do not count (one, where that alone takes longer). Work that only takes
/// microseconds is done several times before the device is waited for; `work` gets the number of the round.
///
/// # Errors
/// A device that fails.
pub fn measure(
    device: &Device,
    limit: Duration,
    mut work: impl FnMut(usize),
) -> Result<Times, Error> {
    let mut round = 0;
    let mut timed = |rounds: usize| -> Result<Duration, Error> {
        let start = Instant::now();
        for _ in 0..rounds {
            work(round);
            round += 1;
        }
        synced(device)?;
        Ok(start.elapsed())
    };
    let mut warm = timed(1)?;
    if warm < limit {
        warm = timed(1)?;
    }
    let rounds = (REPEAT.as_secs_f64() / warm.as_secs_f64().max(1e-7)).ceil() as usize;
    let rounds = rounds.clamp(1, 1000);
    let mut times = Times::default();
    let start = Instant::now();
    while times.repeats() == 0 || (start.elapsed() < limit && times.repeats() < MOST) {
        times.push(timed(rounds)? / rounds as u32);
    }
    Ok(times)
}

/// Waits until the device has done everything.
///
/// # Errors
/// Something it could not do.
pub fn synced(device: &Device) -> Result<(), Error> {
    device
        .sync()
        .map_err(|error| Error::Device(format!("{error:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_of_what_was_measured() {
        let mut times = Times::default();
        for millis in [5, 1, 9, 3, 4] {
            times.push(Duration::from_millis(millis));
        }
        for (found, expected) in [
            (times.min(), 0.001),
            (times.median(), 0.004),
            (times.max(), 0.009),
        ] {
            assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
        }
        assert_eq!(times.repeats(), 5);
    }

    #[test]
    fn what_takes_longer_than_its_limit_is_done_once_more_and_counted_once() {
        let mut done = 0;
        let times = measure(&Device::flex(), Duration::from_millis(1), |_| {
            done += 1;
            std::thread::sleep(Duration::from_millis(30));
        });
        let times = times.expect("sleeping does not fail");
        assert_eq!((done, times.repeats()), (2, 1));
        assert!(times.min() >= 0.03, "{times:?}");
    }

    #[test]
    fn short_work_is_timed_in_bundles_without_the_first_rounds() {
        let mut rounds = vec![];
        let times = measure(&Device::flex(), Duration::from_millis(60), |round| {
            rounds.push(round);
            std::thread::sleep(Duration::from_millis(1));
        });
        let times = times.expect("sleeping does not fail");
        assert!(rounds.len() > 2 + times.repeats(), "bundles");
        assert!(rounds.iter().copied().eq(0..rounds.len()));
        assert!((0.001..0.01).contains(&times.median()), "{times:?}");
    }
}
