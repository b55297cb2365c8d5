//! The page in Chromium. `tests/browser/chat.mjs` has the scenarios.

use e2e_tests::{certificates::CertificateFiles, peers::Child};

use crate::{
    balancer::Balancer,
    page::{CHAT_SERVER, start},
    program::Program,
    script::{run, script},
};

/// Starts a scenario. `None` without a browser.
pub(crate) fn scenario(name: &str, options: &[&str]) -> Option<Child> {
    script("chat.mjs", &[&[name], options].concat())
}

/// Runs a scenario with a server of its own.
fn run_with_server(name: &str) {
    run(async {
        let (_server, addr) = start(&[]);
        let Some(browser) = scenario(name, &[&format!("http://{addr}/")]) else { return };
        browser.expect_ok().await;
    });
}

#[test]
fn the_rooms_and_the_outbox_of_the_page_keep_their_laws() {
    run(async {
        if let Some(units) = script("units.mjs", &[]) {
            units.expect_ok().await;
        }
    });
}

#[test]
fn two_visitors_write_to_each_other_and_see_each_other_come_write_and_go() {
    run_with_server("talk");
}

#[test]
fn names_and_messages_are_never_markup() {
    run_with_server("markup");
}

#[test]
fn the_page_fits_into_narrow_and_wide_windows() {
    run_with_server("widths");
}

#[test]
fn rooms_are_chosen_with_the_keyboard_and_show_what_is_unread() {
    run_with_server("rooms");
}

#[test]
fn the_page_explains_its_limits_and_sends_later_what_comes_too_fast() {
    run_with_server("limits");
}

#[test]
fn two_visitors_write_to_each_other_over_tls() {
    run(async {
        let files = CertificateFiles::new();
        let (cert, key) = (files.path("cert"), files.path("key"));
        let args = ["127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
        let (_server, page) = Program::server(CHAT_SERVER, &args, "listening on https://");
        let Some(browser) = scenario("talk", &[&format!("https://{page}"), "--ca", &cert]) else { return };
        browser.expect_ok().await;
    });
}

/// Cuts the connections through a balancer at the scenario's request, and lets them through again at its next one.
fn run_with_cut(name: &str, options: &[&str]) {
    run(async {
        let (_server, addr) = start(options);
        let balancer = Balancer::start(&[addr]).await;
        let urls = [format!("http://{}/", balancer.addr), format!("http://{addr}/")];
        let Some(mut browser) = scenario(name, &[&urls[0], &urls[1]]) else { return };
        browser.expect_line("cut").await;
        balancer.cut();
        browser.expect_line("mend").await;
        balancer.set_nodes(&[addr]);
        browser.expect_ok().await;
    });
}

#[test]
fn a_page_that_was_cut_off_gets_what_it_missed_and_says_so() {
    run_with_cut("away", &[]);
}

#[test]
fn a_page_that_missed_more_than_is_kept_says_so() {
    run_with_cut("lost", &["--history", "5"]);
}
