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
