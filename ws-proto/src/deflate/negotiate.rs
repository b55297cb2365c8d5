//! Negotiation of permessage-deflate: offers and answers (RFC 7692 sections 5 and 7.1).

use std::{fmt::Write as _, sync::Arc};

use crate::{
    header_syntax::{Extension, ExtensionParam},
    role::Role,
};

use super::{
    DeflateConfig, SharedDeflate,
    codec::{deflater_size, kept_inflater_size},
    pool::{CodecPool, Reservation},
};

const NAME: &str = "permessage-deflate";
const SERVER_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// The parameters that both sides agreed upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeflateParams {
    /// The server compresses each message independently of earlier ones.
    pub server_no_context_takeover: bool,
    /// The client compresses each message independently of earlier ones.
    pub client_no_context_takeover: bool,
    /// The window for messages from the server, as a power of two, 8 to 15.
    pub server_max_window_bits: u8,
    /// The window for messages from the client, as a power of two, 8 to 15.
    pub client_max_window_bits: u8,
}

/// The agreed parameters, the options of this side, and the memory that is reserved for codecs.
#[derive(Debug, Clone)]
pub(crate) struct Agreed {
    pub(crate) params: DeflateParams,
    pub(super) level: u8,
    pub(super) threshold: usize,
    pub(super) budget: usize,
    pub(super) pool: CodecPool,
    /// Present if a compression context is kept between messages.
    pub(super) _reservation: Option<Arc<Reservation>>,
}

/// Compares the parameters, which are all that is public.
impl PartialEq for Agreed {
    fn eq(&self, other: &Self) -> bool {
        self.params == other.params
    }
}

impl Eq for Agreed {}

/// The parameters of an offer or answer, if each one is known, valid and present once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Said {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// `Some(None)` is the parameter without a value.
    client_max_window_bits: Option<Option<u8>>,
}

impl Said {
    fn read(extension: &Extension) -> Option<Self> {
        let mut said = Self::default();
        for ExtensionParam { name, value } in &extension.params {
            let value = value.as_deref();
            let is_new = match name.as_str() {
                SERVER_TAKEOVER if value.is_none() => set(&mut said.server_no_context_takeover),
                CLIENT_TAKEOVER if value.is_none() => set(&mut said.client_no_context_takeover),
                SERVER_BITS => said.server_max_window_bits.replace(window_bits(value?)?).is_none(),
                CLIENT_BITS => {
                    let bits = value.map(|value| window_bits(value).ok_or(())).transpose().ok()?;
                    said.client_max_window_bits.replace(bits).is_none()
                }
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        Some(said)
    }
}

/// Sets a flag. Returns false if it was set already.
const fn set(flag: &mut bool) -> bool {
    !std::mem::replace(flag, true)
}

/// A number from 8 to 15, without leading zeros.
fn window_bits(value: &str) -> Option<u8> {
    match value {
        "8" => Some(8),
        "9" => Some(9),
        "10" => Some(10),
        "11" => Some(11),
        "12" => Some(12),
        "13" => Some(13),
        "14" => Some(14),
        "15" => Some(15),
        _ => None,
    }
}

/// The server's choice: the first of the client's offers that it can accept, and the answer to it. It declines an
/// offer by not answering it (section 5.1); if it declines all, the connection has no compression.
pub(crate) fn accept_offer(config: &SharedDeflate, offered: &[Extension]) -> Option<(Agreed, String)> {
    offered
        .iter()
        .filter(|extension| extension.name.eq_ignore_ascii_case(NAME))
        .find_map(|extension| answer(config, Said::read(extension)?))
}

fn answer(config: &SharedDeflate, offer: Said) -> Option<(Agreed, String)> {
    let server_bits = offer.server_max_window_bits.unwrap_or(15).min(config.send_window_bits);
    if !DeflateConfig::can_compress_with(server_bits) {
        return None;
    }
    // The parameter may only be sent to a client that offers it (section 7.1.2.2).
    let client_bits = match offer.client_max_window_bits {
        None => 15,
        Some(limit) => limit.unwrap_or(15).min(config.receive_window_bits),
    };
    let params = DeflateParams {
        server_no_context_takeover: offer.server_no_context_takeover || !config.send_takeover,
        client_no_context_takeover: offer.client_no_context_takeover || !config.receive_takeover,
        server_max_window_bits: server_bits,
        client_max_window_bits: client_bits,
    };
    let agreed = agree(config, params, Role::Server);
    let mut answer = String::from(NAME);
    let DeflateParams { server_no_context_takeover, client_no_context_takeover, .. } = agreed.params;
    push_flag(&mut answer, SERVER_TAKEOVER, server_no_context_takeover);
    push_flag(&mut answer, CLIENT_TAKEOVER, client_no_context_takeover);
    if offer.server_max_window_bits.is_some() || server_bits < 15 {
        push_bits(&mut answer, SERVER_BITS, server_bits);
    }
    if offer.client_max_window_bits.is_some() && client_bits < 15 {
        push_bits(&mut answer, CLIENT_BITS, client_bits);
    }
    Some((agreed, answer))
}

/// The client's offer.
pub(crate) fn offer(config: &SharedDeflate) -> String {
    let mut offer = String::from(NAME);
    push_flag(&mut offer, SERVER_TAKEOVER, !config.receive_takeover);
    push_flag(&mut offer, CLIENT_TAKEOVER, !config.send_takeover);
    if config.receive_window_bits < 15 {
        push_bits(&mut offer, SERVER_BITS, config.receive_window_bits);
    }
    match config.send_window_bits {
        15 => push_flag(&mut offer, CLIENT_BITS, true),
        bits => push_bits(&mut offer, CLIENT_BITS, bits),
    }
    offer
}

/// The client's reading of the server's answer to its [`offer`]: `Ok(None)` if there is no answer, `Err` if the
/// answer does not match the offer, which fails the connection (section 5.1).
pub(crate) fn accept_answer(config: &SharedDeflate, answered: &[Extension]) -> Result<Option<Agreed>, ()> {
    let extension = match answered {
        [] => return Ok(None),
        [extension] if extension.name.eq_ignore_ascii_case(NAME) => extension,
        _ => return Err(()),
    };
    let said = Said::read(extension).ok_or(())?;
    let server_bits = said.server_max_window_bits.unwrap_or(15);
    if server_bits > config.receive_window_bits
        || (!config.receive_takeover && !said.server_no_context_takeover)
    {
        // The client asked for these parameters, and a server that does not support them must decline (section 7.1).
        return Err(());
    }
    let client_bits = match said.client_max_window_bits {
        None => 15,
        // In an answer it has a value, which is at most that of the offer (section 7.1.2.2).
        Some(bits) => bits.filter(|bits| *bits <= config.send_window_bits).ok_or(())?,
    };
    let params = DeflateParams {
        server_no_context_takeover: said.server_no_context_takeover,
        client_no_context_takeover: said.client_no_context_takeover || !config.send_takeover,
        server_max_window_bits: server_bits,
        client_max_window_bits: client_bits.min(config.send_window_bits),
    };
    Ok(Some(agree(config, params, Role::Client)))
}

/// Reserves memory for the contexts that are kept. If none is left, a server keeps no context. A client can only give
/// up the context for what it sends: the server has decided about the other.
fn agree(config: &SharedDeflate, mut params: DeflateParams, role: Role) -> Agreed {
    let pool = &config.pool;
    let reserve = |bytes: usize| pool.reserve(bytes, config.codec_budget);
    let (keeps_sent, keeps_received, sent_bits, received_bits) = match role {
        Role::Server => (
            !params.server_no_context_takeover,
            !params.client_no_context_takeover,
            params.server_max_window_bits,
            params.client_max_window_bits,
        ),
        Role::Client => (
            !params.client_no_context_takeover,
            !params.server_no_context_takeover,
            params.client_max_window_bits,
            params.server_max_window_bits,
        ),
    };
    let received_price = usize::from(keeps_received) * kept_inflater_size(received_bits);
    let price = usize::from(keeps_sent) * deflater_size(sent_bits) + received_price;
    let mut reservation = (price > 0).then(|| reserve(price)).flatten();
    if price > 0 && reservation.is_none() {
        match role {
            Role::Server => {
                params.server_no_context_takeover = true;
                params.client_no_context_takeover = true;
            }
            Role::Client => {
                params.client_no_context_takeover = true;
                reservation = keeps_received.then(|| pool.reserve_anyway(received_price));
            }
        }
    }
    Agreed {
        params,
        level: config.level,
        threshold: config.threshold,
        budget: config.codec_budget,
        pool: pool.clone(),
        _reservation: reservation.map(Arc::new),
    }
}

fn push_flag(out: &mut String, name: &str, set: bool) {
    if set {
        out.push_str("; ");
        out.push_str(name);
    }
}

fn push_bits(out: &mut String, name: &str, bits: u8) {
    // Writing to a `String` cannot fail.
    let _ = write!(out, "; {name}={bits}");
}

#[cfg(test)]
mod tests;
