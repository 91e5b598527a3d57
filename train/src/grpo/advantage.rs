//! How much better an answer is than the others to its question.

/// `(reward − mean) / (std + epsilon)` within one group, with the standard deviation of a sample (`n − 1`). A group without spread
/// teaches nothing: every advantage is 0.
pub fn advantages(rewards: &[f64], epsilon: f64) -> Vec<f64> {
    let (mean, std) = mean_and_std(rewards);
    let advantage = |reward: &f64| {
        if std > 0.0 {
            (reward - mean) / (std + epsilon)
        } else {
            0.0
        }
    };
    rewards.iter().map(advantage).collect()
}

/// Of a sample; equal values have exactly no spread.
pub fn mean_and_std(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let equal = |pair: &[f64]| pair[0].total_cmp(&pair[1]).is_eq();
    if values.windows(2).all(equal) {
        return (values[0], 0.0);
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (values.len() - 1) as f64).sqrt())
}
