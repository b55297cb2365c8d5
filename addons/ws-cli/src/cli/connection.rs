//! Options of a connection, the same for all commands that connect.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, ValueHint};

use super::values::{duration, size};

/// Has no `Debug`: the values may be credentials.
#[derive(Args, Clone)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// A header of the request; may be repeated
    #[arg(short = 'H', long, value_name = "NAME: VALUE")]
    pub(crate) header: Vec<String>,

    /// Basic authentication
    #[arg(short, long, value_name = "USER:PASSWORD")]
    pub(crate) user: Option<String>,

    /// A bearer token: the token itself, @FILE, or env:VARIABLE
    ///
    /// Other users of the machine can see a token that is an argument. A file or the environment hides it.
    #[arg(long, value_name = "TOKEN", conflicts_with = "user")]
    pub(crate) bearer: Option<String>,

    /// The Origin header
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) origin: Option<String>,

    /// Also trusts these certificate authorities, in PEM; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) cacert: Vec<PathBuf>,

    /// The client's certificate chain, in PEM
    #[arg(long, value_name = "FILE", requires = "key", value_hint = ValueHint::FilePath)]
    pub(crate) cert: Option<PathBuf>,

    /// The client's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "cert", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,

    /// Accepts any certificate: an attacker on the way can read and change everything
    #[arg(short = 'k', long)]
    pub(crate) insecure: bool,

    /// The certificate authorities to trust
    #[arg(long, value_enum, default_value_t = RootsArg::System, value_name = "SET")]
    pub(crate) roots: RootsArg,

    /// A proxy: http, https, socks4, socks4a, socks5 or socks5h URL, or `none`
    ///
    /// Default: the proxy of the environment (HTTPS_PROXY, ALL_PROXY, NO_PROXY).
    #[arg(short = 'x', long, value_name = "URL")]
    pub(crate) proxy: Option<String>,

    /// Uses this address for a host and a port, in place of name resolution; may be repeated
    #[arg(long, value_name = "HOST:PORT:ADDRESS")]
    pub(crate) resolve: Vec<String>,

    /// Connects through a Unix socket; the URL gives the host, the path and TLS
    #[cfg(unix)]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, conflicts_with_all = ["proxy", "resolve"])]
    pub(crate) unix: Option<PathBuf>,

    /// Follows up to five redirects
    #[arg(short = 'L', long)]
    pub(crate) location: bool,

    /// Does not offer compression
    #[arg(long)]
    pub(crate) no_compress: bool,

    /// The longest time to connect, with TLS and the handshake
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) connect_timeout: Duration,

    /// The longest time to wait for the server's Close
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) close_timeout: Duration,

    /// The longest message, in bytes; k, M and G are powers of 1024
    #[arg(long, value_name = "BYTES", default_value = "16M", value_parser = size)]
    pub(crate) max_size: usize,

    /// Shows both heads, the extensions and TLS on stderr; twice also shows credentials
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RootsArg {
    /// Those of the operating system, or the bundled ones if it has none
    System,
    /// Mozilla's, as compiled into the program
    Bundled,
    /// Only those of --cacert
    None,
}
