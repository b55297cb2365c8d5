//! The files of the page.

use ws_examples::site::{CSS, File, HTML, JS, SVG};

/// The link to the server is that of the chat.
pub(crate) const FILES: [File; 12] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/layout.css", CSS, include_str!("page/layout.css")),
    ("/charts.css", CSS, include_str!("page/charts.css")),
    ("/icon.svg", SVG, include_str!("page/icon.svg")),
    ("/main.js", JS, include_str!("page/main.js")),
    ("/figures.js", JS, include_str!("page/figures.js")),
    ("/timeline.js", JS, include_str!("page/timeline.js")),
    ("/histogram.js", JS, include_str!("page/histogram.js")),
    ("/lists.js", JS, include_str!("page/lists.js")),
    ("/load.js", JS, include_str!("page/load.js")),
    ("/units.js", JS, include_str!("page/units.js")),
    ("/link.js", JS, include_str!("../chat_server/page/link.js")),
];
