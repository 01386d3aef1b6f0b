//! The version of the library and of its ABI.

/// Version of the header: 10000 major + 100 minor + patch. Since: 0.1.
pub const NEPAL_VERSION_NUMBER: u32 = 200;

/// Version of the ABI that the header describes. A library with another one is refused by the
/// bindings; additions do not change it. Since: 0.1.
pub const NEPAL_ABI_VERSION: u32 = 2;

/// Version of the library that was loaded, as `NEPAL_VERSION_NUMBER` counts. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nepal_version_number() -> u32 {
    NEPAL_VERSION_NUMBER
}

/// Version of the ABI of the library that was loaded; compare it with `NEPAL_ABI_VERSION` once, at
/// the start. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nepal_abi_version() -> u32 {
    NEPAL_ABI_VERSION
}
