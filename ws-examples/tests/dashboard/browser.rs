//! The page in Chromium. `tests/browser/dashboard.mjs` has the scenarios.

use e2e_tests::peers::Child;

use crate::{
    page::start,
    script::{run, script},
};

/// Starts a scenario. `None` without a browser.
fn scenario(name: &str, url: &str) -> Option<Child> {
    script("dashboard.mjs", &[name, url])
}

/// Runs a scenario with a server of its own.
fn run_with_server(name: &str) {
    run(async {
        let (_server, addr) = start("127.0.0.1:0");
        let Some(browser) = scenario(name, &format!("http://{addr}/")) else { return };
        browser.expect_ok().await;
    });
}

#[test]
fn the_figures_and_units_of_the_page_keep_their_laws() {
    run(async {
        if let Some(units) = script("dashboard_units.mjs", &[]) {
            units.expect_ok().await;
        }
    });
}

#[test]
fn demo_load_moves_the_figures_the_charts_and_the_lists() {
    run_with_server("load");
}

#[test]
fn charts_show_the_values_at_the_pointer_and_at_the_keyboards_cursor() {
    run_with_server("readout");
}

#[test]
fn a_page_that_is_opened_late_shows_the_minutes_before() {
    run_with_server("late");
}

#[test]
fn the_page_fits_into_narrow_and_wide_windows() {
    run_with_server("widths");
}

#[test]
fn a_page_without_its_server_says_so_and_is_live_again_with_the_next_one() {
    run(async {
        let (server, addr) = start("127.0.0.1:0");
        let Some(mut browser) = scenario("outage", &format!("http://{addr}/")) else { return };
        browser.expect_line("kill").await;
        drop(server);
        browser.expect_line("restart").await;
        let (_server, _addr) = start(&addr.to_string());
        browser.expect_ok().await;
    });
}
