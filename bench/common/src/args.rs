//! `--name value` options without a dependency: enough for programs that a script calls.

use std::collections::BTreeMap;
use std::str::FromStr;

/// The options of one command line; a flag without a value holds an empty string.
#[derive(Debug, Default)]
pub struct Args(BTreeMap<String, String>);

impl Args {
    /// Reads the process's own arguments.
    ///
    /// # Errors
    /// Says which argument is not an option.
    pub fn from_env() -> Result<Self, String> {
        Self::parse(std::env::args().skip(1))
    }

    /// Reads `--name value` pairs; an option followed by another option is a flag.
    ///
    /// # Errors
    /// Says which argument is not an option.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = BTreeMap::new();
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let Some(name) = argument.strip_prefix("--") else {
                return Err(format!("unexpected argument `{argument}`"));
            };
            let value = arguments.next_if(|next| !next.starts_with("--")).unwrap_or_default();
            options.insert(name.to_owned(), value);
        }
        Ok(Self(options))
    }

    /// Takes an option out, or its default.
    ///
    /// # Errors
    /// Says which option has a value that cannot be read.
    pub fn take<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, String> {
        Ok(self.take_optional(name)?.unwrap_or(default))
    }

    /// Takes an option out, if it is there.
    ///
    /// # Errors
    /// Says which option has a value that cannot be read.
    pub fn take_optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| format!("--{name}: cannot read `{value}`"))
    }

    /// Takes a flag out: whether it was given.
    pub fn take_flag(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// Ends the reading: whatever is left over is a typing mistake.
    ///
    /// # Errors
    /// Names the first option that nobody took.
    pub fn finish(self) -> Result<(), String> {
        self.0.keys().next().map_or(Ok(()), |name| Err(format!("unknown option --{name}")))
    }
}
