//! `more-r1 preprocess`: the pixels as the vision tower would see them, as safetensors.

use std::collections::HashMap;

use anyhow::Context;
use model::checkpoint::processor;
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};
use serde::Serialize;
use vision::{Limits, Patches};

use crate::args::PreprocessArgs;
use crate::command::{Failure, print, read_file};
use crate::fields::FieldError;
use crate::settings::files;

/// What is printed.
#[derive(Serialize)]
struct Report {
    out: String,
    patches: usize,
    image_grid_thw: [usize; 3],
}

pub fn run(args: &PreprocessArgs, json: bool) -> Result<(), Failure> {
    let (_, files) = files(args.model.as_deref())?;
    let processor = processor(&files)?;
    let unusable = |field| move |source| FieldError::Image { field, source };
    let photo = vision::decode(&read_file("--image", &args.image)?, &Limits::default())
        .map_err(unusable("image"))?;
    let patches = match args.bbox {
        None => processor
            .patches(&photo.pixels)
            .map_err(unusable("image"))?,
        Some(bbox) => {
            let (width, height) = photo.pixels.dimensions();
            let region =
                vision::region(bbox, args.box_format, width, height).map_err(FieldError::Box)?;
            processor
                .patches(&vision::crop(&photo.pixels, &region.pixels))
                .map_err(unusable("bbox"))?
        }
    };
    let grid = [patches.grid.t, patches.grid.h, patches.grid.w];
    write(&patches, grid, args)?;
    let report = Report {
        out: args.out.display().to_string(),
        patches: grid.iter().product(),
        image_grid_thw: grid,
    };
    print(json, &report, |report| {
        format!(
            "{}: {} patches, grid {:?}",
            report.out, report.patches, report.image_grid_thw
        )
    })
}

fn write(patches: &Patches, grid: [usize; 3], args: &PreprocessArgs) -> Result<(), Failure> {
    let rows: usize = grid.iter().product();
    let pixels: Vec<u8> = patches
        .pixels
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let sides: Vec<u8> = grid
        .iter()
        .flat_map(|&side| (side as i64).to_le_bytes())
        .collect();
    let shape = vec![rows, patches.pixels.len() / rows];
    let tensors = HashMap::from([
        (
            "pixel_values",
            TensorView::new(Dtype::F32, shape, &pixels).context("sizes do not fit")?,
        ),
        (
            "image_grid_thw",
            TensorView::new(Dtype::I64, vec![1, 3], &sides).context("sizes do not fit")?,
        ),
    ]);
    serialize_to_file(tensors, None, &args.out)
        .map_err(|error| Failure::Usage(format!("--out {}: {error}", args.out.display())))
}
