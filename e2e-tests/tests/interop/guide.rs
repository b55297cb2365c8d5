//! The configurations of other programs in the guide, so that the tests run what it shows.

const GUIDE: &str = include_str!("../../../docs/guide.md");

/// The guide's configuration in `language`, with `changes`: what is there once, and what replaces it.
pub(crate) fn configuration(language: &str, changes: &[(&str, &str)]) -> String {
    let (_, rest) = GUIDE.split_once(&format!("```{language}\n")).expect("a configuration");
    let (text, _) = rest.split_once("```").expect("its end");
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    })
}
