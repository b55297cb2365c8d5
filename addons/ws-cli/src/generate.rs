//! Completions and man pages, from the definition of the command line.

use clap_complete::Shell;

use crate::{
    cli::definition,
    console,
    exit::{Failure, Outcome},
};

pub(crate) fn completions(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition(), "ws", &mut script);
    console::out(script).map(drop)
}

/// The page of `ws`, or that of one of its commands.
pub(crate) fn man(command: Option<&str>) -> Outcome {
    let mut page = definition();
    page.build();
    if let Some(name) = command {
        let found = page.find_subcommand(name).cloned();
        page = found.ok_or_else(|| Failure::usage(format!("there is no command {name:?}")))?;
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text).map_err(|error| Failure::local("the man page", &error))?;
    console::out(text).map(drop)
}
