//! Scans → coefficients → planes of samples. Leaves the planes at their own sizes: `upsample.rs` brings them to one.
//!
//! A sequential file's blocks are transformed as they come; a progressive file's coefficients are kept until the end.

use super::Reason;
use super::bits::{Bits, Huffman};
use super::headers::{Component, Header, Part, Reader, Scan};
use super::idct::inverse;

/// Where the coefficients of a scan go in a block; sixteen more entries catch runs past the end, as in libjpeg.
const ZIGZAG: [u8; 80] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
    63, 63, 63, 63, 63, 63,
];

/// The coefficients of 8×8 samples, in raster order.
type Block = [i16; 64];

/// The samples of one component.
pub(super) struct Plane {
    /// Columns and rows that count; what lies behind them is padding.
    pub width: usize,
    pub height: usize,
    pub stride: usize,
    pub samples: Vec<u8>,
}

impl Plane {
    /// A row's samples, without the padding.
    pub fn row(&self, y: usize) -> &[u8] {
        &self.samples[y * self.stride..][..self.width]
    }
}

/// All planes of a picture while its scans are read.
pub(super) struct Planes {
    layers: Vec<Layer>,
    progressive: bool,
    /// Groups of interleaved blocks, across and down.
    groups: (usize, usize),
}

/// One component: its samples, and its coefficients if they are needed again.
struct Layer {
    component: Component,
    /// Blocks that count, across and down.
    blocks: (usize, usize),
    /// Blocks in a row, with padding.
    stride: usize,
    /// The quantisation table at its first scan, which is the one that holds (`latch_quant_tables`).
    table: Option<[u16; 64]>,
    coefficients: Vec<Block>,
    plane: Plane,
}

impl Planes {
    pub fn new(header: &Header) -> Self {
        let (h, v) = header.largest();
        let groups = (header.width.div_ceil(8 * h), header.height.div_ceil(8 * v));
        let layers = header.components.iter().map(|component| {
            let (width, height) = header.samples(component);
            let (across, down) = (groups.0 * component.h, groups.1 * component.v);
            let kept = if header.progressive { across * down } else { 0 };
            Layer {
                component: *component,
                blocks: (width.div_ceil(8), height.div_ceil(8)),
                stride: across,
                table: None,
                coefficients: vec![[0; 64]; kept],
                plane: Plane {
                    width,
                    height,
                    stride: across * 8,
                    samples: vec![128; across * down * 64],
                },
            }
        });
        Self {
            layers: layers.collect(),
            progressive: header.progressive,
            groups,
        }
    }

    /// Reads one scan; returns where the markers go on.
    pub fn read(&mut self, reader: &Reader<'_>, scan: &Scan) -> Result<usize, Reason> {
        for part in &scan.parts {
            let layer = &mut self.layers[part.component];
            if layer.table.is_none() {
                let slot = layer.component.table;
                layer.table = reader.quantisation[slot];
                layer
                    .table
                    .ok_or_else(|| format!("quantisation table {slot} is missing"))?;
            }
        }
        let mut coder = Coder::new(reader, scan, self.progressive)?;
        let (across, down) = match scan.parts.as_slice() {
            [part] => self.layers[part.component].blocks,
            _ => self.groups,
        };
        for y in 0..down {
            for x in 0..across {
                coder.begin_group()?;
                if coder.bits.exhausted() {
                    continue; // What is missing stays as it is: grey, or as coarse as earlier scans left it.
                }
                if let [part] = scan.parts.as_slice() {
                    self.layers[part.component].block(&mut coder, 0, x, y);
                    continue;
                }
                for (index, part) in scan.parts.iter().enumerate() {
                    let layer = &mut self.layers[part.component];
                    let (h, v) = (layer.component.h, layer.component.v);
                    for row in 0..v {
                        for column in 0..h {
                            layer.block(&mut coder, index, x * h + column, y * v + row);
                        }
                    }
                }
            }
        }
        if coder.bits.exhausted() && coder.bits.ended() {
            return Err(TRUNCATED.to_owned());
        }
        Ok(coder.bits.position())
    }

    /// The samples of every component.
    pub fn finish(mut self) -> Result<Vec<Plane>, Reason> {
        for layer in &mut self.layers {
            let Some(table) = layer.table else {
                return Err(format!("component {} is in no scan", layer.component.id));
            };
            for (at, block) in std::mem::take(&mut layer.coefficients).iter().enumerate() {
                layer
                    .plane
                    .put(at % layer.stride, at / layer.stride, block, &table);
            }
        }
        Ok(self.layers.into_iter().map(|layer| layer.plane).collect())
    }
}

impl Plane {
    fn put(&mut self, x: usize, y: usize, block: &Block, table: &[u16; 64]) {
        let corner = y * 8 * self.stride + x * 8;
        inverse(block, table, &mut self.samples[corner..], self.stride);
    }
}

impl Layer {
    /// Reads the block at a place; `part` is the component's number in the scan.
    fn block(&mut self, coder: &mut Coder<'_>, part: usize, x: usize, y: usize) {
        if let Some(block) = self.coefficients.get_mut(y * self.stride + x) {
            coder.progressive(part, block);
        } else if let Some(table) = &self.table {
            let block = coder.sequential(part);
            self.plane.put(x, y, &block, table);
        }
    }
}

/// What is said of a file that breaks off.
pub(super) const TRUNCATED: &str = "it is truncated: the file ends inside the pixel data";

/// The state of decoding inside a scan.
struct Coder<'a> {
    bits: Bits<'a>,
    scan: &'a Scan,
    tables: Vec<(Option<&'a Huffman>, Option<&'a Huffman>)>,
    /// The last direct coefficient of each component.
    direct: Vec<i32>,
    /// Blocks still to come that have no further coefficients in this scan.
    end_run: u32,
    interval: usize,
    until_restart: usize,
}

impl<'a> Coder<'a> {
    fn new(reader: &'a Reader<'_>, scan: &'a Scan, progressive: bool) -> Result<Self, Reason> {
        let needs_dc = !progressive || (scan.first == 0 && !scan.refines);
        let needs_ac = !progressive || scan.first > 0;
        let mut tables = Vec::with_capacity(scan.parts.len());
        for &Part { dc, ac, .. } in &scan.parts {
            let (direct, other) = (reader.dc[dc].as_ref(), reader.ac[ac].as_ref());
            if (needs_dc && direct.is_none()) || (needs_ac && other.is_none()) {
                return Err(format!("Huffman table {dc} or {ac} is missing"));
            }
            tables.push((direct, other));
        }
        Ok(Self {
            bits: Bits::new(reader.bytes, scan.at),
            scan,
            tables,
            direct: vec![0; scan.parts.len()],
            end_run: 0,
            interval: reader.restart_interval,
            until_restart: reader.restart_interval,
        })
    }

    /// Steps over a restart marker when one is due.
    fn begin_group(&mut self) -> Result<(), Reason> {
        if self.bits.exhausted() && self.bits.ended() {
            return Err(TRUNCATED.to_owned());
        }
        if self.interval > 0 {
            if self.until_restart == 0 {
                self.bits.restart();
                self.direct.fill(0);
                self.end_run = 0;
                self.until_restart = self.interval;
            }
            self.until_restart -= 1;
        }
        Ok(())
    }

    fn next_direct(&mut self, part: usize) -> i32 {
        let table = self.tables[part]
            .0
            .expect("`new` has checked the tables this scan needs");
        let size = self.bits.symbol(table);
        let difference = self.bits.signed(u32::from(size));
        self.direct[part] = self.direct[part].wrapping_add(difference);
        self.direct[part]
    }

    fn other(&self, part: usize) -> &'a Huffman {
        self.tables[part]
            .1
            .expect("`new` has checked the tables this scan needs")
    }

    /// A whole block of a sequential file.
    fn sequential(&mut self, part: usize) -> Block {
        let mut block = [0; 64];
        block[0] = self.next_direct(part) as i16;
        let table = self.other(part);
        let mut k = 1;
        while k < 64 {
            let symbol = self.bits.symbol(table);
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 {
                if run != 15 {
                    break;
                }
                k += 16;
                continue;
            }
            k += run;
            block[usize::from(ZIGZAG[k])] = self.bits.signed(size) as i16;
            k += 1;
        }
        block
    }

    /// A block's share in a scan of a progressive file.
    fn progressive(&mut self, part: usize, block: &mut Block) {
        match (self.scan.first, self.scan.refines) {
            (0, false) => block[0] = (self.next_direct(part) << self.scan.low) as i16,
            (0, true) => block[0] |= (self.bits.take(1) << self.scan.low) as i16,
            (_, false) => self.first_bits(part, block),
            (_, true) => self.further_bits(part, block),
        }
    }

    /// The length of a run of blocks that end here.
    fn run_of_ends(&mut self, size: usize) -> u32 {
        (1 << size) + self.bits.take(size as u32)
    }

    fn first_bits(&mut self, part: usize, block: &mut Block) {
        if self.end_run > 0 {
            self.end_run -= 1;
            return;
        }
        let table = self.other(part);
        let mut k = self.scan.first;
        while k <= self.scan.last {
            let symbol = self.bits.symbol(table);
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 {
                if run != 15 {
                    self.end_run = self.run_of_ends(run) - 1;
                    break;
                }
                k += 16;
                continue;
            }
            k += run;
            block[usize::from(ZIGZAG[k])] = (self.bits.signed(size) << self.scan.low) as i16;
            k += 1;
        }
    }

    fn further_bits(&mut self, part: usize, block: &mut Block) {
        let table = self.other(part);
        let bit = 1_i16 << self.scan.low;
        let mut k = self.scan.first;
        if self.end_run == 0 {
            while k <= self.scan.last {
                let symbol = self.bits.symbol(table);
                let (mut zeros, size) = (usize::from(symbol >> 4), symbol & 15);
                let mut value = 0;
                if size != 0 {
                    value = if self.bits.take(1) == 1 { bit } else { -bit };
                } else if zeros != 15 {
                    self.end_run = self.run_of_ends(zeros);
                    break;
                }
                while k <= self.scan.last {
                    let known = &mut block[usize::from(ZIGZAG[k])];
                    if *known != 0 {
                        self.refine(known, bit);
                    } else if zeros == 0 {
                        break;
                    } else {
                        zeros -= 1;
                    }
                    k += 1;
                }
                if value != 0 {
                    block[usize::from(ZIGZAG[k])] = value;
                }
                k += 1;
            }
        }
        if self.end_run > 0 {
            // A run is only left, or found, before the last coefficient: k is in range.
            for &place in &ZIGZAG[k..=self.scan.last] {
                let known = &mut block[usize::from(place)];
                if *known != 0 {
                    self.refine(known, bit);
                }
            }
            self.end_run -= 1;
        }
    }

    /// One more bit of a coefficient that is not zero.
    fn refine(&mut self, known: &mut i16, bit: i16) {
        if self.bits.take(1) == 1 && *known & bit == 0 {
            *known = known.wrapping_add(if *known >= 0 { bit } else { -bit });
        }
    }
}
