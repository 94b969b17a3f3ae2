//! A file as a body, piece by piece: one piece is in memory at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

/// Length of a piece, in bytes.
const PIECE_BYTES: u64 = 128 << 10;

/// A part of a file. Its pieces are read where reading may block.
pub(super) struct FileBody {
    file: Arc<File>,
    at: u64,
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    /// `length` bytes from `at`.
    pub(super) fn new(file: Arc<File>, at: u64, length: u64) -> Self {
        Self {
            file,
            at,
            left: length,
            reading: None,
        }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        turn: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let (at, length) = (this.at, this.left.min(PIECE_BYTES));
        let reading = this.reading.get_or_insert_with(|| {
            let file = Arc::clone(&this.file);
            spawn_blocking(move || read(&file, at, length))
        });
        let read = ready!(Pin::new(reading).poll(turn));
        this.reading = None;
        let piece = read.unwrap_or_else(|error| Err(io::Error::other(error)));
        Poll::Ready(Some(piece.map(|piece| {
            this.at += piece.len() as u64;
            this.left -= piece.len() as u64;
            Frame::data(piece)
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Exactly `length` bytes. A file that has become shorter breaks the response off: its length is out.
fn read(file: &File, at: u64, length: u64) -> io::Result<Bytes> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut piece = vec![0; length];
    file.read_exact_at(&mut piece, at)?;
    Ok(piece.into())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn numbered(length: usize) -> (Vec<u8>, Arc<File>) {
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251).to_le_bytes()[0]).collect();
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        (bytes, Arc::new(file))
    }

    #[tokio::test]
    async fn pieces_are_the_whole() {
        let (bytes, file) = numbered(300_000);
        for (at, length) in [(0, 300_000), (1, 131_072), (299_999, 1), (5, 0)] {
            let body = FileBody::new(file.clone(), at as u64, length as u64);
            assert_eq!(body.size_hint().exact(), Some(length as u64));
            let read = body.collect().await.unwrap().to_bytes();
            assert!(read == bytes[at..at + length], "{length} from {at}");
        }
    }

    #[tokio::test]
    async fn a_file_that_has_become_shorter_breaks_it_off() {
        let (_, file) = numbered(200_000);
        let mut body = FileBody::new(file.clone(), 0, 200_000);
        assert!(body.frame().await.unwrap().is_ok());
        file.set_len(150_000).unwrap();
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
