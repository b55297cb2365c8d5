//! The options of a connection, and the errors of connecting.

use crate::support::{echo_server, run};

#[test]
fn usage_errors_have_exit_code_1() {
    for args in [&["--no-such-option"][..], &["ws://127.0.0.1:1", "-n", "0"], &["ws://127.0.0.1:1", "--linger", "x"]] {
        let ended = run(args, b"");
        assert_eq!(ended.code, 1, "{ended:?}");
    }
    run(&["lisen"], b"").failed(1, &["neither a URL nor a command"]);
    run(&["ftp://a.example"], b"").failed(1, &["unsupported URL scheme \"ftp\""]);
    assert_eq!(run(&["--help"], b"").code, 0);
    assert!(run(&["--version"], b"").ok().starts_with("ws "));
}

#[test]
fn a_url_without_a_scheme_is_ws() {
    let url = echo_server();
    let address = url.strip_prefix("ws://").unwrap();
    assert_eq!(run(&[address, "-n", "1"], b"a\n").ok(), "a\n");
}
