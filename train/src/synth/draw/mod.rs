//! Drawing in two layers: a canvas of 320×240 pixels that takes flat shapes, and a pen that places a figure given in
//! its own unit coordinates and remembers the pixels it reached. What is drawn where is decided in `scene.rs`.

mod people;
mod places;
mod settings;
mod things;

use tiny_skia::{
    FillRule, LineCap, LineJoin, Paint, PathBuilder, Pixmap, PixmapMut, Rect, Stroke, Transform,
};

pub(super) use people::Looks;
pub(super) use settings::{Setting, background};

/// Width of every picture, as in the brief of the corpus.
pub const WIDTH: u32 = 320;
/// Height of every picture.
pub const HEIGHT: u32 = 240;

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// Near black, for outlines, digits and shoes.
pub const INK: Rgb = [28, 26, 30];
/// Near white, for bibs and plates.
pub const PAPER: Rgb = [246, 246, 242];

/// The six colours of the world, in the order of `world::COLOURS`: far apart in hue or in lightness.
pub const PALETTE: [Rgb; 6] = [
    [206, 20, 38],
    [28, 72, 212],
    [14, 140, 62],
    [250, 218, 36],
    [128, 34, 168],
    [252, 126, 10],
];

/// The surface of one picture.
pub struct Canvas {
    pixmap: Pixmap,
}

impl Canvas {
    /// A black picture.
    ///
    /// # Panics
    /// Never: the size is a constant.
    pub fn new() -> Self {
        Self {
            pixmap: Pixmap::new(WIDTH, HEIGHT).expect("320×240 is a valid size"),
        }
    }

    /// The pixels, four bytes each; all are opaque.
    pub fn data(&self) -> &[u8] {
        self.pixmap.data()
    }

    /// A pen for a figure whose unit square lies at these pixels.
    pub fn pen(&mut self, place: Place) -> Pen<'_> {
        Pen {
            canvas: self.pixmap.as_mut(),
            place,
            extent: None,
            alpha: 255,
        }
    }
}

/// Where the unit square of a figure lies in the picture.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Left edge in pixels.
    pub x: f32,
    /// Upper edge in pixels.
    pub y: f32,
    /// Pixels of one unit, in both directions.
    pub scale: f32,
    /// Whether left and right are exchanged (around the middle of the unit square).
    pub mirror: bool,
}

impl Place {
    /// Unit coordinates are pixels.
    pub const PIXELS: Self = Self {
        x: 0.0,
        y: 0.0,
        scale: 1.0,
        mirror: false,
    };
}

/// Draws shapes given in unit coordinates.
pub struct Pen<'a> {
    canvas: PixmapMut<'a>,
    place: Place,
    extent: Option<[f32; 4]>,
    alpha: u8,
}

impl Pen<'_> {
    /// Pixels reached so far: left, upper, right, lower.
    ///
    /// # Panics
    /// When nothing was drawn.
    pub fn extent(&self) -> [f32; 4] {
        self.extent.expect("a figure draws at least one shape")
    }

    /// The next shapes let what is below shine through.
    pub fn translucent(&mut self, alpha: u8) {
        self.alpha = alpha;
    }

    /// Writing must not be mirrored: returns what was set.
    pub fn set_mirror(&mut self, mirror: bool) -> bool {
        std::mem::replace(&mut self.place.mirror, mirror)
    }

    /// A filled rectangle: left, upper, width, height.
    pub fn rect(&mut self, [x, y, w, h]: [f32; 4], colour: Rgb) {
        self.polygon(&[(x, y), (x + w, y), (x + w, y + h), (x, y + h)], colour);
    }

    /// A filled ellipse: middle, then half the width and half the height.
    pub fn ellipse(&mut self, [cx, cy, rx, ry]: [f32; 4], colour: Rgb) {
        let (x0, y0) = self.at((cx - rx, cy - ry));
        let (x1, y1) = self.at((cx + rx, cy + ry));
        let Some(bounds) = Rect::from_ltrb(x0.min(x1), y0, x0.max(x1), y1) else {
            return;
        };
        self.extend(x0.min(x1), y0);
        self.extend(x0.max(x1), y1);
        if let Some(path) = PathBuilder::from_oval(bounds) {
            self.fill(&path, colour);
        }
    }

    /// A filled polygon.
    pub fn polygon(&mut self, points: &[(f32, f32)], colour: Rgb) {
        if let Some(path) = self.path(points, true) {
            self.fill(&path, colour);
        }
    }

    /// A line through points, with round ends; its width is in units.
    pub fn line(&mut self, points: &[(f32, f32)], width: f32, colour: Rgb) {
        let Some(path) = self.path(points, false) else {
            return;
        };
        let stroke = Stroke {
            width: width * self.place.scale,
            line_cap: LineCap::Round,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        let paint = self.paint(colour);
        self.canvas
            .stroke_path(&path, &paint, &stroke, Transform::identity(), None);
    }

    /// A circle line: middle, radius, width of the line.
    pub fn circle_line(&mut self, cx: f32, cy: f32, radius: f32, width: f32, colour: Rgb) {
        let points: Vec<(f32, f32)> = (0..=20)
            .map(|step| {
                let angle = step as f32 / 20.0 * std::f32::consts::TAU;
                (cx + radius * angle.cos(), cy + radius * angle.sin())
            })
            .collect();
        self.line(&points, width, colour);
    }

    fn path(&mut self, points: &[(f32, f32)], close: bool) -> Option<tiny_skia::Path> {
        let mut builder = PathBuilder::new();
        for (index, point) in points.iter().enumerate() {
            let (x, y) = self.at(*point);
            self.extend(x, y);
            if index == 0 {
                builder.move_to(x, y);
            } else {
                builder.line_to(x, y);
            }
        }
        if close {
            builder.close();
        }
        builder.finish()
    }

    fn fill(&mut self, path: &tiny_skia::Path, colour: Rgb) {
        let paint = self.paint(colour);
        self.canvas
            .fill_path(path, &paint, FillRule::EvenOdd, Transform::identity(), None);
    }

    fn paint(&self, [r, g, b]: Rgb) -> Paint<'static> {
        let mut paint = Paint::default();
        paint.set_color_rgba8(r, g, b, self.alpha);
        paint.anti_alias = true;
        paint
    }

    fn at(&self, (x, y): (f32, f32)) -> (f32, f32) {
        let x = if self.place.mirror { 1.0 - x } else { x };
        (
            self.place.x + x * self.place.scale,
            self.place.y + y * self.place.scale,
        )
    }

    fn extend(&mut self, x: f32, y: f32) {
        let [x0, y0, x1, y1] = self.extent.unwrap_or([x, y, x, y]);
        self.extent = Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)]);
    }
}
