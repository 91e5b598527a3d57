//! The buildings of the world. They keep to the colours of stone: only the silhouette tells which.

use super::{INK, Pen, Rgb};
use crate::synth::world::LANDMARKS;

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
