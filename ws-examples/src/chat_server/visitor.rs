//! One visitor: the commands of a page, one after the other.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde_json::json;
use tokio::time::timeout;
use ws_server::{
    CloseCode, Message, ServerStream, WebSocket, error::SendError, topics::Member, topics::SubscribeError,
};

use crate::{
    backplane::Refused,
    protocol::{Command, Fault, MAX_NAME, MAX_ROOM, MAX_TEXT, RoomName, refused},
    rate::Bucket,
    rooms::{MAX_ROOMS, Rooms, STANDING},
};

/// How long a connection may take to say who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// When a page may try to enter a room again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

struct Visitor {
    ws: WebSocket<ServerStream>,
    rooms: Arc<Rooms>,
    member: Member,
    name: String,
    /// Limits the messages. The page explains it.
    messages: Bucket,
    /// Limits how often rooms are entered: all in a room hear of it, and the answer lists all who are there.
    entries: Bucket,
    /// Limits all commands. The page stays far below it.
    commands: Bucket,
}

/// Why a visitor is sent away.
enum End {
    /// The connection is over.
    Gone,
    /// The page does not follow the protocol.
    Violation(&'static str),
}

/// Serves one connection.
pub(crate) async fn serve(mut ws: WebSocket<ServerStream>, rooms: Arc<Rooms>) {
    let name = match timeout(HELLO_WITHIN, hello(&mut ws)).await {
        Ok(Ok(name)) => name,
        Ok(Err(End::Gone)) => return,
        Ok(Err(End::Violation(reason))) => return drop(ws.close(CloseCode::POLICY_VIOLATION, reason).await),
        Err(_) => return drop(ws.close(CloseCode::POLICY_VIOLATION, "no hello").await),
    };
    let Ok(member) = rooms.topics().join(&ws.sender()) else { return };
    let now = Instant::now();
    let mut visitor = Visitor {
        ws,
        rooms,
        member,
        name,
        messages: Bucket::new(8, Duration::from_secs(1), now),
        entries: Bucket::new(2 * MAX_ROOMS as u32, Duration::from_secs(1), now),
        commands: Bucket::new(100, Duration::from_millis(50), now),
    };
    if let Err(End::Violation(reason)) = visitor.run().await {
        visitor.ws.close(CloseCode::POLICY_VIOLATION, reason).await;
    }
}

/// Waits for a name that is accepted.
async fn hello(ws: &mut WebSocket<ServerStream>) -> Result<String, End> {
    while let Some(message) = ws.recv().await {
        let text = text_of(&message)?;
        match Command::parse(text) {
            Ok(Command::Hello { name }) => return Ok(name),
            Err(Fault::Refused(why)) => ws.send(refused(text, &why, None)).await?,
            _ => return Err(End::Violation("hello comes first")),
        }
    }
    Err(End::Gone)
}

fn text_of(message: &Message) -> Result<&str, End> {
    message.as_text().ok_or(End::Violation("commands are text"))
}

impl Visitor {
    async fn run(&mut self) -> Result<(), End> {
        let standing = STANDING.map(|(name, about)| json!({ "name": name, "about": about }));
        let limits = json!({ "name": MAX_NAME, "room": MAX_ROOM, "text": MAX_TEXT });
        let (id, name) = (self.rooms.id(self.member.id()), &self.name);
        let welcome =
            json!({ "type": "welcome", "id": id, "name": name, "limits": limits, "rooms": standing });
        self.ws.send(welcome.to_string()).await?;
        while let Some(message) = self.ws.recv().await {
            let text = text_of(&message)?;
            if self.commands.take(Instant::now()).is_err() {
                return Err(End::Violation("too many commands"));
            }
            match Command::parse(text) {
                Ok(command) => self.run_command(command, text).await?,
                Err(Fault::Refused(why)) => self.ws.send(refused(text, &why, None)).await?,
                Err(Fault::Malformed) => return Err(End::Violation("not a command")),
            }
        }
        Ok(())
    }

    async fn run_command(&mut self, command: Command, text: &str) -> Result<(), End> {
        match command {
            Command::Hello { .. } => return Err(End::Violation("hello comes once")),
            Command::Enter { room, from } => {
                if let Err(wait) = self.entries.take(Instant::now()) {
                    let why = "You enter rooms too fast.";
                    return Ok(self.ws.send(refused(text, why, Some(wait.as_millis() + 1))).await?);
                }
                let entered = self.rooms.enter(&self.member, &self.name, &room, from).await;
                let answer = match entered {
                    Ok(entered) => json!({
                        "type": "entered",
                        "room": room.as_str(),
                        "recovered": entered.recovered,
                        "position": entered.position.map(|position| position.to_string()),
                        "here": entered.here,
                    })
                    .to_string(),
                    Err(Refused::Broker) => {
                        refused(text, &reason(&Refused::Broker), Some(RETRY_AFTER.as_millis()))
                    }
                    Err(error) => refused(text, &reason(&error), None),
                };
                self.ws.send(answer).await?;
            }
            Command::Leave { room } => {
                self.rooms.leave(&self.member, &room);
            }
            Command::Say { room, text: said, reference } => self.say(&room, &said, &reference, text).await?,
            Command::Typing { room, on } => {
                if self.is_in(&room) {
                    let typing = json!({
                        "type": "typing", "room": room.as_str(), "id": self.rooms.id(self.member.id()),
                        "name": self.name, "on": on,
                    });
                    self.rooms.tell(&room, &typing, self.member.id()).await;
                }
            }
            Command::Ping => self.ws.send(r#"{"type":"pong"}"#).await?,
        }
        Ok(())
    }

    async fn say(&mut self, room: &RoomName, said: &str, reference: &str, command: &str) -> Result<(), End> {
        let refusal = if !self.is_in(room) {
            refused(command, &format!("You are not in #{room}."), None)
        } else if let Err(wait) = self.messages.take(Instant::now()) {
            let why = "You write too fast: 8 messages may come at once, then one a second.";
            refused(command, why, Some(wait.as_millis() + 1))
        } else {
            let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let message = json!({
                "type": "said", "room": room.as_str(), "id": self.rooms.id(self.member.id()), "name": self.name,
                "text": said, "ref": reference, "time": u64::try_from(time.as_millis()).unwrap_or_default(),
            });
            match self.rooms.say(room, &message).await {
                Ok(()) => return Ok(()),
                Err(error) => refused(command, &error.to_string(), None),
            }
        };
        Ok(self.ws.send(refusal).await?)
    }

    fn is_in(&self, room: &RoomName) -> bool {
        self.rooms.is_in(&self.member, room)
    }
}

/// Why a visitor cannot enter a room.
fn reason(refused: &Refused) -> String {
    match refused {
        Refused::Here(SubscribeError::TooManyTopics { .. }) => {
            format!("You are in {MAX_ROOMS} rooms, which is the most. Leave one first.")
        }
        Refused::Here(SubscribeError::TooManyTopicsInAll { .. }) => {
            "There are too many rooms already.".to_owned()
        }
        _ => "The room cannot be entered at the moment.".to_owned(),
    }
}

impl From<SendError<Message>> for End {
    fn from(_: SendError<Message>) -> Self {
        Self::Gone
    }
}
