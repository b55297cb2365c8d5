//! `ws replay`: sends the messages of a recording with its pauses.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    cli::{DirectionArg, FramingArgs, ReplayArgs, values::Limit},
    connect::{Link, Target},
    events::{Direction, Event, Line},
    exit::{Failure, Outcome},
    pipe,
};

pub(crate) async fn replay(args: ReplayArgs) -> Outcome {
    let target = Target::new(&args.url, &args.subprotocol, &args.connection)?;
    let direction = match args.direction {
        DirectionArg::Out => Direction::Out,
        DirectionArg::In => Direction::In,
    };
    // The file is opened before anything is sent.
    let lines = open(&args.file)?;
    let link = Link::Once(target.connect().await?);
    let (sender, input) = mpsc::channel(16);
    let read = read(lines, direction);
    tokio::spawn(send_in_time(read, sender, args.speed));
    let options = pipe::Options {
        framing: FramingArgs::default(),
        prints: true,
        count: None,
        linger: Some(Limit(Some(args.linger))),
        timeout: None,
        duration: None,
        recorder: None,
    };
    pipe::run(link, Some(input), options).await
}

fn open(path: &Path) -> Outcome<Box<dyn BufRead + Send>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path).map_err(|error| Failure::local(&path.display().to_string(), &error))?;
    Ok(Box::new(BufReader::new(file)))
}

/// Reads the lines of one direction, on a thread. A Close is left out: the replay ends with its own. A pong is left out
/// too: it answers a ping of the recorded connection.
fn read(lines: Box<dyn BufRead + Send>, direction: Direction) -> mpsc::Receiver<Outcome<Line>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut found = false;
        for (index, text) in lines.lines().enumerate() {
            let line = text
                .map_err(|error| Failure::local("reading the recording failed", &error))
                .and_then(|text| parse(index + 1, &text));
            let line = match line {
                Ok(Some(line)) if line.direction.is_none_or(|of| of == direction) => line,
                Ok(_) => continue,
                Err(failure) => {
                    let _ = sender.blocking_send(Err(failure));
                    return;
                }
            };
            if matches!(line.event, Event::Close { .. } | Event::Pong(_)) {
                continue;
            }
            found = true;
            if sender.blocking_send(Ok(line)).is_err() {
                return;
            }
        }
        if !found {
            let which = if direction == Direction::Out { "were sent" } else { "were received" };
            let none = format!("the recording has no messages that {which}; see --direction");
            let _ = sender.blocking_send(Err(Failure::usage(none)));
        }
    });
    receiver
}

fn parse(number: usize, text: &str) -> Outcome<Option<Line>> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    Line::parse(text)
        .map(Some)
        .map_err(|why| Failure::usage(format!("line {number} of the recording is {why}")))
}

/// Hands each event over when it is due, counted from the first one.
async fn send_in_time(
    mut lines: mpsc::Receiver<Outcome<Line>>,
    sender: mpsc::Sender<Outcome<Event>>,
    speed: f64,
) {
    let start = Instant::now();
    let mut first = None;
    while let Some(line) = lines.recv().await {
        if let Ok(Line { time: Some(time), .. }) = &line {
            let after = time - *first.get_or_insert(*time);
            // A recording whose clock went back has no pause there.
            let pause = Duration::try_from_secs_f64(after / speed).unwrap_or_default();
            sleep_until(start + pause).await;
        }
        if sender.send(line.map(|line| line.event)).await.is_err() {
            return;
        }
    }
}
