//! Reference methods that label structures with energies, forces and virials.
