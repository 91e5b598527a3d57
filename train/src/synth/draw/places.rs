//! Where a picture is taken, and the buildings of the world. Backgrounds keep to pale colours: the six strong ones
//! belong to teams and politicians.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Canvas, HEIGHT, INK, Pen, Place, Rgb, WIDTH};
use crate::synth::world::LANDMARKS;

/// The kind of place behind the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Setting {
    /// Stands full of people above a pitch.
    Stadium,
    /// A room with curtains and a wooden floor.
    Hall,
    /// House fronts above asphalt.
    Street,
    /// Low roofs above pale paving stones.
    Square,
    /// Sea and sand.
    Beach,
}

impl Setting {
    /// Every setting.
    pub const ALL: [Self; 5] = [
        Self::Stadium,
        Self::Hall,
        Self::Street,
        Self::Square,
        Self::Beach,
    ];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stadium => "stadium",
            Self::Hall => "hall",
            Self::Street => "street",
            Self::Square => "square",
            Self::Beach => "beach",
        }
    }
}

/// Fills the canvas.
pub fn background(canvas: &mut Canvas, setting: Setting, rng: &mut ChaCha8Rng) {
    let (width, height) = (WIDTH as f32, HEIGHT as f32);
    let horizon = rng.random_range(118.0..146.0_f32);
    let shade = rng.random_range(-10..=10_i16);
    let tone = |colour: Rgb| colour.map(|value| (i16::from(value) + shade).clamp(0, 255) as u8);
    let mut pen = canvas.pen(Place::PIXELS);
    let (far, near) = match setting {
        Setting::Stadium => ([150, 156, 170], [150, 184, 138]),
        Setting::Hall => ([206, 190, 168], [164, 132, 98]),
        Setting::Street => ([188, 208, 224], [128, 128, 132]),
        Setting::Square => ([198, 216, 230], [198, 188, 170]),
        Setting::Beach => ([204, 226, 240], [232, 216, 176]),
    };
    pen.rect([0.0, 0.0, width, horizon], tone(far));
    pen.rect([0.0, horizon, width, height - horizon], tone(near));
    match setting {
        Setting::Stadium => {
            let mut y = 88.0;
            while y < horizon - 4.0 {
                let mut x = rng.random_range(0.0..6.0_f32);
                while x < width {
                    let grey = rng.random_range(90..200_u8);
                    pen.rect([x, y, 4.0, 5.0], [grey, grey - 12, grey - 24]);
                    x += rng.random_range(8.0..15.0_f32);
                }
                y += 9.0;
            }
            for stripe in 0..4_u8 {
                let x = f32::from(stripe) * 84.0 + f32::from(shade as i8);
                pen.polygon(
                    &[
                        (x, horizon),
                        (x + 38.0, horizon),
                        (x + 24.0, height),
                        (x - 22.0, height),
                    ],
                    tone([162, 196, 150]),
                );
            }
        }
        Setting::Hall => {
            let shift = rng.random_range(0.0..40.0_f32);
            for fold in 0..5_u8 {
                pen.rect(
                    [f32::from(fold) * 72.0 - shift, 0.0, 20.0, horizon],
                    tone([190, 170, 148]),
                );
            }
            for board in 0..4_u8 {
                let y = horizon + 8.0 + f32::from(board) * 26.0;
                pen.rect([0.0, y, width, 2.0], tone([140, 110, 80]));
            }
        }
        Setting::Street => {
            let mut x = -rng.random_range(0.0..30.0_f32);
            while x < width {
                let wide = rng.random_range(44.0..80.0_f32);
                let top = rng.random_range(40.0..96.0_f32);
                let grey = rng.random_range(150..196_u8);
                pen.rect([x, top, wide, horizon - top], [grey, grey - 10, grey - 22]);
                for window in 0..3_u8 {
                    pen.rect(
                        [x + 7.0 + f32::from(window) * 15.0, top + 9.0, 7.0, 10.0],
                        [112, 118, 128],
                    );
                }
                x += wide + 3.0;
            }
            for dash in 0..4_u8 {
                pen.rect(
                    [f32::from(dash) * 90.0 + 10.0, 196.0, 44.0, 4.0],
                    [220, 220, 214],
                );
            }
        }
        Setting::Square => {
            for house in 0..4_u8 {
                let x = f32::from(house) * 84.0 - 8.0;
                let top = horizon - rng.random_range(24.0..40.0_f32);
                pen.polygon(
                    &[(x, top), (x + 40.0, top - 14.0), (x + 80.0, top)],
                    tone([168, 140, 124]),
                );
                pen.rect([x + 4.0, top, 72.0, horizon - top], tone([214, 204, 188]));
            }
            for row in 0..4_u8 {
                pen.rect(
                    [0.0, horizon + 10.0 + f32::from(row) * 24.0, width, 1.5],
                    tone([172, 162, 146]),
                );
            }
        }
        Setting::Beach => {
            pen.rect([0.0, horizon - 34.0, width, 34.0], tone([138, 182, 200]));
            for wave in 0..3_u8 {
                let y = horizon - 26.0 + f32::from(wave) * 10.0;
                let x = rng.random_range(0.0..120.0_f32);
                pen.rect([x, y, 120.0, 2.0], [226, 240, 244]);
            }
            pen.ellipse(
                [rng.random_range(20.0..300.0), 20.0, 40.0, 9.0],
                [240, 246, 250],
            );
        }
    }
}

const STONE: Rgb = [176, 164, 146];
const DARK_STONE: Rgb = [112, 98, 84];

impl Pen<'_> {
    /// A building in stone colours; only the silhouette tells which. As wide as high.
    pub fn landmark(&mut self, index: usize) {
        match LANDMARKS[index].shape {
            "dome" => {
                self.ellipse([0.5, 0.52, 0.4, 0.42], DARK_STONE);
                self.rect([0.04, 0.5, 0.92, 0.5], STONE);
                for x in [0.14, 0.34, 0.54, 0.74] {
                    self.rect([x, 0.6, 0.1, 0.4], DARK_STONE);
                }
            }
            "tower" => {
                self.polygon(&[(0.34, 0.16), (0.5, 0.0), (0.66, 0.16)], DARK_STONE);
                self.rect([0.36, 0.15, 0.28, 0.85], STONE);
                self.ellipse([0.5, 0.3, 0.09, 0.09], [244, 244, 236]);
                self.rect([0.22, 0.9, 0.56, 0.1], DARK_STONE);
            }
            "gate" => {
                self.rect([0.02, 0.08, 0.96, 0.92], STONE);
                self.rect([0.0, 0.02, 1.0, 0.12], DARK_STONE);
                self.ellipse([0.5, 0.54, 0.24, 0.26], INK);
                self.rect([0.26, 0.54, 0.48, 0.46], INK);
            }
            "pyramid" => {
                self.polygon(&[(0.5, 0.04), (1.05, 1.0), (-0.05, 1.0)], STONE);
                self.polygon(&[(0.5, 0.04), (1.05, 1.0), (0.62, 1.0)], DARK_STONE);
            }
            "castle" => {
                self.rect([0.2, 0.45, 0.6, 0.55], STONE);
                for x in [0.0, 0.7] {
                    self.rect([x, 0.2, 0.3, 0.8], DARK_STONE);
                    for notch in [0.0, 0.11, 0.22] {
                        self.rect([x + notch, 0.1, 0.08, 0.12], DARK_STONE);
                    }
                }
                self.rect([0.4, 0.68, 0.2, 0.32], INK);
            }
            _ => {
                self.polygon(
                    &[(0.36, 0.38), (0.64, 0.38), (0.76, 1.0), (0.24, 1.0)],
                    STONE,
                );
                self.ellipse([0.5, 0.38, 0.14, 0.12], DARK_STONE);
                for (x, y) in [(0.06, 0.06), (0.94, 0.06), (0.06, 0.74), (0.94, 0.74)] {
                    self.line(&[(0.5, 0.4), (x, y)], 0.1, [236, 230, 216]);
                    self.line(&[(0.5, 0.4), (x, y)], 0.03, DARK_STONE);
                }
            }
        }
    }
}
