//! One flat JSON object of numbers, from the load generator to the runner.

use std::fmt::Write as _;

/// A list of named numbers in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct Numbers(Vec<(String, f64)>);

impl Numbers {
    /// Adds a number. A number that JSON cannot represent becomes zero.
    pub fn push(&mut self, name: &str, value: f64) {
        self.0.push((name.to_owned(), if value.is_finite() { value } else { 0.0 }));
    }

    /// The number with this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(key, _)| key == name).map(|&(_, value)| value)
    }

    /// All numbers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(key, value)| (key.as_str(), *value))
    }

    /// The object on one line.
    pub fn to_json(&self) -> String {
        let mut text = String::from("{");
        for (index, (key, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}\"{key}\": {value}");
        }
        text.push('}');
        text
    }

    /// Reads what [`Numbers::to_json`] wrote.
    pub fn from_json(text: &str) -> Option<Self> {
        let body = text.trim().strip_prefix('{')?.strip_suffix('}')?;
        let mut numbers = Self::default();
        for pair in body.split(',').filter(|pair| !pair.trim().is_empty()) {
            let (key, value) = pair.split_once(':')?;
            let key = key.trim().strip_prefix('"')?.strip_suffix('"')?;
            numbers.push(key, value.trim().parse().ok()?);
        }
        Some(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;

    #[test]
    fn reads_back_what_it_wrote() {
        let mut numbers = Numbers::default();
        numbers.push("rate", 1234.5);
        numbers.push("nothing", f64::NAN);
        let read = Numbers::from_json(&numbers.to_json()).expect("own output");
        assert_eq!(read.get("rate"), Some(1234.5));
        assert_eq!(read.get("nothing"), Some(0.0));
        assert!(Numbers::from_json("{\"rate\": fast}").is_none());
    }
}
