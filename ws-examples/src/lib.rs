//! What the examples share.

use std::error::Error;

/// An error and its causes on one line: `cannot connect to 127.0.0.1:9001: Connection refused (os error 111)`.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_error_is_printed_with_its_causes() {
        let error = ws_client::Tls::builder().authority("nonsense").build().unwrap_err();
        let expected = "invalid PEM for the certificates: no items found";
        assert_eq!(with_causes(&error), expected);
        assert_eq!(with_causes(&io::Error::other(error)), expected);
    }
}
