//! Functions of a library that is opened at run time, each looked up when the library is.

/// Declares a struct of C functions that return a status, and how to find them in a library.
macro_rules! functions {
    ($(#[$meta:meta])* $name:ident { $($field:ident = $symbol:literal ($($argument:ty),* $(,)?);)* }) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub(super) struct $name {
            $(pub $field: unsafe extern "C" fn($($argument),*) -> i32,)*
            // Declared last, dropped last: the functions lie in it.
            _library: libloading::Library,
        }

        impl $name {
            /// Finds all functions, or gives the name of one that is missing.
            fn find(library: libloading::Library) -> std::result::Result<Self, &'static str> {
                $(
                    // SAFETY: the type is the one that the library's header declares.
                    let $field = match unsafe { library.get($symbol.as_bytes()) } {
                        Ok(symbol) => *symbol,
                        Err(_) => return Err($symbol),
                    };
                )*
                Ok(Self { $($field,)* _library: library })
            }
        }
    };
}
pub(super) use functions;
