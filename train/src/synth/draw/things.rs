//! Emblems, flags and the things nobody has a name for. The unit square is as high as the thing.

use super::{INK, PALETTE, PAPER, Pen, Rgb};
use crate::synth::world::{TEAMS, Thing};

const GOLD: Rgb = [226, 176, 44];
const DARK_GOLD: Rgb = [168, 118, 24];

impl Pen<'_> {
    /// The emblem of a team: its shape in its colour on a white plate with a dark edge.
    pub fn emblem(&mut self, team: usize) {
        let colour = PALETTE[team];
        self.rect([0.0, 0.0, 1.0, 1.0], INK);
        self.rect([0.045, 0.045, 0.91, 0.91], PAPER);
        match TEAMS[team].emblem {
            "star" => {
                let points: Vec<(f32, f32)> = (0..10_u8)
                    .map(|corner| {
                        let radius = if corner % 2 == 0 { 0.43 } else { 0.18 };
                        let angle = f32::from(corner) / 10.0 * std::f32::consts::TAU;
                        (0.5 + radius * angle.sin(), 0.52 - radius * angle.cos())
                    })
                    .collect();
                self.polygon(&points, colour);
            }
            "ring" => self.circle_line(0.5, 0.5, 0.29, 0.19, colour),
            "diamond" => self.polygon(
                &[(0.5, 0.08), (0.84, 0.5), (0.5, 0.92), (0.16, 0.5)],
                colour,
            ),
            "triangle" => self.polygon(&[(0.5, 0.1), (0.92, 0.86), (0.08, 0.86)], colour),
            "cross" => {
                self.rect([0.38, 0.09, 0.24, 0.82], colour);
                self.rect([0.09, 0.38, 0.82, 0.24], colour);
            }
            _ => {
                self.ellipse([0.47, 0.5, 0.4, 0.4], colour);
                self.ellipse([0.63, 0.5, 0.31, 0.31], PAPER);
            }
        }
    }

    /// The flag of a country on a pole, half as wide again as high.
    pub fn flag(&mut self, country: usize) {
        const LEFT: f32 = 0.05;
        const WIDTH: f32 = 1.3;
        const HEIGHT: f32 = 0.86;
        let white = PAPER;
        match country {
            0 => {
                for stripe in 0..5_u8 {
                    let colour = if stripe % 2 == 0 { PALETTE[2] } else { white };
                    self.rect(
                        [LEFT, f32::from(stripe) * HEIGHT / 5.0, WIDTH, HEIGHT / 5.0],
                        colour,
                    );
                }
            }
            1 => {
                self.rect([LEFT, 0.0, WIDTH, HEIGHT], PALETTE[1]);
                self.rect([0.4, 0.0, 0.2, HEIGHT], white);
                self.rect([LEFT, 0.33, WIDTH, 0.2], white);
            }
            2 => {
                self.rect([LEFT, 0.0, WIDTH, HEIGHT], white);
                self.ellipse([0.7, HEIGHT / 2.0, 0.29, 0.29], PALETTE[0]);
            }
            _ => {
                self.rect([LEFT, 0.0, WIDTH / 2.0, HEIGHT], INK);
                self.rect([LEFT + WIDTH / 2.0, 0.0, WIDTH / 2.0, HEIGHT], PALETTE[3]);
            }
        }
        self.line(&[(0.03, 0.02), (0.03, 0.98)], 0.05, [92, 84, 78]);
    }

    /// A thing other than the figure, which needs the looks of a person.
    pub fn thing(&mut self, thing: Thing) {
        match thing {
            Thing::Trophy => self.trophy(),
            Thing::Podium => self.podium(),
            Thing::Banner => self.banner(),
            Thing::Ball => self.ball(),
            Thing::Car => self.car(),
            Thing::Figure => unreachable!("figures are drawn like persons"),
        }
    }

    fn trophy(&mut self) {
        self.circle_line(0.27, 0.27, 0.14, 0.06, DARK_GOLD);
        self.circle_line(0.73, 0.27, 0.14, 0.06, DARK_GOLD);
        self.polygon(
            &[
                (0.25, 0.04),
                (0.75, 0.04),
                (0.68, 0.45),
                (0.5, 0.6),
                (0.32, 0.45),
            ],
            GOLD,
        );
        self.rect([0.45, 0.56, 0.1, 0.22], DARK_GOLD);
        self.polygon(
            &[(0.34, 0.76), (0.66, 0.76), (0.74, 0.98), (0.26, 0.98)],
            GOLD,
        );
        self.line(&[(0.36, 0.12), (0.4, 0.4)], 0.045, [255, 236, 160]);
    }

    fn podium(&mut self) {
        self.rect([0.0, 0.55, 0.5, 0.45], [196, 190, 182]);
        self.rect([0.5, 0.2, 0.5, 0.8], [224, 220, 212]);
        self.rect([1.0, 0.68, 0.5, 0.32], [180, 174, 166]);
        for (x, y) in [(0.0, 0.55), (0.5, 0.2), (1.0, 0.68)] {
            self.rect([x, y, 0.5, 0.06], [120, 82, 50]);
        }
    }

    fn banner(&mut self) {
        self.line(&[(0.04, 0.0), (0.04, 1.0)], 0.06, [110, 92, 74]);
        self.line(&[(1.96, 0.0), (1.96, 1.0)], 0.06, [110, 92, 74]);
        self.polygon(
            &[(0.06, 0.08), (1.94, 0.08), (1.94, 0.72), (0.06, 0.72)],
            [206, 226, 226],
        );
        let wave: Vec<(f32, f32)> = (0..13_u8)
            .map(|step| {
                (
                    0.22 + f32::from(step) * 0.13,
                    if step % 2 == 0 { 0.3 } else { 0.5 },
                )
            })
            .collect();
        self.line(&wave, 0.07, [60, 96, 104]);
    }

    fn ball(&mut self) {
        self.ellipse([0.5, 0.5, 0.5, 0.5], INK);
        self.ellipse([0.5, 0.5, 0.46, 0.46], PAPER);
        self.ellipse([0.5, 0.5, 0.17, 0.17], INK);
        for corner in 0..5_u8 {
            let angle = f32::from(corner) / 5.0 * std::f32::consts::TAU;
            self.ellipse(
                [
                    0.5 + 0.36 * angle.sin(),
                    0.5 - 0.36 * angle.cos(),
                    0.085,
                    0.085,
                ],
                INK,
            );
        }
    }

    fn car(&mut self) {
        let body = [92, 104, 112];
        self.polygon(&[(0.42, 0.1), (1.2, 0.1), (1.5, 0.45), (0.2, 0.45)], body);
        self.polygon(
            &[(0.5, 0.17), (0.8, 0.17), (0.8, 0.42), (0.36, 0.42)],
            [196, 220, 232],
        );
        self.polygon(
            &[(0.87, 0.17), (1.15, 0.17), (1.35, 0.42), (0.87, 0.42)],
            [196, 220, 232],
        );
        self.rect([0.0, 0.43, 1.9, 0.36], body);
        for wheel in [0.42, 1.46] {
            self.ellipse([wheel, 0.78, 0.22, 0.22], INK);
            self.ellipse([wheel, 0.78, 0.1, 0.1], [170, 170, 170]);
        }
    }
}
