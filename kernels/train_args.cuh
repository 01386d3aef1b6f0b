// What every kernel of training gets, all eight bytes wide, in the order of `TrainArgs` in
// src/cuda/train/args.rs. Lengths in Å, energies in eV.
//
// Atoms lie in blocks of eight of one type, as on the CPU (src/train/kernel/chunk.rs); every array
// that has a number for each atom has the eight of a block side by side. A page holds what of the
// structures does not depend on the parameters; a launch works on some of its blocks, in the order
// of `block`, which may name a block several times.

struct TrainArgs {
    u64 positions;  // blocks of this launch
    u64 structures; // structures of this launch
    u64 parts;      // sums of gradients are taken in so many parts,
    u64 outs;       // which belong to so many results
    u64 strained;   // whether strain is given

    // The page.
    const u32 *center;      // type [blocks]
    const u32 *first_local; // first entry of the block in what follows [blocks + 1]
    const u32 *local_types; // types of neighbours
    const u32 *local_of;    // entry of a type, counted in the block; NONE [blocks][TYPES]
    const u32 *range_r, *range_a; // first and last bond [entries][2]
    const float *radial;    // sum of f_k [entries][KR][8]
    const float *angular;   // sum of f_k S_lm [entries][KA][NLM][8]
    const float *bonds_r;   // f_k', unit vector, distance [bonds][KR + 4][8]
    const float *bonds_a;   // f_k, f_k', unit vector, distance [bonds][2 KA + 4][8]
    const u32 *index_r, *index_a; // neighbour, in slots of its chunk [bonds][8]
    const u32 *start_r, *start_a; // bonds that lead to a slot [slots + 1]
    const u32 *incoming_r, *incoming_a; // those, as 8 bond + lane
    const u32 *structure_of;  // structure of a slot in its chunk; NONE without an atom [slots]
    const u32 *member_start;  // slots of each structure [structures of the page + 1]
    const u32 *members;       // those, counted in their chunk

    // The launch.
    const u64 *block;      // block of the page [positions]
    const u64 *base;       // position of the first block of its chunk [positions]
    const u64 *entry_base; // first local entry in scratch [positions]
    const u64 *bond_shift_r, *bond_shift_a; // from bonds of the page to those in scratch [positions]
    const u64 *first_structure; // structure of the launch that its chunk's first is [positions]
    const u64 *structure;  // structure of the page [structures]
    const u64 *structure_base;  // position of the first block of its chunk [structures]
    const u64 *part_start; // positions of each part [parts + 1]
    const u64 *part_positions;
    const u64 *out_start;  // parts of each result [outs + 1]

    // Parameters in the order of the model's file without its coefficients, these by centre,
    // neighbour, k, n, and their direction, if there is one.
    const real *parameters, *direction;
    const real *radial_c, *radial_d;
    const real *angular_c, *angular_d;
    const real *scaler;

    // Scratch [positions][...][8], with a derivative beside each number where there is a direction.
    real *x;      // scaled descriptors [DIM]
    real *s;      // angular sums [NA][NLM]
    real *t1, *t2; // activations [N1], [N2]
    real *slope2; // dU/d(second layer) [N2]
    real *back;   // dU/d(first layer) [N1]
    real *fp;     // dU/d(descriptor) [DIM]
    real *d;      // dU/ds [NA][NLM]
    real *p;      // dU/d(sum of f_k) [entries][KR][8]
    real *moved_r, *moved_a; // partial forces, later rates of bonds [bonds][8][4]
    real *energies; // [positions][8]
    real *virials;  // xx yy zz xy yz zx [positions][8][6]

    // Results: energies of structures, then forces [8 positions][3], then virials [structures][6].
    double *results;

    // Slopes of the loss: by energies of structures, minus those by forces [8 positions][3], minus
    // those by virials [structures][9].
    const double *slopes;
    real *rate_r;   // rates of the sums of f_k [entries][KR][8]
    real *rate_a;   // rates of the sums of f_k S_lm [entries][KA][NLM][8]
    real *dx;       // rates of the descriptors [DIM]
    real *ds;       // rates of the angular sums [NA][NLM]
    real *du, *du2; // rates of what the layers are given [N1], [N2]
    real *alpha2, *beta2; // gradients by the second layer and by its rate [N2]
    real *alpha, *beta;   // gradients by the first layer and by its rate [N1]
    real *qbar;     // gradient by the descriptors [DIM]
    real *sbar;     // gradient by the angular sums [NA][NLM]
    double *partial; // [parts][PART]
    double *gradient; // [outs][PART]
};

#define EIGHT 8
#define TRAIN_SUMS (NA * NLM)
// A result: weights and biases of a network, its type's bias, coefficients by neighbour, k, n.
#define OWN (N2 == 0 ? (DIM + 2) * N1 : (DIM + 1) * N1 + (N1 + 2) * N2)
#define PART (OWN + 1 + TYPES * (NR * KR + NA * KA))
// Threads that share the bonds of an atom.
#define STRANDS 8

// Where the networks lie.
NEPAL_FN u64 first_w0(u32 t) { return (u64)t * NETWORK; }
NEPAL_FN u64 first_b0(u32 t) { return first_w0(t) + N1 * DIM; }
NEPAL_FN u64 first_w1(u32 t) { return first_b0(t) + N1; }
NEPAL_FN u64 first_b1(u32 t) { return first_w1(t) + N1 * N2; }
NEPAL_FN u64 first_w2(u32 t) { return first_b1(t) + N2; }

// Number k of an atom in an array of `rows` numbers an atom.
NEPAL_FN u64 at(u64 position, u64 rows, u64 k, u32 lane) { return (position * rows + k) * EIGHT + lane; }

// A number of a table, with that of its direction.
template <class N> struct From;
template <> struct From<real> {
    static __device__ __forceinline__ real read(const real *a, const real *, u64 k) { return a[k]; }
};
template <> struct From<Twin> {
    static __device__ __forceinline__ Twin read(const real *a, const real *b, u64 k) { return Twin(a[k], b[k]); }
};
