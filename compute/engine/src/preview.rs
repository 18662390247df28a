//! Which preview of WASI a component answers in, read from its binary before anything is compiled.
//! Called by the engine when it loads a release. It tries nothing out, and what it cannot read it leaves
//! to the compiler to refuse.

use wasmparser::{Parser, Payload};

use crate::Error;

/// The export of a component of preview 2.
const SECOND: &str = "wasi:http/incoming-handler";
/// The export of a component of preview 3.
const THIRD: &str = "wasi:http/handler";

/// A preview of WASI. Each has an engine of its own, because the tables of the third cost the second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preview {
    /// `wasi:http/incoming-handler`: a function that blocks.
    Two,
    /// `wasi:http/handler`: a function that awaits.
    Three,
}

impl Preview {
    /// That of a component, from its exports. One that exports the handlers of both runs as preview 3:
    /// who went to the trouble of writing one wants what it can do.
    ///
    /// # Errors
    /// [`Error::Composed`].
    pub(crate) fn of(component: &[u8]) -> Result<Self, Error> {
        let mut preview = Self::Two;
        let (mut depth, mut is_composed) = (0_u32, false);
        for payload in Parser::new(0).parse_all(component) {
            // The compiler says what is wrong with it, and says it better.
            let Ok(payload) = payload else { return Ok(Self::Two) };
            match payload {
                // A component in a component. What compilers make has some without code, for types.
                Payload::ComponentSection { .. } => depth += 1,
                // A module ends too, and so does the component itself.
                Payload::ModuleSection { .. } => {
                    is_composed |= depth > 0;
                    depth += 1;
                }
                // Code of an outer component, by an alias or an import, is code too.
                Payload::InstanceSection(_) => is_composed |= depth > 0,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports.into_iter().flatten() {
                        if interface(export.name.name) == THIRD {
                            preview = Self::Three;
                        }
                    }
                }
                _ => {}
            }
        }
        if preview == Self::Three && is_composed {
            return Err(Error::Composed);
        }
        Ok(preview)
    }

    /// The interface that a service of this preview exports.
    pub(crate) fn handler(self) -> &'static str {
        match self {
            Self::Two => SECOND,
            Self::Three => THIRD,
        }
    }
}

/// An interface without its version.
fn interface(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Preview, Error> {
        Preview::of(&wat::parse_str(text).unwrap())
    }

    fn exporting(name: &str) -> String {
        format!(r#"(component (instance $i) (export "{name}" (instance $i)))"#)
    }

    #[test]
    fn a_component_is_of_the_preview_whose_handler_it_exports() {
        for (name, preview) in [
            ("wasi:http/incoming-handler@0.2.0", Preview::Two),
            ("wasi:http/handler@0.3.0", Preview::Three),
            ("wasi:http/handler@0.3.2", Preview::Three),
            ("wasi:http/handler-of-another-kind@0.3.0", Preview::Two),
        ] {
            assert_eq!(of(&exporting(name)).unwrap(), preview, "{name}");
        }
        // Not its own export, but that of a component in it.
        let nested = format!("(component {})", exporting("wasi:http/handler@0.3.0"));
        assert_eq!(of(&nested).unwrap(), Preview::Two);
        assert_eq!(Preview::of(b"not wasm").unwrap(), Preview::Two);
    }

    #[test]
    fn only_one_component_with_code_may_answer_in_preview_3() {
        let with = |inner: &str, handler: &str| {
            format!(r#"(component {inner} (core module) (instance $i) (export "wasi:http/{handler}" (instance $i)))"#)
        };
        let (types, code) = ("(component (type string))", "(component (core module))");
        let borrowed =
            "(core module $m) (component (alias outer 1 $m (core module $n)) (core instance (instantiate $n)))";
        assert_eq!(of(&with(types, "handler@0.3.0")).unwrap(), Preview::Three);
        assert!(matches!(of(&with(borrowed, "handler@0.3.0")), Err(Error::Composed)));
        assert!(matches!(of(&with(code, "handler@0.3.0")), Err(Error::Composed)));
        assert_eq!(of(&with(code, "incoming-handler@0.2.0")).unwrap(), Preview::Two);
    }
}
