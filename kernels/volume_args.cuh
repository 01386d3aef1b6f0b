// What the kernels of MaxVol get, all eight bytes wide, in the order of `VolumeArgs` in
// src/cuda/volume.rs.
struct VolumeArgs {
    const double *data;    // rows of the pool [rows][n]; 32 more rows may be read
    const double *inverse; // [n, to a multiple of 4][columns], padded with zeros
    u64 rows;
    u64 n;
    u64 columns; // n, to a multiple of 32
    double *partial;
    double *largest; // largest |C| of each row [rows]

    // Exchanges.
    double *c;    // coefficients [rows][n]
    double *step; // [n]
    double tolerance;
    u64 *state;  // whether nothing is left to exchange, exchanges made, column of the last one
    u64 *swaps;  // row and column of each
    double *pivots;
};
