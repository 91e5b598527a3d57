//! One line that shows how far long work is and how much time is left. Goes to stderr, and nowhere if that is no terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `len` units called `unit`; its message stands behind the counts.
pub fn bar(len: usize, unit: &str) -> ProgressBar {
    let template = format!(
        "{{bar:30}} {{pos}}/{{len}} {unit}  {{msg}}  {{elapsed_precise}}, {{eta_precise}} left"
    );
    let style = ProgressStyle::with_template(&template).expect("the units hold no braces");
    ProgressBar::new(len as u64).with_style(style)
}

/// The same of work of which `done` was done before: that took none of this time, so that the time left is told from what follows.
pub fn resumed(len: usize, unit: &str, done: usize) -> ProgressBar {
    let bar = bar(len, unit);
    bar.update(|state| state.set_pos(done as u64));
    bar.reset_eta();
    bar
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_done_before_tells_nothing_of_the_time_left() {
        let bar = resumed(1000, "steps", 900);
        for _ in 0..2 {
            sleep(Duration::from_millis(30));
            bar.inc(1);
            bar.tick();
        }
        assert_eq!(bar.position(), 902);
        assert!(bar.eta() > Duration::from_secs(1), "{:?}", bar.eta()); // 98 steps of 30 ms or more
    }
}
