//! Parses `--name value` options, without a dependency.

use std::collections::BTreeMap;
use std::str::FromStr;

/// The options of a command line. A flag has an empty string as its value.
#[derive(Debug, Default)]
pub struct Args(BTreeMap<String, String>);

impl Args {
    /// Reads the process's own arguments.
    ///
    /// # Errors
    /// Names the argument that is not an option.
    pub fn from_env() -> Result<Self, String> {
        Self::parse(std::env::args().skip(1))
    }

    /// Reads `--name value` pairs. An option that is followed by another option is a flag.
    ///
    /// # Errors
    /// Names the argument that is not an option.
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

    /// Removes an option and returns its value, or the default.
    ///
    /// # Errors
    /// Names the option whose value is invalid.
    pub fn take<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, String> {
        Ok(self.take_optional(name)?.unwrap_or(default))
    }

    /// Removes an option and returns its value, if it was given.
    ///
    /// # Errors
    /// Names the option whose value is invalid.
    pub fn take_optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| format!("--{name}: cannot read `{value}`"))
    }

    /// Removes a flag and returns whether it was given.
    pub fn take_flag(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// Checks that no option is left.
    ///
    /// # Errors
    /// Names the first option that is left.
    pub fn finish(self) -> Result<(), String> {
        self.0.keys().next().map_or(Ok(()), |name| Err(format!("unknown option --{name}")))
    }
}
