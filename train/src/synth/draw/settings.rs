//! Where a picture is taken. Backgrounds keep to pale colours: the six strong ones belong to teams and politicians.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Canvas, HEIGHT, Pen, Place, Rgb, WIDTH};

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

/// A background under work.
struct Backdrop<'a> {
    pen: Pen<'a>,
    horizon: f32,
    shade: i16,
}

/// Fills the canvas.
pub fn background(canvas: &mut Canvas, setting: Setting, rng: &mut ChaCha8Rng) {
    let mut backdrop = Backdrop {
        horizon: rng.random_range(118.0..146.0_f32),
        shade: rng.random_range(-10..=10_i16),
        pen: canvas.pen(Place::PIXELS),
    };
    let (far, near) = match setting {
        Setting::Stadium => ([150, 156, 170], [150, 184, 138]),
        Setting::Hall => ([206, 190, 168], [164, 132, 98]),
        Setting::Street => ([188, 208, 224], [128, 128, 132]),
        Setting::Square => ([198, 216, 230], [198, 188, 170]),
        Setting::Beach => ([204, 226, 240], [232, 216, 176]),
    };
    let horizon = backdrop.horizon;
    backdrop.rect([0.0, 0.0, WIDTH as f32, horizon], far);
    backdrop.rect([0.0, horizon, WIDTH as f32, HEIGHT as f32 - horizon], near);
    match setting {
        Setting::Stadium => backdrop.stadium(rng),
        Setting::Hall => backdrop.hall(rng),
        Setting::Street => backdrop.street(rng),
        Setting::Square => backdrop.square(rng),
        Setting::Beach => backdrop.beach(rng),
    }
}

impl Backdrop<'_> {
    /// A rectangle in a colour as light as the hour makes it.
    fn rect(&mut self, area: [f32; 4], colour: Rgb) {
        let colour = self.tone(colour);
        self.pen.rect(area, colour);
    }

    fn tone(&self, colour: Rgb) -> Rgb {
        colour.map(|value| (i16::from(value) + self.shade).clamp(0, 255) as u8)
    }

    /// Rows of spectators, a striped pitch.
    fn stadium(&mut self, rng: &mut ChaCha8Rng) {
        let horizon = self.horizon;
        let width = WIDTH as f32;
        let height = HEIGHT as f32;
        let mut y = 88.0;
        while y < horizon - 4.0 {
            let mut x = rng.random_range(0.0..6.0_f32);
            while x < width {
                let grey = rng.random_range(90..200_u8);
                self.pen
                    .rect([x, y, 4.0, 5.0], [grey, grey - 12, grey - 24]);
                x += rng.random_range(8.0..15.0_f32);
            }
            y += 9.0;
        }
        for stripe in 0..4_u8 {
            let x = f32::from(stripe) * 84.0 + f32::from(self.shade);
            self.pen.polygon(
                &[
                    (x, horizon),
                    (x + 38.0, horizon),
                    (x + 24.0, height),
                    (x - 22.0, height),
                ],
                self.tone([162, 196, 150]),
            );
        }
    }

    /// Curtains and floor boards.
    fn hall(&mut self, rng: &mut ChaCha8Rng) {
        let horizon = self.horizon;
        let width = WIDTH as f32;
        let shift = rng.random_range(0.0..40.0_f32);
        for fold in 0..5_u8 {
            self.rect(
                [f32::from(fold) * 72.0 - shift, 0.0, 20.0, horizon],
                [190, 170, 148],
            );
        }
        for board in 0..4_u8 {
            let y = horizon + 8.0 + f32::from(board) * 26.0;
            self.rect([0.0, y, width, 2.0], [140, 110, 80]);
        }
    }

    /// House fronts with windows, a dashed line.
    fn street(&mut self, rng: &mut ChaCha8Rng) {
        let horizon = self.horizon;
        let width = WIDTH as f32;
        let mut x = -rng.random_range(0.0..30.0_f32);
        while x < width {
            let wide = rng.random_range(44.0..80.0_f32);
            let top = rng.random_range(40.0..96.0_f32);
            let grey = rng.random_range(150..196_u8);
            self.pen
                .rect([x, top, wide, horizon - top], [grey, grey - 10, grey - 22]);
            for window in 0..3_u8 {
                self.pen.rect(
                    [x + 7.0 + f32::from(window) * 15.0, top + 9.0, 7.0, 10.0],
                    [112, 118, 128],
                );
            }
            x += wide + 3.0;
        }
        for dash in 0..4_u8 {
            self.pen.rect(
                [f32::from(dash) * 90.0 + 10.0, 196.0, 44.0, 4.0],
                [220, 220, 214],
            );
        }
    }

    /// Small houses, rows of paving stones.
    fn square(&mut self, rng: &mut ChaCha8Rng) {
        let horizon = self.horizon;
        let width = WIDTH as f32;
        for house in 0..4_u8 {
            let x = f32::from(house) * 84.0 - 8.0;
            let top = horizon - rng.random_range(24.0..40.0_f32);
            self.pen.polygon(
                &[(x, top), (x + 40.0, top - 14.0), (x + 80.0, top)],
                self.tone([168, 140, 124]),
            );
            self.rect([x + 4.0, top, 72.0, horizon - top], [214, 204, 188]);
        }
        for row in 0..4_u8 {
            self.rect(
                [0.0, horizon + 10.0 + f32::from(row) * 24.0, width, 1.5],
                [172, 162, 146],
            );
        }
    }

    /// Sea, waves and a cloud.
    fn beach(&mut self, rng: &mut ChaCha8Rng) {
        let horizon = self.horizon;
        let width = WIDTH as f32;
        self.rect([0.0, horizon - 34.0, width, 34.0], [138, 182, 200]);
        for wave in 0..3_u8 {
            let y = horizon - 26.0 + f32::from(wave) * 10.0;
            let x = rng.random_range(0.0..120.0_f32);
            self.pen.rect([x, y, 120.0, 2.0], [226, 240, 244]);
        }
        self.pen.ellipse(
            [rng.random_range(20.0..300.0), 20.0, 40.0, 9.0],
            [240, 246, 250],
        );
    }
}
