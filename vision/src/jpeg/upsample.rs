//! Planes → rows of full width: libjpeg's triangle filters where it has one (2:1 across, down, both), else repetition.
//! The roundings alternate as they do there (`jdsample.c`): they decide the last bit of most chroma samples.

use super::scan::Plane;

/// Writes row `y` of the full-size picture; `h` and `v` say how many times the plane is smaller.
///
/// `out` becomes at least as wide as the picture.
pub(super) fn row(plane: &Plane, h: usize, v: usize, y: usize, out: &mut Vec<u8>) {
    out.clear();
    let near = plane.row(y / v);
    // libjpeg repeats where a row is too short for its filter.
    let smooth = plane.width > 2;
    match (h, v) {
        (1, 1) => out.extend_from_slice(near),
        (2, 1) if smooth => across(near, out),
        (1, 2) => down(near, neighbour(plane, y), y % 2, out),
        (2, 2) if smooth => both(near, neighbour(plane, y), out),
        _ => out.extend(
            near.iter()
                .flat_map(|&sample| std::iter::repeat_n(sample, h)),
        ),
    }
}

/// The row on the other side of the nearest one, for planes of half the height; at the edges it is the nearest itself.
fn neighbour(plane: &Plane, y: usize) -> &[u8] {
    let near = y / 2;
    let far = if y.is_multiple_of(2) {
        near.saturating_sub(1)
    } else {
        (near + 1).min(plane.height - 1)
    };
    plane.row(far)
}

/// `h2v1_fancy_upsample`: three parts of the nearest sample, one of the next.
fn across(near: &[u8], out: &mut Vec<u8>) {
    let sample = |x: usize| u32::from(near[x]);
    let last = near.len() - 1;
    out.push(near[0]);
    out.push(((3 * sample(0) + sample(1) + 2) >> 2) as u8);
    for window in near.windows(3) {
        let [left, middle, right] = [window[0], window[1], window[2]].map(u32::from);
        out.push(((3 * middle + left + 1) >> 2) as u8);
        out.push(((3 * middle + right + 2) >> 2) as u8);
    }
    out.push(((3 * sample(last) + sample(last - 1) + 1) >> 2) as u8);
    out.push(near[last]);
}

/// `h1v2_fancy_upsample`.
fn down(near: &[u8], far: &[u8], odd: usize, out: &mut Vec<u8>) {
    let bias = 1 + odd as u32;
    let samples = near.iter().zip(far);
    out.extend(
        samples.map(|(&near, &far)| ((3 * u32::from(near) + u32::from(far) + bias) >> 2) as u8),
    );
}

/// `h2v2_fancy_upsample`: the same weights both ways, 9:3:3:1.
fn both(near: &[u8], far: &[u8], out: &mut Vec<u8>) {
    let sum = |x: usize| 3 * u32::from(near[x]) + u32::from(far[x]);
    let last = near.len() - 1;
    let (mut left, mut middle) = (sum(0), sum(0));
    for x in 0..last {
        let right = sum(x + 1);
        out.push(((3 * middle + left + 8) >> 4) as u8);
        out.push(((3 * middle + right + 7) >> 4) as u8);
        (left, middle) = (middle, right);
    }
    out.push(((3 * middle + left + 8) >> 4) as u8);
    out.push(((4 * middle + 7) >> 4) as u8);
}
