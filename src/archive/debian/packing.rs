//! Detects an index's compression by its first bytes: apt keeps the uncompressed name.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;

use crate::archive::read::xz;

// RFC 1952 section 2.3.1 (deflate is the only method there is), The .xz File Format 2.1.1.1, LZ4
// Frame Format "General Structure".
const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0x00];
const LZ4: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

/// Decompresses a stream, or passes it through if it is not compressed.
pub(super) fn unpacked(
    mut packed: impl BufRead + Send + 'static,
) -> io::Result<Box<dyn Read + Send>> {
    let first = packed.fill_buf()?;
    Ok(if first.starts_with(&GZIP) {
        Box::new(MultiGzDecoder::new(packed))
    } else if first.starts_with(&XZ) {
        Box::new(xz(packed)?)
    } else if first.starts_with(&LZ4) {
        Box::new(Lz4::new(packed))
    } else {
        Box::new(packed)
    })
}

/// Decodes consecutive lz4 frames. A sentinel byte follows the input.
///
/// lz4_flex stops after the first frame, and accepts a frame that was cut off between two blocks:
/// if the next block is missing, it reports the end. Only a complete frame leaves the sentinel
/// unread.
struct Lz4<R: BufRead>(Option<FrameDecoder<io::Chain<R, &'static [u8]>>>);

impl<R: BufRead> Lz4<R> {
    fn new(packed: R) -> Self {
        Self(Some(FrameDecoder::new(packed.chain(&[0xff]))))
    }
}

impl<R: BufRead> Read for Lz4<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(frame) = &mut self.0 {
            let read = frame.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            let (packed, behind) = frame.get_mut().get_mut();
            let over = packed.fill_buf()?.is_empty();
            if over && behind.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // A new decoder for each frame: one that has seen larger blocks expects them.
            self.0 = self
                .0
                .take()
                .filter(|_| !over)
                .map(|frame| FrameDecoder::new(frame.into_inner()));
        }
        Ok(0)
    }
}
