//! Counts packed, unpacked and copied bytes as they pass, and enforces limits.

use std::{
    cell::Cell,
    io::{self, Read},
};

/// The ratio is checked only after this many unpacked bytes.
pub(in crate::archive) const UNJUDGED: u64 = 16 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) enum ExceededLimit {
    Bytes,
    Ratio,
}

pub(in crate::archive) struct Meter {
    bytes: u64,
    ratio: u64,
    packed: Cell<u64>,
    unpacked: Cell<u64>,
    copied: Cell<u64>,
    over: Cell<Option<ExceededLimit>>,
}

impl Meter {
    pub fn new(bytes: u64, ratio: u64) -> Self {
        Self {
            bytes,
            ratio,
            packed: Cell::new(0),
            unpacked: Cell::new(0),
            copied: Cell::new(0),
            over: Cell::new(None),
        }
    }

    /// Returns the limit that ended the reading, if one did: readers in between turn the error into
    /// their own.
    pub fn over(&self) -> Option<ExceededLimit> {
        self.over.get()
    }

    pub fn bytes_unpacked(&self) -> u64 {
        self.unpacked.get()
    }

    /// Counts bytes about to be copied within the tree as if they were unpacked again.
    pub fn copies(&self, bytes: u64) -> io::Result<()> {
        self.copied.set(self.copied.get().saturating_add(bytes));
        self.check()
    }

    fn check(&self) -> io::Result<()> {
        let made = self.unpacked.get().saturating_add(self.copied.get());
        if made > self.bytes {
            self.over.set(Some(ExceededLimit::Bytes));
        } else if made > UNJUDGED && made > self.packed.get().saturating_mul(self.ratio) {
            self.over.set(Some(ExceededLimit::Ratio));
        } else {
            return Ok(());
        }
        Err(io::Error::other("it unpacks to too much"))
    }

    pub fn packed<R: Read>(&self, reader: R) -> PackedReader<'_, R> {
        PackedReader {
            reader,
            meter: self,
        }
    }

    pub fn unpacked<R: Read>(&self, reader: R) -> UnpackedReader<'_, R> {
        UnpackedReader {
            reader,
            meter: self,
        }
    }
}

pub(in crate::archive) struct PackedReader<'a, R> {
    reader: R,
    meter: &'a Meter,
}

impl<R: Read> Read for PackedReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.meter.packed.set(self.meter.packed.get() + read as u64);
        Ok(read)
    }
}

pub(in crate::archive) struct UnpackedReader<'a, R> {
    reader: R,
    meter: &'a Meter,
}

impl<R: Read> Read for UnpackedReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.meter
            .unpacked
            .set(self.meter.unpacked.get() + read as u64);
        self.meter.check().map(|()| read)
    }
}
