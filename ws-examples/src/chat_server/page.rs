//! The files of the page.

use ws_examples::site::{CSS, File, HTML, JS, SVG};

pub(crate) const FILES: [File; 13] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/layout.css", CSS, include_str!("page/layout.css")),
    ("/messages.css", CSS, include_str!("page/messages.css")),
    ("/icon.svg", SVG, include_str!("page/icon.svg")),
    ("/main.js", JS, include_str!("page/main.js")),
    ("/composer.js", JS, include_str!("page/composer.js")),
    ("/door.js", JS, include_str!("page/door.js")),
    ("/link.js", JS, include_str!("page/link.js")),
    ("/log.js", JS, include_str!("page/log.js")),
    ("/outbox.js", JS, include_str!("page/outbox.js")),
    ("/rooms.js", JS, include_str!("page/rooms.js")),
    ("/sides.js", JS, include_str!("page/sides.js")),
    ("/text.js", JS, include_str!("page/text.js")),
];
