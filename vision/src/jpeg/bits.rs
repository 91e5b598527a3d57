//! The bits of a scan, and the Huffman codes in them. Knows neither blocks nor coefficients.

/// Codes up to this length are found in one look.
const LOOK: u32 = 9;

/// A Huffman table.
#[derive(Debug, Clone)]
pub(super) struct Huffman {
    /// By the next [`LOOK`] bits: the code's length (0: longer) and its symbol.
    fast: Vec<(u8, u8)>,
    /// By length: one past the largest code, moved to the top of 16 bits.
    limit: [u32; 17],
    /// By length: what to add to a code for its place in `symbols`.
    offset: [i32; 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// Builds the canonical code; `None` when there are more codes than a length can hold.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            fast: vec![(0, 0); 1 << LOOK],
            limit: [0; 17],
            offset: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut place) = (0_u32, 0_usize);
        for (length, &count) in (1_u32..).zip(counts) {
            table.offset[length as usize] = place as i32 - code as i32;
            for _ in 0..count {
                if code >= 1 << length {
                    return None;
                }
                if length <= LOOK {
                    let from = (code << (LOOK - length)) as usize;
                    let entry = (length as u8, symbols[place]);
                    table.fast[from..from + (1 << (LOOK - length))].fill(entry);
                }
                code += 1;
                place += 1;
            }
            table.limit[length as usize] = if count == 0 { 0 } else { code << (16 - length) };
            code <<= 1;
        }
        Some(table)
    }
}

/// Reads bits up to the next marker. Behind it come zeros, as in libjpeg, and [`Bits::exhausted`] tells.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte, or the marker that stopped us.
    at: usize,
    buffer: u64,
    count: u32,
    stopped: bool,
    ended: bool,
    /// Zeros put in so far.
    padded: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            buffer: 0,
            count: 0,
            stopped: false,
            ended: false,
            padded: 0,
        }
    }

    /// Whether bits were taken that the data do not have.
    pub fn exhausted(&self) -> bool {
        self.padded > self.count
    }

    /// Whether it was the file that ended, and no marker.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Where markers go on.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Drops the remaining bits and goes behind the next restart marker; another marker stays where it is.
    pub fn restart(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let marker = rest
            .windows(2)
            .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff));
        match marker.map(|offset| self.at + offset) {
            Some(at) if matches!(self.bytes[at + 1], 0xd0..=0xd7) => {
                *self = Self::new(self.bytes, at + 2);
            }
            Some(at) => {
                *self = Self {
                    stopped: true,
                    padded: 1,
                    ..Self::new(self.bytes, at)
                }
            }
            None => {
                *self = Self {
                    stopped: true,
                    ended: true,
                    padded: 1,
                    ..Self::new(self.bytes, self.bytes.len())
                }
            }
        }
    }

    /// The next `n` bits, at most 16.
    pub fn take(&mut self, n: u32) -> u32 {
        if self.count < n {
            self.fill();
        }
        self.count -= n;
        (self.buffer >> self.count) as u32 & ((1 << n) - 1)
    }

    /// A signed value of `n` bits, as coefficients are written (`HUFF_EXTEND`).
    pub fn signed(&mut self, n: u32) -> i32 {
        if n == 0 {
            return 0;
        }
        let value = self.take(n) as i32;
        if value < 1 << (n - 1) {
            value - (1 << n) + 1
        } else {
            value
        }
    }

    /// The next symbol; bits that are no code give 0, libjpeg's "safest result".
    pub fn symbol(&mut self, table: &Huffman) -> u8 {
        if self.count < 16 {
            self.fill();
        }
        let next = (self.buffer >> (self.count - 16)) as u32 & 0xffff;
        let (length, symbol) = table.fast[(next >> (16 - LOOK)) as usize];
        if length > 0 {
            self.count -= u32::from(length);
            return symbol;
        }
        for length in LOOK + 1..=16 {
            if next < table.limit[length as usize] {
                self.count -= length;
                let place = (next >> (16 - length)) as i32 + table.offset[length as usize];
                return usize::try_from(place)
                    .ok()
                    .and_then(|place| table.symbols.get(place))
                    .copied()
                    .unwrap_or(0);
            }
        }
        self.count -= 16;
        0
    }

    /// Fills the buffer to more than 56 bits.
    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = if self.stopped { None } else { self.byte() };
            if byte.is_none() {
                self.padded = self.padded.saturating_add(8);
            }
            self.buffer = self.buffer << 8 | u64::from(byte.unwrap_or(0));
            self.count += 8;
        }
    }

    /// The next byte of data, with stuffing removed; stops in front of a marker and at the end.
    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        if let Some(0..=0xfe) = byte {
            self.at += 1;
            return byte;
        }
        let mut next = self.at + 1;
        while self.bytes.get(next) == Some(&0xff) {
            next += 1;
        }
        match self.bytes.get(next) {
            Some(0) => {
                self.at = next + 1;
                return Some(0xff);
            }
            Some(_) => {}
            None => self.ended = true,
        }
        self.stopped = true;
        None
    }
}
