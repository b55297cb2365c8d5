use crate::{config::ValidConfig, header_syntax::Extension};

#[cfg(feature = "deflate")]
use crate::deflate::{self, Agreed, DeflateParams, SharedDeflate};

/// The extensions that both sides agreed upon, for [`Connection::with_extensions`](crate::Connection::with_extensions).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    #[cfg(feature = "deflate")]
    pub(crate) deflate: Option<Agreed>,
}

impl Extensions {
    /// The parameters of permessage-deflate, if that is among them.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(&self) -> Option<DeflateParams> {
        self.deflate.as_ref().map(|agreed| agreed.params)
    }
}

/// The extensions that a server with `config` chooses from a client's offers, and the header value of the answer, if
/// any.
#[cfg(feature = "deflate")]
pub(super) fn choose(config: &ValidConfig, offered: &[Extension]) -> (Extensions, Option<String>) {
    let chosen = config.shared_deflate().and_then(|config| deflate::accept_offer(config, offered));
    let (deflate, answer) = chosen.unzip();
    (Extensions { deflate }, answer)
}

#[cfg(not(feature = "deflate"))]
pub(super) const fn choose(_config: &ValidConfig, _offered: &[Extension]) -> (Extensions, Option<String>) {
    (Extensions {}, None)
}

/// The extensions that a client offers.
#[derive(Debug, Clone, Default)]
pub(super) struct Offer {
    #[cfg(feature = "deflate")]
    deflate: Option<SharedDeflate>,
}

#[cfg(feature = "deflate")]
impl Offer {
    pub(super) fn of(config: &ValidConfig) -> Self {
        Self { deflate: config.shared_deflate().cloned() }
    }

    /// The header value; `None` if there is nothing to offer.
    pub(super) fn header(&self) -> Option<String> {
        self.deflate.as_ref().map(deflate::offer)
    }

    /// The extensions in the server's answer; `Err` if it does not answer the offer.
    pub(super) fn answered(&self, answered: &[Extension]) -> Result<Extensions, ()> {
        match &self.deflate {
            Some(config) => Ok(Extensions { deflate: deflate::accept_answer(config, answered)? }),
            None if answered.is_empty() => Ok(Extensions::default()),
            None => Err(()),
        }
    }
}

#[cfg(not(feature = "deflate"))]
#[expect(clippy::unused_self, reason = "the signature is that with compression")]
impl Offer {
    pub(super) const fn of(_config: &ValidConfig) -> Self {
        Self {}
    }

    pub(super) const fn header(&self) -> Option<String> {
        None
    }

    pub(super) const fn answered(&self, answered: &[Extension]) -> Result<Extensions, ()> {
        if answered.is_empty() { Ok(Extensions {}) } else { Err(()) }
    }
}
