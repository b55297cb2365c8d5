//! Runs the inputs in `corpus/`, with any compiler.

use std::{fs, path::Path};

#[test]
fn every_kept_input_is_handled() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in ws_fuzz::TARGETS {
        let mut inputs: Vec<_> = fs::read_dir(corpus.join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .map(|entry| entry.expect("an entry").path())
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for path in &inputs {
            // Printed first, so that a panic can be traced to its input.
            println!("{}", path.display());
            target(&fs::read(path).expect("a file"));
        }
        println!("{name}: {} inputs", inputs.len());
    }
}

#[test]
fn short_inputs_are_handled() {
    for (_, target) in ws_fuzz::TARGETS {
        target(&[]);
        (0..=255_u8).for_each(|byte| target(&[byte]));
        (0..=255_u8).for_each(|byte| target(&[byte, byte ^ 0x5a, byte, 0, 1, byte]));
    }
}
