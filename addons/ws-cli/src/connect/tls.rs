//! TLS settings from the command line.

use std::path::Path;

use ws_client::{Tls, error::TlsError, tls::Roots};

use crate::{
    cli::{ConnectionArgs, RootsArg},
    exit::{Code, Failure, Outcome, chain},
};

pub(super) fn settings(args: &ConnectionArgs) -> Outcome<Tls> {
    let roots = match args.roots {
        RootsArg::System => Roots::Platform,
        RootsArg::Bundled => Roots::Bundled,
        RootsArg::None => Roots::None,
    };
    let built = match build(args, roots)? {
        // A container often has no authorities of its own.
        Err(TlsError::PlatformRoots(_)) => build(args, Roots::Bundled)?,
        built => built,
    };
    built.map_err(|error| Failure::new(Code::Tls, format!("the TLS settings are invalid: {}", chain(&error))))
}

fn build(args: &ConnectionArgs, roots: Roots) -> Outcome<Result<Tls, TlsError>> {
    let mut builder = Tls::builder().roots(roots);
    for path in &args.cacert {
        builder = builder.authority(read("--cacert", path)?);
    }
    if let (Some(cert), Some(key)) = (&args.cert, &args.key) {
        builder = builder.identity(read("--cert", cert)?, read("--key", key)?);
    }
    if args.insecure {
        builder = builder.danger_accept_any_certificate();
    }
    Ok(builder.build())
}

pub(crate) fn read(option: &str, path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|error| Failure::local(&format!("{option}: {}", path.display()), &error))
}
