//! Small periodic fragments around atoms that leave known ground: carve, repair, optimise, verify.
