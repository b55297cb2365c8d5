//! Counts the lines that a migration changes, and compares the counts with the table of docs/migrating.md.

const GUIDE: &str = include_str!("../../../docs/migrating.md");

const PROGRAMS: [(&str, &str, &str); 3] = [
    (
        "echo_server",
        include_str!("../../migration/echo_server/before.rs"),
        include_str!("../../migration/echo_server/after.rs"),
    ),
    (
        "client",
        include_str!("../../migration/client/before.rs"),
        include_str!("../../migration/client/after.rs"),
    ),
    ("chat", include_str!("../../migration/chat/before.rs"), include_str!("../../migration/chat/after.rs")),
];

/// The length of the longest common subsequence.
fn common(before: &[&str], after: &[&str]) -> usize {
    let mut row = vec![0; after.len() + 1];
    for line in before {
        let mut diagonal = 0;
        for (at, other) in after.iter().enumerate() {
            let longest = if line == other { diagonal + 1 } else { row[at].max(row[at + 1]) };
            diagonal = std::mem::replace(&mut row[at + 1], longest);
        }
    }
    row[after.len()]
}

/// Lines of code, without comments and blank lines.
fn code(program: &str) -> Vec<&str> {
    program.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//")).collect()
}

#[test]
fn the_guide_says_how_many_lines_each_program_changes() {
    for (name, before, after) in PROGRAMS {
        let (before, after) = (code(before), code(after));
        let common = common(&before, &after);
        let (removed, added) = (before.len() - common, after.len() - common);
        let row = format!("| `{name}` | {} | {removed} | {added} |", before.len());
        assert!(GUIDE.contains(&row), "docs/migrating.md has no row {row:?}");
    }
}

#[test]
fn the_longest_common_subsequence_of_known_texts_is_found() {
    let lines = |text: &'static str| text.split(' ').collect::<Vec<_>>();
    for (before, after, expected) in
        [("a b c d", "a c d", 3), ("a b", "b a", 1), ("a", "b", 0), ("a b a", "a a b a", 3)]
    {
        assert_eq!(common(&lines(before), &lines(after)), expected, "{before} and {after}");
    }
}
