//! One picture: places objects without hiding what identifies them, draws them, spoils the pixels as a camera would,
//! and tells the boxes. Which objects are depicted is decided elsewhere.

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::draw::{Canvas, HEIGHT, Looks, PALETTE, Pen, Place, Setting, WIDTH, background};
use super::world::{Depicted, NUMBERS, Thing};

/// A finished picture.
#[derive(Debug)]
pub struct Scene {
    /// Where it was taken.
    pub setting: Setting,
    /// Box of each object, in the order they were given: centre x, centre y, width, height, all as shares of the
    /// picture.
    pub boxes: Vec<[f64; 4]>,
    /// The picture as JPEG.
    pub jpeg: Vec<u8>,
}

/// An object, the pixels it is meant to fill and its looks.
struct Item {
    object: Depicted,
    index: usize,
    place: Place,
    looks: Looks,
}

/// Draws a picture of the objects; of a `hard` corpus two in five are taken in bad light.
pub fn render(objects: &[Depicted], hard: bool, rng: &mut ChaCha8Rng) -> Scene {
    let setting = Setting::ALL[rng.random_range(0..Setting::ALL.len())];
    let mut canvas = Canvas::new();
    background(&mut canvas, setting, rng);
    let mut boxes = vec![[0.0; 4]; objects.len()];
    for item in layout(objects, rng) {
        let mut pen = canvas.pen(item.place);
        draw(&mut pen, item.object, &item.looks);
        boxes[item.index] = jittered(pen.extent(), rng);
    }
    clutter(&mut canvas, rng);
    let dark = hard && rng.random_bool(0.4);
    let pixels = spoil(canvas.data(), dark, rng);
    let mut jpeg = Vec::with_capacity(24 << 10);
    let quality = rng.random_range(60..=95);
    let encoded = JpegEncoder::new_with_quality(&mut jpeg, quality).encode(
        &pixels,
        WIDTH,
        HEIGHT,
        ExtendedColorType::Rgb8,
    );
    encoded.expect("memory takes a picture of this size");
    Scene {
        setting,
        boxes,
        jpeg,
    }
}

fn draw(pen: &mut Pen<'_>, object: Depicted, looks: &Looks) {
    match object {
        Depicted::Athlete { team, number } => pen.athlete(team, NUMBERS[number], looks),
        Depicted::Coach(team) => pen.coach(team, looks),
        Depicted::Politician(index) => pen.politician(index, looks),
        Depicted::Emblem(team) => pen.emblem(team),
        Depicted::Landmark(index) => pen.landmark(index),
        Depicted::Flag(index) => pen.flag(index),
        Depicted::Thing(Thing::Figure) => pen.figure(looks),
        Depicted::Thing(thing) => pen.thing(thing),
    }
}

/// Whether an object hangs or stands in the upper half, behind everybody.
const fn is_behind(object: Depicted) -> bool {
    matches!(
        object,
        Depicted::Emblem(_)
            | Depicted::Landmark(_)
            | Depicted::Flag(_)
            | Depicted::Thing(Thing::Banner)
    )
}

/// Width of the thing when its unit square is one pixel wide; persons are narrow, arms aside.
const fn breadth(object: Depicted) -> f32 {
    match object {
        Depicted::Flag(_) => 1.4,
        Depicted::Thing(Thing::Banner) => 2.0,
        Depicted::Thing(Thing::Podium) => 1.5,
        Depicted::Thing(Thing::Car) => 1.9,
        _ => 1.0,
    }
}

/// Gives every object a slot of its own in one of two rows; the items come in drawing order.
fn layout(objects: &[Depicted], rng: &mut ChaCha8Rng) -> Vec<Item> {
    let (mut back, mut front): (Vec<usize>, Vec<usize>) =
        (0..objects.len()).partition(|&index| is_behind(objects[index]));
    back.shuffle(rng);
    front.shuffle(rng);
    let mut items = Vec::with_capacity(objects.len());
    for (row, behind) in [(back, true), (front, false)] {
        let slots = row.len().max(if behind { 3 } else { 4 });
        let slot = WIDTH as f32 / slots as f32;
        let mut places: Vec<usize> = (0..slots).collect();
        places.shuffle(rng);
        for (index, place) in row.into_iter().zip(places) {
            let middle = (place as f32 + 0.5) * slot + slot * rng.random_range(-0.1..0.1);
            let object = objects[index];
            let place = if behind {
                place_behind(object, middle, slot, rng)
            } else {
                place_in_front(object, middle, slot, rng)
            };
            let looks = Looks::random(rng);
            items.push(Item {
                object,
                index,
                place,
                looks,
            });
        }
    }
    let foot = |item: &Item| (!is_behind(item.object), item.place.y + item.place.scale);
    items.sort_by(|a, b| {
        let ((row_a, y_a), (row_b, y_b)) = (foot(a), foot(b));
        row_a.cmp(&row_b).then(y_a.total_cmp(&y_b))
    });
    items
}

fn place_behind(object: Depicted, middle: f32, slot: f32, rng: &mut ChaCha8Rng) -> Place {
    let breadth = breadth(object);
    let tallest = if matches!(object, Depicted::Landmark(_)) {
        84.0
    } else {
        74.0
    };
    let height = rng.random_range(0.8..1.0) * f32::min(tallest, 0.96 * slot / breadth);
    let top = rng.random_range(4.0..12.0)
        + if matches!(object, Depicted::Landmark(_)) {
            6.0
        } else {
            0.0
        };
    Place {
        x: middle - breadth * height / 2.0,
        y: top,
        scale: height,
        mirror: false,
    }
}

fn place_in_front(object: Depicted, middle: f32, slot: f32, rng: &mut ChaCha8Rng) -> Place {
    let ground = rng.random_range(206.0..237.0_f32);
    let height = match object {
        Depicted::Thing(Thing::Ball) => rng.random_range(28.0..44.0),
        Depicted::Thing(Thing::Car) => rng.random_range(0.8..1.0) * f32::min(44.0, slot / 1.9),
        Depicted::Thing(Thing::Podium) => rng.random_range(0.8..1.0) * f32::min(50.0, slot / 1.5),
        Depicted::Thing(Thing::Trophy) => rng.random_range(48.0..72.0),
        Depicted::Thing(Thing::Figure) => rng.random_range(64.0..110.0),
        // Shoulders are 0.46 of the height; stretched arms may touch a neighbour.
        _ => rng.random_range(0.86..1.0) * f32::min(146.0, slot * 2.0),
    };
    let mirror = !matches!(object, Depicted::Thing(_)) && rng.random();
    Place {
        x: middle - breadth(object) * height / 2.0,
        y: ground - height,
        scale: height,
        mirror,
    }
}

/// The box an annotator would draw: around the extent, a little off, inside the picture.
fn jittered([x0, y0, x1, y1]: [f32; 4], rng: &mut ChaCha8Rng) -> [f64; 4] {
    let (width, height) = (x1 - x0, y1 - y0);
    let mut off = |size: f32| size * rng.random_range(-0.02..0.035_f32);
    let x0 = (x0 - off(width)).max(0.0);
    let y0 = (y0 - off(height)).max(0.0);
    let x1 = (x1 + off(width)).min(WIDTH as f32);
    let y1 = (y1 + off(height)).min(HEIGHT as f32);
    let share = |value: f32, of: u32| (f64::from(value) / f64::from(of) * 1e6).round() / 1e6;
    [
        share(f32::midpoint(x0, x1), WIDTH),
        share(f32::midpoint(y0, y1), HEIGHT),
        share(x1 - x0, WIDTH),
        share(y1 - y0, HEIGHT),
    ]
}

/// Confetti in front of everything, a few pixels each: too small to hide a digit.
fn clutter(canvas: &mut Canvas, rng: &mut ChaCha8Rng) {
    let mut pen = canvas.pen(Place::PIXELS);
    for _ in 0..rng.random_range(0..14) {
        let x = rng.random_range(0.0..WIDTH as f32);
        let y = rng.random_range(0.0..HEIGHT as f32);
        let size = rng.random_range(1.5..3.5_f32);
        let colour = PALETTE[rng.random_range(0..PALETTE.len())];
        pen.rect([x, y, size, size], colour);
    }
}

/// Exposure, contrast, a slight cast and sensor noise; also drops the alpha channel.
fn spoil(data: &[u8], dark: bool, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let contrasts = if dark { 0.4..0.7 } else { 0.88..1.1_f32 };
    let contrast = rng.random_range(contrasts);
    let brightness = rng.random_range(-18.0..18.0_f32);
    let cast: [f32; 3] = std::array::from_fn(|_| rng.random_range(-6.0..6.0));
    let amplitudes = if dark { 7.0..14.0 } else { 1.0..7.0_f32 };
    let amplitude = rng.random_range(amplitudes);
    let curves = cast.map(|cast| {
        std::array::from_fn::<f32, 256, _>(|value| {
            (value as f32 - 128.0) * contrast + 128.0 + brightness + cast
        })
    });
    // The sum of two bytes is close enough to a bell curve; 104.5 is its standard deviation.
    let scale = amplitude / 104.5;
    let mut state = rng.random::<u64>() | 1;
    let mut pixels = Vec::with_capacity(data.len() / 4 * 3);
    for pixel in data.chunks_exact(4) {
        // xorshift64: noise needs speed, not quality.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        for channel in 0..3 {
            let bytes = (state >> (16 * channel)) as u16;
            let noise = (f32::from((bytes >> 8) + (bytes & 255)) - 255.0) * scale;
            let value = curves[channel][usize::from(pixel[channel])];
            pixels.push((value + noise) as u8); // saturates
        }
    }
    pixels
}
