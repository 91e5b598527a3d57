//! Curves as a picture inside a page (SVG), with a sentence for whoever does not see it. Runs no script and knows no metric.

use std::collections::BTreeMap;

use super::page::{escape, number};

/// One line of a chart: values by step.
pub struct Curve<'a> {
    /// What it is called.
    pub name: &'a str,
    /// At least one point.
    pub points: &'a BTreeMap<usize, f64>,
}

type Point = (f64, f64);

/// The picture's own units; a phone shows about one to a pixel, so that the letters stay readable.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 20.0;
/// Points drawn of a curve: more than the picture has columns, twice.
const POINTS: usize = 800;
/// Colours in the page's style.
const COLOURS: usize = 6;

/// A chart of `curves` on common axes; `id` is its own on the page.
pub fn figure(id: usize, title: &str, curves: &[Curve]) -> String {
    let axes = Axes::of(curves);
    let drawn: String = curves
        .iter()
        .enumerate()
        .map(|(at, curve)| draw(&axes, at % COLOURS, curve))
        .collect();
    let told: Vec<String> = curves.iter().map(tell).collect();
    let legend: Vec<String> = curves.iter().enumerate().map(entry).collect();
    let title = escape(title);
    format!(
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-labelledby=\"t{id} d{id}\">\
         <title id=t{id}>{title}</title><desc id=d{id}>{told}</desc>{grid}{drawn}</svg><p class=legend>{legend}</figure>",
        told = escape(&told.join(" ")),
        grid = axes.grid(),
        legend = legend.concat(),
    )
}

/// The place of a curve in the legend, with its last value.
fn entry((at, curve): (usize, &Curve)) -> String {
    let (_, last) = ends(curve).1;
    let (colour, name) = (at % COLOURS, escape(curve.name));
    format!(
        "<span class=c{colour}><i>●</i> {name} {}</span> ",
        number(last)
    )
}

/// First and last point.
fn ends(curve: &Curve) -> (Point, Point) {
    let point = |(&step, &value): (&usize, &f64)| (step as f64, value);
    let mut points = curve.points.iter().map(point);
    let first = points.next().expect("a curve has a point");
    (first, points.next_back().unwrap_or(first))
}

/// The lowest and the highest of some values.
fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// A curve in a sentence.
fn tell(curve: &Curve) -> String {
    let ((from, first), (to, last)) = ends(curve);
    let (low, high) = extent(curve.points.values().copied());
    format!(
        "{}: {} at step {from}, {} at step {to}, between {} and {}.",
        curve.name,
        number(first),
        number(last),
        number(low),
        number(high)
    )
}

fn draw(axes: &Axes, colour: usize, curve: &Curve) -> String {
    let points: Vec<Point> = curve.points.iter().map(|(&x, &y)| (x as f64, y)).collect();
    let line = |points: &[Point]| {
        let points = points.iter().map(|&point| {
            let (x, y) = axes.place(point);
            format!("{x:.1},{y:.1}")
        });
        points.collect::<Vec<_>>().join(" ")
    };
    let raw = line(&thin(&points));
    let smooth = line(&thin(&smooth(&points)));
    let (x, y) = axes.place(ends(curve).1);
    format!(
        "<g class=c{colour}><polyline class=raw points=\"{raw}\"/><polyline class=smooth points=\"{smooth}\"/>\
         <circle cx={x:.1} cy={y:.1} r=3 /></g>"
    )
}

/// A running mean that forgets: over a fortieth of the curve, three points at least.
fn smooth(points: &[Point]) -> Vec<Point> {
    let window = (points.len() / 40).max(3) as f64;
    let keep = 1.0 - 1.0 / window;
    let (mut sum, mut weight) = (0.0, 0.0);
    let mean = |&(x, y): &Point| {
        sum = sum * keep + y;
        weight = weight * keep + 1.0;
        (x, sum / weight)
    };
    points.iter().map(mean).collect()
}

/// At most [`POINTS`] points: the lowest and the highest of each stretch, so that no peak is lost.
fn thin(points: &[Point]) -> Vec<Point> {
    if points.len() <= POINTS {
        return points.to_vec();
    }
    let stretches = points.chunks(points.len().div_ceil(POINTS / 2));
    let ends = stretches.flat_map(|stretch| {
        let lower = |a: &&Point, b: &&Point| a.1.total_cmp(&b.1);
        let low = stretch.iter().min_by(lower);
        let high = stretch.iter().max_by(lower);
        let mut ends: Vec<Point> = low.into_iter().chain(high).copied().collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        ends
    });
    ends.collect()
}

/// What the edges of a chart mean.
struct Axes {
    steps: (f64, f64),
    values: (f64, f64),
}

impl Axes {
    fn of(curves: &[Curve]) -> Self {
        let steps = curves.iter().flat_map(|curve| curve.points.keys());
        let values = curves.iter().flat_map(|curve| curve.points.values());
        let (low, high) = extent(values.copied());
        // A level line runs through the middle.
        let room = if high > low {
            0.0
        } else {
            low.abs().max(1.0) / 2.0
        };
        Self {
            steps: extent(steps.map(|&step| step as f64)),
            values: (low - room, high + room),
        }
    }

    /// Where a point is in the picture.
    fn place(&self, (step, value): Point) -> Point {
        let share = |(low, high): (f64, f64), at: f64| {
            if high > low {
                (at - low) / (high - low)
            } else {
                0.5
            }
        };
        (
            LEFT + share(self.steps, step) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - share(self.values, value) * (HEIGHT - TOP - BOTTOM),
        )
    }

    /// Three levels and both ends, with their numbers.
    fn grid(&self) -> String {
        let (low, high) = self.values;
        let (first, last) = self.steps;
        let levels = [low, f64::midpoint(low, high), high].map(|value| {
            let (_, y) = self.place((first, value));
            format!(
                "<line x1={LEFT} x2={} y1={y:.1} y2={y:.1} /><text x={} y={:.1} text-anchor=end>{}</text>",
                WIDTH - RIGHT,
                LEFT - 5.0,
                y + 4.0,
                number(value)
            )
        });
        let foot = HEIGHT - 5.0;
        format!(
            "{}<text x={LEFT} y={foot}>step {first}</text><text x={} y={foot} text-anchor=end>{last}</text>",
            levels.concat(),
            WIDTH - RIGHT
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: &[f64]) -> BTreeMap<usize, f64> {
        values.iter().copied().enumerate().collect()
    }

    #[test]
    fn a_chart_says_in_words_what_it_shows() {
        let points = curve(&[4.0, 1.0, 2.5]);
        let curve = Curve {
            name: "<loss>",
            points: &points,
        };
        let svg = figure(7, "Loss & more", &[curve]);
        for part in [
            "<title id=t7>Loss &amp; more</title>",
            "&lt;loss&gt;: 4 at step 0, 2.5 at step 2, between 1 and 4.",
            "aria-labelledby=\"t7 d7\"",
            // From the upper left through the lower edge to the last value.
            "points=\"64.0,8.0 208.0,170.0 352.0,89.0\"",
            "cx=352.0 cy=89.0",
            "&lt;loss&gt; 2.5</span>",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }

    #[test]
    fn one_point_and_a_level_line_have_a_place() {
        for values in [&[0.0][..], &[3.0, 3.0], &[-2.0]] {
            let points = curve(values);
            let name = "reward";
            let svg = figure(
                0,
                name,
                &[Curve {
                    name,
                    points: &points,
                }],
            );
            assert!(svg.contains("cy=89.0"), "{svg}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn long_curves_keep_their_peaks() {
        let mut values = vec![0.0; 100_000];
        values[77_777] = 9.0;
        values[33_333] = -9.0;
        let points: Vec<Point> = (0..).map(f64::from).zip(values).collect();
        let thin = thin(&points);
        assert!(thin.len() <= POINTS, "{}", thin.len());
        assert!(thin.contains(&(77_777.0, 9.0)) && thin.contains(&(33_333.0, -9.0)));
        assert!(thin.is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn smoothing_keeps_the_level_and_dampens_the_rest() {
        let level: Vec<Point> = (0..50).map(|x| (f64::from(x), 2.0)).collect();
        assert!(smooth(&level).iter().all(|(_, y)| (y - 2.0).abs() < 1e-12));
        let noise: Vec<Point> = (0..50).map(|x| (f64::from(x), f64::from(x % 2))).collect();
        let last = smooth(&noise)[49].1;
        assert!((0.3..0.7).contains(&last), "{last}");
    }
}
