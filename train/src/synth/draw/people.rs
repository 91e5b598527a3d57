//! Persons: athletes with a number on a white bib, coaches in dark suits with a broad scarf, politicians in long robes
//! with tall hats, and a figure out of focus. The unit square is as high as the person and centred on it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{INK, PALETTE, PAPER, Pen, Rgb};

const SKINS: [Rgb; 4] = [
    [246, 212, 182],
    [222, 170, 128],
    [164, 108, 70],
    [104, 66, 44],
];
const HAIRS: [Rgb; 5] = [
    [34, 26, 22],
    [92, 58, 32],
    [176, 126, 62],
    [150, 150, 150],
    [120, 46, 26],
];
const SUITS: [Rgb; 3] = [[44, 46, 56], [58, 52, 50], [36, 44, 48]];

/// What varies between two pictures of the same person.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    skin: Rgb,
    hair: Rgb,
    style: u8,
    arms: [u8; 2],
    stride: f32,
}

impl Looks {
    /// Draws looks by lot.
    pub fn random(rng: &mut ChaCha8Rng) -> Self {
        Self {
            skin: SKINS[rng.random_range(0..SKINS.len())],
            hair: HAIRS[rng.random_range(0..HAIRS.len())],
            style: rng.random_range(0..3),
            arms: [rng.random_range(0..4), rng.random_range(0..4)],
            stride: rng.random_range(0.0..0.07),
        }
    }
}

impl Pen<'_> {
    /// An athlete in a kit of palette colour `team` with a digit on the chest.
    pub fn athlete(&mut self, team: usize, digit: u8, looks: &Looks) {
        let kit = PALETTE[team];
        let spread = 0.085 + looks.stride;
        for side in [-1.0, 1.0] {
            let foot = 0.5 + side * spread;
            self.line(
                &[(0.5 + side * 0.08, 0.66), (foot, 0.86)],
                0.085,
                looks.skin,
            );
            self.line(&[(foot, 0.84), (foot, 0.93)], 0.09, kit); // socks
            self.line(&[(foot, 0.965), (foot + side * 0.03, 0.97)], 0.055, INK);
        }
        self.arms(kit, looks.skin, looks.arms, 0.17);
        self.polygon(
            &[
                (0.31, 0.6),
                (0.69, 0.6),
                (0.72, 0.74),
                (0.52, 0.74),
                (0.5, 0.68),
                (0.48, 0.74),
                (0.28, 0.74),
            ],
            kit,
        );
        self.polygon(
            &[
                (0.37, 0.2),
                (0.63, 0.2),
                (0.73, 0.27),
                (0.71, 0.62),
                (0.29, 0.62),
                (0.27, 0.27),
            ],
            kit,
        );
        self.rect([0.345, 0.27, 0.31, 0.3], PAPER);
        self.head(looks);
        let mirror = self.set_mirror(false);
        self.digit(digit, [0.415, 0.305, 0.17, 0.23], 0.052);
        self.set_mirror(mirror);
    }

    /// A coach: dark suit, broad scarf in palette colour `team`, no number.
    pub fn coach(&mut self, team: usize, looks: &Looks) {
        let suit = SUITS[usize::from(looks.style) % SUITS.len()];
        let scarf = PALETTE[team];
        for side in [-1.0, 1.0] {
            self.line(
                &[
                    (0.5 + side * 0.08, 0.6),
                    (0.5 + side * (0.08 + looks.stride * 0.5), 0.95),
                ],
                0.12,
                suit,
            );
        }
        self.arms(suit, looks.skin, looks.arms, 0.16);
        self.polygon(
            &[
                (0.37, 0.2),
                (0.63, 0.2),
                (0.73, 0.27),
                (0.7, 0.66),
                (0.3, 0.66),
                (0.27, 0.27),
            ],
            suit,
        );
        self.polygon(
            &[(0.34, 0.185), (0.66, 0.185), (0.67, 0.285), (0.33, 0.285)],
            scarf,
        );
        self.polygon(
            &[(0.36, 0.26), (0.53, 0.26), (0.53, 0.6), (0.36, 0.6)],
            scarf,
        );
        self.head(looks);
    }

    /// A politician: robe to the ground and tall hat in palette colour `colour`, golden sash.
    pub fn politician(&mut self, colour: usize, looks: &Looks) {
        let robe = PALETTE[colour];
        self.arms(robe, looks.skin, looks.arms, 0.17);
        self.polygon(
            &[(0.38, 0.26), (0.62, 0.26), (0.8, 0.99), (0.2, 0.99)],
            robe,
        );
        self.line(&[(0.41, 0.31), (0.66, 0.62)], 0.06, [244, 236, 200]);
        self.line(&[(0.23, 0.96), (0.77, 0.96)], 0.045, [244, 236, 200]);
        self.head_at(0.19, looks);
        self.rect([0.4, 0.0, 0.2, 0.115], robe);
        self.rect([0.33, 0.105, 0.34, 0.035], robe);
    }

    /// Somebody far out of focus: grey, without edges, without anything to recognise.
    pub fn figure(&mut self, looks: &Looks) {
        let grey = 96 + looks.style * 26;
        let tone = [grey, grey.saturating_sub(4), grey.saturating_add(6)];
        for step in 0..7_u8 {
            let grow = 0.09 - f32::from(step) * 0.015;
            self.translucent(52);
            self.ellipse([0.5, 0.15, 0.09 + grow, 0.1 + grow], tone);
            self.ellipse([0.5, 0.52, 0.17 + grow, 0.3 + grow], tone);
            self.ellipse([0.5, 0.82, 0.13 + grow, 0.13 + grow], tone);
        }
        self.translucent(255);
    }

    fn head(&mut self, looks: &Looks) {
        self.head_at(0.1, looks);
    }

    fn head_at(&mut self, y: f32, looks: &Looks) {
        self.rect([0.46, y + 0.04, 0.08, 0.09], looks.skin);
        match looks.style {
            0 => self.ellipse([0.5, y - 0.015, 0.085, 0.085], looks.hair),
            1 => {
                self.ellipse([0.5, y - 0.01, 0.092, 0.088], looks.hair);
                self.rect([0.41, y - 0.01, 0.18, 0.09], looks.hair);
            }
            _ => self.ellipse([0.5, y - 0.045, 0.06, 0.05], looks.hair),
        }
        self.ellipse([0.5, y + 0.012, 0.068, 0.08], looks.skin);
        for eye in [0.475, 0.525] {
            self.ellipse([eye, y + 0.005, 0.009, 0.011], INK);
        }
    }

    /// Both arms, in front of nothing that matters: hanging, on the hip, stretched out or raised.
    fn arms(&mut self, sleeve: Rgb, skin: Rgb, poses: [u8; 2], shoulder: f32) {
        for (side, pose) in [-1.0, 1.0].into_iter().zip(poses) {
            let at = |x: f32, y: f32| (0.5 + side * (shoulder + x), y);
            let (elbow, hand) = match pose {
                0 => (at(0.075, 0.42), at(0.08, 0.55)),
                1 => (at(0.125, 0.4), at(0.05, 0.53)),
                2 => (at(0.13, 0.36), at(0.2, 0.3)),
                _ => (at(0.11, 0.2), at(0.14, 0.06)),
            };
            let start = at(0.02, 0.265);
            self.line(&[elbow, hand], 0.06, skin);
            self.line(&[start, elbow], 0.085, sleeve);
        }
    }

    /// A bold digit inside left, upper, width, height.
    fn digit(&mut self, digit: u8, [x, y, w, h]: [f32; 4], width: f32) {
        let at = |u: f32, v: f32| (x + u * w, y + v * h);
        match digit {
            1 => self.line(&[at(0.2, 0.22), at(0.55, 0.0), at(0.55, 1.0)], width, INK),
            4 => self.line(
                &[at(0.75, 1.0), at(0.75, 0.0), at(-0.05, 0.68), at(1.1, 0.68)],
                width,
                INK,
            ),
            7 => self.line(&[at(0.0, 0.0), at(1.0, 0.0), at(0.4, 1.0)], width, INK),
            8 => {
                let (cx, top) = at(0.5, 0.24);
                let (_, bottom) = at(0.5, 0.74);
                self.circle_line(cx, top, 0.24 * h, width * 0.85, INK);
                self.circle_line(cx, bottom, 0.28 * h, width * 0.85, INK);
            }
            other => unreachable!("no player of the world wears the number {other}"),
        }
    }
}
