//! Replaces `compressed` if the feature `deflate` is off. Its types have no values, so the compiler removes the code
//! that uses them.

use bytes::Bytes;

use crate::{
    error::ConnectionError,
    handshake::Extensions,
    memory::{Notify, PooledBuffer, ReceiveBuffer, TransmitQueue},
    message::MessageKind,
    prepared::PreparedMessage,
    role::Role,
};

use super::{
    Connection,
    event::{At, Step},
};

#[derive(Debug)]
pub(super) enum Compression {}

#[derive(Debug)]
pub(super) enum InflatingMessage {}

#[derive(Debug)]
pub(super) enum Deflating {}

/// A compressed message, which no peer may send.
pub(super) enum Compressed {
    Window(#[expect(dead_code, reason = "as in `compressed`")] At),
    Assembled(#[expect(dead_code, reason = "as in `compressed`")] PooledBuffer),
}

pub(super) const fn agreed_compression(_extensions: Extensions, _role: Role) -> Option<Compression> {
    None
}

impl InflatingMessage {
    pub(super) const fn len(&self) -> usize {
        match *self {}
    }

    pub(super) const fn held_bytes(&self) -> usize {
        match *self {}
    }
}

impl Deflating {
    pub(super) const fn remaining(&self) -> usize {
        match *self {}
    }

    pub(super) const fn notifies(&self) -> bool {
        match *self {}
    }

    pub(super) const fn into_payload(self) -> Bytes {
        match self {}
    }
}

pub(super) const fn fits_one_frame(_len: usize) -> bool {
    true
}

#[expect(clippy::unused_self, clippy::unnecessary_wraps, clippy::boxed_local, reason = "as in `compressed`")]
impl Connection {
    pub(super) const fn may_be_compressed(&self, _opcode: u8) -> bool {
        false
    }

    pub(super) const fn holds_too_much(&self) -> bool {
        false
    }

    pub(super) const fn has_inflated_enough(&self, _rx: &ReceiveBuffer) -> bool {
        false
    }

    pub(super) const fn set_aside_inflated(&mut self, _rx: &mut ReceiveBuffer) -> Step {
        Step::Yield
    }

    pub(super) fn inflate(
        &mut self,
        _kind: MessageKind,
        _input: Compressed,
        _rx: &mut ReceiveBuffer,
    ) -> Result<Step, ConnectionError> {
        Err(ConnectionError::Internal)
    }

    pub(super) fn inflate_more(&mut self, rx: &mut ReceiveBuffer) -> Result<Step, ConnectionError> {
        Ok(self.take_up(rx))
    }

    pub(super) const fn compresses(&self, _len: usize) -> bool {
        false
    }

    pub(super) const fn compresses_in_order(&self) -> bool {
        false
    }

    pub(super) const fn compressed_frame<'m>(&mut self, _message: &'m PreparedMessage) -> Option<&'m Bytes> {
        None
    }

    pub(super) const fn begin_deflating(
        &mut self,
        _kind: MessageKind,
        _payload: &Bytes,
        _notify: Notify,
    ) -> Option<Box<Deflating>> {
        None
    }

    pub(super) const fn encode_deflated(
        &mut self,
        _kind: MessageKind,
        _payload: &[u8],
        _notify: Notify,
        _tx: &mut TransmitQueue,
    ) -> bool {
        false
    }

    pub(super) fn encode_deflated_piece(
        &mut self,
        deflating: Box<Deflating>,
        _tx: &mut TransmitQueue,
    ) -> Option<Box<Deflating>> {
        match *deflating {}
    }
}
