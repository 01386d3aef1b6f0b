// What every kernel of the grades gets, all eight bytes wide, in the order of `GradeArgs` in
// src/cuda/grades/args.rs. Matrices are row-major; their sizes are padded with zeros to
// multiples of 32, the features of the screen to multiples of 16.
struct GradeArgs {
    // Rows: entries of a list of atoms of one type.
    u64 first;         // first entry
    u64 rows;          // entries of this launch at most
    u64 total;         // length of the list, where it is known
    const u32 *count;  // length of the list, where only the device knows it; else null
    const u32 *list;   // atoms
    const real *q;     // descriptors [atoms][DIM]
    const double *w0t; // [DIM][N1]
    const double *b0;  // [N1]
    const double *w1;  // [N1]
    double *x;         // neurons [rows][N1]
    double *slope;     // w1 (1 - x^2) [rows][N1]

    // The set, in f64.
    const double *scale; // [N1 * (DIM + 2)]; null in the compatibility form
    u64 n, r, k;         // padded numbers of features, directions, coefficients
    double *z;           // scaled features [rows][n]
    double *y;           // reduced features [rows][r]
    double *c;           // coefficients [rows][k]
    double *length;      // |z|^2 [rows]
    double *inside;      // |y|^2 [rows]
    u32 *need;           // whether 32 rows need the residual itself
    u64 flags;
    double residual_scale, kappa;

    // A product: out = a b, or out -= a b.
    const double *a, *b;
    double *out;
    u64 inner, columns;
    u64 subtract;

    // Prefilter.
    const double *mean;      // [N1]
    const double *whitening; // [N1][N1]
    double level;

    // Screen: halves in the order of the tensor cores' fragments.
    const double *units;  // 1 / scale
    const double *center; // [n]
    double *lengths;      // of centered and of scaled features [rows][2]
    uint4 *high, *low;    // features [rows / 16][tiles][32]
    u64 tiles;            // of 16 features
    const uint2 *weights; // coefficients [column tiles][tiles][8 or, in pairs, 4][32]
    const uint2 *weights_low; // what the halves leave, times 2^11; null without pairs
    const uint2 *probes_high, *probes_low; // [probe tiles][tiles][4][32]
    const double *column_scale, *column_offset, *column_size; // coefficients, then probes
    u64 column_tiles, probe_tiles; // of 64 (in pairs 32) coefficients, of 32 probes
    double *partial;       // gamma and its bound [rows][column tiles][4][2]
    double *probe_partial; // squares [rows][probe tiles][4]
    double error, tiny;    // bounds of rounding, relative and absolute
    double all_size;       // length of all weights together
    double probe_error;    // bounds for the residual, per |z| and absolute
    double probe_tiny;
    double threshold, residual_limit;
    u32 *passed_count, *passed;

    double *gamma, *rho, *grade; // [atoms]
    double *best_gamma, *best_rho, *best_grade;
    double fill;

    // Atoms whose grade is so near to the threshold that rounding could decide.
    u32 *near, *near_count; // their number, and that of atoms that were left ungraded
    double near_share;      // of the threshold
    double rounding[2];     // of coefficients, per |z|; of products with unit vectors and of residuals
};

#define TWO_PART 1
#define LENGTH 2
#define FIRST_SET 4
