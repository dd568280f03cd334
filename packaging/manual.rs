//! Writes the manual page and the completions of shells: `cargo run --no-default-features --features manual --bin audit-manual -- FOLDER`.

use std::path::PathBuf;
use std::{env, fs, io};

use audit_core::command::manual;

fn main() -> io::Result<()> {
    let folder = PathBuf::from(env::args().nth(1).unwrap_or_else(|| "target/manual".to_owned()));
    fs::create_dir_all(&folder)?;
    let files = [
        ("prosody-audit.1", manual::page(env!("CARGO_PKG_VERSION"))),
        ("prosodyctl.bash", manual::bash()),
        ("_prosodyctl", manual::zsh()),
        ("prosodyctl.fish", manual::fish()),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        // Another `make` may run at the same time, and somebody may read them.
        if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            fs::write(path, text)?;
        }
    }
    Ok(())
}
