//! Line editing and history, on a thread of its own.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use rustyline::{
    Config, Context, Editor, Helper,
    completion::Completer,
    error::ReadlineError,
    highlight::{CmdKind, Highlighter},
    hint::Hinter,
    history::FileHistory,
    validate::Validator,
};
use tokio::sync::mpsc;

use super::printer::{Edited, Line, PROMPT, Printer};
use crate::exit::{Failure, Outcome};

/// What the user did.
#[derive(Debug)]
pub(super) enum Input {
    Line(String),
    /// Ctrl-D, or the terminal is gone.
    End,
    /// Ctrl-C.
    Interrupt,
}

/// Tells the printer which line is on the screen. The editor calls it at each change.
struct Tracker(Edited);

impl Tracker {
    fn note(&self, text: &str, cursor: usize) {
        let line = Line { text: text.to_owned(), cursor };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
    }
}

impl Hinter for Tracker {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<String> {
        self.note(line, pos);
        None
    }
}

impl Highlighter for Tracker {
    fn highlight_char(&self, line: &str, pos: usize, _: CmdKind) -> bool {
        self.note(line, pos);
        false
    }
}

impl Completer for Tracker {
    type Candidate = String;
}

impl Validator for Tracker {}

impl Helper for Tracker {}

/// Starts to read lines. `history` is the file that keeps them.
pub(super) fn start(history: Option<PathBuf>) -> Outcome<(mpsc::UnboundedReceiver<Input>, Printer)> {
    let failed = |error: ReadlineError| Failure::usage(format!("the terminal cannot be used: {error}"));
    let config =
        Config::builder().auto_add_history(true).history_ignore_space(true).bracketed_paste(true).build();
    let mut editor = Editor::<Tracker, FileHistory>::with_config(config).map_err(failed)?;
    let edited = Edited::default();
    editor.set_helper(Some(Tracker(Arc::clone(&edited))));
    let printer = Printer::new(Arc::clone(&edited));
    if let Some(path) = &history {
        // A missing file is an empty history.
        let _ = editor.load_history(path);
    }
    let (sender, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        loop {
            let result = editor.readline(PROMPT);
            *edited.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let input = match result {
                Ok(line) => Input::Line(line),
                Err(ReadlineError::Interrupted) => Input::Interrupt,
                Err(_) => Input::End,
            };
            let goes_on = matches!(input, Input::Line(_));
            if let Some(path) = &history {
                // A history that cannot be written does not end the session.
                let _ = editor.append_history(path);
            }
            if sender.send(input).is_err() || !goes_on {
                return;
            }
        }
    });
    Ok((lines, printer))
}

/// The file of the history, in a folder that only the user can read. `None` if there is no place for it.
pub(super) fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    let folder = state.join("ws");
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&folder).ok()?;
    Some(folder.join("history"))
}
