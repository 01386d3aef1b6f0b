//! Where jobs run: this machine.
