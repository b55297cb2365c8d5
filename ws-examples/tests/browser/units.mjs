// Tests the parts of the chat page that need no browser. It prints `ok` at the end.

import assert from "node:assert/strict";
import { load, runLaws } from "./laws.mjs";

const { Room } = await load("chat_server/page/rooms.js");
const { Outbox } = await load("chat_server/page/outbox.js");

const isMine = (id) => id === "me";
const message = (id, text, ref = `ref of ${text}`) => ({ type: "said", room: "lobby", id, name: id, text, ref, time: 1 });
const texts = (room) => room.entries.filter(({ kind }) => kind === "message").map(({ text }) => text);

function inRoom() {
  const room = new Room("lobby");
  room.enter();
  room.entered({ position: "1-0", recovered: "fresh", here: [] }, isMine);
  return room;
}

const laws = {
  "a position that is not later is not shown again"() {
    const room = inRoom();
    for (const at of ["1-9007199254740993", "1-9007199254740993", "1-9007199254740992", "1-9007199254740994"]) {
      room.said(at, message("ada", at, at));
    }
    assert.deepEqual(texts(room), ["1-9007199254740993", "1-9007199254740994"]);
    room.said("2-1", message("ada", "another epoch"));
    assert.equal(texts(room).at(-1), "another epoch");
  },

  "a message that was published twice is shown once"() {
    const room = inRoom();
    room.said("1-1", message("ada", "hello", "x"));
    room.said("1-2", message("ada", "hello", "x"));
    assert.deepEqual(texts(room), ["hello"]);
    assert.equal(room.last, "1-2");
  },

  "an own message takes its place in the log, and is not sent again once it has come back"() {
    const room = inRoom();
    const own = room.say("me", "me", "mine");
    room.said("1-1", message("ada", "theirs"));
    assert.deepEqual(texts(room), ["theirs", "mine"]);
    room.lost();
    room.enter();
    room.said("1-2", message("me", "mine", own.ref));
    const { again } = room.entered({ position: "1-2", recovered: "all", here: [] }, isMine);
    assert.deepEqual([again, texts(room), own.pending], [[], ["theirs", "mine"], false]);
  },

  "a room that was left in the middle of its recovery goes on from there"() {
    const room = inRoom();
    room.said("1-1", message("ada", "one"));
    room.lost();
    assert.equal(room.enter().from, "1-1");
    room.said("1-2", message("ada", "two"));
    room.lost();
    assert.equal(room.enter().from, "1-2");
    room.said("1-3", message("ada", "three"));
    const { count } = room.entered({ position: "1-3", recovered: "all", here: [] }, isMine);
    assert.deepEqual([count, texts(room)], [1, ["one", "two", "three"]]);
  },

  "who leaves while the room is entered is not there, and who comes back at once is not worth a line"() {
    const room = new Room("lobby");
    room.enter();
    room.left("ada");
    room.entered({ position: null, recovered: "fresh", here: [{ id: "ada", name: "Ada" }] }, isMine);
    assert.equal(room.people.size, 0);
    room.joined("ben", "Ben");
    room.left("ben");
    assert.equal(room.entries.at(-1).changes.size, 0);
    room.here([{ id: "cy", name: "Cy" }]);
    assert.deepEqual([...room.people], [["cy", "Cy"]]);
  },

  async "messages go out one after the other, also if one has to wait"() {
    const sent = [];
    let arrived = () => {};
    const outbox = new Outbox(({ ref }) => {
      sent.push(ref);
      arrived();
    });
    ["a", "b", "c"].forEach((ref) => outbox.add({ ref }));
    assert.deepEqual(sent, ["a"]);
    outbox.answered("a");
    const again = new Promise((resolve) => (arrived = resolve));
    outbox.delay("b", 1);
    outbox.add({ ref: "d" });
    assert.deepEqual(sent, ["a", "b"]);
    await again;
    outbox.answered("b");
    outbox.clear();
    outbox.answered("c");
    assert.deepEqual(sent, ["a", "b", "b", "c"]);
  },
};

runLaws(laws);
