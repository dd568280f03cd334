//! Writes the manual page and the completions of shells: `cargo run --no-default-features --features manual --bin audit-manual -- FOLDER`.

use audit_core::command::manual;

fn main() -> std::io::Result<()> {
    let folder = std::path::PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/manual".to_owned()));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("prosody-audit.1"), manual::page(env!("CARGO_PKG_VERSION")))?;
    std::fs::write(folder.join("prosodyctl.bash"), manual::bash())?;
    std::fs::write(folder.join("_prosodyctl"), manual::zsh())?;
    std::fs::write(folder.join("prosodyctl.fish"), manual::fish())
}
