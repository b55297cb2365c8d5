//! Functions of the application that topics call. They run with no lock held, and their panics are caught.

use std::sync::Arc;

use ws_tokio::internal::guarded;

use crate::log_limit::{LogLimits, log_limited};

use super::{error::Denied, member::Member, options::TopicOptions};

type OptionsByName = Arc<dyn Fn(&str) -> TopicOptions + Send + Sync>;
type Authorize = Arc<dyn Fn(&Member, &str) -> Result<(), Denied> + Send + Sync>;

#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) options_by_name: Option<OptionsByName>,
    pub(super) authorize: Option<Authorize>,
    log_limits: Arc<LogLimits>,
}

impl Hooks {
    /// The options of a topic by its name. `None`: the default options.
    pub(super) fn options(&self, topic: &str) -> Option<TopicOptions> {
        let hook = self.options_by_name.as_ref()?;
        let Ok(options) = guarded(|| hook(topic)) else {
            log_limited!(self.log_limits, Panic, error, topic, "the function for options of topics panicked");
            return None;
        };
        if let Err(error) = options.check() {
            log_limited!(self.log_limits, Answer, error, topic, %error, "the options of a topic are not valid");
            return None;
        }
        Some(options)
    }

    pub(super) fn authorize(&self, member: &Member, topic: &str) -> Result<(), Denied> {
        let Some(hook) = &self.authorize else { return Ok(()) };
        guarded(|| hook(member, topic)).unwrap_or_else(|_| {
            let line = "the function that authorises subscriptions panicked";
            log_limited!(self.log_limits, Panic, error, topic, "{line}");
            Err(Denied::new("the function that authorises panicked"))
        })
    }
}
