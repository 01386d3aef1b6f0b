// What every kernel of the grades gets, all eight bytes wide, in the order of `GradeArgs` in
// src/cuda/grades/args.rs. Matrices are row-major; the sides of atoms are padded with zeros to multiples
// of 16, all else to multiples of 32.
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

    u64 k;        // coefficients
    double *c;    // coefficients [rows][k], in the ridge form products with the active rows before

    // The compatibility form.
    double *x;     // neurons [rows][N1]
    double *slope; // w1 (1 - x^2) [rows][N1]
    double *z;     // features [rows][k]

    // The ridge form.
    const double *units; // [DIM]
    u64 h, d;            // lengths of the sides
    double *s, *t;       // sides of neurons and descriptors, a 1 behind each [rows][h], [rows][d]
    double *p;           // L^-1 times products with the active rows [rows][k]
    double *left;        // lambda Gamma^2 [rows]
    u32 *need;           // whether one of 32 rows is above the limit; null where all are wanted
    double lambda;

    // A product of matrices: out = a b, or with MULTIPLY, number by number, out *= a b.
    const double *a; // [rows][inner]
    const double *b; // [columns / 32][inner][32]
    double *out;     // [rows][columns]
    u64 inner, columns;
    u64 flags;

    // With a threshold: the threshold, in the ridge form of lambda Gamma^2, and what is not below it yet.
    double limit;
    u32 *passed_count, *passed;

    double *gamma, *rho, *grade; // [atoms]
    double fill;

    // Atoms so near to the limit that rounding could decide.
    u32 *near, *near_count;
    double near_share;  // of the limit
    double rounding[2]; // per length of the features; in the ridge form per k(x, x), and this times |t|
};

#define MULTIPLY 1
#define UP_TO 2 // b is zero below its diagonal
#define FROM 4  // b is zero above its diagonal
#define LOOK 8  // not all active rows are used
