//! Writes the table of the embedded checkpoint's files (`src/mini.rs` includes it). An absent folder gives an empty
//! table: the binary then asks for `--model`.

use std::env;
use std::fs;
use std::path::Path;

/// What a checkpoint in Hugging Face layout consists of, and how sure it should be of its labels.
const NAMES: [&str; 8] = [
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "model.safetensors",
    "calibration.json",
];

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let out = env::var("OUT_DIR").expect("cargo sets it");
    let mini = Path::new(&root).join("../mini");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", mini.display());

    let complete = NAMES.iter().all(|name| mini.join(name).is_file());
    let entry = |name: &&str| {
        let path = mini.join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        format!(
            "    ({name:?}, include_bytes!({:?})),\n",
            path.display().to_string()
        )
    };
    let entries: String = NAMES.iter().filter(|_| complete).map(entry).collect();
    let table = format!("const MINI: &[(&str, &[u8])] = &[\n{entries}];\n");
    fs::write(Path::new(&out).join("mini_files.rs"), table).expect("OUT_DIR is writable");
    if !complete {
        println!("cargo::warning=mini/ is absent or incomplete: the binary will need --model");
    }
}
