//! `ws record` and `ws replay`.

mod replay;

use crate::{
    cli::{FramingArgs, RecordArgs},
    connect::{Link, Target},
    events::Recorder,
    exit::Outcome,
    pipe,
};
pub(crate) use replay::replay;

/// Records a connection. The lines of the input are sent, what arrives is printed.
pub(crate) async fn record(args: RecordArgs) -> Outcome {
    let target = Target::new(&args.url, &args.subprotocol, &args.connection)?;
    let to_stdout = args.file.as_os_str() == "-";
    let recorder = Recorder::create((!to_stdout).then_some(args.file.as_path()))?;
    let link = Link::Once(target.connect().await?);
    let framing = FramingArgs::default();
    let options = pipe::Options {
        framing,
        prints: !to_stdout,
        count: args.count,
        // A recording continues after the end of the input.
        linger: Some(crate::cli::values::Limit(None)),
        timeout: None,
        duration: args.duration,
        recorder: Some(recorder),
    };
    pipe::run(link, Some(pipe::stdin(framing, args.connection.max_size)), options).await
}
