//! Lines on the standard output and the standard error. Unlike `println!`, a stream that is closed causes no panic.

use std::io::{self, Write as _};

use crate::exit::{Failure, Outcome};

/// Whether the reader of the standard output is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    Reads,
    HasGone,
}

/// Writes to the standard output and flushes it. A reader that has gone, such as `head`, is no error.
pub(crate) fn out(text: impl AsRef<[u8]>) -> Outcome<Reader> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::Reads),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::HasGone),
        Err(error) => Err(Failure::local("writing the output failed", &error)),
    }
}

/// Writes a line to the standard error. There is no place left to report that this failed.
pub(crate) fn err(line: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", line.as_ref());
}
