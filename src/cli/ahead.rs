//! Reads an answer on, while what came of it waits for who looks at it: a pager takes a screen and then nothing for minutes, and the
//! box breaks off who does not read, for an answer holds what it was made of.
//!
//! Limits: [`CHUNKS`] chunks of [`CHUNK_BYTES`] at most, 64 MiB, less where the network gives less at a time; what is longer waits in the
//! box, and is broken off there.

use std::io::{self, BufRead, Read};

use crossbeam_channel::Receiver;

/// As much as one read mostly gives.
const CHUNK_BYTES: usize = 8 * 1024;
const CHUNKS: usize = 8192;

/// What was read, in order; then, perhaps, why no more was.
#[derive(Debug)]
pub struct Ahead {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Ahead {
    /// Begins to read, on a thread that ends with the text or with this.
    ///
    /// # Errors
    /// Where the system has no thread left.
    pub fn of(mut text: impl Read + Send + 'static) -> io::Result<Self> {
        let (send, chunks) = crossbeam_channel::bounded(CHUNKS);
        std::thread::Builder::new().name("ahead".to_owned()).spawn(move || {
            let mut buffer = vec![0; CHUNK_BYTES];
            loop {
                let read = match text.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(count) => Ok(buffer[..count].to_vec()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let is_last = read.is_err();
                if send.send(read).is_err() || is_last {
                    return;
                }
            }
        })?;
        Ok(Self { chunks, chunk: Vec::new(), at: 0 })
    }
}

impl BufRead for Ahead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.chunk.len()
            && let Ok(chunk) = self.chunks.recv()
        {
            (self.chunk, self.at) = (chunk?, 0);
        }
        Ok(&self.chunk[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at = self.chunk.len().min(self.at + count);
    }
}

impl Read for Ahead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufRead, Read};
    use std::sync::mpsc;

    use super::Ahead;

    /// Gives these, says that it did, and then fails.
    struct Source(Vec<&'static [u8]>, mpsc::Sender<()>);

    impl Read for Source {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                let _ = self.1.send(());
                return Err(io::Error::other("broke off"));
            }
            self.0.remove(0).read(into)
        }
    }

    #[test]
    fn all_is_read_while_nobody_takes_it_and_the_end_is_told() {
        let (send, done) = mpsc::channel();
        let mut ahead = Ahead::of(Source(vec![b"one\ntw", b"o\n", b"three"], send)).unwrap();
        done.recv().unwrap();
        let mut lines = ahead.by_ref().lines();
        assert_eq!(lines.next().unwrap().unwrap(), "one");
        assert_eq!(lines.next().unwrap().unwrap(), "two");
        assert_eq!(lines.next().unwrap().unwrap_err().to_string(), "broke off");
        let mut whole = String::new();
        Ahead::of(&b"an answer"[..]).unwrap().read_to_string(&mut whole).unwrap();
        assert_eq!(whole, "an answer");
    }
}
