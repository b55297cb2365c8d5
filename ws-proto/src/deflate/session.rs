use crate::role::Role;

use super::{
    DeflateConfig, DeflateParams,
    codec::{Deflater, Inflater, deflater_size},
    negotiate::Agreed,
    pool::Reservation,
    small_encoder,
};

/// The compression state of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    agreed: Agreed,
    role: Role,
    /// Kept between messages with context takeover. Without it, a codec is borrowed from the pool for each message.
    deflater: Option<Box<Deflater>>,
    inflater: Option<Box<Inflater>>,
    /// Whether the application currently wants its messages compressed.
    pub(crate) is_on: bool,
}

impl Session {
    pub(crate) const fn new(agreed: Agreed, role: Role) -> Self {
        Self { agreed, role, deflater: None, inflater: None, is_on: true }
    }

    pub(crate) const fn params(&self) -> DeflateParams {
        self.agreed.params
    }

    /// Whether a message of this length should be compressed.
    #[inline]
    pub(crate) const fn wants(&self, len: usize) -> bool {
        self.is_on
            && len >= self.agreed.threshold
            && DeflateConfig::can_compress_with(self.send_window_bits())
    }

    /// Whether sent messages refer to earlier ones. If so, a message that was compressed must also be sent compressed.
    pub(crate) const fn sends_with_takeover(&self) -> bool {
        !match self.role {
            Role::Client => self.agreed.params.client_no_context_takeover,
            Role::Server => self.agreed.params.server_no_context_takeover,
        }
    }

    /// Appends a message, compressed without context, to `out`. The message must be one that
    /// [`is_small`](Self::is_small).
    pub(crate) fn deflate_small(&self, payload: &[u8], out: &mut Vec<u8>) {
        small_encoder::deflate(payload, self.send_window_bits(), out);
    }

    /// Whether a message of this length is compressed by the [`small_encoder`].
    pub(crate) const fn is_small(&self, len: usize) -> bool {
        self.agreed.level == 1 && len <= small_encoder::MOST && !self.sends_with_takeover()
    }

    pub(crate) fn take_deflater(&mut self) -> Box<Deflater> {
        let kept = self.deflater.take();
        kept.unwrap_or_else(|| self.agreed.pool.take_deflater(self.agreed.level, self.send_window_bits()))
    }

    /// Reserves memory for a deflater that is held for several calls. `Some(None)` if the deflater belongs to the
    /// connection already.
    pub(crate) fn reserve_deflater(&self) -> Option<Option<Reservation>> {
        if self.sends_with_takeover() {
            return Some(None);
        }
        let size = deflater_size(self.send_window_bits());
        self.agreed.pool.reserve(size, self.agreed.budget).map(Some)
    }

    pub(crate) fn put_deflater(&mut self, mut deflater: Box<Deflater>) {
        if self.sends_with_takeover() {
            deflater.drop_out();
            self.deflater = Some(deflater);
        } else {
            self.agreed.pool.put_deflater(deflater);
        }
    }

    pub(crate) fn take_inflater(&mut self) -> Box<Inflater> {
        let mut inflater = self.inflater.take().unwrap_or_else(|| self.agreed.pool.take_inflater());
        if self.receives_with_takeover() {
            inflater.keep_context(self.receive_window_bits());
        }
        inflater
    }

    pub(crate) fn put_inflater(&mut self, inflater: Box<Inflater>) {
        if self.receives_with_takeover() {
            self.inflater = Some(inflater);
        } else {
            self.agreed.pool.put_inflater(inflater);
        }
    }

    /// Whether received messages refer to earlier ones, so that the connection has an inflater of its own.
    pub(crate) const fn receives_with_takeover(&self) -> bool {
        !match self.role {
            Role::Client => self.agreed.params.server_no_context_takeover,
            Role::Server => self.agreed.params.client_no_context_takeover,
        }
    }

    const fn receive_window_bits(&self) -> u8 {
        match self.role {
            Role::Client => self.agreed.params.server_max_window_bits,
            Role::Server => self.agreed.params.client_max_window_bits,
        }
    }

    pub(crate) const fn send_window_bits(&self) -> u8 {
        match self.role {
            Role::Client => self.agreed.params.client_max_window_bits,
            Role::Server => self.agreed.params.server_max_window_bits,
        }
    }
}

/// Returns the codecs to the pool. Their context belongs to this connection, but other connections can reuse the
/// memory.
impl Drop for Session {
    fn drop(&mut self) {
        if let Some(deflater) = self.deflater.take() {
            self.agreed.pool.put_deflater(deflater);
        }
        if let Some(inflater) = self.inflater.take() {
            self.agreed.pool.put_inflater(inflater);
        }
    }
}
