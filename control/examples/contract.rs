//! Prints the control plane's contract. The crate is native, so the document needs no build of its own.

fn main() -> Result<(), serde_json::Error> {
    println!("{}", serde_json::to_string_pretty(&terrace_control::contract())?);
    Ok(())
}
