//! The markers of a JPEG file: sizes, tables, and where the scans begin. Decodes no pixel.

use super::Reason;
use super::bits::Huffman;

/// How the components are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Grey,
    Rgb,
    Ycc,
    Cmyk,
    Ycck,
}

/// One plane of the picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Component {
    pub id: u8,
    /// Horizontal and vertical sampling factor.
    pub h: usize,
    pub v: usize,
    /// Which quantisation table it uses.
    pub table: usize,
}

/// What the markers say of the whole picture.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub width: usize,
    pub height: usize,
    /// The TIFF block of the EXIF segment.
    pub exif: Option<Vec<u8>>,
    /// The XMP packet.
    pub xmp: Option<Vec<u8>>,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
    jfif: bool,
    /// The transform byte of Adobe's segment.
    adobe: Option<u8>,
}

impl Header {
    /// The largest sampling factors.
    pub(super) fn largest(&self) -> (usize, usize) {
        let h = self.components.iter().map(|component| component.h).max();
        let v = self.components.iter().map(|component| component.v).max();
        (h.unwrap_or(1), v.unwrap_or(1))
    }

    /// Columns and rows of samples that a component really has.
    pub(super) fn samples(&self, component: &Component) -> (usize, usize) {
        let (h, v) = self.largest();
        (
            (self.width * component.h).div_ceil(h),
            (self.height * component.v).div_ceil(v),
        )
    }

    /// libjpeg's guess (`default_decompress_parms`): JFIF, then Adobe, then the names of the components.
    pub(super) fn colour(&self) -> Colour {
        let ids: Vec<u8> = self
            .components
            .iter()
            .map(|component| component.id)
            .collect();
        match (self.components.len(), self.adobe) {
            (1, _) => Colour::Grey,
            (3, Some(0)) if !self.jfif => Colour::Rgb,
            (3, None) if !self.jfif && ids == *b"RGB" => Colour::Rgb,
            (3, _) => Colour::Ycc,
            (_, None | Some(0)) => Colour::Cmyk,
            (_, Some(_)) => Colour::Ycck,
        }
    }
}

/// One component's part in a scan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// Index into [`Header::components`].
    pub component: usize,
    pub dc: usize,
    pub ac: usize,
}

/// The header of a scan.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    pub parts: Vec<Part>,
    /// First and last coefficient, in zigzag order.
    pub first: usize,
    pub last: usize,
    /// Successive approximation: whether earlier bits are known, and the bit this scan reaches.
    pub refines: bool,
    pub low: u32,
    /// Where its data begin.
    pub at: usize,
}

/// What follows in the file.
pub(super) enum Next {
    Scan(Scan),
    /// The end marker.
    End,
    /// The file stops without one, between segments.
    Nothing,
}

/// Reads markers and keeps what they define.
pub(super) struct Reader<'a> {
    pub bytes: &'a [u8],
    pub header: Header,
    pub quantisation: [Option<[u16; 64]>; 4],
    pub dc: [Option<Huffman>; 4],
    pub ac: [Option<Huffman>; 4],
    /// Blocks or groups of blocks between restart markers; 0 for none.
    pub restart_interval: usize,
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Self, Reason> {
        if !bytes.starts_with(&[0xff, 0xd8]) {
            return Err("it does not begin with a start marker".to_owned());
        }
        let none = || std::array::from_fn(|_| None);
        Ok(Self {
            bytes,
            header: Header::default(),
            quantisation: [None; 4],
            dc: none(),
            ac: none(),
            restart_interval: 0,
            at: 2,
        })
    }

    /// Goes on reading markers at a position, where a scan's data ended.
    pub fn seek(&mut self, at: usize) {
        self.at = at;
    }

    /// Reads markers up to the next scan or the end.
    pub fn next(&mut self) -> Result<Next, Reason> {
        loop {
            let Some(marker) = self.marker() else {
                return Ok(Next::Nothing);
            };
            match marker {
                0xd9 => return Ok(Next::End),
                0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let segment = self.segment()?;
            match marker {
                0xc0..=0xc2 => self.frame(marker == 0xc2, segment)?,
                0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                    return Err(format!("coding process SOF{} is not read", marker - 0xc0));
                }
                0xc4 => self.huffman(segment)?,
                0xdb => self.quantisation(segment)?,
                0xdd => self.restart_interval = usize::from(be16(segment, 0)?),
                0xda => return self.scan(segment).map(Next::Scan),
                0xe0 if segment.starts_with(b"JFIF\0") => self.header.jfif = true,
                0xe1 => self.metadata(segment),
                0xee if segment.starts_with(b"Adobe") && segment.len() >= 12 => {
                    self.header.adobe = Some(segment[11]);
                }
                _ => {}
            }
        }
    }

    /// The next marker's code; bytes that belong to no marker are skipped.
    fn marker(&mut self) -> Option<u8> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            self.at += rest.iter().position(|&byte| byte == 0xff)? + 1;
            while self.bytes.get(self.at) == Some(&0xff) {
                self.at += 1;
            }
            let code = *self.bytes.get(self.at)?;
            self.at += 1;
            if code != 0 {
                return Some(code);
            }
        }
    }

    /// The bytes of a segment, past its length.
    fn segment(&mut self) -> Result<&'a [u8], Reason> {
        let length = usize::from(be16(self.bytes, self.at)?);
        let segment = (length >= 2)
            .then(|| self.bytes.get(self.at + 2..self.at + length))
            .flatten();
        self.at += length;
        segment.ok_or_else(|| "it is cut off inside a marker segment".to_owned())
    }

    fn frame(&mut self, progressive: bool, segment: &[u8]) -> Result<(), Reason> {
        if !self.header.components.is_empty() {
            return Err("it has two frames".to_owned());
        }
        let &[bits, _, _, _, _, count, ref components @ ..] = segment else {
            return Err("its frame header is too short".to_owned());
        };
        if bits != 8 {
            return Err(format!("samples of {bits} bits are not read"));
        }
        if !matches!(count, 1 | 3 | 4) || components.len() < 3 * usize::from(count) {
            return Err(format!("{count} components are not read"));
        }
        self.header.progressive = progressive;
        self.header.height = usize::from(be16(segment, 1)?);
        self.header.width = usize::from(be16(segment, 3)?);
        for &[id, sampling, table] in &components.as_chunks::<3>().0[..usize::from(count)] {
            let (h, v) = (usize::from(sampling >> 4), usize::from(sampling & 15));
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) || table > 3 {
                return Err(format!(
                    "component {id} has sampling {h}x{v} and table {table}"
                ));
            }
            self.header.components.push(Component {
                id,
                h,
                v,
                table: usize::from(table),
            });
        }
        let (h, v) = self.header.largest();
        if self
            .header
            .components
            .iter()
            .any(|c| h % c.h != 0 || v % c.v != 0)
        {
            return Err("its sampling ratios are not whole".to_owned());
        }
        Ok(())
    }

    fn quantisation(&mut self, mut segment: &[u8]) -> Result<(), Reason> {
        while let [kind, rest @ ..] = segment {
            let (wide, slot) = (kind >> 4, usize::from(kind & 15));
            let length = if wide == 0 { 64 } else { 128 };
            if wide > 1 || slot > 3 || rest.len() < length {
                return Err(format!("quantisation table {slot} is broken"));
            }
            let mut table = [0_u16; 64];
            for (at, value) in table.iter_mut().enumerate() {
                *value = if wide == 0 {
                    u16::from(rest[at])
                } else {
                    be16(rest, 2 * at)?
                };
            }
            self.quantisation[slot] = Some(table);
            segment = &rest[length..];
        }
        Ok(())
    }

    fn huffman(&mut self, mut segment: &[u8]) -> Result<(), Reason> {
        while let [kind, rest @ ..] = segment {
            let (class, slot) = (kind >> 4, usize::from(kind & 15));
            let broken = || format!("Huffman table {slot} of class {class} is broken");
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(broken)?;
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            if class > 1 || slot > 3 || total > 256 || rest.len() < total {
                return Err(broken());
            }
            let table = Huffman::new(counts, &rest[..total]).ok_or_else(broken)?;
            // A direct coefficient has at most 15 bits here.
            if class == 0 && rest[..total].iter().any(|&symbol| symbol > 15) {
                return Err(broken());
            }
            let tables = if class == 0 {
                &mut self.dc
            } else {
                &mut self.ac
            };
            tables[slot] = Some(table);
            segment = &rest[total..];
        }
        Ok(())
    }

    fn scan(&mut self, segment: &[u8]) -> Result<Scan, Reason> {
        let short = || "its scan header is too short".to_owned();
        let (&count, rest) = segment.split_first().ok_or_else(short)?;
        let count = usize::from(count);
        let (parts, rest) = rest.split_at_checked(2 * count).ok_or_else(short)?;
        let &[first, last, approximation, ..] = rest else {
            return Err(short());
        };
        let mut scan = Scan {
            parts: Vec::with_capacity(count),
            first: usize::from(first),
            last: usize::from(last),
            refines: approximation >> 4 != 0,
            low: u32::from(approximation & 15),
            at: self.at,
        };
        for &[id, tables] in parts.as_chunks::<2>().0 {
            let component = self
                .header
                .components
                .iter()
                .position(|component| component.id == id);
            let component =
                component.ok_or_else(|| format!("a scan names component {id}, which it lacks"))?;
            if scan.parts.iter().any(|part| part.component == component) || tables & 0xcc != 0 {
                return Err(format!(
                    "a scan names component {id} twice or tables it cannot have"
                ));
            }
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            scan.parts.push(Part { component, dc, ac });
        }
        if self.header.progressive {
            let range = if first == 0 {
                last == 0
            } else {
                first <= last && last < 64 && count == 1
            };
            if !range || scan.low > 13 {
                return Err(format!(
                    "a scan covers coefficients {first} to {last} down to bit {}",
                    scan.low
                ));
            }
        }
        if count == 0 {
            return Err("a scan has no components".to_owned());
        }
        Ok(scan)
    }

    fn metadata(&mut self, segment: &[u8]) {
        if let Some(exif) = segment.strip_prefix(b"Exif\0\0") {
            self.header.exif.get_or_insert_with(|| exif.to_vec());
        } else if let Some(xmp) = segment.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
            self.header.xmp.get_or_insert_with(|| xmp.to_vec());
        }
    }
}

fn be16(bytes: &[u8], at: usize) -> Result<u16, Reason> {
    let pair = bytes.get(at..).and_then(<[u8]>::first_chunk::<2>);
    pair.map(|pair| u16::from_be_bytes(*pair))
        .ok_or_else(|| "it is cut off".to_owned())
}
