use ws_tokio::guarded;

/// What an application has accepted and must hear of if nothing comes of it.
pub(crate) trait FailOnDrop {
    /// Nothing came of it.
    fn on_failure(&mut self);
}

/// Calls [`FailOnDrop::on_failure`] unless it is taken.
pub(crate) struct Guard<T: FailOnDrop>(Option<T>);

impl<T: FailOnDrop> Guard<T> {
    pub(crate) const fn new(accepted: T) -> Self {
        Self(Some(accepted))
    }

    pub(crate) fn into_inner(mut self) -> Option<T> {
        self.0.take()
    }
}

impl<T: FailOnDrop> Drop for Guard<T> {
    fn drop(&mut self) {
        if let Some(mut accepted) = self.0.take() {
            let _ = guarded(|| accepted.on_failure());
            let _ = guarded(|| drop(accepted));
        }
    }
}

/// A value of the application's. A panic of its destructor ends here.
pub(crate) struct DropGuarded<T>(pub(crate) Option<T>);

impl<T> Drop for DropGuarded<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            let _ = guarded(|| drop(value));
        }
    }
}
