//! Messages that are compressed on the wire (RFC 7692 sections 6 and 7.2).

mod deflating;
mod inflating;

use crate::{
    deflate::{DeflateParams, Session},
    frame::OpCode,
    handshake::Extensions,
    role::Role,
};

use super::Connection;

pub(super) use deflating::{Deflating, fits_one_frame};
pub(super) use inflating::{Compressed, InflatingMessage};

pub(super) type Compression = Session;

/// The compression of a connection of this `role` whose handshake agreed upon `extensions`.
pub(super) fn agreed_compression(extensions: Extensions, role: Role) -> Option<Compression> {
    extensions.deflate.map(|agreed| Session::new(agreed, role))
}

impl Connection {
    /// The agreed parameters of compression; `None` without compression.
    #[must_use]
    pub fn deflate_params(&self) -> Option<DeflateParams> {
        self.compression().map(Session::params)
    }

    /// Enables or disables compression of messages sent from now on. It is enabled initially. Without an agreement, and
    /// below the threshold, messages are never compressed.
    pub fn set_compression(&mut self, on: bool) {
        if let Some(compression) = self.compression_mut() {
            compression.is_on = on;
        }
    }

    fn compression(&self) -> Option<&Compression> {
        self.rare.as_ref()?.compression.as_ref()
    }

    fn compression_mut(&mut self) -> Option<&mut Compression> {
        self.rare.as_mut()?.compression.as_mut()
    }

    /// Whether a frame with this opcode may have RSV1 set: the first frame of a message (RFC 7692 section 6.1).
    pub(super) fn may_be_compressed(&self, opcode: u8) -> bool {
        let begins_message = opcode == OpCode::Text.bits() || opcode == OpCode::Binary.bits();
        begins_message && self.compression().is_some()
    }
}
