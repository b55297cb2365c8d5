//! The grammar of header values that list tokens or extensions (RFC 9110 section 5.6, RFC 6455 section 9.1).

mod extensions;
mod tokens;

pub use extensions::{Extension, ExtensionParam, parse_extensions};
pub use tokens::token_list;
pub(crate) use tokens::{has_token, is_token};
