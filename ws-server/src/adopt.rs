//! A running server takes over connections whose HTTP part is done elsewhere:
//! [`Server::adopter`](crate::Server::adopter).

pub use crate::handshake::{Adopter, OpeningRequest, Reservation};
