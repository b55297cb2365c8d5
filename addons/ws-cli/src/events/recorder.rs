//! The file of a recording.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use super::Line;
use crate::exit::{Failure, Outcome};

/// Writes lines. Clones write to the same file. Each line is flushed, so that a recording is complete however the
/// program ends.
#[derive(Clone)]
pub(crate) struct Recorder(Arc<Mutex<BufWriter<Box<dyn Write + Send>>>>);

impl Recorder {
    /// Replaces the file. `None` is the standard output.
    pub(crate) fn create(path: Option<&Path>) -> Outcome<Self> {
        let file: Box<dyn Write + Send> = match path {
            None => Box::new(io::stdout()),
            Some(path) => Box::new(
                File::create(path).map_err(|error| Failure::local(&path.display().to_string(), &error))?,
            ),
        };
        Ok(Self(Arc::new(Mutex::new(BufWriter::new(file)))))
    }

    pub(crate) fn write(&self, line: &Line) -> Outcome {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = writeln!(file, "{}", line.encode()).and_then(|()| file.flush());
        written.map_err(|error| Failure::local("writing the recording failed", &error))
    }
}
