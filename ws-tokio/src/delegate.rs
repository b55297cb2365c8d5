//! Transports that pass everything on to the stream inside.

/// Implements `AsyncRead` and `AsyncWrite` for a transport by the stream in its first field.
/// `$each!(field, stream => x)` evaluates `x` for that stream, whatever its kind. For `ws-server`, `ws-client` and
/// `ws-hyper` only.
#[doc(hidden)]
#[macro_export]
macro_rules! delegate_io {
    ([$($generics:tt)*] $transport:ty, $each:path) => {
        impl<$($generics)*> ::tokio::io::AsyncRead for $transport {
            #[inline]
            fn poll_read(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &mut ::tokio::io::ReadBuf<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                $each!(&mut self.get_mut().0, stream => ::std::pin::Pin::new(stream).poll_read(cx, buf))
            }
        }

        impl<$($generics)*> ::tokio::io::AsyncWrite for $transport {
            #[inline]
            fn poll_write(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                bytes: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                $each!(&mut self.get_mut().0, stream => ::std::pin::Pin::new(stream).poll_write(cx, bytes))
            }

            #[inline]
            fn poll_write_vectored(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                slices: &[::std::io::IoSlice<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                $each!(&mut self.get_mut().0, stream => ::std::pin::Pin::new(stream).poll_write_vectored(cx, slices))
            }

            fn is_write_vectored(&self) -> bool {
                $each!(&self.0, stream => stream.is_write_vectored())
            }

            fn poll_flush(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                $each!(&mut self.get_mut().0, stream => ::std::pin::Pin::new(stream).poll_flush(cx))
            }

            fn poll_shutdown(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                $each!(&mut self.get_mut().0, stream => ::std::pin::Pin::new(stream).poll_shutdown(cx))
            }
        }
    };
}

/// For [`delegate_io!`], if the field is the stream.
#[doc(hidden)]
#[macro_export]
macro_rules! the_stream {
    ($field:expr, $stream:ident => $expression:expr) => {{
        let $stream = $field;
        $expression
    }};
}
