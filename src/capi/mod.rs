//! The C ABI and nothing else: handles, statuses, callbacks, the panic guard.
