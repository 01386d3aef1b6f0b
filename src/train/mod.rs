//! Training: loss, gradients, optimiser; `nep.in` in, `nep.txt` out.

mod kernel;
